"""What sources report about a digest, and whether it proves a scan.

A source gives one :class:`Observation` per digest. Together, the observations give a :class:`Proof`, or the reason why
there is none. Absence is not health, and a source that could not be asked is not a source that found nothing.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Protocol, runtime_checkable

from pratique.findings import Finding
from pratique.gate.policy import DEFENDER, Policy
from pratique.text import first_few

#: How much the clocks of a source and of this worker may differ.
CLOCKS_DIFFER = timedelta(minutes=5)


class SourceStatus(StrEnum):
    """The kind of answer that a source gave about one digest."""

    ASSESSED = "assessed"
    NOT_APPLICABLE = "not applicable"
    NOTHING = "nothing"
    #: The answer cannot be understood, so it may report findings.
    UNREADABLE = "unreadable"
    #: The source could not be asked this time.
    FAILED = "failed"

    @property
    def in_doubt(self) -> bool:
        """Whether the source may know findings that it did not report."""
        return self in (SourceStatus.FAILED, SourceStatus.UNREADABLE)


@dataclass(frozen=True, kw_only=True)
class Observation:
    """What one source reports about one digest.

    :ivar source: its name in the policy
    :ivar findings: all findings that it reports, whether or not it proves a complete assessment
    :ivar at: when the source says that it assessed the digest; ``None`` when it does not say
    :ivar database_at: when the vulnerability database that it used was last updated; ``None`` when it does not say
    :ivar detail: the scanner and signer, or why the digest was not assessed or not understood
    :ivar notes: evidence that proves nothing, such as a forged artifact or rows about an earlier push
    :ivar rejected: attestations of the digest whose signatures do not count
    :ivar asked_at: when the source was asked, or began the scan that it reports once more
    :ivar partial: whether the source looked only where news is likely. No verdict passes on that: the gate has such a
        source look everywhere first (:class:`LooksEverywhere`)
    """

    source: str
    status: SourceStatus
    findings: frozenset[Finding] = frozenset()
    at: datetime | None = None
    database_at: datetime | None = None
    detail: str = ""
    notes: tuple[str, ...] = ()
    rejected: tuple[str, ...] = ()
    asked_at: datetime | None = field(default=None, compare=False)
    partial: bool = field(default=False, compare=False)


@dataclass(frozen=True)
class Subject:
    """One digest that needs a verdict, and its repository in quarantine.

    :ivar arrived: when it was pushed there, where that is known. Earlier evidence proves nothing; its findings count
    """

    registry: str
    repository: str
    digest: str
    arrived: datetime | None = None


class EvidenceSource(Protocol):
    """Something that reports scans, under one name or several."""

    @property
    def names(self) -> frozenset[str]:
        """The names of the sources whose observations it gives."""
        ...

    async def __call__(self, subjects: Collection[Subject]) -> Mapping[Subject, Sequence[Observation]]:
        """One observation per subject and name; a name without one counts as :attr:`SourceStatus.NOTHING`.

        :raises TransientError: when the source could not be asked this time
        """
        ...


@runtime_checkable
class KeepsAnswers(Protocol):
    """A source that gives an answer again for a while, because asking takes long."""

    def forget(self, subjects: Collection[Subject]) -> None:
        """Ask anew about the subjects next time."""
        ...


@runtime_checkable
class LooksEverywhere(Protocol):
    """A source that looks everywhere only now and then, because that takes many requests."""

    def look_everywhere(self, subjects: Collection[Subject]) -> None:
        """Look everywhere for what there is about the subjects next time."""
        ...


@dataclass(frozen=True)
class Proof:
    """Whether a digest was assessed as the policy requires.

    :ivar given: whether there is proof
    :ivar missing: why there is none, in words
    :ivar not_applicable: why Defender is configured not to assess it; empty when it is not
    :ivar in_doubt: whether a source could not be asked, or not be understood; then not even an acceptance helps
    """

    given: bool
    missing: str = ""
    not_applicable: str = ""
    in_doubt: bool = False


def prove(observations: Sequence[Observation], policy: Policy, sources: Collection[str], at: datetime) -> Proof:
    """Whether the observations of one digest prove a scan.

    :param sources: every source that is asked: one without an observation could not be asked
    """
    by_source = {observation.source: observation for observation in observations}
    doubts = [_doubt(name, by_source.get(name)) for name in sorted(sources)]
    if any(doubts):
        return Proof(False, "; ".join(filter(None, doubts)), in_doubt=True)
    gaps = {
        name: _gap(name, by_source.get(name), policy, at)
        for name in {*policy.required_sources, *policy.sufficient_sources}
    }
    missing = [gaps[name] for name in sorted(policy.required_sources) if gaps[name]]
    if policy.sufficient_sources and all(gaps[name] for name in policy.sufficient_sources):
        missing += [gaps[name] for name in sorted(policy.sufficient_sources)]
    if not gaps:
        missing = ["the policy names no source that could prove a scan"]
    exempt = [observation for observation in observations if observation.status is SourceStatus.NOT_APPLICABLE]
    reasons = "; ".join(sorted(f"{observation.source}: {observation.detail}" for observation in exempt))
    return Proof(not missing, "; ".join(dict.fromkeys(missing)), reasons if missing else "")


def with_earlier_findings(now: Observation, before: Observation) -> Observation:
    """What a source reports now, with the findings that it reported before: that it is silent about them cures none."""
    if before.findings <= now.findings:
        return now
    still = {finding.key for finding in now.findings}
    gone = sorted({finding.vulnerability for finding in before.findings if finding.key not in still})
    notes = now.notes
    if gone and not now.status.in_doubt:
        notes += (f"{now.source} no longer reports {first_few(gone)}; findings count until the gate asks anew",)
    return replace(now, findings=now.findings | before.findings, notes=notes)


def with_findings_of_index(own: Observation, index: str, about_index: Observation) -> Observation:
    """What a source reports about a manifest, with what it reports about an index above it.

    Findings and doubts about the index are also about the manifest. Nothing else is: it proves no scan of it.

    :param index: its digest
    """
    doubt = about_index.status.in_doubt and not own.status.in_doubt
    about = f"the index {index}"
    notes = [f"{about}: {note}" for note in about_index.notes]
    if about_index.findings:
        notes.append(f"{own.source} names {about} in rows whose findings count for each manifest below it")
    return replace(
        own,
        status=about_index.status if doubt else own.status,
        detail=f"{about}: {about_index.detail or about_index.status}" if doubt else own.detail,
        findings=own.findings | about_index.findings,
        notes=(*own.notes, *notes),
        rejected=(*own.rejected, *about_index.rejected),
    )


def contradictions(observations: Sequence[Observation]) -> tuple[str, ...]:
    """The contradictions between sources, in words. The worse answer counts."""
    found: list[str] = []
    ordered = sorted(observations, key=lambda observation: observation.source)
    complete = [observation for observation in ordered if observation.status is SourceStatus.ASSESSED]
    known = {observation.source: {finding.key for finding in observation.findings} for observation in complete}
    for observation in ordered:
        name = observation.source
        for other in complete:
            extra = sorted({f.vulnerability for f in observation.findings if f.key not in known[other.source]})
            if observation.status is SourceStatus.NOT_APPLICABLE:
                found.append(
                    f"{name} excludes it from assessment ({observation.detail}), but {other.source} assessed it"
                )
            if other.source != name and extra:
                found.append(f"{name} reports {first_few(extra)}, but {other.source} does not: the worse answer counts")
    severities: dict[tuple[str, str], dict[str, str]] = {}
    for observation in observations:
        for finding in observation.findings:
            severities.setdefault(finding.key, {})[observation.source] = finding.severity.label
    for (vulnerability, _), rated in sorted(severities.items()):
        if len(set(rated.values())) > 1:
            ratings = ", ".join(f"{label} by {source}" for source, label in sorted(rated.items()))
            found.append(f"{vulnerability} is {ratings}: the worse severity counts")
    return tuple(found)


def _doubt(name: str, observation: Observation | None) -> str:
    if observation is None:
        return f"{name} has not answered"
    if observation.status.in_doubt:
        return f"{name}: {observation.detail or observation.status}"
    return ""


def _gap(name: str, observation: Observation | None, policy: Policy, at: datetime) -> str:
    """Why a source proves nothing; empty when it does."""
    if observation is None or observation.status is not SourceStatus.ASSESSED:
        return f"{name} has no proof of a scan" + (
            f" ({observation.detail})" if observation and observation.detail else ""
        )
    if observation.at is None:
        return f"{name} does not say when it assessed the image"
    if ahead := _ahead(name, observation.at, at):
        return ahead
    age = max(at - observation.at, timedelta(0))
    if age < timedelta(minutes=policy.minimum_age):
        return f"{name}'s assessment is younger than {policy.minimum_age:g} minutes"
    if age > timedelta(hours=policy.maximum_age):
        return f"{name}'s assessment of {observation.at:%Y-%m-%d %H:%M} UTC is older than {policy.maximum_age:g} hours"
    return _database_gap(name, observation.at, observation.database_at, policy)


def misdated(name: str, scanned_at: datetime, database_at: datetime | None, policy: Policy, at: datetime) -> str:
    """Why a scan proves nothing, however young it has to be: its own date, or its database's; empty when it may.

    :param name: of its source
    :param database_at: when its vulnerability database was last updated; ``None`` when it does not say
    """
    return _ahead(name, scanned_at, at) or _database_gap(name, scanned_at, database_at, policy)


def _ahead(name: str, scanned_at: datetime, at: datetime) -> str:
    if scanned_at - at <= CLOCKS_DIFFER:
        return ""
    return f"{name}'s assessment is dated in the future, {scanned_at:%Y-%m-%d %H:%M} UTC"


def _database_gap(name: str, scanned_at: datetime, database_at: datetime | None, policy: Policy) -> str:
    """Why a source's vulnerability database was not fit for the scan; empty when it was.

    Its age counts at the time of the scan: how old the scan may be is the policy's ``maximum_age``.
    """
    if database_at is None:
        excused = name in DEFENDER and policy.unknown_database_age == "allow"
        return "" if excused else f"{name} does not say how old its vulnerability database was"
    age = scanned_at - database_at
    if age < -CLOCKS_DIFFER:
        return f"{name}'s vulnerability database is dated after the scan, {database_at:%Y-%m-%d %H:%M} UTC"
    if age > timedelta(hours=policy.maximum_database_age):
        return (
            f"{name}'s vulnerability database of {database_at:%Y-%m-%d %H:%M} UTC was older than "
            f"{policy.maximum_database_age:g} hours when it scanned"
        )
    return ""
