"""What an image has to show, and who says so."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import Field, field_validator, model_validator

from pratique.config.base import Model
from pratique.gate.policy import DEFENDER, FINDINGS_ARTIFACT, RECOMMENDATIONS, Policy

SourceName = Annotated[
    str,
    Field(
        pattern=r"^[a-z0-9]([a-z0-9-]{0,38}[a-z0-9])?$",
        description="Name in the policy: lower-case letters, digits, -.",
    ),
]
Platform = Annotated[
    str, Field(pattern=r"^[a-z0-9]+/[a-z0-9]+(/[a-z0-9.]+)?$", description="For example linux/amd64 or linux/arm64/v8.")
]


class Attestation(Model):
    """Somebody else than Defender whose signed vulnerability attestations count."""

    name: SourceName
    trust_store: tuple[Path, ...] = Field(min_length=1, description="PEM files with the roots of its signatures.")


class Scanner(Model):
    """A scanner that this worker runs as a command, where it can pull from the registry."""

    name: SourceName
    format: Literal["trivy", "grype"] = Field(description="Form of the JSON report on its standard output.")
    command: tuple[str, ...] = Field(
        min_length=1, description="Program and arguments; {image} stands for the image's reference with its digest."
    )
    timeout: float = Field(600, gt=0, description="Seconds for one image.")

    @model_validator(mode="after")
    def _names_the_image(self) -> Self:
        if not any("{image}" in part for part in self.command[1:]):
            raise ValueError("command: one of the arguments has to hold {image}")
        return self


class Gate(Model):
    """What an image has to show before it is promoted, and how long the gate waits for it."""

    policy: Policy = Policy()
    platforms: tuple[Platform, ...] = Field(
        ("linux/amd64",), min_length=1, description="Platforms of a multi-platform image that need a verdict."
    )
    exceptions: tuple[Path, ...] = Field((), description="Files with accepted findings and images, kept under Git.")
    vex: tuple[Path, ...] = Field((), description="OpenVEX documents that count.")
    deadline: float = Field(240, gt=0, description="Minutes to wait for Defender; then an image is Unverified.")
    patience: float = Field(30, ge=0, description="Minutes to wait for an image that is accepted unassessed.")
    interval: float = Field(30, gt=0, description="Seconds between two looks at first; later up to ten times as long.")
    report: Literal["fail-fast", "full"] = Field(
        "fail-fast", description="Whether one blocked image ends its release's wait, or all are waited for."
    )
    answer_hours: float = Field(24, gt=0, description="Hours that a person has to answer, where the policy asks one.")
    resource_graph: tuple[Literal["recommendations", "sub-assessments"], ...] = Field(
        (RECOMMENDATIONS,), description="Defender's tables; sub-assessments only in clouds that still have them."
    )
    trust_store: tuple[Path, ...] = Field(
        (), description="PEM files with the roots whose signature on Defender's findings artifact counts."
    )
    unsafe_accept_unsigned_artifacts: bool = Field(
        False, description="Believe findings artifacts without a signature: anybody who may push could forge one."
    )
    attestations: tuple[Attestation, ...] = Field((), description="Others whose signed attestations count.")
    scanners: tuple[Scanner, ...] = Field((), description="Scanners that this worker runs.")

    @field_validator("policy", mode="before")
    @classmethod
    def _stated(cls, policy: Any) -> Any:
        if not policy:
            raise ValueError("the policy is empty: state at least its limits, or leave the whole key out")
        return policy

    @property
    def _others(self) -> list[str]:
        return [*(one.name for one in self.attestations), *(one.name for one in self.scanners)]

    @property
    def sources(self) -> frozenset[str]:
        """Names of everything that is asked."""
        return frozenset({*self.resource_graph, FINDINGS_ARTIFACT, *self._others})

    @model_validator(mode="after")
    def _sane(self) -> Self:
        if self.trust_store and self.unsafe_accept_unsigned_artifacts:
            raise ValueError("trust_store and unsafe_accept_unsigned_artifacts contradict each other")
        if not self.trust_store and not self.unsafe_accept_unsigned_artifacts:
            raise ValueError("trust_store: name the PEM file of the root that signs findings artifacts")
        others = self._others
        if twice := sorted({name for name in others if others.count(name) > 1} | (DEFENDER & {*others})):
            raise ValueError(f"each source needs a name of its own: {', '.join(twice)}")
        unknown = sorted({*self.policy.required_sources, *self.policy.sufficient_sources} - self.sources)
        if unknown:
            raise ValueError(
                f"policy: {', '.join(unknown)} is no source of this gate; it has {', '.join(sorted(self.sources))}"
            )
        return self
