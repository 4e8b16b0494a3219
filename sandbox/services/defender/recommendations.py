"""Findings as rows of ``securityresources``: Defender's individual recommendations, one for each software update.

Microsoft publishes no sample for container images. The paths are those in its transition guide and its own queries, in
PascalCase, which tenants show, or in camelCase, which some documents have. UNVERIFIED: where severity, registry,
version and fix are, so the scenario selects a place for each; and the row of an image that was not assessed. Here it is
one row without any CVE, ``NotApplicable`` because ``Exempt``.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from sandbox.scenario import DefenderPlan, Finding
from sandbox.services.defender.images import ScannedImage
from sandbox.services.defender.reports import UNKNOWN, Report, Row, moment, published, score, worst

TYPE = "microsoft.security/assessments"

_UPPER_CASED = ("resourceDetails", "resourceAdditionalData", "additionalData")


def recommendations(report: Report, form: DefenderPlan | None = None) -> list[Row]:
    """The rows about one image; none when it has no findings.

    :param form: casing and nesting of the rows
    """
    form = form or DefenderPlan()
    updates: dict[tuple[str, str], list[Finding]] = {}
    for finding in report.findings:
        updates.setdefault((finding.package, finding.fixed_version), []).append(finding)
    rows = [_update(report, found, form) for found in updates.values()]
    return [_not_assessed(report, form)] if report.status == "NotApplicable" and not rows else rows


def with_first_dates(rows: list[Row], before: list[Row]) -> list[Row]:
    """The rows of a rescan, with the dates of the rows that they replace."""
    earlier = {row["id"]: row["properties"]["status"] for row in before}
    for row in rows:
        status = row["properties"]["status"]
        if (same := earlier.get(row["id"])) is not None and "firstEvaluationDate" in same:
            status["firstEvaluationDate"] = same["firstEvaluationDate"]
            if status["code"] == same["code"]:
                status["statusChangeDate"] = same["statusChangeDate"]
    return rows


def _update(report: Report, found: Sequence[Finding], form: DefenderPlan) -> Row:
    update = found[0]
    severity = worst(found) if form.severity_in in ("cve", "row") else UNKNOWN
    data = _additional_data(found, form)
    return _row(report, (update.package, update.fixed_version), f"Update {update.package}", severity, data, form)


def _not_assessed(report: Report, form: DefenderPlan) -> Row:
    return _row(report, (), "Update software in container image", UNKNOWN, {}, form)


def _row(
    report: Report, about: tuple[str, ...], title: str, severity: str, data: dict[str, Any], form: DefenderPlan
) -> Row:
    properties: dict[str, Any] = {
        "displayName": title,
        "metadata": {
            "displayName": title,
            "assessmentType": "BuiltIn",
            "recommendationCategory": "SoftwareUpdate",
            "severity": severity,
        },
        "resourceDetails": _resource_details(report.image),
        "resourceAdditionalData": _about(report, form),
        "additionalData": data,
        "status": report.status_document()
        | {"firstEvaluationDate": moment(report.scanned), "statusChangeDate": moment(report.scanned)},
    }
    if form.casing == "camel":
        properties |= {key: _camel_case(properties[key]) for key in _UPPER_CASED}
    properties["resourceAdditionalData"] = json.dumps(properties["resourceAdditionalData"])
    if form.nesting == "text":
        properties["additionalData"] = _with_text(properties["additionalData"])
    return report.row(TYPE, "assessments", report.name_of(*about), properties)


def _resource_details(image: ScannedImage) -> dict[str, str]:
    dashed = image.repository.replace("/", "-")
    return {
        "ResourceType": ".containerimage",
        "ResourceProvider": "Azure",
        "Source": "Azure",
        "Id": f"{image.registry_id}/repositories-{dashed}-images-{image.digest}".lower(),
        "ResourceName": f"{image.repository}@{image.digest}",
    }


def _about(report: Report, form: DefenderPlan) -> dict[str, Any]:
    image = report.image
    repository = {"RepositoryName": image.repository, "LastPushedToRegistryUTC": moment(report.pushed)}
    about: dict[str, Any] = {"Digest": image.digest, "RepositoryDetails": repository}
    match form.registry_in:
        case "top":
            about["RegistryHost"] = image.registry_host
        case "repository":
            repository["RegistryHost"] = image.registry_host
        case "image-uri":
            about["ImageUri"] = f"{image.registry_host}/{image.repository}@{image.digest}"
    return about


def _additional_data(found: Sequence[Finding], form: DefenderPlan) -> dict[str, Any]:
    update = found[0]
    known = {
        "FixStatus": update.fix,
        "FixedVersion": update.fixed_version,
        "DetectedSoftwareVersions": sorted({finding.version for finding in found}),
    }
    empty = {"FixStatus": None, "FixedVersion": "", "DetectedSoftwareVersions": []}
    return {
        "SoftwareName": update.package,
        "SoftwareVendor": "",
        "PackageType": "OS",
        "Language": "",
        **(known if form.fix_in == "update" else empty),
        "ScannersDetails": {"mdvm": {"category": "OS", **known}},
        "CvesDetails": [_cve(finding, form) for finding in found],
    }


def _cve(finding: Finding, form: DefenderPlan) -> dict[str, Any]:
    if form.severity_in not in ("cve", "cvss"):
        return {"CveId": finding.cve}
    base = score(finding)
    fix = {"FixStatus": finding.fix, "FixedVersion": finding.fixed_version} if form.fix_in == "update" else {}
    return {
        "CveId": finding.cve,
        "AdditionalIdentifiers": [],
        "Description": f"{finding.cve} in {finding.package} {finding.version}",
        "Cvss": [{"Key": "3.0", "Value": {"Base": base, "CvssVectorString": ""}}] if base is not None else None,
        "Severity": finding.severity if form.severity_in == "cve" else UNKNOWN,
        "PublishedDate": published(finding),
        **fix,
        "References": [f"https://nvd.nist.gov/vuln/detail/{finding.cve}"],
    }


def _camel_case(value: Any) -> Any:
    if isinstance(value, dict):
        return {key[:1].lower() + key[1:]: _camel_case(inner) for key, inner in value.items()}
    return [_camel_case(inner) for inner in value] if isinstance(value, list) else value


def _with_text(data: dict[str, Any]) -> dict[str, Any]:
    return {key: json.dumps(value) if key.lower() == "cvesdetails" else value for key, value in data.items()}
