"""Short words for what the gate's tests are about: an image, what sources say of it, and what stands in the files."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import quote

from pratique.findings import Finding, Fix, Severity
from pratique.gate.evidence import Observation, SourceStatus, Subject
from pratique.gate.exceptions.lookup import Exceptions
from pratique.gate.policy import FINDINGS_ARTIFACT, RECOMMENDATIONS, SUB_ASSESSMENTS, Policy
from pratique.images import ImageReference, PlatformManifest, ResolvedImage

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
INDEX, AMD64, ARM64, OTHER = ("sha256:" + letter * 64 for letter in "abcd")

REFERENCE = "docker.io/library/nginx:1.27"
NGINX = ResolvedImage(
    ImageReference.parse(REFERENCE),
    INDEX,
    (PlatformManifest("linux/amd64", AMD64), PlatformManifest("linux/arm64", ARM64)),
    attestations=2,
)


def of_manifests(*manifests: tuple[str, str] | tuple[str, str, tuple[str, ...]]) -> ResolvedImage:
    """The image as an index of platforms and digests, and other platforms whose nodes may run them."""
    return replace(NGINX, platforms=tuple(PlatformManifest(*one) for one in manifests))


# Findings


def flaw(
    severity: Severity,
    vulnerability: str = "CVE-2026-1",
    package: str = "openssl",
    version: str = "3.0.1",
    fixed_version: str = "",
    fix: Fix = Fix.UNKNOWN,
    sources: tuple[str, ...] = (),
) -> Finding:
    return Finding(
        vulnerability=vulnerability,
        severity=severity,
        package=package,
        version=version,
        fixed_version=fixed_version,
        fix=fix,
        sources=sources,
        purls=(f"pkg:deb/debian/{quote(package)}@{quote(version)}" if package else "",),
    )


CRITICAL = flaw(Severity.CRITICAL, "CVE-2026-4")
HIGH = flaw(Severity.HIGH, "CVE-2026-3")
MEDIUM = flaw(Severity.MEDIUM, "CVE-2026-2")
LOW = flaw(Severity.LOW, "CVE-2026-1")
UNRATED = flaw(Severity.UNKNOWN, "CVE-2026-5")


def many(finding: Finding, count: int) -> tuple[Finding, ...]:
    """As many different vulnerabilities of that kind."""
    return tuple(replace(finding, vulnerability=f"{finding.vulnerability}0{number}") for number in range(count))


def unfixed(finding: Finding) -> Finding:
    return replace(finding, fix=Fix.NONE)


def fixable(finding: Finding) -> Finding:
    return replace(finding, fix=Fix.AVAILABLE, fixed_version="3.0.2")


# What sources say


def _by(source: str, findings: Sequence[Finding]) -> frozenset[Finding]:
    return frozenset(replace(finding, sources=(source,)) for finding in findings)


def assessed(source: str, *findings: Finding, age: float = 60, database: float | None = 60) -> Observation:
    """:param age: of the assessment, in minutes
    :param database: its age at the scan, in minutes; ``None`` when the source does not say
    """
    at = NOW - timedelta(minutes=age)
    return Observation(
        source=source,
        status=SourceStatus.ASSESSED,
        findings=_by(source, findings),
        at=at,
        database_at=None if database is None else at - timedelta(minutes=database),
    )


def rows(*findings: Finding, age: float = 60) -> Observation:
    return assessed(RECOMMENDATIONS, *findings, age=age, database=None)


def old_rows(*findings: Finding) -> Observation:
    return assessed(SUB_ASSESSMENTS, *findings, database=None)


def artifact(*findings: Finding, age: float = 60, database: float | None = None) -> Observation:
    return assessed(FINDINGS_ARTIFACT, *findings, age=age, database=database)


def acme(*findings: Finding, age: float = 60, database: float | None = 60) -> Observation:
    """Somebody else's signed attestation."""
    return assessed("acme", *findings, age=age, database=database)


def trivy(*findings: Finding, age: float = 60, database: float | None = 60) -> Observation:
    """A scanner that the worker runs."""
    return assessed("trivy", *findings, age=age, database=database)


def undated(observation: Observation) -> Observation:
    return replace(observation, at=None)


def nothing(source: str, detail: str = "", notes: tuple[str, ...] = ()) -> Observation:
    return Observation(source=source, status=SourceStatus.NOTHING, detail=detail, notes=notes)


def failed(source: str, *findings: Finding) -> Observation:
    """:param findings: known from before"""
    return Observation(
        source=source, status=SourceStatus.FAILED, findings=_by(source, findings), detail="could not be asked: 503."
    )


def unreadable(source: str, *findings: Finding) -> Observation:
    return Observation(
        source=source,
        status=SourceStatus.UNREADABLE,
        findings=_by(source, findings),
        detail="a row cannot be read: it is cut off",
    )


def exempt(source: str = RECOMMENDATIONS, *findings: Finding, cause: str = "Exempt") -> Observation:
    return Observation(source=source, status=SourceStatus.NOT_APPLICABLE, findings=_by(source, findings), detail=cause)


