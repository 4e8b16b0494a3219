"""Findings as rows of ``securityresources``: Defender's individual recommendations, one a software update.

Microsoft publishes no sample for container images; the paths are those that its transition guide and its own queries
name, in the PascalCase that tenants show. Ids are made from what the row is about, so that a rescan replaces its row.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sandbox.scenario import Finding
from sandbox.services.defender.images import ScannedImage

Row = dict[str, Any]

TYPE = "microsoft.security/assessments"

_SEVERITIES = ("Critical", "High", "Medium", "Low")
_SCORES = {"Critical": 9.8, "High": 7.5, "Medium": 5.5, "Low": 3.1}


def recommendations(
    image: ScannedImage, findings: Sequence[Finding], *, pushed: datetime, scanned: datetime, tenant_id: str
) -> list[Row]:
    """The rows about one image: none when it is clean."""
    updates: dict[tuple[str, str], list[Finding]] = {}
    for finding in findings:
        updates.setdefault((finding.package, finding.fixed_version), []).append(finding)
    return [_row(image, found, pushed, scanned, tenant_id) for found in updates.values()]


def _row(image: ScannedImage, found: Sequence[Finding], pushed: datetime, scanned: datetime, tenant_id: str) -> Row:
    update = found[0]
    key = f"{image.registry_id}/{image.repository}@{image.digest}/{update.package}/{update.fixed_version}".lower()
    name = str(uuid.uuid5(uuid.NAMESPACE_URL, key))
    subscription, group = image.registry_id.split("/")[2:5:2]
    return {
        "id": f"{image.registry_id}/providers/Microsoft.Security/assessments/{name}",
        "name": name,
        "type": TYPE,
        "tenantId": tenant_id,
        "resourceGroup": group.lower(),
        "subscriptionId": subscription,
        "properties": {
            "displayName": f"Update {update.package}",
            "metadata": {
                "displayName": f"Update {update.package}",
                "assessmentType": "BuiltIn",
                "recommendationCategory": "SoftwareUpdate",
                "severity": _worst(found),
            },
            "resourceDetails": _resource_details(image),
            "resourceAdditionalData": json.dumps(_about(image, pushed)),
            "additionalData": _additional_data(found),
            "status": {
                "code": "Unhealthy",
                "cause": "",
                "description": "",
                "firstEvaluationDate": _text(scanned),
                "statusChangeDate": _text(scanned),
            },
        },
    }


def _resource_details(image: ScannedImage) -> dict[str, str]:
    dashed = image.repository.replace("/", "-")
    return {
        "ResourceType": ".containerimage",
        "ResourceProvider": "Azure",
        "Source": "Azure",
        "Id": f"{image.registry_id}/repositories-{dashed}-images-{image.digest}".lower(),
        "ResourceName": f"{image.repository}@{image.digest}",
    }


def _about(image: ScannedImage, pushed: datetime) -> dict[str, Any]:
    return {
        "Digest": image.digest,
        "RegistryHost": image.registry_host,
        "RepositoryDetails": {"RepositoryName": image.repository, "LastPushedToRegistryUTC": _text(pushed)},
    }


def _additional_data(found: Sequence[Finding]) -> dict[str, Any]:
    update = found[0]
    fix = {"FixStatus": "FixAvailable" if update.fixed_version else "NoFix", "FixedVersion": update.fixed_version}
    versions = sorted({finding.version for finding in found})
    return {
        "SoftwareName": update.package,
        "SoftwareVendor": "",
        "PackageType": "OS",
        "Language": "",
        **fix,
        "DetectedSoftwareVersions": versions,
        "ScannersDetails": {"mdvm": {"DetectedSoftwareVersions": versions, "category": "OS", **fix}},
        "CvesDetails": json.dumps([_cve(finding) | fix for finding in found]),
    }


def _cve(finding: Finding) -> dict[str, Any]:
    score = _SCORES.get(finding.severity)
    return {
        "CveId": finding.cve,
        "AdditionalIdentifiers": [],
        "Description": f"{finding.cve} in {finding.package} {finding.version}",
        "Cvss": [{"Key": "3.0", "Value": {"Base": score, "CvssVectorString": ""}}] if score is not None else None,
        "Severity": finding.severity,
        "References": [f"https://nvd.nist.gov/vuln/detail/{finding.cve}"],
    }


def _worst(found: Sequence[Finding]) -> str:
    severities = {finding.severity for finding in found}
    return next((severity for severity in _SEVERITIES if severity in severities), "Unknown")


def _text(moment: datetime) -> str:
    return moment.isoformat(timespec="seconds").replace("+00:00", "Z")
