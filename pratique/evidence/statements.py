"""What the statements about one image say to one source: a pure weighing.

Good news has to be of a trusted signer, complete, about this place, from after the image's arrival, and by a
vulnerability database that was fit. Only such a scan replaces older ones of the same signers. All other news counts for
its findings.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime

from pratique.evidence.parsers.assessment import Assessment
from pratique.evidence.parsers.place import is_elsewhere
from pratique.findings import Finding
from pratique.gate.evidence import CLOCKS_DIFFER, Observation, SourceStatus, Subject, misdated
from pratique.gate.policy import Policy


@dataclass(frozen=True)
class TrustedScan:
    """A scan by a trusted signer.

    :ivar gap: why it proves nothing about the image in this place; empty when it may
    :ivar date_gap: why its date or its database's keeps it from a proof; empty when they do not
    """

    assessment: Assessment
    signer: str
    gap: str
    date_gap: str

    @property
    def replaces(self) -> bool:
        """Whether older scans no longer count."""
        return not (self.gap or self.date_gap)

    @property
    def at(self) -> datetime:
        return self.assessment.scanned_at

    def __str__(self) -> str:
        return f"{self.assessment.scanner}, {self.signer}"


def trusted_scan(
    assessment: Assessment, signer: str, source: str, subject: Subject, policy: Policy, now: datetime
) -> TrustedScan:
    """Weigh a scan by itself.

    :param source: its name in the policy
    """
    dates = misdated(source, assessment.scanned_at, assessment.database_at, policy, now)
    return TrustedScan(assessment, signer, assessment.gap or _place_gap(assessment, subject), dates)


def _place_gap(assessment: Assessment, subject: Subject) -> str:
    """Why a scan is no proof about the image where and since it stands."""
    if subject.arrived is not None and assessment.scanned_at < subject.arrived - CLOCKS_DIFFER:
        return f"it is of {assessment.scanned_at:%Y-%m-%d %H:%M} UTC, before the image arrived"
    elsewhere = [name for name in assessment.names if is_elsewhere(name, subject.registry, subject.repository)]
    if elsewhere and len(elsewhere) == len(assessment.names):
        return f"it is about the image in another place, {elsewhere[0]:.200}"
    return ""


@dataclass
class SourceStatements:
    """The statements that count for one source.

    :ivar scans: of trusted signers
    :ivar doubts: why other statements might hold findings
    :ivar findings: in statements that prove nothing
    """

    scans: list[TrustedScan] = field(default_factory=list)
    doubts: list[str] = field(default_factory=list)
    findings: set[Finding] = field(default_factory=set)

    @property
    def replaces_older(self) -> bool:
        return any(scan.replaces for scan in self.scans)

    def observation(self, source: str, missing: str, notes: tuple[str, ...]) -> Observation:
        """The observation of the source.

        :param missing: why there is no trusted statement, in words
        """
        if not self.scans:
            status = SourceStatus.UNREADABLE if self.doubts else SourceStatus.NOTHING
            detail = "; ".join(self.doubts) or missing
            return Observation(
                source=source, status=status, findings=frozenset(self.findings), detail=detail, notes=notes
            )
        newest, counted = self._newest()
        gaps = [scan.gap for scan in newest if scan.gap]
        databases = [scan.assessment.database_at for scan in newest]
        complete = SourceStatus.NOTHING if gaps else SourceStatus.ASSESSED
        return Observation(
            source=source,
            status=SourceStatus.UNREADABLE if self.doubts else complete,
            findings=frozenset(self.findings.union(*(scan.assessment.findings for scan in counted))),
            at=newest[0].at,
            database_at=min(filter(None, databases)) if all(databases) else None,
            detail="; ".join(dict.fromkeys([*self.doubts, *gaps, *map(str, newest)])),
            notes=(*notes, *dict.fromkeys(_note(scan) for scan in counted if scan not in newest)),
        )

    def _newest(self) -> tuple[list[TrustedScan], list[TrustedScan]]:
        """The newest scans that can stand for the source, and all whose findings count."""
        fit = [scan for scan in self.scans if scan.replaces]
        candidates = fit or [scan for scan in self.scans if not scan.gap] or self.scans
        at = max(scan.at for scan in candidates)
        newest = [scan for scan in candidates if scan.at == at]
        return newest, [scan for scan in self.scans if not fit or scan.at >= at]


def _note(scan: TrustedScan) -> str:
    reason = scan.gap or scan.date_gap or "there is a newer one"
    return f"a scan of {scan.at:%Y-%m-%d %H:%M} UTC ({scan}) proves nothing: {reason}. Its findings count"
