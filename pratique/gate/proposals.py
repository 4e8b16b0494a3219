"""The acceptances by which a person could let a blocked release pass."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from pratique.gate.exceptions.file import AcceptedKind
from pratique.gate.exceptions.stanza import NewAcceptance, default_end
from pratique.gate.verdict import ImageVerdict, PlatformVerdict, VerdictState
from pratique.gate.wait import GateReport

_KINDS: Mapping[VerdictState, AcceptedKind] = {
    VerdictState.UNVERIFIED: "unverified",
    VerdictState.NOT_APPLICABLE: "not-applicable",
}


def proposed_acceptances(report: GateReport) -> list[NewAcceptance]:
    """An entry for each blocked image that no source assesses, without reason, owner and approver.

    There is none for an image that an acceptance would not help: one with findings, a missing platform, or a source
    that could not be asked. An entry names the image's digest, or that of each manifest if other manifests are proven.
    """
    return [new for verdict in report.blocked for new in _proposed(verdict, report)]


def _proposed(verdict: ImageVerdict, report: GateReport) -> Iterator[NewAcceptance]:
    blocked = [platform for platform in verdict.platforms if not platform.state.passes]
    if not all(_can_be_accepted(platform, report) for platform in blocked):
        return
    whole = len(blocked) == len(verdict.platforms)
    kinds: dict[str, set[AcceptedKind]] = {}
    for platform in blocked:
        kinds.setdefault(verdict.image.digest if whole else platform.digest, set()).add(_KINDS[platform.state])
    until = default_end(report.at, report.rules.policy)
    for digest, states in kinds.items():
        reference = verdict.image.reference.at(digest)
        yield NewAcceptance(image=reference, states=tuple(sorted(states, reverse=True)), expires=until)


def _can_be_accepted(platform: PlatformVerdict, report: GateReport) -> bool:
    answered = {seen.source for seen in platform.observations if not seen.status.in_doubt}
    known = bool(platform.digest) and report.rules.sources <= answered
    return known and not platform.counted and platform.state in _KINDS
