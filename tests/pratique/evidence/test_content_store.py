"""Contents of attestations that are kept on disk: they save downloads, and change no observation."""

from __future__ import annotations

import asyncio
import hashlib
import json
import sqlite3
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pratique.evidence import content_store
from pratique.evidence.attestations import AttachedStatements
from pratique.evidence.content_store import ContentStore, cache_file
from pratique.evidence.signatures import chain
from pratique.evidence.signatures.identities import parse_identities
from pratique.evidence.signatures.trust import NOBODY, TrustStore
from pratique.gate.evidence import Observation, SourceStatus, Subject
from pratique.gate.policy import FINDINGS_ARTIFACT
from pratique.images import ImageReference, digest_of
from tests.pratique.evidence.signatures.authority import (
    ANYBODY,
    COSE,
    DAY,
    EXPIRY,
    JWS,
    LEAF,
    NOW,
    ROOT,
    TRUST,
    Draft,
    key,
    root,
)
from tests.pratique.oci.in_memory import client_of, registry_client

HOST, REPOSITORY = "registry.example", "live/library/app"
MANIFEST, INDEX = "application/vnd.oci.image.manifest.v1+json", "application/vnd.oci.image.index.v1+json"
IN_TOTO, SIGNATURE = "application/vnd.in-toto+json", "application/vnd.cncf.notary.signature"
PREDICATE = "https://in-toto.io/attestation/vulns/v0.2"
OTHER_ROOT = ROOT.make(key("other root"), key("other root"))
OTHER_LEAF = LEAF.make(key("other leaf"), key("other root"))
EXPIRED_LEAF = LEAF.__class__("signer", ends=NOW - timedelta(minutes=30)).make(key("leaf"), key("root"))
OTHERS = TrustStore((OTHER_ROOT,), ANYBODY)
STORES = [
    TRUST,
    OTHERS,
    TrustStore((root(), OTHER_ROOT), ANYBODY),
    TrustStore((root(),), parse_identities(["x509.subject: CN=nobody,O=none,ST=none,C=US"])),
    NOBODY,
    None,
]
MINUTE = timedelta(minutes=1)
#: Before everything; now; after an expired certificate; after the expiry of a signature; after every certificate.
TIMES = [NOW - 2 * DAY, NOW - 45 * MINUTE, NOW, NOW + 3 * MINUTE, NOW + timedelta(hours=3), NOW + 2 * DAY]
BROKEN = ["", "payload", "signature", "chain", "expired", "expiring", "other"]


@dataclass(frozen=True)
class At:
    """A clock that stands still."""

    moment: datetime

    def now(self) -> datetime:
        return self.moment

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(0)


@dataclass(frozen=True)
class Attestation:
    """A statement and its signature.

    :ivar signed: form of the envelope; empty for none
    :ivar flaw: what is wrong with the signature; one of ``BROKEN``
    :ivar findings: severities of what it reports
    """

    signed: str = JWS
    flaw: str = ""
    findings: tuple[str, ...] = ()
    hours: int = 1


@dataclass
class InMemory:
    """A registry with one image.

    :ivar requested: last part of the path of each request
    """

    contents: dict[str, tuple[bytes, str]] = field(default_factory=dict)
    referrers: dict[str, list[Mapping[str, object]]] = field(default_factory=dict)
    requested: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.subject = Subject(HOST, REPOSITORY, self.put(b'{"schemaVersion": 2}')[0])

    def put(self, content: bytes, media_type: str = MANIFEST) -> tuple[str, int]:
        digest = f"sha256:{hashlib.sha256(content).hexdigest()}"
        self.contents[digest] = (content, media_type)
        return digest, len(content)

    def attach(self, attestation: Attestation) -> str:
        """Attach an attestation to the image; returns the digest of its artifact."""
        at = (NOW - timedelta(hours=attestation.hours)).isoformat()
        annotations = {"in-toto.io/predicate-type": PREDICATE, "org.opencontainers.image.created": at}
        layer = self._descriptor(IN_TOTO, self.put(_statement(self.subject, attestation, at)))
        artifact = self._refer(self.subject.digest, IN_TOTO, layer, annotations)
        if attestation.signed:
            envelope = self.put(_draft(attestation, artifact).write(attestation.signed))
            self._refer(str(artifact["digest"]), SIGNATURE, self._descriptor(attestation.signed, envelope), {})
        return str(artifact["digest"])

    def _refer(
        self, subject: str, kind: str, layer: Mapping[str, object], annotations: Mapping[str, str]
    ) -> dict[str, object]:
        manifest = {
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "artifactType": kind,
            "config": self._descriptor("application/vnd.oci.empty.v1+json", self.put(b"{}")),
            "layers": [layer],
            "subject": {"mediaType": MANIFEST, "digest": subject, "size": 20},
            "annotations": annotations,
        }
        descriptor = self._descriptor(MANIFEST, self.put(json.dumps(manifest).encode()))
        listed = descriptor | {"artifactType": kind, "annotations": annotations}
        self.referrers.setdefault(subject, []).append(listed)
        return descriptor

    def _descriptor(self, media_type: str, put: tuple[str, int]) -> dict[str, object]:
        return {"mediaType": media_type, "digest": put[0], "size": put[1]}

    def answer(self, request: httpx.Request) -> httpx.Response:
        name = request.url.path.rpartition("/")[2]
        self.requested.append(name)
        if "/referrers/" in request.url.path:
            index = {"schemaVersion": 2, "mediaType": INDEX, "manifests": self.referrers.get(name, [])}
            return httpx.Response(200, json=index, headers={"Content-Type": INDEX})
        if name not in self.contents:
            return httpx.Response(404, json={"errors": [{"code": "MANIFEST_UNKNOWN", "message": "unknown"}]})
        content, media_type = self.contents[name]
        return httpx.Response(200, content=content, headers={"Content-Type": media_type})

    async def observe(
        self, trusted: TrustStore | None, at: datetime = NOW, store: ContentStore | None = None
    ) -> Observation:
        """What a new process observes that has only what is in the store."""
        async with client_of(self.answer) as http:
            source = AttachedStatements(registry_client(http), {FINDINGS_ARTIFACT: trusted}, At(at), store=store)
            ((observation,),) = (await source([self.subject])).values()
        return observation


