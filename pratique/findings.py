"""Findings: vulnerabilities in packages of an image, as Defender for Containers reports them.

Defender has two voices. Resource Graph holds one recommendation per software update (:func:`from_recommendation`); the
registry holds, beside the image, a signed statement of the whole scan (:func:`from_statement`). Only the second can say
that nothing was found. Here both are read with suspicion: what has an unexpected form is an error or a finding, and
never silently nothing.

>>> Severity.parse("high") < Severity.parse("Critical") < Severity.parse("brand new")
True
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import IntEnum
from typing import Any, NamedTuple

from pratique.errors import UnreadableAnswer
from pratique.images import DIGEST_PATTERN

STATEMENT_TYPE = "https://in-toto.io/Statement/v1"
PREDICATE_TYPE = "https://in-toto.io/attestation/vulns/v0.2"

RESOURCE_GRAPH = "Resource Graph"
FINDINGS_ARTIFACT = "findings artifact"


class Severity(IntEnum):
    """How bad a finding is; what nobody rated counts as the worst."""

    LOW = 1
    MEDIUM = 2
    HIGH = 3
    CRITICAL = 4
    UNKNOWN = 5

    @property
    def label(self) -> str:
        """As Defender writes it."""
        return self.name.capitalize()

    @classmethod
    def parse(cls, text: object) -> Severity:
        """By name in any letter case; whatever else it is, is unknown."""
        return cls.__members__.get(text.strip().upper(), cls.UNKNOWN) if isinstance(text, str) else cls.UNKNOWN

    @classmethod
    def of_score(cls, score: float) -> Severity:
        """The band of a CVSS base score (CVSS v3.1, section 5); its "None" counts as low here."""
        if not 0 <= score <= 10:
            return cls.UNKNOWN
        return next(band for least, band in _BANDS if score >= least)


_BANDS = ((9.0, Severity.CRITICAL), (7.0, Severity.HIGH), (4.0, Severity.MEDIUM), (0.0, Severity.LOW))


@dataclass(frozen=True)
class Finding:
    """One vulnerability in one package.

    :ivar vulnerability: its identifier, usually a CVE's
    :ivar fixed_version: empty when there is no fix
    :ivar source: who said so; two sources that say the same make one finding
    """

    vulnerability: str
    severity: Severity
    package: str = ""
    version: str = ""
    fixed_version: str = ""
    source: str = field(default="", compare=False)


class Recommendation(NamedTuple):
    """What one row of Resource Graph says about one image manifest."""

    digest: str
    registry_host: str
    repository: str
    findings: list[Finding]


@dataclass(frozen=True)
class Assessment:
    """A finished scan of one manifest; no findings means that nothing was found.

    :ivar scanner: the scanner's URI, with its version where it says one
    """

    findings: tuple[Finding, ...]
    scanned_at: datetime
    scanner: str


def from_recommendation(row: Mapping[str, Any]) -> Recommendation:
    """Read a row of ``securityresources`` about a software update in a container image.

    Keys are read in any letter case, and nested documents as such or as JSON text: both have been seen.

    :param row: with the columns ``id`` and ``properties``
    :raises UnreadableAnswer: when it does not say which image it is about, or is not of the known form
    """
    subject = str(row.get("id", "a row without id"))
    properties = _Reader.of(row.get("properties"), subject, "properties")
    about = properties.document("resourceAdditionalData")
    digest = about.required("Digest").lower()
    if not re.fullmatch(DIGEST_PATTERN, digest):
        raise _unreadable(subject, f"Its digest is {digest!r}.")
    update = properties.document("additionalData")
    listed = update.array("CvesDetails")
    findings = [_cve(_Reader.of(entry, subject, "CvesDetails"), update) for entry in listed]
    if not findings and properties.document("status").required("code").lower() != "healthy":
        findings = [_update_without_cves(properties, update)]
    repository = about.document("RepositoryDetails").required("RepositoryName")
    return Recommendation(digest, about.required("RegistryHost").lower(), repository, findings)


def from_statement(document: bytes, *, digest: str) -> Assessment:
    """Read an in-toto statement with a vulnerability predicate.

    :param document: the artifact's layer, after its signature was verified
    :param digest: of the manifest that the statement has to be about
    :raises UnreadableAnswer: when it is about something else, or does not say in full what was found
    """
    statement = _Reader.of(document, digest, "statement")
    for key, expected in (("_type", STATEMENT_TYPE), ("predicateType", PREDICATE_TYPE)):
        if statement.required(key) != expected:
            raise _unreadable(digest, f"Its {key} is {statement.required(key)!r} instead of {expected!r}.")
    subjects = [_Reader.of(entry, digest, "subject") for entry in statement.array("subject")]
    if digest not in {f"sha256:{subject.document('digest').text('sha256')}" for subject in subjects}:
        raise _unreadable(digest, "The statement is about another image.")
    predicate = statement.document("predicate")
    scanner = predicate.document("scanner")
    if scanner.get("result") is None:
        raise _unreadable(digest, "The statement has no list of results.")
    results = [_Reader.of(entry, digest, "result") for entry in scanner.array("result")]
    finished = _moment(predicate.document("metadata").required("scanFinishedOn"), digest)
    name = " ".join(part for part in (scanner.required("uri"), scanner.text("version")) if part)
    return Assessment(tuple(_result(result) for result in results), finished, name)


def _cve(entry: _Reader, update: _Reader) -> Finding:
    return Finding(
        vulnerability=entry.required("CveId"),
        severity=Severity.parse(entry.get("Severity")),
        package=update.text("SoftwareName"),
        version=_versions(update),
        fixed_version=entry.text("FixedVersion") or update.text("FixedVersion"),
        source=RESOURCE_GRAPH,
    )


def _update_without_cves(properties: _Reader, update: _Reader) -> Finding:
    """A recommendation that names no vulnerability is one all the same."""
    metadata = properties.document("metadata")
    return Finding(
        vulnerability=metadata.text("displayName") or "software update without a CVE",
        severity=Severity.parse(metadata.get("severity")),
        package=update.text("SoftwareName"),
        version=_versions(update),
        fixed_version=update.text("FixedVersion"),
        source=RESOURCE_GRAPH,
    )


def _versions(update: _Reader) -> str:
    """An array, JSON text of one, or simply one version."""
    versions = update.get("DetectedSoftwareVersions")
    if isinstance(versions, str) and not versions.startswith("["):
        return versions
    return ", ".join(str(version) for version in update.array("DetectedSoftwareVersions"))


def _result(result: _Reader) -> Finding:
    """An entry of ``scanner.result``; the predicate leaves the annotations' names to the scanner."""
    notes: dict[str, Any] = {}
    for entry in result.array("annotations"):
        notes.update(_Reader.of(entry, result.subject, "annotations").mapping)
    note = _Reader(notes, result.subject, "annotations")
    return Finding(
        vulnerability=result.required("id"),
        severity=_worst(result),
        package=note.text("packageName") or note.text("package"),
        version=note.text("installedVersion") or note.text("version"),
        fixed_version=note.text("fixedVersion"),
        source=FINDINGS_ARTIFACT,
    )


