"""The ingress certificate, and the temporary access to the vault for its import."""

from __future__ import annotations

from ipaddress import IPv4Address
from typing import Literal

from pydantic import Field

from pratique.config.base import Address, Model, SecretName
from pratique.lease import LONGEST_MINUTES

CERTIFICATES_OFFICER = "a4417e6f-fecd-4de8-b567-7b0420556985"


class Certificate(Model):
    """The ingress certificate."""

    name: str = Field(pattern=r"^[0-9a-zA-Z-]{1,127}$", description="Name of the certificate in the vault.")
    subject: str = Field(
        description="DNS name that the certificate has to cover, for example *.aks-ingress.contoso.com."
    )
    pem: SecretName = Field(
        description="Location of the certificate with its key, as PEM, DER, PFX or base64 of it: file:PATH, env:NAME "
        "or prefect-secret:BLOCK."
    )
    password: SecretName | None = Field(
        None, description="Location of the password, if the PFX or the private key has one."
    )
    renew_days: int = Field(
        30, ge=1, le=365, description="Days before expiry at which renew_certificate replaces the vault's certificate."
    )


class Access(Model):
    """The temporary access to the vault under which the certificate is imported."""

    network: Literal["auto", "rule", "none"] = Field(
        "auto",
        description="When to open the vault's firewall for this worker: auto (if it blocks the worker), rule (always) "
        "or none (never).",
    )
    role: Literal["auto", "none"] = Field(
        "auto", description="When to grant the role: auto (if the identity lacks it) or none (never)."
    )
    method: Literal["assignment", "pim"] = Field(
        "assignment",
        description="How to grant the role: assignment (a role assignment) or pim (through Privileged Identity "
        "Management, which ends it by itself).",
    )
    role_definition: str = Field(
        CERTIFICATES_OFFICER,
        pattern=r"^[0-9a-fA-F-]{36}$",
        description="GUID of the role to grant. The default is Key Vault Certificates Officer.",
    )
    address: IPv4Address | None = Field(
        None, description="This worker's public IPv4 address. Leave empty to query the address services."
    )
    address_services: tuple[Address, ...] = Field(
        ("https://ifconfig.io/ip", "https://api.ipify.org", "https://checkip.amazonaws.com"),
        description="URLs that return the caller's public address as plain text. All that answer have to agree.",
        min_length=1,
    )
    lease_minutes: int = Field(
        30,
        ge=5,
        le=LONGEST_MINUTES,
        description="Minutes after which a sweep, or PIM, revokes access that a run failed to revoke.",
    )
    opening_minutes: float = Field(
        15,
        gt=0,
        le=60,
        description="Minutes to wait in all until Azure has applied the access to the vault; at most lease_minutes.",
    )