def _statement(subject: Subject, attestation: Attestation, at: str) -> bytes:
    results = [
        {
            "id": f"CVE-2026-{number}",
            "severity": [{"method": "MDVM", "score": severity}],
            "annotations": [{"packageName": "openssl", "packageType": "OS", "installedVersion": "3"}],
        }
        for number, severity in enumerate(attestation.findings)
    ]
    scanner = {"uri": "https://scanner.example", "version": "1", "db": {"lastUpdate": at}, "result": results}
    predicate = {"scanner": scanner, "metadata": {"scanStartedOn": at, "scanFinishedOn": at}}
    named = {"name": f"{HOST}/{REPOSITORY}", "digest": {"sha256": subject.digest.removeprefix("sha256:")}}
    statement = {"_type": "https://in-toto.io/Statement/v1", "subject": [named], "predicateType": PREDICATE}
    return json.dumps(statement | {"predicate": predicate}).encode()


def _draft(attestation: Attestation, artifact: Mapping[str, object]) -> Draft:
    """A signature with the attestation's flaw."""
    draft = Draft(payload={"targetArtifact": dict(artifact)})
    if attestation.flaw == "payload":
        draft.payload = {"targetArtifact": dict(artifact) | {"digest": "sha256:" + "0" * 64}}
    elif attestation.flaw == "signature":
        draft.private = key("somebody else's")
    elif attestation.flaw == "chain":
        draft.chain = (OTHER_LEAF, root())
    elif attestation.flaw == "expired":
        draft.chain = (EXPIRED_LEAF, root())
    elif attestation.flaw == "expiring":
        draft.headers = {EXPIRY: NOW + timedelta(hours=1)}
        draft.critical = ("io.cncf.notary.signingScheme", EXPIRY)
    elif attestation.flaw == "other":
        draft.chain, draft.private = (OTHER_LEAF, OTHER_ROOT), key("other leaf")
    return draft


