"""Findings in Defender's two retired formats: sub-assessments below one assessment for each registry.

The formats of Microsoft's scanner (MDVM: one row for each image and CVE; API removed 2026-07-31) and of Qualys before
it (one row for each image and finding; no rows since 2024). Sources: "Container vulnerability assessments REST API" of
Defender for Cloud with its sample, and for Qualys the queries of Microsoft's workbooks, which count ``Healthy`` rows
for clean images. UNVERIFIED: that MDVM has no row for a clean image, and a row without a CVE for an image that was not
assessed.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from sandbox.scenario import Finding
from sandbox.services.defender.recommendations import TYPE as ASSESSMENT_TYPE
from sandbox.services.defender.reports import UNKNOWN, Report, Row, moment, published, registry_row, score

TYPE = "microsoft.security/assessments/subassessments"

MDVM_KEY = "c0b7cfc6-3172-465a-b378-53c7ff2cc0d5"
QUALYS_KEY = "dbd0cb49-b563-45e7-9724-889e799fa648"

_TITLES = {
    MDVM_KEY: "Azure registry container images should have vulnerabilities resolved "
    "(powered by Microsoft Defender Vulnerability Management)",
    QUALYS_KEY: "Azure registry container images should have vulnerabilities resolved (powered by Qualys)",
}


def mdvm_rows(report: Report) -> list[Row]:
    """One row for each CVE and package; none when the image has no findings."""
    rows = [_row(report, MDVM_KEY, finding, _mdvm_data(report, finding)) for finding in report.findings]
    if report.status == "NotApplicable" and not rows:
        rows = [_row(report, MDVM_KEY, None, _mdvm_data(report, None))]
    return rows


def qualys_rows(report: Report) -> list[Row]:
    """One row for each finding; without findings, one row that says so."""
    found: tuple[Finding | None, ...] = report.findings or (None,)
    return [_row(report, QUALYS_KEY, finding, _qualys_data(report, finding)) for finding in found]


def parents(key: str, reports: Iterable[Report]) -> list[Row]:
    """The assessment of each registry, the parent of its sub-assessments."""
    by_registry: dict[str, list[Report]] = {}
    for report in reports:
        by_registry.setdefault(report.image.registry_id, []).append(report)
    return [_parent(key, registry_id, found) for registry_id, found in by_registry.items()]


def _parent(key: str, registry_id: str, reports: list[Report]) -> Row:
    code = "Unhealthy" if any(report.status == "Unhealthy" for report in reports) else "Healthy"
    properties = {
        "displayName": _TITLES[key],
        "resourceDetails": {"Source": "Azure", "Id": registry_id},
        "status": {"code": code, "cause": "", "description": ""},
    }
    return registry_row(registry_id, reports[0].tenant_id, ASSESSMENT_TYPE, f"assessments/{key}", properties)


def _row(report: Report, key: str, finding: Finding | None, data: dict[str, Any]) -> Row:
    title = finding.cve if finding else "No vulnerabilities found"
    image = report.image
    severity = {"severity": finding.severity or UNKNOWN} if finding else {}
    properties = {
        "id": title if finding else "",
        "displayName": title,
        "description": f"{title} in {finding.package} {finding.version}" if finding else "",
        "remediation": _remediation(finding),
        "timeGenerated": moment(report.scanned),
        "resourceDetails": {
            "source": "Azure",
            "id": f"/repositories/{image.repository}/images/{image.digest}",
        },
        "status": report.status_document() | severity,
        "additionalData": data,
    }
    about = (finding.cve, finding.package) if finding else ()
    row = report.row(TYPE, f"assessments/{key}/subassessments", report.name_of(key, *about), properties)
    return row | {"location": "global"}


def _remediation(finding: Finding | None) -> str:
    if finding is None or not finding.fixed_version:
        return "No remediation exists"
    return f"Create new image with updated package {finding.package} with version {finding.fixed_version} or higher."


def _mdvm_data(report: Report, finding: Finding | None) -> dict[str, Any]:
    image = report.image
    data: dict[str, Any] = {
        "assessedResourceType": "AzureContainerRegistryVulnerability",
        "artifactDetails": {
            "registryHost": image.registry_host,
            "repositoryName": image.repository,
            "digest": image.digest,
            "tags": list(report.tags),
            "mediaType": report.media_type,
            "artifactType": "ContainerImage",
            "lastPushedToRegistryUTC": moment(report.pushed),
        },
    }
    if finding is not None:
        data |= {
            "cvssV30Score": score(finding),
            "vulnerabilityDetails": _vulnerability(finding),
            "softwareDetails": _software(finding),
        }
    return data


def _vulnerability(finding: Finding) -> dict[str, Any]:
    base = _base(finding)
    return {
        "cveId": finding.cve,
        "severity": finding.severity,
        "cvss": {"2.0": None, "3.0": base and base | {"cvssVectorString": ""}},
        "exploitabilityAssessment": {
            "exploitStepsPublished": False,
            "exploitStepsVerified": False,
            "isInExploitKit": False,
            "exploitUris": [],
            "types": [],
        },
        "publishedDate": published(finding),
        "lastModifiedDate": published(finding),
        "references": [_reference(finding)],
        "weaknesses": {"cwe": []},
        "workarounds": [],
    }


def _software(finding: Finding) -> dict[str, Any]:
    return {
        "packageName": finding.package,
        "version": finding.version,
        "fixedVersion": finding.fixed_version,
        "fixStatus": finding.fix,
        "category": "OS",
        "language": "",
        "vendor": "",
        "osDetails": {"osPlatform": "linux", "osVersion": ""},
        "evidence": [],
    }


def _qualys_data(report: Report, finding: Finding | None) -> dict[str, Any]:
    image = report.image
    data: dict[str, Any] = {
        "assessedResourceType": "ContainerRegistryVulnerability",
        "registryHost": image.registry_host,
        "repositoryName": image.repository,
        "imageDigest": image.digest,
    }
    if finding is not None:
        data |= {
            "type": "Vulnerability",
            "cve": [_reference(finding)],
            "cvss": {"3.0": base} if (base := _base(finding)) else {},
            "patchable": bool(finding.fixed_version),
            "publishedTime": published(finding),
            "vendorReferences": [],
        }
    return data


def _base(finding: Finding) -> dict[str, Any] | None:
    base = score(finding)
    return None if base is None else {"base": base}


def _reference(finding: Finding) -> dict[str, str]:
    return {"title": finding.cve, "link": f"https://nvd.nist.gov/vuln/detail/{finding.cve}"}