NO_ROWS = nothing(RECOMMENDATIONS, "no row yet")
NO_ARTIFACT = nothing(FINDINGS_ARTIFACT, "no attestation with a trusted signature yet")
CLEAN = artifact()


# What stands in files

Entry = Mapping[str, Any]


def exception(vulnerability: str, expires: str = "2026-12-31", **where: Any) -> Entry:
    """:param where: ``image`` (by default the very image), ``digest``, ``package``"""
    return _entry({"vulnerability": vulnerability, "expires": expires}, where)


def acceptance(*states: str, expires: str = "2026-12-31", **where: Any) -> Entry:
    """:param where: ``image`` with tag and digest (by default the very image), or ``digest``"""
    return _entry({"expires": expires} | ({"states": list(states)} if states else {}), where, f"{REFERENCE}@{INDEX}")


def break_glass(hours: float = 4, opened: datetime = NOW, **changes: Any) -> Entry:
    """:param hours: that it lasts
    :param changes: ``image`` with its digest (by default the very image), and the rest of the entry
    """
    entry = {
        "image": f"{REFERENCE}@{INDEX}",
        "reason": "The old version's certificate is expired.",
        "incident": "INC-4711",
        "requested_by": "ada@contoso.com",
        "opened": opened.isoformat(),
        "until": (opened + timedelta(hours=hours)).isoformat(),
    }
    return entry | changes


def _entry(entry: dict[str, Any], where: dict[str, Any], image: str = REFERENCE) -> Entry:
    place = {} if "digest" in where else {"image": image}
    people = {"owner": "platform@contoso.com", "approver": "security@contoso.com"}
    return {"reason": "it was looked into"} | people | entry | place | where


def vex(
    status: str,
    vulnerability: str = HIGH.vulnerability,
    *,
    image: str = "pkg:oci/nginx?repository_url=docker.io/library/nginx&tag=1.27",
    package: str = "pkg:deb/debian/openssl",
    at: str = "2026-11-20T08:00:00Z",
) -> Entry:
    """An OpenVEX document of one statement.

    :param package: in the image; empty for the whole image
    """
    product: dict[str, Any] = {"@id": image} | ({"subcomponents": [{"@id": package}]} if package else {})
    statement: dict[str, Any] = {"vulnerability": {"name": vulnerability}, "products": [product], "status": status}
    if status == "not_affected":
        statement["justification"] = "vulnerable_code_not_in_execute_path"
    return {
        "@context": "https://openvex.dev/ns/v0.2.0",
        "@id": f"https://vex.example/{status}/{at}",
        "author": "nginx maintainers",
        "timestamp": at,
        "version": 1,
        "statements": [statement],
    }


def on_file(
    folder: Path,
    exceptions: Sequence[Entry] = (),
    acceptances: Sequence[Entry] = (),
    vex: Sequence[Entry] = (),
    *,
    break_glass: Sequence[Entry] = (),
    policy: Policy | None = None,
    now: datetime = NOW,
) -> Exceptions:
    """The entries and documents, written to files and read back."""
    accepted = folder / "accepted.yaml"
    lists = {"exceptions": exceptions, "acceptances": acceptances, "break_glass": break_glass}
    accepted.write_text(json.dumps({name: list(entries) for name, entries in lists.items()}))
    documents = [folder / f"vex-{number}.json" for number, _ in enumerate(vex)]
    for path, document in zip(documents, vex, strict=True):
        path.write_text(json.dumps(document))
    return Exceptions.load([accepted], documents, policy=policy or Policy(), now=now)


# Time, and sources that are asked again and again


class FakeClock:
    """A clock whose time passes when nobody has anything left to do.

    :ivar slept: the pauses that were slept to their end, in seconds
    """

    def __init__(self) -> None:
        self.time = NOW
        self.slept: list[float] = []

    def now(self) -> datetime:
        return self.time

    @property
    def minutes(self) -> float:
        """Since the beginning."""
        return (self.time - NOW).total_seconds() / 60

    async def sleep(self, seconds: float) -> None:
        for _ in range(100):
            await asyncio.sleep(0)
        self.slept.append(seconds)
        self.time += timedelta(seconds=seconds)


#: What a source says in one round: an observation by the last part of a repository's name.
Round = Mapping[str, Observation] | Exception


class Source:
    """Has one answer for each round, of which the last one holds for ever.

    :param names: under which it speaks
    :ivar asked: about which repositories, round by round
    """

    def __init__(self, names: str, *rounds: Round) -> None:
        self.names = frozenset(names.split())
        self._rounds = list(rounds) or [{}]
        self.asked: list[set[str]] = []

    async def __call__(self, subjects: Collection[Subject]) -> Mapping[Subject, Sequence[Observation]]:
        self.asked.append({_name(subject) for subject in subjects})
        said = self._rounds.pop(0) if len(self._rounds) > 1 else self._rounds[0]
        await asyncio.sleep(0)
        if isinstance(said, Exception):
            raise said
        return {subject: [said[_name(subject)]] for subject in subjects if _name(subject) in said}


def subject_of(name: str, digest: str = AMD64) -> Subject:
    return Subject("registry.azurecr.io", f"quarantine/library/{name}", digest)


def _name(subject: Subject) -> str:
    return subject.repository.rpartition("/")[2]