ATTESTATIONS = st.lists(
    st.builds(
        Attestation,
        signed=st.sampled_from([JWS, JWS, COSE, ""]),
        flaw=st.sampled_from(BROKEN),
        findings=st.lists(st.sampled_from(["Low", "Critical", "", "odd"]), max_size=2).map(tuple),
        hours=st.integers(1, 40),
    ),
    max_size=3,
)


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One file for all examples: each finds what earlier ones left."""
    return tmp_path_factory.mktemp("kept") / "attestations.sqlite"


@given(
    attached=ATTESTATIONS,
    looks=st.lists(st.tuples(st.sampled_from(STORES), st.sampled_from(TIMES)), min_size=2, max_size=4),
)
def test_every_observation_is_the_same_with_what_is_kept(
    kept: Path, attached: Sequence[Attestation], looks: Sequence[tuple[TrustStore | None, datetime]]
) -> None:
    """Under any trust store, at any time, in any order, whatever this process and earlier ones have verified before."""

    async def look() -> None:
        registry = InMemory()
        signed = [(registry.attach(attestation), attestation) for attestation in attached]
        for trusted, at in looks:
            with ContentStore.open(kept) as store:
                reused = [await registry.observe(trusted, at, store) for _ in range(2)]
            chain._check_signing_chain.cache_clear()
            anew = await registry.observe(trusted, at)
            assert reused == [anew, anew]
            proven = {digest for digest, attestation in signed if _counts(attestation, trusted, at)}
            assert set(anew.rejected) == {digest for digest, _ in signed} - proven
            assert (anew.status is SourceStatus.ASSESSED) == bool(proven)

    asyncio.run(look())


def _counts(attestation: Attestation, trusted: TrustStore | None, at: datetime) -> bool:
    """Whether its signature has to count."""
    if trusted is None:
        return True
    issuer = OTHER_ROOT if attestation.flaw == "other" else root()
    ends = {"expired": NOW - timedelta(minutes=30), "expiring": NOW + timedelta(hours=1)}.get(attestation.flaw)
    return (
        bool(attestation.signed)
        and attestation.flaw not in ("payload", "signature", "chain")
        and issuer in trusted.anchors
        and trusted.identities == ANYBODY
        and NOW - DAY < at < (ends or NOW + DAY)
    )


async def test_a_known_attestation_is_listed_and_verified_but_not_downloaded(tmp_path: Path) -> None:
    """A new process asks for the lists of referrers, and for nothing else. What is new since then is downloaded."""
    registry = InMemory()
    artifact = registry.attach(Attestation())
    with ContentStore.open(tmp_path / "kept") as store:
        first = await registry.observe(TRUST, store=store)
    asked = set(registry.requested)
    registry.requested.clear()
    with ContentStore.open(tmp_path / "kept") as store:
        assert await registry.observe(TRUST, store=store) == first
    lists = {registry.subject.digest, artifact}
    tags = {digest.replace(":", "-") for digest in lists}
    assert lists <= set(registry.requested) <= lists | tags < asked
    registry.attach(Attestation(findings=("Critical",), hours=0))
    with ContentStore.open(tmp_path / "kept") as store:
        (finding,) = (await registry.observe(TRUST, store=store)).findings
    assert finding.vulnerability == "CVE-2026-0"


@pytest.mark.parametrize(
    ("changed", "at"),
    [(OTHERS, NOW), (NOBODY, NOW), (STORES[3], NOW), (TRUST, NOW + 2 * DAY)],
    ids=["another root", "no root", "another identity", "an expired certificate"],
)
async def test_a_change_of_trust_or_time_ends_a_proof(tmp_path: Path, changed: TrustStore, at: datetime) -> None:
    """Also in the process that has verified the same bytes, and back again."""
    registry = InMemory()
    registry.attach(Attestation())
    with ContentStore.open(tmp_path / "kept") as store:
        assert (await registry.observe(TRUST, store=store)).status is SourceStatus.ASSESSED
        after = await registry.observe(changed, at, store)
        assert (after.status, len(after.rejected)) == (SourceStatus.NOTHING, 1)
        assert (await registry.observe(TRUST, store=store)).status is SourceStatus.ASSESSED


async def test_an_attestation_that_is_no_longer_listed_proves_nothing(tmp_path: Path) -> None:
    registry = InMemory()
    registry.attach(Attestation())
    with ContentStore.open(tmp_path / "kept") as store:
        assert (await registry.observe(TRUST, store=store)).status is SourceStatus.ASSESSED
        registry.referrers[registry.subject.digest].clear()
        assert (await registry.observe(TRUST, store=store)).status is SourceStatus.NOTHING


async def test_whoever_writes_the_file_cannot_forge_a_statement(tmp_path: Path) -> None:
    """Other bytes under a known digest are dropped, and downloaded."""
    registry, path = InMemory(), tmp_path / "kept"
    registry.attach(Attestation(findings=("Critical",)))
    with ContentStore.open(path) as store:
        honest = await registry.observe(TRUST, store=store)
    forged = _statement(registry.subject, Attestation(), NOW.isoformat())
    database = sqlite3.connect(path)
    for content in (forged, b"", "text", 7, None):
        database.execute("PRAGMA ignore_check_constraints = ON")
        database.execute("UPDATE OR IGNORE contents SET content = ?", (content,))
        database.commit()
        with ContentStore.open(path) as store:
            assert await registry.observe(TRUST, store=store) == honest
    database.close()


async def test_a_manifest_without_its_own_type_is_not_kept(tmp_path: Path) -> None:
    """Only the registry's answer says what it is, and the signature covers that."""
    content = b'{"schemaVersion": 2}'
    registry = InMemory()
    async with client_of(registry.answer) as http:
        client = registry_client(http)
        reference = ImageReference(HOST, REPOSITORY, digest=digest_of(content))
        with ContentStore.open(tmp_path / "kept") as store:
            found = await content_store.fetch_manifest(client, reference, store)
            assert (found.media_type, store.get(found.digest)) == (MANIFEST, None)


