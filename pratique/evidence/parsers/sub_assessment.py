"""Defender's sub-assessments from its own scanner (MDVM): one row of Resource Graph per image, CVE and package.

Retired on 2026-07-31; sovereign clouds still have them. Format: "Container vulnerability assessments REST API" of
Defender for Cloud.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pratique.evidence.parsers.assessment import Row
from pratique.evidence.parsers.defender import HEALTHY, NOT_APPLICABLE, code_of, fix_of, not_applicable, purl_of
from pratique.evidence.parsers.json_reader import Reader
from pratique.findings import Finding, Severity

TYPE = "microsoft.security/assessments/subassessments"
#: The assessment that they belong to.
KEY = "c0b7cfc6-3172-465a-b378-53c7ff2cc0d5"


def from_sub_assessment(row: Mapping[str, Any], *, source: str) -> Row:
    """Parse a row of ``securityresources`` of the type :data:`TYPE` below the assessment :data:`KEY`.

    A vulnerability that it describes is a finding whatever its status is: Defender's exemptions are not this gate's
    exceptions.

    :param row: with the columns ``id`` and ``properties``
    :raises UnreadableAnswer: when it does not say which image it is about, or is not in the known format
    """
    subject = Reader.of(row, "a row of Resource Graph", "row").text("id") or "a row without id"
    properties = Reader.of(row.get("properties"), subject, "properties")
    data = properties.document("additionalData")
    artifact = data.document("artifactDetails")
    status = properties.document("status")
    vulnerable = data.has("vulnerabilityDetails") or code_of(status) not in (HEALTHY, NOT_APPLICABLE)
    return Row(
        digest=artifact.digest("digest"),
        registry_host=artifact.required("registryHost").lower(),
        repository=artifact.required("repositoryName"),
        findings=(_finding(properties, data, status, source),) if vulnerable else (),
        not_applicable=not_applicable(status),
        pushed=artifact.timestamp("lastPushedToRegistryUTC"),
        at=properties.timestamp("timeGenerated"),
    )


def _finding(properties: Reader, data: Reader, status: Reader, source: str) -> Finding:
    """The finding with the worse of the two severities; the CVE's identifier takes precedence over the row's."""
    vulnerability = data.optional("vulnerabilityDetails")
    software = data.optional("softwareDetails")
    identifier = vulnerability.text("cveId") or properties.text("id") or properties.text("displayName")
    ratings = [Severity.parse(part.get("severity")) for part in (vulnerability, status) if part.has("severity")]
    return Finding(
        vulnerability=identifier or "vulnerability without a name",
        severity=max(ratings, default=Severity.UNKNOWN),
        package=software.text("packageName"),
        version=software.text("version"),
        fixed_version=software.text("fixedVersion"),
        fix=fix_of(software),
        sources=(source,),
        purls=(purl_of(software.text("packageName"), software.text("category"), software.text("language")),),
    )
