"""The policy: what the gate requires of an image, as validated data with its own digest.

>>> Policy().digest == Policy(limits=Limits()).digest != Policy(ignore_unfixed=True).digest
True
"""

from __future__ import annotations

import hashlib
import json
from typing import Annotated, Any, Final, Literal, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from pratique.schema import in_order

#: Names of the sources that Defender feeds; the configuration names the others.
RECOMMENDATIONS: Final = "recommendations"
SUB_ASSESSMENTS: Final = "sub-assessments"
FINDINGS_ARTIFACT: Final = "findings-artifact"
DEFENDER = frozenset({RECOMMENDATIONS, SUB_ASSESSMENTS, FINDINGS_ARTIFACT})

Count = Annotated[int, Field(ge=0)]


def _not_allow(value: Any) -> Any:
    if value == "allow":
        raise ValueError(
            "'allow' would let every unassessed image pass: accept single images in the exceptions file, "
            "each with reason, owner, approver and expiry"
        )
    return value


Unproven = Annotated[Literal["block", "ask"], BeforeValidator(_not_allow)]


class Limits(BaseModel):
    """How many findings of each severity or worse an image may have; empty means any number."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True, json_schema_extra=in_order)

    critical: Count | None = Field(0, description="Critical, and findings without a known severity.")
    high: Count | None = Field(0, description="High and critical together.")
    medium: Count | None = Field(None, description="Medium or worse together.")
    low: Count | None = Field(None, description="All findings together.")

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        limits = (self.critical, self.high, self.medium, self.low)
        if limits == (None,) * 4:
            raise ValueError("at least one severity needs a limit, or the gate would let everything pass")
        counts = [limit for limit in limits if limit is not None]
        if counts != sorted(counts):
            raise ValueError("a severity has a higher limit than a milder severity, whose limit counts both")
        return self


class Policy(BaseModel):
    """How the gate turns evidence into a verdict."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True, json_schema_extra=in_order)

    limits: Limits = Limits()
    ignore_unfixed: bool = Field(
        False, description="Ignore findings for which the scanner reports that there is no fix."
    )
    required_sources: tuple[str, ...] = Field(
        (), description="Sources that must all prove that they assessed the image."
    )
    sufficient_sources: tuple[str, ...] = Field(
        (FINDINGS_ARTIFACT,),
        description="Sources of which one must prove it; empty when 'required_sources' is enough.",
    )
    minimum_age: float = Field(0, ge=0, description="Minutes that must pass after an assessment before it counts.")
    maximum_age: float = Field(168, gt=0, description="Hours after which an assessment no longer counts.")
    maximum_verdict_age: float = Field(
        30,
        gt=0,
        description="Minutes after which a verdict is too old to promote an image or publish the manifests: the "
        "sources are asked again first.",
    )
    maximum_database_age: float = Field(
        48, gt=0, description="Hours that a scanner's vulnerability database may be old when it scans."
    )
    unknown_database_age: Literal["allow", "block"] = Field(
        "allow",
        description="Whether Defender's word counts when it does not date its database. Other sources have to.",
    )
    end_of_life: Literal["block", "warn"] = Field(
        "block", description="For an image whose distribution no longer gets security updates: block, or only warn."
    )
    unverified: Unproven = Field("block", description="For an image without proof: block, or ask a person.")
    not_applicable: Unproven = Field(
        "block", description="For an image that Defender is configured not to assess: block, or ask a person."
    )
    defender_off: Literal["fail", "skip"] = Field(
        "fail",
        description="Without Defender: fail, or use the other sources (with none, let images pass and record it).",
    )
    break_glass_hours: float = Field(
        0,
        ge=0,
        le=24,
        description="Hours that a break-glass entry may last: until then, one digest may pass before it is assessed, "
        "when a second person agrees. 0 allows none.",
    )
    exception_days: int = Field(365, gt=0, description="Days ahead that an exception may expire at most.")

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if not (self.required_sources or self.sufficient_sources):
            raise ValueError(
                "neither 'required_sources' nor 'sufficient_sources' names a source: nothing could prove a scan"
            )
        if self.minimum_age >= self.maximum_age * 60:
            raise ValueError("minimum_age reaches maximum_age: no evidence could ever have the right age")
        return self

    def limited_to(self, sources: frozenset[str]) -> Policy:
        """The policy when only some sources are available. If it names none of these, any of them suffices."""
        required = tuple(name for name in self.required_sources if name in sources)
        sufficient = tuple(name for name in self.sufficient_sources if name in sources)
        if not (required or sufficient):
            sufficient = tuple(sorted(sources))
        return self.model_copy(update={"required_sources": required, "sufficient_sources": sufficient})

    @property
    def evidence_rules(self) -> str:
        """What it requires of a scan's knowledge, for people."""
        return (
            f"databases at most {self.maximum_database_age:g} hours old at the scan; "
            f"Defender's without a date: {self.unknown_database_age}; end of life: {self.end_of_life}"
        )

    @property
    def digest(self) -> str:
        """SHA-256 of the policy as canonical JSON: equal policies have equal digests, however they are written."""
        canonical = json.dumps(self.model_dump(mode="json"), sort_keys=True, separators=(",", ":"))
        return f"sha256:{hashlib.sha256(canonical.encode()).hexdigest()}"
