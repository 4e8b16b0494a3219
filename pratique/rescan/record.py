"""The record of a rescan for auditors, as JSON data."""

from __future__ import annotations

from typing import Any

from pratique.rescan.report import Rescan, outcome_of


def record(rescan: Rescan) -> dict[str, Any]:
    """The record: every case, every change, and the number of images by state."""
    return {
        "at": rescan.at.isoformat(),
        "registry": rescan.inventory.registry,
        "outcome": outcome_of(rescan),
        "seen": rescan.inventory.complete,
        "notes": [*rescan.inventory.notes, *rescan.outcome.warnings],
        "policyDigest": rescan.rules.policy.digest,
        "exceptionsDigest": rescan.rules.exceptions.digest,
        "sources": sorted(rescan.rules.sources),
        "images": len(rescan.assessments),
        "states": dict(rescan.states),
        "changes": [
            {
                "kind": change.kind,
                "image": change.case.name,
                "digest": change.case.digest,
                "findings": [finding.vulnerability for finding in change.findings],
                "why": change.why,
            }
            for change in rescan.outcome.changes
        ],
        "breakGlass": [
            {"image": image.name, "digest": image.digest} | use.entry() for image, use in rescan.break_glass
        ],
        "cases": [case.entry() | {"usedBy": [*rescan.users.get(case.key, ())]} for case in rescan.cases],
        "endingExceptions": [
            {
                "subject": waiver.subject,
                "until": waiver.until,
                "owner": waiver.owner,
                "origin": waiver.origin,
                "images": images,
            }
            for waiver, images in rescan.expiring
        ],
    }
