"""What people and auditors read of a rescan: a table, a summary, a record, and why it says that something is wrong."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import cached_property
from typing import Any

from pratique.config.scanning import Scanning
from pratique.errors import LiveImagesAtRisk
from pratique.gate.exceptions.exemption import Waiver
from pratique.gate.verdict import Rules
from pratique.markdown import literal, plain, table
from pratique.records.cases import Case, Condition, Tracked
from pratique.rescan.assessment import ImageAssessment
from pratique.rescan.cases import CaseChange, ChangeKind, RescanOutcome
from pratique.rescan.inventory import Inventory

AT_RISK, NOT_VERIFIED, WELL = "At risk", "Not verified", "All is well"

#: Images that an error's message names, and findings of each; the summary has more, the record all.
_NAMED = 5
#: Rows of one table: what Prefect's page still shows.
_MOST_ROWS = 500
_HEADINGS = ("image", "findings", "first seen", "due", "used by", "digest")

#: What a person does first, by condition.
_ADVICE = {
    Condition.STALE: "Defender looks no more at what was neither pushed, pulled nor run for so long: "
    "remove what nobody uses, or let a scanner of your own look (gate.scanners).",
    Condition.UNVERIFIED: "Nothing proves a scan. docs/gate.md says what would.",
    Condition.REPLACED: "The manifests use another image of the repository, which passes: these clocks stand still. "
    "Remove what nothing runs.",
    Condition.WATCHED: "Within the policy; each finding's clock runs all the same.",
}


@dataclass(frozen=True)
class Rescan:
    """One rescan, with all that its report needs."""

    at: datetime
    inventory: Inventory
    assessments: tuple[ImageAssessment, ...]
    outcome: RescanOutcome
    rules: Rules
    scanning: Scanning

    def warning(self, sentence: str) -> Rescan:
        """The same with another warning."""
        outcome = replace(self.outcome, warnings=(*self.outcome.warnings, sentence))
        return replace(self, outcome=outcome)

    @cached_property
    def cases(self) -> tuple[Case, ...]:
        """The cases of this registry."""
        return tuple(one for one in self.outcome.cases.cases if one.registry == self.inventory.registry)

    def of(self, condition: Condition) -> list[Case]:
        """The cases in a condition, the earliest due first."""
        found = (one for one in self.cases if one.condition is condition)
        return sorted(found, key=lambda one: (one.due is None, one.due, one.key))

    @property
    def at_risk(self) -> list[Case]:
        """What somebody has to act on: bad images, and those whose findings have outlived their time."""
        late = [one for one in self.of(Condition.WATCHED) if any(f.overdue(self.at) for f in one.findings)]
        return [*self.of(Condition.BAD), *late]

    @property
    def unproven(self) -> list[Case]:
        """Images of which nothing is known."""
        return [*self.of(Condition.STALE), *self.of(Condition.UNVERIFIED)]

    @cached_property
    def new(self) -> frozenset[tuple[str, str, str]]:
        """Keys of the cases that are newly bad."""
        return frozenset(change.case.key for change in self.outcome.of("newly bad"))

    @property
    def ending(self) -> list[tuple[Waiver, list[str]]]:
        """Exceptions that end soon, the next first, with the images that need them."""
        found: dict[Waiver, list[str]] = {}
        for assessment in self.assessments:
            for waiver in assessment.ending:
                found.setdefault(waiver, []).append(assessment.image.name)
        return sorted(found.items(), key=lambda item: item[0].order)

    @cached_property
    def users(self) -> Mapping[tuple[str, str, str], tuple[str, ...]]:
        return {assessment.image.key: assessment.image.users for assessment in self.assessments}

    @property
    def states(self) -> Mapping[str, int]:
        """Images by what the gate makes of them."""
        return dict(sorted(Counter(str(assessment.state) for assessment in self.assessments).items()))


def require_well(rescan: Rescan) -> None:
    """:raises LiveImagesAtRisk: naming images, findings and dates, when there are images at risk"""
    bad = rescan.at_risk
    if not bad:
        return
    named = " ".join(_explain(case, rescan) for case in bad[:_NAMED])
    more = f" And {len(bad) - _NAMED} more." if len(bad) > _NAMED else ""
    new = len(rescan.new)
    raise LiveImagesAtRisk(
        "vouch for the images in live/",
        rescan.inventory.registry,
        f"{len(bad)} of {len(rescan.assessments)} are at risk, {new or 'none'} of them since the last rescan. "
        f"{named}{more}",
        "Put a fixed version into the catalogue and run 'pratique release', or add an exception with an end; "
        "docs/continuous-scanning.md is the playbook, and the run's artifacts have every finding.",
    )


def rows(rescan: Rescan) -> list[dict[str, str]]:
    """The table of all images that are not simply well, the worst first."""
    return [
        {
            "image": case.name,
            "condition": "newly bad" if case.key in rescan.new else str(case.condition),
            "since": f"{case.since:%Y-%m-%d}",
            "findings": _counts(case.open),
            "due": _due(case, rescan.at),
            "used by": ", ".join(rescan.users.get(case.key, ())),
            "reactions": ", ".join(_reactions(case)),
            "digest": case.digest,
        }
        for condition in Condition
        for case in rescan.of(condition)
        if condition is not Condition.CURED
    ][:_MOST_ROWS]


def markdown(rescan: Rescan) -> str:
    """The summary."""
    inventory, outcome = rescan.inventory, rescan.outcome
    states = ", ".join(f"{count} {state}" for state, count in rescan.states.items()) or "nothing is there"
    parts = [
        f"# Images in live/ of {inventory.registry}",
        f"**{_outcome(rescan)}** at {rescan.at:%Y-%m-%d %H:%M:%S} UTC: {len(rescan.assessments)} images, "
        f"{literal(states)}.",
        *(f"**{literal(note)}**" for note in _few((*inventory.notes, *outcome.warnings))),
        *_changes("Newly bad", outcome.of("newly bad"), rescan),
        *_cases("Still bad", [one for one in rescan.of(Condition.BAD) if one.key not in rescan.new], rescan),
        *_changes("Time is over since the last rescan", outcome.of("overdue"), rescan),
        *_ended("Cured", outcome.of("cured")),
        *_ending(rescan),
        *_acted(rescan),
    ]
    for condition in (Condition.WATCHED, Condition.STALE, Condition.UNVERIFIED, Condition.REPLACED):
        if cases := rescan.of(condition):
            heading = str(condition).capitalize()
            parts += [*_cases(heading, cases, rescan), _ADVICE[condition]]
    parts.append(f"Judged by policy `{rescan.rules.policy.digest}`; sources: {', '.join(sorted(rescan.rules.asked))}.")
    return "\n\n".join(parts) + "\n"


def record(rescan: Rescan) -> dict[str, Any]:
    """The same for machines: every image that is not simply well, every change, and how many there are."""
    return {
        "at": rescan.at.isoformat(),
        "registry": rescan.inventory.registry,
        "outcome": _outcome(rescan),
        "seen": rescan.inventory.seen,
        "notes": [*rescan.inventory.notes, *rescan.outcome.warnings],
        "policyDigest": rescan.rules.policy.digest,
        "exceptionsDigest": rescan.rules.exceptions.digest,
        "sources": sorted(rescan.rules.asked),
        "images": len(rescan.assessments),
        "states": dict(rescan.states),
        "changes": [
            {
                "kind": change.kind,
                "image": change.case.name,
                "digest": change.case.digest,
                "findings": [one.vulnerability for one in change.findings],
                "why": change.why,
            }
            for change in rescan.outcome.changes
        ],
        "cases": [case.entry() | {"usedBy": [*rescan.users.get(case.key, ())]} for case in rescan.cases],
        "endingExceptions": [
            {"subject": one.subject, "until": one.until, "owner": one.owner, "origin": one.origin, "images": images}
            for one, images in rescan.ending
        ],
    }


def _outcome(rescan: Rescan) -> str:
    if rescan.at_risk:
        return AT_RISK
    return NOT_VERIFIED if rescan.unproven else WELL


def _changes(heading: str, changes: Sequence[CaseChange], rescan: Rescan) -> Iterator[str]:
    found = [_row(one.case, one.findings, rescan) for one in changes[:_MOST_ROWS]]
    if found:
        yield f"## {heading}: {len(changes)}"
        yield table(_HEADINGS, found)


def _cases(heading: str, cases: Sequence[Case], rescan: Rescan) -> Iterator[str]:
    found = [_row(one, one.open, rescan) for one in cases[:_MOST_ROWS]]
    if found:
        yield f"## {heading}: {len(cases)}"
        yield table(_HEADINGS, found)


def _row(case: Case, findings: Sequence[Tracked], rescan: Rescan) -> tuple[str, ...]:
    first = min((one.first_seen for one in findings), default=case.since)
    return (
        case.name,
        "; ".join(_few([_named(one) for one in findings])) or "none known",
        f"{first:%Y-%m-%d}, {(rescan.at - first).days} days ago",
        _due(case, rescan.at),
        ", ".join(_few(rescan.users.get(case.key, ()))) or "no manifest",
        case.digest,
    )


def _ended(heading: str, changes: Sequence[CaseChange]) -> Iterator[str]:
    if changes:
        yield f"## {heading}: {len(changes)}"
        yield table(("image", "why", "digest"), [(o.case.name, o.why, o.case.digest) for o in changes[:_MOST_ROWS]])


def _ending(rescan: Rescan) -> Iterator[str]:
    if found := rescan.ending:
        yield f"## Exceptions about to end: {len(found)}"
        lines = [(one.until, one.subject, one.owner, one.origin, ", ".join(_few(images))) for one, images in found]
        yield table(("until", "what", "owner", "file", "needed by"), lines[:_MOST_ROWS])


def _acted(rescan: Rescan) -> Iterator[str]:
    """Reactions that stand, and what was undone."""
    standing = [(case.name, ", ".join(_reactions(case))) for case in rescan.cases if _reactions(case)]
    if standing:
        yield "## Reactions that stand"
        yield table(("image", "reaction"), standing[:_MOST_ROWS])
    kinds: tuple[ChangeKind, ...] = ("lifted", "pulls allowed")
    undone = [change for kind in kinds for change in rescan.outcome.of(kind)]
    if undone:
        yield "## Undone"
        yield table(("image", "what", "why"), [(o.case.name, o.kind, o.why) for o in undone[:_MOST_ROWS]])


def _reactions(case: Case) -> list[str]:
    told = [f"held since {case.held:%Y-%m-%d}"] if case.held else []
    told += [f"pulls blocked since {case.blocked:%Y-%m-%d}"] if case.blocked else []
    return told + ([f"proposed on {case.proposal}"] if case.proposal else [])


def _explain(case: Case, rescan: Rescan) -> str:
    findings = "; ".join(_few([_named(one) for one in case.open]))
    users = ", ".join(_few(rescan.users.get(case.key, ()))) or "no manifest"
    return f"{case.name} ({_due(case, rescan.at)}; used by {users}): {plain(findings or 'no finding is confirmed')}."


def _named(finding: Tracked) -> str:
    return plain(str(finding.finding))


def _due(case: Case, now: datetime) -> str:
    if case.due is None:
        return "no date"
    days = (case.due.date() - now.date()).days
    if case.due <= now:
        return f"due {case.due:%Y-%m-%d}, {-days} days overdue"
    return f"due {case.due:%Y-%m-%d}, in {days} days"


def _counts(findings: Sequence[Tracked]) -> str:
    found = Counter(one.severity for one in findings)
    return ", ".join(f"{found[severity]} {severity.label}" for severity in sorted(found, reverse=True))


def _few(names: Sequence[str], most: int = _NAMED) -> list[str]:
    rest = len(names) - most
    return [*names[:most], *([f"and {rest} more"] if rest > 0 else [])]
