"""The gate: its policy, the sources of evidence, and how long it waits for them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field, field_validator, model_validator

from pratique.config.base import Address, FormPattern, Model
from pratique.config.scanner_command import ScannerCommand, parse_command
from pratique.evidence.signatures.identities import parse_identities
from pratique.evidence.signatures.trust import RevocationPolicy
from pratique.gate.policy import DEFENDER, FINDINGS_ARTIFACT, RECOMMENDATIONS, Policy

SourceName = Annotated[
    str,
    Field(
        pattern=r"^[a-z0-9]([a-z0-9-]{0,38}[a-z0-9])?$",
        description="Name by which the policy refers to the source: up to 40 lower-case letters, digits and -.",
    ),
]
Platform = Annotated[
    str, Field(pattern=r"^[a-z0-9]+/[a-z0-9]+(/[a-z0-9.]+)?$", description="For example linux/amd64 or linux/arm64/v8.")
]


Certificates = Annotated[
    str,
    BeforeValidator(lambda source: str(source) if isinstance(source, Path) else source),
    FormPattern(),
]


class SignerTrust(Model):
    """Whose signatures count. `pratique trust show IMAGE` prints these settings for the signers of an image."""

    trust_store: tuple[Certificates, ...] = Field(
        (),
        description="PEM files, or pasted PEM text, with the root certificates of the signers. Without any, no "
        "signature counts.",
    )
    trusted_identities: tuple[str, ...] = Field(
        (),
        description="Signers to trust under these roots: 'x509.subject: CN=…,O=…,ST=…,C=…' lists attributes that the "
        "signing certificate's subject must have, at least C, ST and O. '*' trusts everybody under the roots.",
    )
    tsa_trust_store: tuple[Certificates, ...] = Field(
        (),
        description="PEM files, or pasted PEM text, with the roots of timestamp authorities. A signature that one of "
        "them timestamped still counts when its certificate has expired.",
    )
    revocation: RevocationPolicy = Field(
        "strict",
        description="When nobody can tell whether a certificate was revoked: strict (the signature does not count) or "
        "record (it counts, and the record says so). A revoked certificate never counts.",
    )

    @field_validator("trusted_identities")
    @classmethod
    def _are_identities(cls, identities: tuple[str, ...]) -> tuple[str, ...]:
        parse_identities(identities)
        return identities


class Attestation(SignerTrust):
    """A source other than Defender whose signed vulnerability attestations count."""

    name: SourceName
    trust_store: tuple[Certificates, ...] = Field(
        min_length=1, description="PEM files, or pasted PEM text, with the root certificates of its signatures."
    )


class Scanner(Model):
    """A scanner that this worker runs as a command. The worker has to be able to pull from the registry."""

    name: SourceName
    format: Literal["trivy", "grype"] = Field(description="Format of the JSON report on its standard output.")
    command: tuple[Address, ...] = Field(
        min_length=1,
        description="Program and arguments, with {image} for the image's reference with its digest. Arguments that "
        "could leave findings out are refused.",
    )
    timeout: float = Field(600, gt=0, description="Seconds that the scan of one image may take.")

    @model_validator(mode="after")
    def _complete(self) -> Self:
        if not any("{image}" in part for part in self.command[1:]):
            raise ValueError("command: one of the arguments has to contain {image}")
        parse_command(self.format, self.command)
        return self

    @property
    def parsed(self) -> ScannerCommand:
        """The command's parts."""
        return parse_command(self.format, self.command)


class Gate(SignerTrust):
    """The evidence that an image needs before it is promoted, and how long the gate waits for it."""

    policy: Policy = Policy()
    platforms: tuple[Platform, ...] = Field(
        ("linux/amd64",), min_length=1, description="Platforms that need a verdict in a multi-platform image."
    )
    exceptions: tuple[Path, ...] = Field(
        (), description="Paths of files with accepted findings and images. Keep them under Git."
    )
    vex: tuple[Path, ...] = Field((), description="Paths of OpenVEX documents whose statements count.")
    deadline: float = Field(
        240, gt=0, description="Minutes to wait for Defender. After them an image without a scan is Unverified."
    )
    patience: float = Field(
        30, ge=0, description="Minutes to wait for an image that the exceptions accept without an assessment."
    )
    interval: float = Field(
        30,
        gt=0,
        description="Seconds between polls for half an hour, and after each change. Without news, the interval then "
        "grows to ten times as long.",
    )
    report: Literal["fail-fast", "full"] = Field(
        "fail-fast",
        description="When one image of a release is blocked: fail-fast (stop waiting for the others) or full (wait for "
        "all, and report them).",
    )
    answer_hours: float = Field(24, gt=0, description="Hours that a person has to answer, if the policy asks a person.")
    resource_graph: tuple[Literal["recommendations", "sub-assessments"], ...] = Field(
        (RECOMMENDATIONS,),
        description="Tables of Azure Resource Graph to query. Choose sub-assessments only in clouds that still have "
        "them.",
    )
    unsafe_accept_unsigned_artifacts: bool = Field(
        False,
        description="Trust findings artifacts without a signature. Unsafe: anybody who can push to the registry can "
        "forge one.",
    )
    attestations: tuple[Attestation, ...] = Field((), description="Other sources whose signed attestations count.")
    scanners: tuple[Scanner, ...] = Field((), description="Scanners that this worker runs.")

    @field_validator("policy", mode="before")
    @classmethod
    def _stated(cls, policy: Any) -> Any:
        if not policy:
            raise ValueError("the policy is empty: set at least its limits, or remove the key")
        return policy

    @property
    def _others(self) -> list[str]:
        return [*(source.name for source in self.attestations), *(scanner.name for scanner in self.scanners)]

    @property
    def sources(self) -> frozenset[str]:
        """Names of all sources of evidence."""
        return frozenset({*self.resource_graph, FINDINGS_ARTIFACT, *self._others})

    @model_validator(mode="after")
    def _sane(self) -> Self:
        if self.trust_store and self.unsafe_accept_unsigned_artifacts:
            raise ValueError("trust_store and unsafe_accept_unsigned_artifacts contradict each other")
        others = self._others
        if duplicates := sorted({name for name in others if others.count(name) > 1} | (DEFENDER & {*others})):
            raise ValueError(f"each source needs a unique name: {', '.join(duplicates)}")
        unknown = sorted({*self.policy.required_sources, *self.policy.sufficient_sources} - self.sources)
        if unknown:
            raise ValueError(
                f"policy: {', '.join(unknown)} is not a source of this gate; its sources are "
                f"{', '.join(sorted(self.sources))}"
            )
        return self
