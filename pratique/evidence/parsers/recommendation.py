"""Defender's individual recommendations (generation of 2026): one row of Resource Graph per software update.

Microsoft publishes no sample for container images; the paths come from its transition guide, its own queries and what
tenants show.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pratique.evidence.parsers.assessment import Details, Row, detailed
from pratique.evidence.parsers.defender import (
    HEALTHY,
    NOT_APPLICABLE,
    code_of,
    fix_of,
    latest,
    not_applicable,
    versions,
)
from pratique.evidence.parsers.json_reader import Reader
from pratique.evidence.parsers.place import place_of
from pratique.evidence.parsers.ratings import rating, settled
from pratique.findings import Finding, Severity

_CVES = "CvesDetails"
_PUSHED = "LastPushedToRegistryUTC"
_NO_CATEGORY = "no category"


def from_recommendation(row: Mapping[str, Any], *, source: str, details: Details | None = None) -> Row:
    """Parse a row of ``securityresources`` of the type ``microsoft.security/assessments``.

    CVEs that it lists are findings whatever its status is: Defender's exemptions are not this gate's exceptions. An
    update without a CVE that is not healthy is a finding with the row's id. A recommendation of another category is
    read for its CVEs only.

    :param row: with the columns ``id`` and ``properties``
    :param details: of CVEs, for those that have no rating in the row
    :raises UnreadableAnswer: when it is not in the known format
    """
    row_id = Reader.of(row, "a row of Resource Graph", "row").text("id")
    properties = Reader.of(row.get("properties"), row_id or "a row without id", "properties")
    about = properties.optional("resourceAdditionalData")
    repository = about.optional("RepositoryDetails")
    place = place_of(row_id, about, repository, details=properties.optional("resourceDetails"))
    kind = _kind(properties)
    update = properties.optional("additionalData") if kind else properties.document("additionalData")
    if kind not in ("", _NO_CATEGORY) and not update.has(_CVES):
        return Row(id=row_id, place=place, findings=(), kind=kind)
    status = properties.document("status")
    cves = update.documents(_CVES)
    findings = _cves(cves, update, _rating_of(properties), source, details)
    if not findings and code_of(status) not in (HEALTHY, NOT_APPLICABLE):
        findings = (_update_without_cves(row_id, properties, update, source),)
    return Row(
        id=row_id,
        place=place,
        findings=findings,
        kind=kind,
        not_applicable=not_applicable(status),
        pushed=latest(about.timestamp(_PUSHED), repository.timestamp(_PUSHED)),
        at=status.timestamp("statusChangeDate") or status.timestamp("firstEvaluationDate"),
        unrated=frozenset(_name(entry).upper() for entry in cves if rating(entry) is None),
    )


def _kind(properties: Reader) -> str:
    """The category of the recommendation; empty for a software update."""
    category = properties.optional("metadata").text("recommendationCategory")
    return "" if category.replace(" ", "").lower() == "softwareupdate" else category or _NO_CATEGORY


def _rating_of(properties: Reader) -> Severity | None:
    """The rating of the whole row: in ``metadata`` since 2026, in ``status`` before."""
    return rating(properties.optional("metadata"), properties.document("status"))


def _cves(
    entries: Sequence[Reader], update: Reader, row: Severity | None, source: str, details: Details | None
) -> tuple[Finding, ...]:
    own = [rating(entry) or detailed(_name(entry), details) for entry in entries]
    return tuple(
        Finding(
            vulnerability=_name(entry),
            severity=severity,
            package=update.text("SoftwareName"),
            version=versions("DetectedSoftwareVersions", update),
            fixed_version=versions("FixedVersion", entry, update),
            fix=fix_of(entry, update),
            sources=(source,),
        )
        for entry, severity in zip(entries, settled(own, row), strict=True)
    )


def _name(entry: Reader) -> str:
    return entry.required("CveId")


def _update_without_cves(row_id: str, properties: Reader, update: Reader, source: str) -> Finding:
    """A finding for a recommendation that names no vulnerability."""
    title = properties.optional("metadata").text("displayName") or "software update without a CVE"
    return Finding(
        vulnerability=row_id or title,
        severity=_rating_of(properties) or Severity.UNKNOWN,
        package=update.text("SoftwareName") or (title if row_id else ""),
        version=versions("DetectedSoftwareVersions", update),
        fixed_version=versions("FixedVersion", update),
        fix=fix_of(update),
        sources=(source,),
    )