@pytest.mark.parametrize("damage", [b"not a database", b"", b"SQLite format 3\x00" + b"\xff" * 5000])
def test_a_damaged_file_is_replaced(tmp_path: Path, damage: bytes) -> None:
    """Nothing but the downloads is lost."""
    path = tmp_path / "kept"
    path.write_bytes(damage)
    with ContentStore.open(path) as store:
        store.add(digest_of(b"content"), b"content")
    with ContentStore.open(path) as store:
        assert store.get(digest_of(b"content")) == b"content"


def test_without_a_usable_folder_nothing_is_kept(tmp_path: Path) -> None:
    """As where the file system is read-only: nothing fails."""
    (tmp_path / "file").write_text("")
    with ContentStore.open(tmp_path / "file" / "kept") as store:
        store.add(digest_of(b"content"), b"content")
        assert store.get(digest_of(b"content")) is None


def test_runs_share_the_file_and_wait_for_no_lock(tmp_path: Path) -> None:
    """What one run keeps another finds; while another run writes, nothing is kept, and nothing waits."""
    path = tmp_path / "kept"
    with ContentStore.open(path) as one, ContentStore.open(path) as other:
        one.add(digest_of(b"first"), b"first")
        assert other.get(digest_of(b"first")) == b"first"
        writer = sqlite3.connect(path)
        writer.execute("BEGIN IMMEDIATE")
        other.add(digest_of(b"second"), b"second")
        assert (other.get(digest_of(b"first")), other.get(digest_of(b"second"))) == (b"first", None)
        with ContentStore.open(path) as third:
            assert third.get(digest_of(b"first")) == b"first"
        writer.close()


def test_the_file_stays_small(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Large contents are not kept, nor what has no room; what nobody used for long is dropped."""
    path, large = tmp_path / "kept", b"x" * (content_store.LARGEST + 1)
    with ContentStore.open(path) as store:
        store.add(digest_of(large), large)
        assert store.get(digest_of(large)) is None
        store.add(digest_of(b"old"), b"old")
    monkeypatch.setattr(content_store, "LARGEST_TOTAL", 1)
    with ContentStore.open(path) as store:
        store.add(digest_of(b"more"), b"more")
        assert (store.get(digest_of(b"old")), store.get(digest_of(b"more"))) == (b"old", None)
    database = sqlite3.connect(path)
    database.execute("UPDATE contents SET used = used - ?", (content_store.KEPT + 1,))
    database.commit()
    database.close()
    with ContentStore.open(path) as store:
        assert store.get(digest_of(b"old")) is None


def test_only_the_user_can_read_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nor what SQLite writes beside it."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    with ContentStore.open() as store:
        store.add(digest_of(b"content"), b"content")
        assert {
            file.stat().st_mode & 0o077 for file in (tmp_path / "pratique", *(tmp_path / "pratique").iterdir())
        } == {0}


def test_a_file_that_is_damaged_while_it_is_open_is_dropped(tmp_path: Path) -> None:
    """The run goes on without it, and the next one starts a new one."""
    path = tmp_path / "kept"
    with ContentStore.open(path) as store:
        for number in range(2000):
            store.add(digest_of(str(number).encode()), str(number).encode())
    with path.open("r+b") as file:
        file.seek(4096)
        file.write(b"\xff" * 100_000)
    with ContentStore.open(path) as store:
        assert [store.get(digest_of(str(number).encode())) for number in range(2000)] == [None] * 2000
    with ContentStore.open(path) as store:
        store.add(digest_of(b"content"), b"content")
        assert store.get(digest_of(b"content")) == b"content"


def test_a_user_without_a_home_keeps_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """As in a container with another user than its image's."""
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setattr(Path, "expanduser", lambda self: (_ for _ in ()).throw(RuntimeError("no home")))
    with ContentStore.open() as store:
        store.add(digest_of(b"content"), b"content")
        assert store.get(digest_of(b"content")) is None


def test_place(monkeypatch: pytest.MonkeyPatch) -> None:
    """The usual folder for caches; a relative one is ignored, as the XDG specification demands."""
    monkeypatch.setenv("HOME", "/home/worker")
    for configured, folder in (("/cache", "/cache"), ("cache", "/home/worker/.cache"), ("", "/home/worker/.cache")):
        monkeypatch.setenv("XDG_CACHE_HOME", configured)
        assert cache_file() == Path(folder, "pratique", "attestations.sqlite")
