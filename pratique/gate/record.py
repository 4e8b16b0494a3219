"""The record of a gate for auditors: everything that decided about a release, as JSON data."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict
from typing import Any

from pratique.findings import Finding
from pratique.gate.break_glass import uses
from pratique.gate.exceptions.break_glass import BREAK_GLASS
from pratique.gate.exceptions.lookup import Waiver
from pratique.gate.verdict import ImageVerdict, VerdictState
from pratique.gate.wait import GateReport


def record(report: GateReport) -> dict[str, Any]:
    """The record, as JSON data, with nothing left out."""
    rules = report.rules
    return {
        "release": report.release,
        "outcome": outcome_of(report),
        "at": report.at.isoformat(),
        "policy": rules.policy.model_dump(mode="json"),
        "policyDigest": rules.policy.digest,
        "exceptionsDigest": rules.exceptions.digest,
        "exceptionsFiles": [
            {"path": path, "sha256": digest, "git": dict(rules.provenance).get(path, "")}
            for path, digest in rules.exceptions.files
        ],
        "sources": sorted(rules.sources),
        "breakGlass": [use.entry() for use in uses(report)],
        "answer": report.approval.record() if report.approval else None,
        "images": [_recorded(verdict) for verdict in report.verdicts],
    }


def verdict_id(verdict: ImageVerdict) -> str:
    """The id by which a clearance names a verdict: the SHA-256 of the verdict's entry in the record."""
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
                "platform": platform.platform,
                "digest": platform.digest,
                "state": str(platform.state),
                "reason": platform.reason,
                "findings": [_finding(finding) for finding in platform.counted],
                "waived": [
                    {"finding": _finding(waived.finding), "waiver": _waiver(waived.waiver)}
                    for waived in platform.waived
                ],
                "expired": [_waiver(waiver) for waiver in platform.expired],
                "acceptance": _waiver(platform.acceptance),
                "breakGlass": platform.break_glass.entry() if platform.break_glass else None,
                "notes": list(platform.notes),
                "evidence": [
                    {
                        "source": observation.source,
                        "answer": str(observation.status),
                        "at": observation.at.isoformat() if observation.at else None,
                        "databaseAt": observation.database_at.isoformat() if observation.database_at else None,
                        "detail": observation.detail,
                        "findings": len(observation.findings),
                    }
                    for observation in platform.observations
                ],
            }
            for platform in verdict.platforms
        ],
    }


def _finding(finding: Finding) -> dict[str, Any]:
    return asdict(finding) | {
        "severity": finding.severity.label,
        "fix": str(finding.fix),
        "sources": [*finding.sources],
        "purls": [*finding.purls],
    }


def _waiver(waiver: Waiver | None) -> dict[str, Any] | None:
    return None if waiver is None else asdict(waiver) | {"expires": waiver.expires.isoformat()}


def outcome_of(report: GateReport) -> str:
    """Whether the release passes, in words."""
    if any(verdict.state is VerdictState.SKIPPED for verdict in report.verdicts):
        return "Passed without a scan: Defender is off" if report.passed else "Blocked"
    if report.passed:
        return f"Passed by {BREAK_GLASS}" if uses(report) else "Passed"
    return "Waits for a person" if not report.blocked and report.asking else "Blocked"
