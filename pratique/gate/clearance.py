"""The gate's clearances: a promotion gets one of these, for one digest, instead of the whole report."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from pratique.errors import GateBlocked
from pratique.gate.break_glass import use_of
from pratique.gate.exceptions.break_glass import BreakGlassUse
from pratique.gate.record import verdict_id
from pratique.gate.report import require_passed
from pratique.gate.wait import GateReport
from pratique.images import ResolvedImage


@dataclass(frozen=True, kw_only=True)
class PromotionClearance:
    """Lets one digest of a release into ``live/``.

    :ivar digest: of the image's index or manifest
    :ivar verdict: id of the verdict in the gate's record
    :ivar state: of the verdict
    :ivar policy: digest of the policy
    :ivar at: when the oldest of the questions was asked on whose answers the verdict rests
    :ivar break_glass: who lets it in, if it has not been assessed and two people let it in by break glass
    """

    release: str
    digest: str
    verdict: str
    state: str
    policy: str
    at: datetime
    break_glass: BreakGlassUse | None = None

    def require(self, image: ResolvedImage) -> None:
        """:raises GateBlocked: unless this clearance is for the image's digest"""
        if image.digest != self.digest:
            raise GateBlocked(
                "promote the image",
                str(image.pinned),
                f"Release {self.release} has no passing verdict for this digest.",
                "Run the flow again, so that the gate checks it.",
            )


def clear(report: GateReport) -> list[PromotionClearance]:
    """The clearances of the images of a release that passes, in the catalogue's order.

    :raises GateBlocked: as :func:`~pratique.gate.report.require_passed`
    """
    require_passed(report)
    return [
        PromotionClearance(
            release=report.release,
            digest=verdict.image.digest,
            verdict=verdict_id(verdict),
            state=str(verdict.state),
            policy=report.rules.policy.digest,
            at=report.at,
            break_glass=use_of(verdict, report.approval),
        )
        for verdict in report.verdicts
    ]
