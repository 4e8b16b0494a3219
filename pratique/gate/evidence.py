"""What sources say of a digest, and what their words amount to together.

A source gives one :class:`Observation` a digest. Together they make a :class:`Proof`, or the reason why there is none:
absence is not health, and a source that could not be asked is not a source that found nothing.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Protocol

from pratique.findings import Finding
from pratique.gate.policy import Policy

#: How far the clocks of a source and of this worker may differ.
CLOCKS_DIFFER = timedelta(minutes=5)


class SourceStatus(StrEnum):
    """What kind of answer a source gave about one digest."""

    ASSESSED = "assessed"
    NOT_APPLICABLE = "not applicable"
    NOTHING = "nothing"
    #: It says something that cannot be understood, so it may be bad.
    UNREADABLE = "unreadable"
    #: It could not be asked this time.
    FAILED = "failed"


@dataclass(frozen=True)
class Observation:
    """What one source says of one digest now.

    :ivar source: its name in the policy
    :ivar findings: whatever it reports, whether or not it proves a complete assessment
    :ivar at: when it was assessed, by the source's own account; ``None`` when it does not say
    :ivar detail: the scanner and signer, or why the digest was not assessed or not understood
    :ivar notes: what was seen and did not count: a forged artifact, rows about an earlier push
    """

    source: str
    status: SourceStatus
    findings: frozenset[Finding] = frozenset()
    at: datetime | None = None
    detail: str = ""
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Subject:
    """One digest that needs a verdict, and the quarantine repository in which it stands.

    :ivar arrived: when it came there, where that is known: what was said of it earlier is about an image that was
        deleted since
    """

    registry: str
    repository: str
    digest: str
    arrived: datetime | None = None


class EvidenceSource(Protocol):
    """Something that knows of scans; it may speak under several names."""

    @property
    def names(self) -> frozenset[str]:
        """The sources whose observations it gives."""
        ...

    async def __call__(self, subjects: Collection[Subject]) -> Mapping[Subject, Sequence[Observation]]:
        """One observation a subject and name; a name without one is taken for :attr:`SourceStatus.NOTHING`.

        :raises TransientError: when the source could not be asked this time
        """
        ...


@dataclass(frozen=True)
class Proof:
    """Whether a digest was assessed as the policy asks.

    :ivar given: whether it was
    :ivar missing: why not, in words
    :ivar not_applicable: why Defender was told not to assess it; empty when it was not
    :ivar in_doubt: a source could not be asked, or not be understood: not even an acceptance helps
    """

    given: bool
    missing: str = ""
    not_applicable: str = ""
    in_doubt: bool = False


def prove(observations: Sequence[Observation], policy: Policy, asked: Collection[str], now: datetime) -> Proof:
    """Weigh the observations of one digest.

    :param asked: every source that is configured: one without an observation could not be asked
    """
    by_source = {one.source: one for one in observations}
    doubts = [_doubt(name, by_source.get(name)) for name in sorted(asked)]
    if any(doubts):
        return Proof(False, "; ".join(filter(None, doubts)), in_doubt=True)
    gaps = {
        name: _gap(name, by_source.get(name), policy, now)
        for name in {*policy.required_sources, *policy.sufficient_sources}
    }
    missing = [gaps[name] for name in sorted(policy.required_sources) if gaps[name]]
    if policy.sufficient_sources and all(gaps[name] for name in policy.sufficient_sources):
        missing += [gaps[name] for name in sorted(policy.sufficient_sources)]
    if not gaps:
        missing = ["the policy names no source that could prove a scan"]
    exempt = [one for one in observations if one.status is SourceStatus.NOT_APPLICABLE]
    reasons = "; ".join(sorted(f"{one.source}: {one.detail}" for one in exempt))
    return Proof(not missing, "; ".join(dict.fromkeys(missing)), reasons if missing else "")


def contradictions(observations: Sequence[Observation]) -> tuple[str, ...]:
    """Where sources disagree, in words: the worse answer counts, and the report says so."""
    words: list[str] = []
    ordered = sorted(observations, key=lambda one: one.source)
    complete = [one for one in ordered if one.status is SourceStatus.ASSESSED]
    known = {one.source: {finding.key for finding in one.findings} for one in complete}
    for one in ordered:
        for other in complete:
            extra = sorted({f.vulnerability for f in one.findings if f.key not in known[other.source]})
            if one.status is SourceStatus.NOT_APPLICABLE:
                words.append(f"{one.source} has it as not to be assessed ({one.detail}), {other.source} assessed it")
            if other.source != one.source and extra:
                words.append(f"{one.source} reports {_some(extra)}, {other.source} does not: the worse answer counts")
    severities: dict[tuple[str, str], dict[str, str]] = {}
    for one in observations:
        for finding in one.findings:
            severities.setdefault(finding.key, {})[one.source] = finding.severity.label
    for (vulnerability, _), rated in sorted(severities.items()):
        if len(set(rated.values())) > 1:
            ratings = ", ".join(f"{label} by {source}" for source, label in sorted(rated.items()))
            words.append(f"{vulnerability} is {ratings}: the worse counts")
    return tuple(words)


def _doubt(name: str, observation: Observation | None) -> str:
    if observation is None:
        return f"{name} has not answered"
    if observation.status in (SourceStatus.FAILED, SourceStatus.UNREADABLE):
        return f"{name}: {observation.detail or observation.status}"
    return ""


def _gap(name: str, observation: Observation | None, policy: Policy, now: datetime) -> str:
    """Why a source's word proves nothing; empty when it does."""
    if observation is None or observation.status is not SourceStatus.ASSESSED:
        return f"{name} has no proof of a scan" + (
            f" ({observation.detail})" if observation and observation.detail else ""
        )
    if observation.at is None:
        return f"{name} does not say when it assessed the image"
    age = now - observation.at
    if age < -CLOCKS_DIFFER:
        return f"{name}'s assessment is dated in the future, {observation.at:%Y-%m-%d %H:%M} UTC"
    age = max(age, timedelta(0))
    if age < timedelta(minutes=policy.minimum_age):
        return f"{name}'s assessment has to stand for {policy.minimum_age:g} minutes"
    if age > timedelta(hours=policy.maximum_age):
        return f"{name}'s assessment of {observation.at:%Y-%m-%d %H:%M} UTC is older than {policy.maximum_age:g} hours"
    return ""


def _some(names: Sequence[str], most: int = 5) -> str:
    rest = len(names) - most
    return ", ".join(names[:most]) + (f" and {rest} more" if rest > 0 else "")
