"""What people and auditors read of a gate: a table while it waits, a summary, a record, and why it said no."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from datetime import datetime
from typing import Any

from pratique.errors import GateBlocked
from pratique.findings import Finding, Severity
from pratique.gate.decision import Decision, Judgement, State
from pratique.gate.exceptions.lookup import Excuse
from pratique.gate.wait import GateReport
from pratique.markdown import literal, plain, table

#: Images that an error's message names, and findings of each; the summary has them all.
_NAMED = 10
#: Sentences about an image that is not assessed, in an error's message.
_NOTES = 4
#: Notes on one platform in the summary; the record has them all.
_MOST_NOTES = 100
#: Rows of findings in one summary: what Prefect's page still shows.
_MOST_ROWS = 2000


def require_passed(report: GateReport) -> None:
    """:raises GateBlocked: naming each image that is in the way and, for findings, what to upgrade"""
    if report.passed:
        return
    if report.answer is not None and not report.answer.approved:
        raise GateBlocked(
            "let the release through the scan gate",
            report.release,
            f"It was {report.answer.words}",
            "Nothing of this release was promoted. When the objection is settled, retry the run: it asks again.",
        )
    worst_first = sorted(report.decisions, key=lambda decision: -decision.state.rank)
    raise GateBlocked(
        "let the release through the scan gate",
        report.release,
        _some([_explain(decision) for decision in worst_first if not decision.state.passes], " ", _NAMED),
        "Nothing of this release was promoted. For findings: use images with the fixed packages, or add an exception. "
        "For what is not assessed: see docs/gate.md on what gives proof, or accept the image in the exceptions file. "
        "Then run again.",
    )


def rows(report: GateReport, since: Mapping[tuple[str, str], datetime]) -> list[dict[str, str]]:
    """The gate's table, a row a platform; what matters comes first, as Prefect shows three or four columns at once.

    :param since: when a row's state was first seen, by image and platform
    """
    return [
        {
            "image": decision.image.reference.short,
            "state": str(judgement.state),
            "findings": counts(judgement.counted),
            "worst": plain(str(judgement.counted[0])) if judgement.counted else "",
            "why": plain(judgement.reason),
            "platform": judgement.platform,
            "since": f"{since.get((decision.image.reference.short, judgement.platform), report.at):%Y-%m-%d %H:%M:%S}",
            "digest": judgement.digest,
        }
        for decision, judgement in _judgements(report)
    ]


def counts(findings: tuple[Finding, ...]) -> str:
    """Findings by severity, the worst first: ``1 Critical, 3 Low``."""
    by_severity = Counter(finding.severity for finding in findings)
    return ", ".join(
        f"{by_severity[severity]} {severity.label}"
        for severity in sorted(Severity, reverse=True)
        if by_severity[severity]
    )


def markdown(report: GateReport) -> str:
    """The summary of a finished gate, with every finding, exception and source."""
    parts = [f"# Scan gate: release {report.release}", f"**{_outcome(report)}** at {report.at:%Y-%m-%d %H:%M:%S} UTC."]
    parts.append(table(("image", "platform", "state", "findings", "why"), _overview(report)))
    if report.answer is not None:
        parts.append(f"A person answered: {literal(report.answer.words)}")
    left = _MOST_ROWS
    for decision in report.decisions:
        details = list(_details(decision, left))
        left -= sum(len(judgement.counted) + len(judgement.excused) for judgement in decision.judgements)
        if details:
            parts += [f"## {decision.image.reference}", *details]
    parts += ["## By what it was judged", _basis(report)]
    return "\n\n".join(parts) + "\n"


def record(report: GateReport) -> dict[str, Any]:
    """The same for machines: JSON, with nothing left out."""
    rules = report.rules
    return {
        "release": report.release,
        "outcome": _outcome(report),
        "at": report.at.isoformat(),
        "policy": rules.policy.model_dump(mode="json"),
        "policyDigest": rules.policy.digest,
        "exceptionsDigest": rules.exceptions.digest,
        "exceptionsFiles": [
            {"path": path, "sha256": digest, "git": dict(rules.provenance).get(path, "")}
            for path, digest in rules.exceptions.files
        ],
        "sources": sorted(rules.asked),
        "answer": report.answer.record() if report.answer else None,
        "images": [_recorded(decision) for decision in report.decisions],
    }


def _recorded(decision: Decision) -> dict[str, Any]:
    return {
        "image": str(decision.image.reference),
        "digest": decision.image.digest,
        "state": str(decision.state),
        "platformsNotAsked": list(decision.others),
        "attestationManifests": decision.image.attestations,
        "platforms": [
            {
                "platform": one.platform,
                "digest": one.digest,
                "state": str(one.state),
                "reason": one.reason,
                "findings": [_finding(finding) for finding in one.counted],
                "excused": [
                    {"finding": _finding(excused.finding), "excuse": _excuse(excused.excuse)} for excused in one.excused
                ],
                "expired": [_excuse(excuse) for excuse in one.lapsed],
                "acceptance": _excuse(one.acceptance),
                "notes": list(one.notes),
                "evidence": [
                    {
                        "source": said.source,
                        "answer": str(said.answer),
                        "at": said.at.isoformat() if said.at else None,
                        "detail": said.detail,
                        "findings": len(said.findings),
                    }
                    for said in one.observations
                ],
            }
            for one in decision.judgements
        ],
    }


def _finding(finding: Finding) -> dict[str, Any]:
    return asdict(finding) | {
        "severity": finding.severity.label,
        "fix": str(finding.fix),
        "sources": [*finding.sources],
    }


def _excuse(excuse: Excuse | None) -> dict[str, Any] | None:
    return None if excuse is None else asdict(excuse) | {"expires": excuse.expires.isoformat()}


def _judgements(report: GateReport) -> Iterator[tuple[Decision, Judgement]]:
    return ((decision, judgement) for decision in report.decisions for judgement in decision.judgements)


def _outcome(report: GateReport) -> str:
    if any(decision.state is State.SKIPPED for decision in report.decisions):
        return "Passed without a scan: Defender is off" if report.passed else "Blocked"
    return "Passed" if report.passed else "Waits for a person" if not report.blocked and report.asking else "Blocked"


def _overview(report: GateReport) -> list[tuple[str, ...]]:
    return [
        (decision.image.reference.short, one.platform, str(one.state), counts(one.counted), one.reason)
        for decision, one in _judgements(report)
    ]


def _details(decision: Decision, left: int) -> Iterator[str]:
    for one in decision.judgements:
        if one.digest:
            yield f"`{one.digest}` ({literal(one.platform)})"
        found = [(str(f), ", ".join(f.sources)) for f in one.counted]
        found += [(str(excused), ", ".join(excused.finding.sources)) for excused in one.excused]
        if found:
            shown = found[: max(left, 0)]
            left -= len(shown)
            yield table(("finding", "reported by"), shown)
            if len(found) > len(shown):
                yield f"… and {len(found) - len(shown)} more, in the record."
        said = [(o.source, str(o.answer), f"{o.at:%Y-%m-%d %H:%M}" if o.at else "", o.detail) for o in one.observations]
        if said:
            yield table(("source", "answer", "assessed at", "detail"), said)
        lines = [*one.notes, *(f"exception expired: {_lapsed(excuse)}" for excuse in one.lapsed)]
        if lines:
            yield _some([f"- {literal(line)}" for line in lines], "\n", _MOST_NOTES)
    if decision.others or decision.image.attestations:
        also = [
            *decision.others,
            *([f"{decision.image.attestations} attestation manifests"] * bool(decision.image.attestations)),
        ]
        yield f"Not asked for: {literal(', '.join(also))}."


def _basis(report: GateReport) -> str:
    rules = report.rules
    standing = dict(rules.provenance)
    files = [f"`{path}` ({standing.get(path)}), sha256:{digest}" for path, digest in rules.exceptions.files]
    sources = ", ".join(sorted(rules.asked)) or "none"
    notices = [f"**{literal(notice)}**" for notice in rules.exceptions.notices(report.at)]
    return "\n".join(
        f"- {line}" for line in (f"policy `{rules.policy.digest}`", f"sources: {sources}", *files, *notices)
    )


def _explain(decision: Decision) -> str:
    image = decision.image.reference
    if decision.state is not State.UNHEALTHY:
        notes = dict.fromkeys(note for judgement in decision.judgements for note in judgement.notes)
        said = _some([plain(text).rstrip(".") for text in (decision.reason, *notes)], "; ", _NOTES)
        return f"{image} is {decision.state}: {said}."
    named = _some([plain(str(finding)) for finding in decision.findings], "; ", _NAMED)
    expired = {excuse for judgement in decision.judgements for excuse in judgement.lapsed}
    words = "".join(f" Expired: {_lapsed(excuse)}." for excuse in sorted(expired, key=lambda e: e.subject))
    return f"{image} is {decision.state}: {named}.{words}"


def _some(parts: Sequence[str], between: str, most: int) -> str:
    rest = len(parts) - most
    return between.join([*parts[:most], *([f"and {rest} more"] if rest > 0 else [])])


def _lapsed(excuse: Excuse) -> str:
    return f"{excuse.subject} in {excuse.origin} (owner {excuse.owner}), which counted until {excuse.until}"
