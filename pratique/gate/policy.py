"""The policy: what an image has to show, as validated data with a digest of its own.

>>> Policy().digest == Policy(limits=Limits()).digest != Policy(ignore_unfixed=True).digest
True
"""

from __future__ import annotations

import hashlib
import json
from typing import Annotated, Any, Final, Literal, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from pratique.schema import in_order

#: Names of the sources that Defender feeds; others are named in the configuration.
RECOMMENDATIONS: Final = "recommendations"
SUB_ASSESSMENTS: Final = "sub-assessments"
FINDINGS_ARTIFACT: Final = "findings-artifact"
DEFENDER = frozenset({RECOMMENDATIONS, SUB_ASSESSMENTS, FINDINGS_ARTIFACT})

Count = Annotated[int, Field(ge=0)]


def _not_wholesale(value: Any) -> Any:
    if value == "allow":
        raise ValueError(
            "'allow' would let every unassessed image pass: accept single images in the exceptions file, "
            "each with reason, owner, approver and expiry"
        )
    return value


Unproven = Annotated[Literal["block", "ask"], BeforeValidator(_not_wholesale)]


class Limits(BaseModel):
    """How many findings of each severity, or of a worse one, an image may have; empty means any number."""

    model_config = ConfigDict(extra="forbid", frozen=True, json_schema_extra=in_order)

    critical: Count | None = Field(0, description="Critical, and whatever has no known severity.")
    high: Count | None = Field(0, description="High and critical together.")
    medium: Count | None = Field(None, description="Medium or worse together.")
    low: Count | None = Field(None, description="All findings together.")

    @model_validator(mode="after")
    def _sane(self) -> Self:
        limits = (self.critical, self.high, self.medium, self.low)
        if limits == (None,) * 4:
            raise ValueError("at least one severity needs a limit, or the gate would let everything pass")
        counts = [limit for limit in limits if limit is not None]
        if counts != sorted(counts):
            raise ValueError("a worse severity has a higher limit than a milder one, which counts it too")
        return self


class Policy(BaseModel):
    """What turns evidence into a decision."""

    model_config = ConfigDict(extra="forbid", frozen=True, json_schema_extra=in_order)

    limits: Limits = Limits()
    ignore_unfixed: bool = Field(False, description="Findings without any fix, by the scanner's word, do not count.")
    required_sources: tuple[str, ...] = Field(
        (), description="Sources each of which has to prove that it assessed the image."
    )
    sufficient_sources: tuple[str, ...] = Field(
        (FINDINGS_ARTIFACT,),
        description="Sources one of which has to prove it; empty when 'required_sources' is enough.",
    )
    minimum_age: float = Field(0, ge=0, description="Minutes that a proof has to stand before it counts.")
    maximum_age: float = Field(168, gt=0, description="Hours after which a proof no longer counts.")
    unverified: Unproven = Field("block", description="What an image without proof means: block, or ask a person.")
    not_applicable: Unproven = Field("block", description="What an image means that Defender was told not to assess.")
    defender_off: Literal["fail", "skip"] = Field(
        "fail", description="Without Defender: fail, or go by the other sources (with none, let pass and record it)."
    )
    exception_days: int = Field(365, gt=0, description="The longest that an exception may reach into the future.")

    @model_validator(mode="after")
    def _sane(self) -> Self:
        if not (self.required_sources or self.sufficient_sources):
            raise ValueError(
                "neither 'required_sources' nor 'sufficient_sources' names a source: nothing could prove a scan"
            )
        if self.minimum_age >= self.maximum_age * 60:
            raise ValueError("minimum_age reaches maximum_age: no evidence could ever be of the right age")
        return self

    @property
    def digest(self) -> str:
        """SHA-256 of the policy as canonical JSON: equal policies have equal digests, however they were written."""
        canonical = json.dumps(self.model_dump(mode="json"), sort_keys=True, separators=(",", ":"))
        return f"sha256:{hashlib.sha256(canonical.encode()).hexdigest()}"
