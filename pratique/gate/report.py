"""What people and auditors read of a gate: a table while it waits, a summary, a record, and why it said no."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from datetime import datetime
from typing import Any

from pratique.errors import GateBlocked
from pratique.findings import Finding, Severity
from pratique.gate.exceptions.lookup import Waiver
from pratique.gate.verdict import ImageVerdict, PlatformVerdict, VerdictState
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
    if report.approval is not None and not report.approval.approved:
        raise GateBlocked(
            "let the release through the scan gate",
            report.release,
            f"It was {report.approval.words}",
            "Nothing of this release was promoted. When the objection is settled, retry the run: it asks again.",
        )
    worst_first = sorted(report.verdicts, key=lambda verdict: -verdict.state.rank)
    raise GateBlocked(
        "let the release through the scan gate",
        report.release,
        _some([_explain(verdict) for verdict in worst_first if not verdict.state.passes], " ", _NAMED),
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
            "image": verdict.image.reference.short,
            "state": str(platform_verdict.state),
            "findings": counts(platform_verdict.counted),
            "worst": plain(str(platform_verdict.counted[0])) if platform_verdict.counted else "",
            "why": plain(platform_verdict.reason),
            "platform": platform_verdict.platform,
            "since": f"{since.get(_place(verdict, platform_verdict), report.at):%Y-%m-%d %H:%M:%S}",
            "digest": platform_verdict.digest,
        }
        for verdict, platform_verdict in _platform_verdicts(report)
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
    if report.approval is not None:
        parts.append(f"A person answered: {literal(report.approval.words)}")
    left = _MOST_ROWS
    for verdict in report.verdicts:
        details = list(_details(verdict, left))
        left -= sum(
            len(platform_verdict.counted) + len(platform_verdict.waived) for platform_verdict in verdict.platforms
        )
        if details:
            parts += [f"## {verdict.image.reference}", *details]
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
        "answer": report.approval.record() if report.approval else None,
        "images": [_recorded(verdict) for verdict in report.verdicts],
    }


def verdict_id(verdict: ImageVerdict) -> str:
    """The SHA-256 of what the record says of an image's verdict: by this id a clearance names it."""
    return hashlib.sha256(json.dumps(_content(verdict), sort_keys=True).encode()).hexdigest()


def _recorded(verdict: ImageVerdict) -> dict[str, Any]:
    return {"verdict": verdict_id(verdict)} | _content(verdict)


def _content(verdict: ImageVerdict) -> dict[str, Any]:
    return {
        "image": str(verdict.image.reference),
        "digest": verdict.image.digest,
        "state": str(verdict.state),
        "platformsNotAsked": list(verdict.others),
        "attestationManifests": verdict.image.attestations,
        "platforms": [
            {
                "platform": one.platform,
                "digest": one.digest,
                "state": str(one.state),
                "reason": one.reason,
                "findings": [_finding(finding) for finding in one.counted],
                "waived": [
                    {"finding": _finding(waived.finding), "waiver": _waiver(waived.waiver)} for waived in one.waived
                ],
                "expired": [_waiver(waiver) for waiver in one.expired],
                "acceptance": _waiver(one.acceptance),
                "notes": list(one.notes),
                "evidence": [
                    {
                        "source": said.source,
                        "answer": str(said.status),
                        "at": said.at.isoformat() if said.at else None,
                        "detail": said.detail,
                        "findings": len(said.findings),
                    }
                    for said in one.observations
                ],
            }
            for one in verdict.platforms
        ],
    }


def _finding(finding: Finding) -> dict[str, Any]:
    return asdict(finding) | {
        "severity": finding.severity.label,
        "fix": str(finding.fix),
        "sources": [*finding.sources],
    }


def _place(verdict: ImageVerdict, platform_verdict: PlatformVerdict) -> tuple[str, str]:
    return verdict.image.reference.short, platform_verdict.platform


def _waiver(waiver: Waiver | None) -> dict[str, Any] | None:
    return None if waiver is None else asdict(waiver) | {"expires": waiver.expires.isoformat()}


def _platform_verdicts(report: GateReport) -> Iterator[tuple[ImageVerdict, PlatformVerdict]]:
    return ((verdict, platform_verdict) for verdict in report.verdicts for platform_verdict in verdict.platforms)


def _outcome(report: GateReport) -> str:
    if any(verdict.state is VerdictState.SKIPPED for verdict in report.verdicts):
        return "Passed without a scan: Defender is off" if report.passed else "Blocked"
    return "Passed" if report.passed else "Waits for a person" if not report.blocked and report.asking else "Blocked"


def _overview(report: GateReport) -> list[tuple[str, ...]]:
    return [
        (verdict.image.reference.short, one.platform, str(one.state), counts(one.counted), one.reason)
        for verdict, one in _platform_verdicts(report)
    ]


def _details(verdict: ImageVerdict, left: int) -> Iterator[str]:
    for one in verdict.platforms:
        if one.digest:
            yield f"`{one.digest}` ({literal(one.platform)})"
        found = [(str(f), ", ".join(f.sources)) for f in one.counted]
        found += [(str(waived), ", ".join(waived.finding.sources)) for waived in one.waived]
        if found:
            shown = found[: max(left, 0)]
            left -= len(shown)
            yield table(("finding", "reported by"), shown)
            if len(found) > len(shown):
                yield f"… and {len(found) - len(shown)} more, in the record."
        said = [(o.source, str(o.status), f"{o.at:%Y-%m-%d %H:%M}" if o.at else "", o.detail) for o in one.observations]
        if said:
            yield table(("source", "answer", "assessed at", "detail"), said)
        lines = [*one.notes, *(f"exception expired: {_expired(waiver)}" for waiver in one.expired)]
        if lines:
            yield _some([f"- {literal(line)}" for line in lines], "\n", _MOST_NOTES)
    if verdict.others or verdict.image.attestations:
        also = [
            *verdict.others,
            *([f"{verdict.image.attestations} attestation manifests"] * bool(verdict.image.attestations)),
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


def _explain(verdict: ImageVerdict) -> str:
    image = verdict.image.reference
    if verdict.state is not VerdictState.UNHEALTHY:
        notes = dict.fromkeys(note for platform_verdict in verdict.platforms for note in platform_verdict.notes)
        said = _some([plain(text).rstrip(".") for text in (verdict.reason, *notes)], "; ", _NOTES)
        return f"{image} is {verdict.state}: {said}."
    named = _some([plain(str(finding)) for finding in verdict.findings], "; ", _NAMED)
    expired = {waiver for platform_verdict in verdict.platforms for waiver in platform_verdict.expired}
    words = "".join(f" Expired: {_expired(waiver)}." for waiver in sorted(expired, key=lambda e: e.subject))
    return f"{image} is {verdict.state}: {named}.{words}"


def _some(parts: Sequence[str], between: str, most: int) -> str:
    rest = len(parts) - most
    return between.join([*parts[:most], *([f"and {rest} more"] if rest > 0 else [])])


def _expired(waiver: Waiver) -> str:
    return f"{waiver.subject} in {waiver.origin} (owner {waiver.owner}), which counted until {waiver.until}"
