"""Reports on a gate for people: a table while it waits, a summary, and the error that blocks."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime

from pratique.errors import GateBlocked
from pratique.findings import Finding, Severity
from pratique.gate.break_glass import companions, uses
from pratique.gate.exceptions.break_glass import BreakGlassUse
from pratique.gate.exceptions.entry import PLACEHOLDER
from pratique.gate.exceptions.lookup import Waiver
from pratique.gate.proposals import proposed_acceptances
from pratique.gate.record import outcome_of
from pratique.gate.verdict import ImageVerdict, PlatformVerdict, VerdictState
from pratique.gate.wait import GateReport
from pratique.markdown import literal, plain, table

NOTHING_PROMOTED = "Nothing of this release was promoted."

#: Images that an error names, and findings of each; the summary has all.
_NAMED = 10
#: Sentences in an error about an image that is not assessed.
_NOTES = 4
#: Notes on one platform in the summary; the record has all.
_MOST_NOTES = 100
#: Rows of the table that is updated while the gate waits.
MOST_SHOWN = 100
#: Rows of findings in one summary: as many as Prefect's page still shows.
_MOST_ROWS = 2000
_ADVICE = (
    "A person can answer for these images, by their digests: run `pratique accept`, or paste this into the exceptions "
    f"file and replace each `{PLACEHOLDER}`. The approver is another person than the owner."
)


def require_passed(report: GateReport, consequence: str = NOTHING_PROMOTED) -> None:
    """Require that the release passes.

    :param consequence: what was not done, as a sentence for the error
    :raises GateBlocked: unless it passes, naming each image that does not and what to upgrade in it
    """
    if report.passed:
        return
    if report.approval is not None and not report.approval.approved:
        raise GateBlocked(
            "let the release through the scan gate",
            report.release,
            f"It was {report.approval.description}",
            f"{consequence} When the objection is resolved, retry the run: it asks again.",
        )
    worst_first = sorted(report.verdicts, key=lambda verdict: -verdict.state.rank)
    remedy = (
        f"{consequence} For findings: use images with the fixed packages, or add an exception. "
        "For images without proof of a scan: see docs/gate.md on what proves one, or accept them in an exceptions file."
        " Then run again."
    )
    unverified = any(verdict.state is VerdictState.UNVERIFIED for verdict in report.verdicts)
    if unverified and report.rules.policy.break_glass_hours:
        remedy += " If a scan cannot be waited for, two people can let an image in for hours: docs/break-glass.md."
    if waits := companions(report):
        remedy += f" {waits}"
    if proposed := proposed_acceptances(report):
        entries = "".join(f"\n{line}" for new in proposed[:_NAMED] for line in new.lines("  "))
        remedy += f" 'pratique accept' writes an acceptance; or paste, and replace each {PLACEHOLDER}:\n"
        remedy += f"acceptances:{entries}"
    raise GateBlocked(
        "let the release through the scan gate",
        report.release,
        _joined([_explain(verdict) for verdict in worst_first if not verdict.state.passes], " ", _NAMED),
        remedy,
    )


def break_glass_lines(found: Sequence[BreakGlassUse]) -> list[str]:
    """A paragraph for each digest that two people have let in, for the top of a summary."""
    return [f"**Not assessed, let in:** `{plain(str(use.glass.image))}` {literal(use.description)}" for use in found]


def _waits(report: GateReport) -> list[str]:
    return [literal(sentence)] if (sentence := companions(report)) else []


def rows(report: GateReport, since: Mapping[tuple[str, str], datetime], most: int = MOST_SHOWN) -> list[dict[str, str]]:
    """The gate's table, one row per platform, important columns first: Prefect shows only three or four at once.

    A longer table begins with what asks a person, of which it has all, then has what blocks and waits, and counts the
    rest in its last row. The whole table is sent again for each change.

    :param since: when a row's state was first seen, by image and platform
    :param most: number of rows, besides that of the rest
    """
    found = list(_platform_verdicts(report))
    if len(found) > most:
        found.sort(key=lambda pair: _urgency(pair[1].state), reverse=True)
        most = max(most, sum(platform.state.asks for _, platform in found))
    shown, rest = found[:most], Counter(str(platform.state) for _, platform in found[most:])
    table = [
        {
            "image": verdict.image.location.short,
            "state": str(platform_verdict.state),
            "findings": counts(platform_verdict.counted),
            "worst": plain(str(platform_verdict.counted[0])) if platform_verdict.counted else "",
            "why": plain(platform_verdict.reason),
            "platform": platform_verdict.platform,
            "since": f"{since.get(_place(verdict, platform_verdict), report.at):%Y-%m-%d %H:%M:%S}",
            "digest": platform_verdict.digest,
        }
        for verdict, platform_verdict in shown
    ]
    if rest:
        others = ", ".join(f"{count} {state}" for state, count in rest.most_common())
        empty = dict.fromkeys(("findings", "worst", "why", "platform", "since", "digest"), "")
        table.append({"image": f"… and {rest.total()} more", "state": others} | empty)
    return table


def _urgency(state: VerdictState) -> tuple[bool, bool, int]:
    return state.asks, state.blocks, state.rank


def counts(findings: tuple[Finding, ...]) -> str:
    """Findings by severity, worst first: ``1 Critical, 3 Low``."""
    by_severity = Counter(finding.severity for finding in findings)
    return ", ".join(
        f"{by_severity[severity]} {severity.label}"
        for severity in sorted(Severity, reverse=True)
        if by_severity[severity]
    )


def markdown(report: GateReport) -> str:
    """The summary of a finished gate, as Markdown, with every finding, exception and source."""
    outcome = f"**{outcome_of(report)}** at {report.at:%Y-%m-%d %H:%M:%S} UTC."
    parts = [f"# Scan gate: release {report.release}", outcome, *break_glass_lines(uses(report)), *_waits(report)]
    parts.append(table(("image", "platform", "state", "findings", "why"), _overview(report)))
    if report.approval is not None:
        parts.append(f"A person answered: {literal(report.approval.description)}")
    left = _MOST_ROWS
    for verdict in report.verdicts:
        details = list(_details(verdict, left))
        left -= sum(
            len(platform_verdict.counted) + len(platform_verdict.waived) for platform_verdict in verdict.platforms
        )
        if details:
            parts += [f"## {verdict.image.reference}", *details]
    if proposed := proposed_acceptances(report):
        lines = [line for new in proposed for line in new.lines("  ")]
        parts += ["## Accept what no source assesses", _ADVICE, "\n".join(["```yaml", "acceptances:", *lines, "```"])]
    parts += ["## Policy, sources and exceptions", _basis(report)]
    return "\n\n".join(parts) + "\n"


def _place(verdict: ImageVerdict, platform_verdict: PlatformVerdict) -> tuple[str, str]:
    return verdict.image.location.short, platform_verdict.platform


def _platform_verdicts(report: GateReport) -> Iterator[tuple[ImageVerdict, PlatformVerdict]]:
    return ((verdict, platform_verdict) for verdict in report.verdicts for platform_verdict in verdict.platforms)


def _overview(report: GateReport) -> list[tuple[str, ...]]:
    return [
        (
            verdict.image.location.short,
            platform.platform,
            str(platform.state),
            counts(platform.counted),
            platform.reason,
        )
        for verdict, platform in _platform_verdicts(report)
    ]


def _details(verdict: ImageVerdict, left: int) -> Iterator[str]:
    for platform in verdict.platforms:
        if platform.digest:
            yield f"`{platform.digest}` ({literal(platform.platform)})"
        found = [(str(f), ", ".join(f.sources)) for f in platform.counted]
        found += [(str(waived), ", ".join(waived.finding.sources)) for waived in platform.waived]
        if found:
            shown = found[: max(left, 0)]
            left -= len(shown)
            yield table(("finding", "reported by"), shown)
            if len(found) > len(shown):
                yield f"… and {len(found) - len(shown)} more, in the record."
        answers = [
            (seen.source, str(seen.status), _minute(seen.at), _minute(seen.database_at), seen.detail)
            for seen in platform.observations
        ]
        if answers:
            yield table(("source", "answer", "assessed at", "database of", "detail"), answers)
        lines = [*platform.notes, *(f"exception expired: {_expired(waiver)}" for waiver in platform.expired)]
        if lines:
            yield _joined([f"- {literal(line)}" for line in lines], "\n", _MOST_NOTES)
    if verdict.others or verdict.image.attestations:
        also = [
            *verdict.others,
            *([f"{verdict.image.attestations} attestation manifests"] * bool(verdict.image.attestations)),
        ]
        yield f"No verdict needed: {literal(', '.join(also))}."


def _minute(time: datetime | None) -> str:
    return f"{time:%Y-%m-%d %H:%M}" if time else ""


def _basis(report: GateReport) -> str:
    rules = report.rules
    provenance = dict(rules.provenance)
    files = [f"`{path}` ({provenance.get(path)}), sha256:{digest}" for path, digest in rules.exceptions.files]
    sources = ", ".join(sorted(rules.sources)) or "none"
    notices = [f"**{literal(notice)}**" for notice in rules.exceptions.notices(report.at)]
    return "\n".join(
        f"- {line}"
        for line in (
            f"policy `{rules.policy.digest}`",
            rules.policy.evidence_rules,
            f"sources: {sources}",
            *files,
            *notices,
        )
    )


def _explain(verdict: ImageVerdict) -> str:
    image = verdict.image.reference
    if verdict.state is not VerdictState.UNHEALTHY:
        notes = dict.fromkeys(note for platform_verdict in verdict.platforms for note in platform_verdict.notes)
        reasons = _joined([plain(text).rstrip(".") for text in (verdict.reason, *notes)], "; ", _NOTES)
        return f"{image} is {verdict.state}: {reasons}."
    named = _joined([plain(str(finding)) for finding in verdict.findings], "; ", _NAMED)
    expired = {waiver for platform_verdict in verdict.platforms for waiver in platform_verdict.expired}
    words = "".join(f" Expired: {_expired(waiver)}." for waiver in sorted(expired, key=lambda e: e.subject))
    return f"{image} is {verdict.state}: {named}.{words}"


def _joined(parts: Sequence[str], between: str, most: int) -> str:
    rest = len(parts) - most
    return between.join([*parts[:most], *([f"and {rest} more"] if rest > 0 else [])])


def _expired(waiver: Waiver) -> str:
    return f"{waiver.subject} in {waiver.origin} (owner {waiver.owner}), valid until {waiver.until}"
