"""Defender's sub-assessments by its own scanner (MDVM): one row of Resource Graph an image, CVE and package.

Retired on 2026-07-31; sovereign clouds still have them. Shape: "Container vulnerability assessments REST API" of
Defender for Cloud.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pratique.evidence.parsers.assessment import Row
from pratique.evidence.parsers.defender import HEALTHY, NOT_APPLICABLE, code_of, fix_of, not_applicable
from pratique.evidence.parsers.json_reader import Reader
from pratique.findings import Finding, Severity

TYPE = "microsoft.security/assessments/subassessments"
#: The assessment below which they lie.
KEY = "c0b7cfc6-3172-465a-b378-53c7ff2cc0d5"


def from_sub_assessment(row: Mapping[str, Any], *, source: str) -> Row:
    """Read a row of ``securityresources`` of the type :data:`TYPE` below the assessment :data:`KEY`.

    A vulnerability that it details is a finding whatever its status is: Defender's exemptions are not this gate's
    exceptions.

    :param row: with the columns ``id`` and ``properties``
    :raises UnreadableAnswer: when it does not say which image it is about, or is not of the known form
    """
    subject = Reader.of(row, "a row of Resource Graph", "row").text("id") or "a row without id"
    properties = Reader.of(row.get("properties"), subject, "properties")
    data = properties.document("additionalData")
    artifact = data.document("artifactDetails")
    status = properties.document("status")
    found = data.says("vulnerabilityDetails") or code_of(status) not in (HEALTHY, NOT_APPLICABLE)
    return Row(
        digest=artifact.digest("digest"),
        registry_host=artifact.required("registryHost").lower(),
        repository=artifact.required("repositoryName"),
        findings=(_finding(properties, data, status, source),) if found else (),
        not_applicable=not_applicable(status),
        pushed=artifact.moment("lastPushedToRegistryUTC"),
        at=properties.moment("timeGenerated"),
    )


def _finding(properties: Reader, data: Reader, status: Reader, source: str) -> Finding:
    """The worse of the two severities; a CVE's own identifier before the row's."""
    vulnerability = data.optional("vulnerabilityDetails")
    software = data.optional("softwareDetails")
    named = vulnerability.text("cveId") or properties.text("id") or properties.text("displayName")
    rated = [Severity.parse(one.get("severity")) for one in (vulnerability, status) if one.says("severity")]
    return Finding(
        vulnerability=named or "vulnerability without a name",
        severity=max(rated, default=Severity.UNKNOWN),
        package=software.text("packageName"),
        version=software.text("version"),
        fixed_version=software.text("fixedVersion"),
        fix=fix_of(software),
        sources=(source,),
    )
