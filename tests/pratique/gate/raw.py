"""A gate from end to end, in memory: raw rows, attestations, reports, files and an index in, a verdict out."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from functools import cache, partial
from pathlib import Path
from typing import Any

import httpx
from cryptography import x509

from pratique.errors import UnreadableAnswer
from pratique.evidence.attestations import AttachedStatements
from pratique.evidence.attribution import observations, parse_row
from pratique.evidence.findings_artifact import (
    CREATED_ANNOTATION,
    IN_TOTO,
    LARGEST_STATEMENT,
    PREDICATE_ANNOTATION,
    VULNERABILITIES,
)
from pratique.evidence.parsers.assessment import Unassessed
from pratique.evidence.parsers.grype import from_grype
from pratique.evidence.parsers.recommendation import from_recommendation
from pratique.evidence.parsers.trivy import from_trivy
from pratique.evidence.signatures.envelope import ARTIFACT_TYPE
from pratique.findings import Severity
from pratique.gate.evaluate import evaluate_image
from pratique.gate.evidence import Observation, SourceStatus, Subject
from pratique.gate.policy import FINDINGS_ARTIFACT, RECOMMENDATIONS, Policy
from pratique.gate.rules import Rules, Wait
from pratique.gate.verdict import ImageVerdict
from pratique.images import Descriptor, ImageReference, digest_of
from pratique.oci.media_types import OCI_CONFIG, OCI_INDEX, OCI_MANIFEST
from tests.pratique.evidence.parsers import test_grype as grypes
from tests.pratique.evidence.parsers import test_trivy as trivies
from tests.pratique.evidence.parsers.mutations import DIGEST as SCANNED
from tests.pratique.evidence.signatures.authority import JWS, LEAF, ROOT, TRUST, Draft, key
from tests.pratique.gate.kit import NOW, Entry, FakeClock, on_file
from tests.pratique.oci.in_memory import client_of, registry_client

HOST, REPOSITORY = "acraks.azurecr.io", "quarantine/library/nginx"
TAGGED = ImageReference("docker.io", "library/nginx", "1.27")
AMD64, ARM64, UNKNOWN = (
    {"os": os, "architecture": name} for os, name in (("linux", "amd64"), ("linux", "arm64"), ("unknown", "unknown"))
)
SOURCES = frozenset({RECOMMENDATIONS, FINDINGS_ARTIFACT, "trivy", "grype"})


def blob_of(value: Any) -> bytes:
    return value if isinstance(value, bytes) else json.dumps(value).encode()


IMAGE = {
    "schemaVersion": 2,
    "mediaType": OCI_MANIFEST,
    "config": {"mediaType": OCI_CONFIG, "digest": digest_of(blob_of(AMD64)), "size": len(blob_of(AMD64))},
    "layers": [],
}
DIGEST = digest_of(blob_of(IMAGE))
#: Another image in the same repository, which nobody has assessed.
UNASSESSED = {**IMAGE, "annotations": {"assessed": "never"}}
ENTRY: Entry = {"mediaType": OCI_MANIFEST, "digest": DIGEST, "size": len(blob_of(IMAGE)), "platform": AMD64}


def _scanner(statement: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = statement["predicate"]["scanner"]
    return found


#: Statements that are not of the usual form.
STATEMENTS: Mapping[str, Callable[[dict[str, Any]], object]] = {
    "elsewhere": lambda statement: statement["subject"][0].update(name="other.example.com/app"),
    "filtered": lambda statement: statement["predicate"].update(invocation={"parameters": ["-s", "LOW"]}),
    "old database": lambda statement: _scanner(statement).update(db={"lastUpdate": "2020-01-01T00:00:00Z"}),
    "no date": lambda statement: statement["predicate"].pop("metadata"),
    "no scanner": lambda statement: _scanner(statement).pop("uri"),
    "no identifier": lambda statement: _scanner(statement)["result"].append({"severity": []}),
    "odd subject": lambda statement: statement["subject"].append({"name": "x"}),
    "version": lambda statement: statement.update(predicateType="https://in-toto.io/attestation/vulns/v0.1"),
}
#: Forms of artifacts and of lists of them.
FORMS = [
    "",
    *STATEMENTS,
    "listed without type",
    "listed without annotations",
    "tagged",
    "unlabelled",
    "two layers",
    "bare",
]


@dataclass(frozen=True)
class Attested:
    """An attestation in the registry.

    :ivar hours: since its scan, and since it was attached
    :ivar results: vulnerabilities with their severities
    :ivar signer: ``trusted``, ``stranger`` or empty
    :ivar content: instead of the statement
    :ivar lost: whether the registry no longer has the statement
    :ivar huge: whether it is larger than what is read
    :ivar form: how it differs from the usual form, one of :data:`FORMS`; empty when it does not
    """

    hours: int
    results: tuple[tuple[str, str], ...] = ()
    signer: str = "trusted"
    content: bytes | None = None
    lost: bool = False
    huge: bool = False
    form: str = ""

    def statement(self) -> bytes:
        if self.content is not None:
            return self.content
        ended = (NOW - timedelta(hours=self.hours)).isoformat()
        results = [
            {"id": name, "severity": [{"method": "MDVM", "score": severity}], "annotations": []}
            for name, severity in self.results
        ]
        scanner: dict[str, Any] = {"uri": "https://mdvm.example", "db": {"lastUpdate": ended}, "result": results}
        predicate = {"scanner": scanner, "metadata": {"scanFinishedOn": ended}}
        statement = {
            "_type": "https://in-toto.io/Statement/v1",
            "subject": [{"digest": {"sha256": DIGEST.removeprefix("sha256:")}}],
            "predicateType": VULNERABILITIES,
            "predicate": predicate,
        }
        if self.form in STATEMENTS:
            STATEMENTS[self.form](statement)
        return blob_of(statement)


@cache
def strangers_chain() -> tuple[x509.Certificate, ...]:
    root = replace(ROOT, name="other", issuer="other").make(key("other root"), key("other root"))
    return replace(LEAF, issuer="other").make(key("stranger"), key("other root")), root


@dataclass
class Registry:
    """Manifests, blobs and referrers in memory."""

    manifests: dict[str, tuple[str, bytes]] = field(default_factory=dict)
    blobs: dict[str, bytes] = field(default_factory=dict)
    referrers: dict[str, list[Mapping[str, Any]]] = field(default_factory=dict)

    def push(self, document: Any, media_type: str = OCI_MANIFEST) -> Descriptor:
        content = blob_of(document)
        self.manifests[digest_of(content)] = (media_type, content)
        return Descriptor(media_type, digest_of(content), len(content))

    def attach(
        self,
        subject: str,
        layer: Mapping[str, Any],
        artifact_type: str,
        annotations: Mapping[str, str],
        form: str = "",
    ) -> Descriptor:
        about: dict[str, Any] = {"artifactType": artifact_type, "annotations": annotations}
        if form == "bare":
            del about["artifactType"]
        if form == "unlabelled":
            about["annotations"] = {name: text for name, text in annotations.items() if name == CREATED_ANNOTATION}
        layers = [layer] * (2 if form == "two layers" else 1)
        pushed = self.push({"subject": {"digest": subject}, "layers": layers, "mediaType": OCI_MANIFEST, **about})
        listed = {"mediaType": pushed.media_type, "digest": pushed.digest, "size": pushed.size, **about}
        hidden = {"listed without type": "artifactType", "listed without annotations": "annotations"}.get(form)
        entry = {name: value for name, value in listed.items() if name != hidden}
        self.referrers.setdefault(subject.replace(":", "-") if form == "tagged" else subject, []).append(entry)
        return pushed

    def layer(self, content: bytes, media_type: str) -> dict[str, Any]:
        self.blobs[digest_of(content)] = content
        return {"mediaType": media_type, "digest": digest_of(content), "size": len(content)}

    def attest(self, one: Attested) -> None:
        layer = self.layer(one.statement(), IN_TOTO)
        if one.lost:
            del self.blobs[layer["digest"]]
        if one.huge:
            layer["size"] = LARGEST_STATEMENT + 1
        created = (NOW - timedelta(hours=one.hours)).isoformat()
        named = {PREDICATE_ANNOTATION: VULNERABILITIES, CREATED_ANNOTATION: created}
        artifact = self.attach(DIGEST, layer, IN_TOTO, named, one.form)
        if one.signer:
            target = {"mediaType": artifact.media_type, "digest": artifact.digest, "size": artifact.size}
            draft = Draft(payload={"targetArtifact": target})
            if one.signer == "stranger":
                draft = replace(draft, private=key("stranger"), chain=strangers_chain())
            self.attach(artifact.digest, self.layer(draft.write(JWS), JWS), ARTIFACT_TYPE, {})

    def lose(self, number: int) -> None:
        """Lose a manifest or a blob of what is attached to the image, in the order in which they came."""
        own = {digest_of(blob_of(IMAGE)), digest_of(blob_of(AMD64))}
        parts = [digest for digest in (*self.manifests, *self.blobs) if digest not in own]
        if parts:
            lost = parts[number % len(parts)]
            self.manifests.pop(lost, None)
            self.blobs.pop(lost, None)

    def __call__(self, request: httpx.Request) -> httpx.Response:
        kind, name = request.url.path.rsplit("/", 2)[1:]
        if kind == "referrers":
            return httpx.Response(200, json={"manifests": self.referrers.get(name, [])})
        if kind == "manifests" and name.startswith("sha256-") and name in self.referrers:
            document = {"manifests": self.referrers[name]}
            return httpx.Response(200, headers={"Content-Type": OCI_INDEX}, json=document)
        if kind == "manifests" and name in self.manifests:
            media_type, content = self.manifests[name]
            return httpx.Response(200, headers={"Content-Type": media_type}, content=content)
        if kind == "blobs" and name in self.blobs:
            return httpx.Response(200, content=self.blobs[name])
        return httpx.Response(404)


@dataclass(frozen=True)
class Raw:
    """Everything that a verdict is made from, as others wrote it.

    :ivar entries: of the image's index
    :ivar reports: of Trivy and Grype; a name without one could not be asked
    :ivar nested: an index below it, as content
    :ivar lost: which part of what is attached the registry lists and does not have
    """

    entries: tuple[Entry, ...] = (ENTRY,)
    attested: tuple[Attested, ...] = ()
    rows: tuple[Mapping[str, Any], ...] = ()
    reports: Mapping[str, tuple[Any, ...]] = field(default_factory=dict)
    vex: tuple[Entry, ...] = ()
    exceptions: tuple[Entry, ...] = ()
    acceptances: tuple[Entry, ...] = ()
    policy: Policy = field(default_factory=Policy)
    nested: tuple[Any, ...] = ()
    lost: int | None = None

    async def verdict(self) -> ImageVerdict | None:
        """``None`` when the image is refused before anybody asks about it."""
        registry = Registry()
        registry.push(IMAGE)
        registry.push(UNASSESSED)
        registry.layer(blob_of(AMD64), OCI_CONFIG)
        for content in self.nested:
            registry.push(content, OCI_INDEX)
        for one in self.attested:
            registry.attest(one)
        if self.lost is not None:
            registry.lose(self.lost)
        index = registry.push({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": self.entries}, OCI_INDEX)
        async with client_of(registry) as http:
            client = registry_client(http)
            try:
                image = await client.resolve(ImageReference(HOST, REPOSITORY, digest=index.digest))
            except UnreadableAnswer:
                return None
            subjects = [Subject(HOST, REPOSITORY, manifest.digest) for manifest in image.platforms]
            attached = await AttachedStatements(client, {FINDINGS_ARTIFACT: TRUST}, FakeClock(), self.policy)(subjects)
        parsed = [parse_row(row, partial(from_recommendation, source=RECOMMENDATIONS)) for row in self.rows]
        rows = observations(RECOMMENDATIONS, parsed, subjects)
        evidence = {
            subject.digest: [*attached[subject], rows[subject], *self._scanned(subject.digest)] for subject in subjects
        }
        with tempfile.TemporaryDirectory() as folder:
            held = on_file(Path(folder), self.exceptions, self.acceptances, self.vex, policy=self.policy)
        rules = Rules(policy=self.policy, platforms=("linux/amd64",), sources=SOURCES, exceptions=held)
        long_ago = NOW - timedelta(days=1)
        wait = Wait(at=NOW, since=long_ago, started=long_ago, patience=1, deadline=1)
        return evaluate_image(replace(image, reference=TAGGED), evidence, rules, wait)

    async def passes(self) -> bool:
        verdict = await self.verdict()
        return verdict is not None and verdict.state.passes

    def _scanned(self, digest: str) -> list[Observation]:
        return [_observed(name, self.reports.get(name), digest) for name in ("trivy", "grype")]


def _observed(name: str, documents: Sequence[Any] | None, digest: str) -> Observation:
    """As :class:`pratique.evidence.scanners.CommandScanner`, whose database knows every distribution."""
    if documents is None:
        return Observation(source=name, status=SourceStatus.NOTHING)
    content = b"\n".join(map(blob_of, documents)).replace(SCANNED.encode(), digest.encode())
    try:
        found = (
            from_trivy(content, digest=digest, source=name, database_at=NOW - timedelta(hours=9))
            if name == "trivy"
            else from_grype(content, digest=digest, source=name)
        )
    except UnreadableAnswer:
        return Observation(source=name, status=SourceStatus.UNREADABLE)
    findings = frozenset(found.findings)
    if isinstance(found, Unassessed):
        return Observation(source=name, status=SourceStatus.NOTHING, findings=findings)
    return Observation(
        source=name,
        status=SourceStatus.ASSESSED,
        findings=findings,
        at=found.scanned_at,
        database_at=found.database_at,
    )


def trivy_report(*found: tuple[str, str], ignored: Sequence[tuple[str, str]] = ()) -> tuple[Any, ...]:
    """:param found: vulnerabilities with their severities
    :param ignored: those that a rule of the user's own hides"""
    listed, hidden = (
        [trivies.vulnerability(VulnerabilityID=name, Severity=severity) for name, severity in some]
        for some in (found, ignored)
    )
    modified = [{"Type": "vulnerability", "Status": "ignored", "Finding": finding} for finding in hidden]
    result = trivies.result(Vulnerabilities=listed, ExperimentalModifiedFindings=modified)
    return (trivies.report(Results=[result]),)


def grype_report(*found: tuple[str, str], ignored: Sequence[tuple[str, str]] = ()) -> tuple[Any, ...]:
    """As :func:`trivy_report`."""
    listed, hidden = (
        [grypes.match(id=name, severity=severity) for name, severity in some] for some in (found, ignored)
    )
    hidden = [{**match, "appliedIgnoreRules": [{"vulnerability": match["vulnerability"]["id"]}]} for match in hidden]
    return (grypes.report(matches=listed, ignoredMatches=hidden), grypes.packages())


REPORTS = {"trivy": trivy_report, "grype": grype_report}
SEVERITIES = [severity.label for severity in Severity]
