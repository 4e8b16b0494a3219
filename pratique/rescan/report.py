"""Reports on a rescan for people: a table, a summary, and the error that names what is wrong."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import cached_property

from pratique.config.scanning import Scanning
from pratique.errors import LiveImagesAtRisk
from pratique.gate.exceptions.break_glass import BreakGlassUse
from pratique.gate.exceptions.exemption import Waiver
from pratique.gate.rules import Rules
from pratique.markdown import literal, plain, table
from pratique.records.cases import Case, Condition, Tracked
from pratique.rescan.assessment import ImageAssessment
from pratique.rescan.break_glass import break_glass_table
from pratique.rescan.cases import CaseChange, ChangeKind, RescanOutcome
from pratique.rescan.inventory import Inventory, LiveImageEntry

AT_RISK, NOT_VERIFIED, WELL = "At risk", "Not verified", "All is well"

#: Images that an error names, and findings of each; the summary has more, the record all.
_NAMED = 5
#: Rows per table: as many as Prefect's page still shows.
_MOST_ROWS = 500
_HEADINGS = ("image", "findings", "first seen", "due", "used by", "digest")

#: What to do first, by condition.
_ADVICE = {
    Condition.STALE: "Defender no longer scans images that were not pushed, pulled or run for this long. "
    "Remove the ones that nobody uses, or configure another scanner (gate.scanners).",
    Condition.UNVERIFIED: "Nothing proves that these were scanned; docs/gate.md lists what does.",
    Condition.REPLACED: "No cluster's manifests use these, and some use another image of the repository, which passes, "
    "so nothing is overdue here. Remove the ones that nothing runs.",
    Condition.WATCHED: "Within the policy, but the clock of each finding runs.",
    Condition.BREAK_GLASS: "Two people let these in for some hours, which are over. Nothing has assessed them since: "
    "find out why, or replace them; docs/break-glass.md says how.",
}


@dataclass(frozen=True, kw_only=True)
class Rescan:
    """One rescan, with everything that its report needs."""

    at: datetime
    inventory: Inventory
    assessments: tuple[ImageAssessment, ...]
    outcome: RescanOutcome
    rules: Rules
    scanning: Scanning

    def with_warning(self, sentence: str) -> Rescan:
        """The rescan with another warning."""
        outcome = replace(self.outcome, warnings=(*self.outcome.warnings, sentence))
        return replace(self, outcome=outcome)

    @cached_property
    def cases(self) -> tuple[Case, ...]:
        """The cases of this registry."""
        return tuple(case for case in self.outcome.cases.cases if case.registry == self.inventory.registry)

    def of(self, condition: Condition) -> list[Case]:
        """The cases in a condition, by due date, earliest first."""
        found = (case for case in self.cases if case.condition is condition)
        return sorted(found, key=lambda case: (case.due is None, case.due, case.key))

    @property
    def at_risk(self) -> list[Case]:
        """The images that somebody has to act on: bad ones, those with overdue findings or an overdue assessment."""
        overdue = [case for case in self.of(Condition.WATCHED) if any(f.overdue(self.at) for f in case.findings)]
        return [*self.of(Condition.BAD), *self.of(Condition.BREAK_GLASS), *overdue]

    @property
    def break_glass(self) -> list[tuple[LiveImageEntry, BreakGlassUse]]:
        """The images that came in by break glass and were not assessed before this rescan; the first to end first."""
        found = [(a.image, a.image.break_glass) for a in self.assessments if a.image.break_glass is not None]
        return sorted(found, key=lambda item: (item[1].glass.until, item[0].key))

    @property
    def unproven(self) -> list[Case]:
        """The images without a proof of a scan."""
        return [*self.of(Condition.STALE), *self.of(Condition.UNVERIFIED)]

    @cached_property
    def newly_bad(self) -> frozenset[tuple[str, str, str]]:
        """Keys of the cases that are newly bad."""
        return frozenset(change.case.key for change in self.outcome.of("newly bad"))

    @property
    def expiring(self) -> list[tuple[Waiver, list[str]]]:
        """Exceptions that expire soon, the next first, with the images that need them."""
        found: dict[Waiver, list[str]] = {}
        for assessment in self.assessments:
            for waiver in assessment.expiring:
                found.setdefault(waiver, []).append(assessment.image.name)
        return sorted(found.items(), key=lambda item: item[0].order)

    @cached_property
    def users(self) -> Mapping[tuple[str, str, str], tuple[str, ...]]:
        return {assessment.image.key: assessment.image.all_users for assessment in self.assessments}

    @property
    def states(self) -> Mapping[str, int]:
        """The number of images by the state of their verdict."""
        return dict(sorted(Counter(str(assessment.state) for assessment in self.assessments).items()))


def require_none_at_risk(rescan: Rescan) -> None:
    """:raises LiveImagesAtRisk: when images are at risk, naming images, findings and dates"""
    bad = rescan.at_risk
    if not bad:
        return
    named = " ".join(_explain(case, rescan) for case in bad[:_NAMED])
    more = f" And {len(bad) - _NAMED} more." if len(bad) > _NAMED else ""
    new = len(rescan.newly_bad)
    raise LiveImagesAtRisk(
        "verify the images in live/",
        rescan.inventory.registry,
        f"{len(bad)} of {len(rescan.assessments)} images are at risk, {new or 'none'} of them since the last rescan. "
        f"{named}{more}",
        "Put a fixed version into the catalogue and run 'pratique release', or add an exception with an expiry; "
        "docs/continuous-scanning.md is the playbook, and the run's artifacts list every finding."
        + (" For what came in by break glass, see docs/break-glass.md." if rescan.of(Condition.BREAK_GLASS) else ""),
    )


def rows(rescan: Rescan) -> list[dict[str, str]]:
    """The table of the images that need attention, worst first."""
    return [
        {
            "image": case.name,
            "condition": "newly bad" if case.key in rescan.newly_bad else str(case.condition),
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
    """The summary, as Markdown."""
    inventory, outcome = rescan.inventory, rescan.outcome
    states = ", ".join(f"{count} {state}" for state, count in rescan.states.items()) or "none"
    parts = [
        f"# Images in live/ of {inventory.registry}",
        f"**{outcome_of(rescan)}** at {rescan.at:%Y-%m-%d %H:%M:%S} UTC: {len(rescan.assessments)} images, "
        f"{literal(states)}.",
        *(f"**{literal(note)}**" for note in _few((*inventory.notes, *outcome.warnings))),
        *break_glass_table(rescan.break_glass, rescan.assessments, rescan.at),
        *_changes("Newly bad", outcome.of("newly bad"), rescan),
        *_cases("Still bad", [case for case in rescan.of(Condition.BAD) if case.key not in rescan.newly_bad], rescan),
        *_changes("Overdue since the last rescan", outcome.of("overdue"), rescan),
        *_cured(outcome.of("cured")),
        *_expiring(rescan),
        *_reaction_tables(rescan),
    ]
    for condition in (
        Condition.BREAK_GLASS,
        Condition.WATCHED,
        Condition.STALE,
        Condition.UNVERIFIED,
        Condition.REPLACED,
    ):
        if cases := rescan.of(condition):
            heading = str(condition).capitalize()
            parts += [*_cases(heading, cases, rescan), _ADVICE[condition]]
    parts.append(f"Policy: `{rescan.rules.policy.digest}`; sources: {', '.join(sorted(rescan.rules.sources))}.")
    return "\n\n".join(parts) + "\n"


def outcome_of(rescan: Rescan) -> str:
    """How the images are, in words."""
    if rescan.at_risk:
        return AT_RISK
    return NOT_VERIFIED if rescan.unproven else WELL


def _changes(heading: str, changes: Sequence[CaseChange], rescan: Rescan) -> Iterator[str]:
    found = [_row(change.case, change.findings, rescan) for change in changes[:_MOST_ROWS]]
    if found:
        yield f"## {heading}: {len(changes)}"
        yield table(_HEADINGS, found)


def _cases(heading: str, cases: Sequence[Case], rescan: Rescan) -> Iterator[str]:
    found = [_row(case, case.open, rescan) for case in cases[:_MOST_ROWS]]
    if found:
        yield f"## {heading}: {len(cases)}"
        yield table(_HEADINGS, found)


def _row(case: Case, findings: Sequence[Tracked], rescan: Rescan) -> tuple[str, ...]:
    first = min((finding.first_seen for finding in findings), default=case.since)
    return (
        case.name,
        "; ".join(_few([_named(finding) for finding in findings])) or "none known",
        f"{first:%Y-%m-%d}, {(rescan.at - first).days} days ago",
        _due(case, rescan.at),
        ", ".join(_few(rescan.users.get(case.key, ()))) or "no manifest",
        case.digest,
    )


def _cured(changes: Sequence[CaseChange]) -> Iterator[str]:
    if changes:
        yield f"## Cured: {len(changes)}"
        cured = [(change.case.name, change.why, change.case.digest) for change in changes[:_MOST_ROWS]]
        yield table(("image", "why", "digest"), cured)


def _expiring(rescan: Rescan) -> Iterator[str]:
    if found := rescan.expiring:
        yield f"## Exceptions that expire soon: {len(found)}"
        lines = [
            (waiver.until, waiver.subject, waiver.owner, waiver.origin, ", ".join(_few(images)))
            for waiver, images in found
        ]
        yield table(("until", "what", "owner", "file", "needed by"), lines[:_MOST_ROWS])


def _reaction_tables(rescan: Rescan) -> Iterator[str]:
    """The reactions in force, and those that this rescan undid."""
    in_force = [(case.name, ", ".join(_reactions(case))) for case in rescan.cases if _reactions(case)]
    if in_force:
        yield "## Reactions in force"
        yield table(("image", "reaction"), in_force[:_MOST_ROWS])
    kinds: tuple[ChangeKind, ...] = ("lifted", "pulls allowed")
    undone = [change for kind in kinds for change in rescan.outcome.of(kind)]
    if undone:
        yield "## Undone"
        lines = [(change.case.name, change.kind, change.why) for change in undone[:_MOST_ROWS]]
        yield table(("image", "what", "why"), lines)


def _reactions(case: Case) -> list[str]:
    reactions = [f"held since {case.held_since:%Y-%m-%d}"] if case.held_since else []
    reactions += [f"pulls blocked since {case.blocked_since:%Y-%m-%d}"] if case.blocked_since else []
    return reactions + [f"proposed on {proposal}" for proposal in case.proposals.values()]


def _explain(case: Case, rescan: Rescan) -> str:
    findings = "; ".join(_few([_named(finding) for finding in case.open]))
    users = ", ".join(_few(rescan.users.get(case.key, ()))) or "no manifest"
    if case.condition is Condition.BREAK_GLASS:
        why = next((use.description for image, use in rescan.break_glass if image.key == case.key), "")
        findings = f"not assessed since it came in by {why}"
    known = plain(findings or "no finding is confirmed").rstrip(".")
    return f"{case.name} ({_due(case, rescan.at)}; used by {users}): {known}."


def _named(finding: Tracked) -> str:
    return plain(str(finding.finding))


def _due(case: Case, at: datetime) -> str:
    if case.due is None:
        return "no due date"
    days = (case.due.date() - at.date()).days
    if case.due <= at:
        return f"due {case.due:%Y-%m-%d}, {-days} days overdue"
    return f"due {case.due:%Y-%m-%d}, in {days} days"


def _counts(findings: Sequence[Tracked]) -> str:
    found = Counter(finding.severity for finding in findings)
    return ", ".join(f"{found[severity]} {severity.label}" for severity in sorted(found, reverse=True))


def _few(names: Sequence[str], most: int = _NAMED) -> list[str]:
    rest = len(names) - most
    return [*names[:most], *([f"and {rest} more"] if rest > 0 else [])]
