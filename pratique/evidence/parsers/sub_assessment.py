"""Defender's sub-assessments: one row of Resource Graph per image, CVE and package.

Those of its own scanner (MDVM) belong to the assessment :data:`KEY`; other scanners and running images have others, in
the same format or in that of Qualys. Retired on 2026-07-31; sovereign clouds still have them. Format: "Container
vulnerability assessments REST API" of Defender for Cloud.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from pratique.evidence.parsers.assessment import Details, Row, detailed
from pratique.evidence.parsers.defender import HEALTHY, NOT_APPLICABLE, code_of, fix_of, not_applicable
from pratique.evidence.parsers.json_reader import Reader
from pratique.evidence.parsers.place import place_of
from pratique.evidence.parsers.ratings import rating
from pratique.findings import Finding, Fix, Severity

TYPE = "microsoft.security/assessments/subassessments"
#: The assessment of Microsoft's own scanner for registries.
KEY = "c0b7cfc6-3172-465a-b378-53c7ff2cc0d5"

_ASSESSMENT = re.compile(r"/assessments/([^/]+)/subassessments/", re.IGNORECASE)


def from_sub_assessment(row: Mapping[str, Any], *, source: str, details: Details | None = None) -> Row:
    """Parse a row of ``securityresources`` of the type :data:`TYPE`.

    A vulnerability that it describes is a finding whatever its status is: Defender's exemptions are not this gate's
    exceptions.

    :param row: with the columns ``id`` and ``properties``
    :param details: of CVEs, for those that have no rating in the row
    :raises UnreadableAnswer: when it is not in the known format
    """
    row_id = Reader.of(row, "a row of Resource Graph", "row").text("id")
    properties = Reader.of(row.get("properties"), row_id or "a row without id", "properties")
    data = properties.document("additionalData")
    artifact = data.optional("artifactDetails")
    status = properties.document("status")
    described = data.has("vulnerabilityDetails") or data.has("cve")
    vulnerable = described or code_of(status) not in (HEALTHY, NOT_APPLICABLE)
    severity = rating(data.optional("vulnerabilityDetails"), status, data)
    names = _names(row_id, properties, data) if vulnerable else []
    return Row(
        id=row_id,
        place=place_of(row_id, artifact, data, details=properties.optional("resourceDetails")),
        findings=tuple(_finding(name, severity or detailed(name, details), data, source) for name in names),
        kind=_kind(row_id),
        not_applicable=not_applicable(status),
        pushed=artifact.timestamp("lastPushedToRegistryUTC"),
        at=properties.timestamp("timeGenerated"),
        unrated=frozenset(name.upper() for name in names if severity is None),
    )


def _kind(row_id: str) -> str:
    """The assessment that the row belongs to; empty for that of Microsoft's own scanner."""
    assessment = _ASSESSMENT.search(row_id)
    key = assessment[1].lower() if assessment else "unknown"
    return "" if key == KEY else f"assessment {key}"


def _names(row_id: str, properties: Reader, data: Reader) -> list[str]:
    """The identifiers of the row's vulnerabilities. The CVE's takes precedence over the row's; Qualys lists several."""
    if name := data.optional("vulnerabilityDetails").text("cveId"):
        return [name]
    titles = [value for name, value in data.leaves("cve") if name in ("title", "cve") and isinstance(value, str)]
    listed = [title.strip() for title in titles if title.strip() and title.isprintable()]
    return list(dict.fromkeys(listed)) or [
        properties.text("id") or row_id or properties.text("displayName") or "vulnerability without a name"
    ]


def _finding(name: str, severity: Severity | None, data: Reader, source: str) -> Finding:
    software = data.optional("softwareDetails")
    patchable = str(data.get("patchable")).lower() == "true"
    return Finding(
        vulnerability=name,
        severity=severity or Severity.UNKNOWN,
        package=software.text("packageName"),
        version=software.text("version"),
        fixed_version=software.text("fixedVersion"),
        fix=Fix.AVAILABLE if patchable else fix_of(software),
        sources=(source,),
    )