def _worst(result: _Reader) -> Severity:
    """The worst of the ratings; a CVSS vector only repeats what a score or name beside it says."""
    ratings = [_Reader.of(entry, result.subject, "severity") for entry in result.array("severity")]
    plain = [rating for rating in ratings if not rating.text("score").startswith("CVSS:")]
    return max((_rating(rating) for rating in plain), default=Severity.UNKNOWN)


def _rating(rating: _Reader) -> Severity:
    """A score is a name, or a number by one of CVSS's methods: other methods' numbers mean something else."""
    score = rating.get("score")
    if "cvss" not in rating.text("method").lower() or isinstance(score, bool):
        return Severity.parse(score)
    try:
        number = float(score)
    except (TypeError, ValueError):
        return Severity.parse(score)
    return Severity.of_score(number) if math.isfinite(number) else Severity.UNKNOWN


def _moment(text: str, subject: str) -> datetime:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise _unreadable(subject, f"The scan's end is not a time: {text!r}.") from error
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)


@dataclass(frozen=True)
class _Reader:
    """A JSON object of somebody else's.

    :ivar subject: what it is part of, for errors
    :ivar path: where in it
    """

    mapping: Mapping[str, Any]
    subject: str
    path: str

    @classmethod
    def of(cls, value: object, subject: str, path: str) -> _Reader:
        parsed = _parsed(value, subject, path)
        if not isinstance(parsed, Mapping):
            raise _unreadable(subject, f"{path} is not an object.")
        return cls(parsed, subject, path)

    def get(self, key: str) -> Any:
        """The value under the key in any letter case; ``None`` when there is none."""
        same = [value for name, value in self.mapping.items() if name.lower() == key.lower() and value is not None]
        if any(value != same[0] for value in same):
            raise _unreadable(self.subject, f"{self.path} has two values for {key}.")
        return same[0] if same else None

    def document(self, key: str) -> _Reader:
        """A nested object, or JSON text of one."""
        return _Reader.of(self.get(key), self.subject, f"{self.path}.{key}")

    def array(self, key: str) -> list[Any]:
        """A nested array, or JSON text of one; empty when it is not there."""
        value = self.get(key)
        parsed = [] if value is None else _parsed(value, self.subject, f"{self.path}.{key}")
        if not isinstance(parsed, list):
            raise _unreadable(self.subject, f"{self.path}.{key} is not an array.")
        return parsed

    def text(self, key: str) -> str:
        """A string that nothing hangs on: empty when it is not there or not printable text."""
        value = self.get(key)
        return value if isinstance(value, str) and value.isprintable() else ""

    def required(self, key: str) -> str:
        if not (text := self.text(key).strip()):
            raise _unreadable(self.subject, f"{self.path}.{key} is missing, or not plain text.")
        return text


def _parsed(value: object, subject: str, path: str) -> object:
    """The value itself, or what it says when it is JSON text."""
    if not isinstance(value, str | bytes):
        return value
    try:
        return json.loads(value)
    except (ValueError, RecursionError) as error:
        raise _unreadable(subject, f"{path} is not JSON: {error}.") from error


def _unreadable(subject: str, observed: str) -> UnreadableAnswer:
    return UnreadableAnswer(
        "read what Defender found",
        subject,
        observed,
        "Look at the image in Defender for Cloud: until this can be read it counts as not assessed.",
    )
