"""The ingress certificate, and the access to the vault that takes."""

from __future__ import annotations

from ipaddress import IPv4Address
from typing import Literal

from pydantic import Field

from pratique.config.base import Model, SecretName

CERTIFICATES_OFFICER = "a4417e6f-fecd-4de8-b567-7b0420556985"


class Certificate(Model):
    """The ingress certificate."""

    name: str = Field(pattern=r"^[0-9a-zA-Z-]{1,127}$", description="Name in the vault.")
    subject: str = Field(description="Name that the certificate must be for, for example *.aks-ingress.contoso.com.")
    pem: SecretName = Field(
        description="Where the PEM or PFX, or base64 of one, lies: file:PATH, env:NAME or prefect-secret:BLOCK."
    )
    password: SecretName | None = Field(None, description="Where the password of a PFX lies, when it has one.")
    renew_days: int = Field(30, ge=1, le=365, description="Renewal imports when the vault's expires within this time.")


class Access(Model):
    """The temporary access to the vault under which the certificate is imported."""

    network: Literal["auto", "rule", "none"] = Field(
        "auto", description="Open the vault's firewall: when it keeps this worker out, always, or never."
    )
    role: Literal["auto", "none"] = Field("auto", description="Grant the role unless held already, or never.")
    method: Literal["assignment", "pim"] = Field(
        "assignment", description="A plain role assignment, or one that Privileged Identity Management ends by itself."
    )
    role_definition: str = Field(
        CERTIFICATES_OFFICER, pattern=r"^[0-9a-fA-F-]{36}$", description="GUID of the role that is granted."
    )
    address: IPv4Address | None = Field(None, description="This worker's public address; empty asks the services.")
    address_services: tuple[str, ...] = Field(
        ("https://ifconfig.io/ip", "https://api.ipify.org", "https://checkip.amazonaws.com"),
        description="Services that tell a caller its public address as plain text; those that answer must agree.",
        min_length=1,
    )
    lease_minutes: int = Field(30, ge=5, le=240, description="After this long a sweep, or PIM, ends what we could not.")
    opening_minutes: float = Field(15, gt=0, le=60, description="How long the vault may take to let us in.")
