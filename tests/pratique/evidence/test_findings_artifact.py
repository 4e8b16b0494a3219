"""Findings artifacts attached to an image: valid ones, beside those that anybody else may have attached."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Literal

import httpx
import pytest

from pratique.azure.session import AzureSession
from pratique.errors import NetworkDenied, NotFound, Throttled, Unavailable
from pratique.evidence import findings_artifact
from pratique.evidence.findings_artifact import SignedStatement, fetch_findings
from pratique.evidence.signature_artifacts import Unusable
from pratique.evidence.signatures.trust import TrustStore
from pratique.evidence.signatures.verify import verify
from pratique.images import ImageReference
from pratique.oci.auth import Authenticator
from pratique.oci.client import OciClient
from sandbox.scenario import Client, DefenderPlan, Scan, Scenario
from sandbox.services.defender.findings_artifact import attach_statement, descriptor, put_blob, put_referrer
from sandbox.services.defender.notation import Signer
from sandbox.services.oci.manifests import IN_TOTO, OCI_EMPTY, OCI_INDEX, OCI_MANIFEST, Manifest
from sandbox.services.oci.store import RegistryStore
from tests.sandbox.defending import FALCO, NAME, REPOSITORY, bring, brought, platforms
from tests.sandbox.registries import add_registry, content

if TYPE_CHECKING:
    from tests.conftest import RunningSandbox, StartSandbox

SIGNATURE = "application/vnd.cncf.notary.signature"
NOON = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
PREDICATE = {"in-toto.io/predicate-type": "https://in-toto.io/attestation/vulns/v0.2"}


class Image:
    """An image that Defender does not scan, and to which tests attach artifacts."""

    def __init__(self, sandbox: RunningSandbox, digest: str) -> None:
        self.sandbox = sandbox
        self.store: RegistryStore = content(sandbox, NAME)
        self.manifest = self.store.manifest(REPOSITORY, digest).manifest
        self.reference = ImageReference(f"{NAME}.azurecr.io", REPOSITORY, digest=digest)
        self._signer = Signer(sandbox.azure.home)

    def artifact(self, statement: bytes = b"{}", *, day: int = 0) -> Manifest:
        """A findings artifact of the usual form."""
        return attach_statement(self.store, REPOSITORY, self.manifest, statement, NOON + timedelta(days=day))

    def attach(self, layers: list[dict[str, Any]], on: Manifest | None = None, **changes: Any) -> Manifest:
        """A findings artifact of any other form, older than those of :meth:`artifact`."""
        body = {
            "schemaVersion": 2,
            "mediaType": OCI_MANIFEST,
            "artifactType": IN_TOTO,
            "config": self.blob(b"{}", OCI_EMPTY),
            "layers": layers,
            "subject": descriptor(on or self.manifest),
            "annotations": PREDICATE,
        }
        return put_referrer(self.store, REPOSITORY, {**body, **changes})

    def sign(
        self, artifact: Manifest, form: Literal["jws", "cose"] = "jws", *, subject: bool = True, old_form: bool = False
    ) -> Manifest:
        """Sign an artifact.

        :param subject: whether the signature names the artifact as its subject; else the registry does not list it
        """
        signed = self._signer.attach_signature(
            self.store, REPOSITORY, artifact, datetime.now(UTC), form, old_form=old_form
        )
        if subject:
            return signed
        body = {name: value for name, value in signed.body.items() if name != "subject"}
        self.store.delete_manifest(REPOSITORY, signed.digest)
        return put_referrer(self.store, REPOSITORY, body)

    def tag_referrers(self, artifact: Manifest, *listed: Manifest, **changes: Any) -> None:
        """List referrers of an artifact under its referrers tag, as Notation does."""
        entries = [
            {name: value for name, value in {**descriptor(one), "artifactType": SIGNATURE, **changes}.items() if value}
            for one in listed
        ]
        index = {"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": entries}
        manifest = Manifest.parse(json.dumps(index).encode(), OCI_INDEX)
        self.store.put_manifest(REPOSITORY, artifact.digest.replace(":", "-"), manifest)

    def blob(self, statement: bytes = b"{}", media_type: str = IN_TOTO) -> dict[str, Any]:
        return put_blob(self.store, REPOSITORY, media_type, statement)

    def lose(self, manifest: Manifest) -> Manifest:
        """Delete the blob that a manifest's layer names."""
        self.store.repository(REPOSITORY).blobs.discard(manifest.layers[0].digest)
        return manifest


@pytest.fixture
async def client(sandbox: RunningSandbox) -> AsyncIterator[OciClient]:
    async with AzureSession.open() as session, httpx.AsyncClient() as http:
        yield OciClient(http, Authenticator(http, entra=session.registry_token))


@pytest.fixture
def sandbox(start_sandbox: StartSandbox) -> RunningSandbox:
    return start_sandbox(Scenario(scans={FALCO: Scan(outcome="never")}))


@pytest.fixture
async def image(sandbox: RunningSandbox) -> Image:
    add_registry(sandbox, NAME)
    return Image(sandbox, (await brought(sandbox))[0])


def statements(found: list[SignedStatement | Unusable]) -> list[bytes]:
    return [item.statement for item in found if isinstance(item, SignedStatement)]


def unusable(found: list[SignedStatement | Unusable]) -> dict[str, str]:
    return {item.digest: item.reason for item in found if isinstance(item, Unusable)}


@pytest.mark.parametrize("form", ["jws", "cose"])
async def test_signed_findings(start_sandbox: StartSandbox, form: Literal["jws", "cose"]) -> None:
    """The statement, the artifact and the signature match, in either envelope."""
    sandbox = start_sandbox(Scenario(defender=DefenderPlan(signature=form)))
    add_registry(sandbox, NAME)
    digest = (await brought(sandbox))[0]
    reference = ImageReference(f"{NAME}.azurecr.io", REPOSITORY, digest=digest)
    async with AzureSession.open() as session, httpx.AsyncClient() as http:
        (signed,) = await fetch_findings(OciClient(http, Authenticator(http, entra=session.registry_token)), reference)
    assert isinstance(signed, SignedStatement)
    assert digest.removeprefix("sha256:").encode() in signed.statement
    (envelope,) = signed.signatures
    assert envelope.media_type == {"jws": "application/jose+json", "cose": "application/cose"}[form]
    trust = TrustStore.load([sandbox.azure.home.directory / "defender-root.pem"], ["*"])
    signer = verify(envelope.content, media_type=envelope.media_type, artifact=signed.artifact, trust=trust)
    assert "Defender for Containers findings" in signer.subject


async def test_nothing_yet(client: OciClient, image: Image) -> None:
    """An image without findings artifacts gives none, whether or not it has other referrers."""
    assert await fetch_findings(client, image.reference) == []
    image.attach([image.blob()], annotations={"in-toto.io/predicate-type": "https://slsa.dev/provenance/v1"})
    image.sign(image.manifest)
    assert await fetch_findings(client, image.reference) == []


async def test_newest_first(client: OciClient, image: Image) -> None:
    """Artifacts are ordered by date; those without a readable date count as the oldest."""
    image.attach([image.blob(b'"undated"')])
    image.attach([image.blob(b'"soon"')], annotations={**PREDICATE, "org.opencontainers.image.created": "soon"})
    for day in (2, 1, 3):
        image.artifact(str(day).encode(), day=day)
    image.attach(
        [image.blob(b'"naive"')], annotations={**PREDICATE, "org.opencontainers.image.created": "2026-11-22T00:00:00"}
    )
    found = statements(await fetch_findings(client, image.reference))
    assert found[:4] == [b"3", b"2", b"1", b'"naive"']
    assert set(found[4:]) == {b'"undated"', b'"soon"'}


async def test_both_envelopes_on_one_artifact(client: OciClient, image: Image) -> None:
    """All signatures are returned, each with its media type."""
    artifact = image.artifact()
    image.sign(artifact, "jws")
    image.sign(artifact, "cose")
    (signed,) = await fetch_findings(client, image.reference)
    assert isinstance(signed, SignedStatement)
    assert {envelope.media_type for envelope in signed.signatures} == {"application/jose+json", "application/cose"}


async def test_malformed_artifacts_hide_nothing(client: OciClient, image: Image) -> None:
    """What can be read of an artifact is read, whatever layers it has; a lost statement is reported as unread."""
    bad = {
        image.attach([image.blob(), image.blob(b"[]")]).digest: {b"{}", b"[]"},
        image.attach([]).digest: {b""},
        image.attach([image.blob(b"text", media_type="text/plain")]).digest: {b"text"},
    }
    lost = image.lose(image.attach([image.blob(b"lost")]))
    artifact = image.artifact(b"good")
    image.sign(artifact)
    found = await fetch_findings(client, image.reference)
    assert statements(found)[0] == b"good"
    flawed: dict[str, set[bytes]] = {}
    for item in found:
        if isinstance(item, SignedStatement) and item.flaw:
            assert "one layer" in item.flaw
            flawed.setdefault(item.artifact.digest, set()).add(item.statement)
    assert flawed == bad
    (unread,) = (item for item in found if isinstance(item, Unusable))
    assert (unread.digest, unread.unread, unread.older) == (lost.digest, True, False)


async def test_many_layers(client: OciClient, image: Image) -> None:
    """The first layers are read, and the artifact is reported as unread for the others."""
    image.attach([image.blob(str(number).encode()) for number in range(6)])
    found = await fetch_findings(client, image.reference)
    assert statements(found) == [b"0", b"1", b"2", b"3"]
    assert ["more than 4 layers" in reason for reason in unusable(found).values()] == [True]


@pytest.mark.parametrize("config", [OCI_EMPTY, "application/vnd.oci.image.config.v1+json", IN_TOTO])
async def test_artifacts_of_other_forms(client: OciClient, image: Image, config: str) -> None:
    """An artifact without a type of its own is found by its annotations, its layer's, or the type of its layer."""
    layer = image.blob(b"found")
    form: dict[str, Any] = {"artifactType": "", "config": image.blob(b"{}", config)}
    labelled: dict[str, Any] = {**layer, "annotations": PREDICATE}
    for attached, labels in ((layer, PREDICATE), (labelled, {}), (layer, {})):
        made = image.attach([attached], annotations=labels, **form)
        (signed,) = await fetch_findings(client, image.reference)
        assert isinstance(signed, SignedStatement)
        assert (signed.statement, signed.flaw) == (b"found", "")
        assert signed.labelled is (PREDICATE in (labels, attached.get("annotations")))
        image.store.delete_manifest(REPOSITORY, made.digest)


async def test_under_the_images_referrers_tag(client: OciClient, image: Image) -> None:
    """An artifact that only the referrers tag lists is found; an unreadable list there is reported as unread."""
    subject = {**descriptor(image.manifest), "digest": "sha256:" + "0" * 64}
    made = image.attach([image.blob(b"tagged")], subject=subject)
    image.tag_referrers(image.manifest, made, artifactType=None)
    (signed,) = await fetch_findings(client, image.reference)
    assert isinstance(signed, SignedStatement)
    assert "subject" in signed.flaw
    tag = image.manifest.digest.replace(":", "-")
    image.sandbox.azure.faults.add(kind="status", status=400, path=f"*/manifests/{tag}", times=None)
    (unread,) = await fetch_findings(client, image.reference)
    assert isinstance(unread, Unusable)
    assert unread.unread
    assert "referrers tag" in unread.reason


async def test_undated_artifacts_are_not_older(
    client: OciClient, image: Image, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a limit leaves out is known to be older only if its date is."""
    monkeypatch.setattr(findings_artifact, "MOST_ARTIFACTS", 1)
    image.artifact(b"new", day=2)
    image.artifact(b"old", day=1)
    for undated in (False, True):
        if undated:
            image.attach([image.blob(b"undated")])
        (left_out,) = (item for item in await fetch_findings(client, image.reference) if isinstance(item, Unusable))
        assert (left_out.unread, left_out.older) == (True, not undated)


async def test_malformed_signatures_hide_nothing(client: OciClient, image: Image) -> None:
    """Each unusable signature is reported, and the valid ones are returned."""
    artifact = image.artifact()
    form: dict[str, Any] = {"on": artifact, "artifactType": SIGNATURE}
    jws = "application/jose+json"
    bad = {
        image.attach([image.blob(b"x", jws), image.blob(b"y", jws)], **form).digest,
        image.attach([image.blob(b"x", "application/pgp-signature")], **form).digest,
        image.attach([image.blob(b"x" * (64 * 1024 + 1), jws)], **form).digest,
        image.lose(image.attach([image.blob(b"lost", jws)], **form)).digest,
    }
    image.sign(artifact)
    found = await fetch_findings(client, image.reference)
    (signed,) = [item for item in found if isinstance(item, SignedStatement)]
    assert len(signed.signatures) == 1
    assert unusable(found).keys() == bad
    assert all(reason.startswith("This signature cannot be read. ") for reason in unusable(found).values())


async def test_limit_of_artifacts(client: OciClient, image: Image, monkeypatch: pytest.MonkeyPatch) -> None:
    """The newest artifacts are read; the older ones are reported as not read."""
    monkeypatch.setattr(findings_artifact, "MOST_ARTIFACTS", 10)
    made = [image.artifact(str(day).encode(), day=day) for day in range(25)]
    before = len(image.sandbox.azure.requests.since())
    found = await fetch_findings(client, image.reference)
    assert statements(found) == [str(day).encode() for day in range(24, 14, -1)]
    assert unusable(found) == {made[14].digest: "It and 14 older findings artifacts are not read."}
    assert len(image.sandbox.azure.requests.since()) - before < 50


async def test_a_flood_of_signatures(client: OciClient, image: Image) -> None:
    """The first sixteen signatures of an artifact are read; its statement stays known, and older ones are read too."""
    image.artifact(b"clean", day=1)
    bad = image.artifact(b"bad", day=2)
    for number in range(17):
        layer = image.blob(str(number).encode(), "application/cose")
        image.attach([layer], on=bad, artifactType=SIGNATURE)
    found = await fetch_findings(client, image.reference)
    assert statements(found) == [b"bad", b"clean"]
    assert "more than 16 signatures" in unusable(found)[bad.digest]
    flooded = next(item for item in found if isinstance(item, SignedStatement))
    assert len(flooded.signatures) == 16


@pytest.mark.parametrize("bound", ["size", "total"])
async def test_a_limit_hides_older_artifacts(
    client: OciClient, image: Image, monkeypatch: pytest.MonkeyPatch, bound: str
) -> None:
    """A limit that leaves out one statement does not make the previous one the latest, and is known as a doubt."""
    image.artifact(b"clean", day=1)
    image.artifact(b"bad" * 10, day=2)
    image.artifact(b"new", day=3)
    monkeypatch.setattr(findings_artifact, "LARGEST_STATEMENT" if bound == "size" else "LARGEST_TOTAL", 20)
    found = await fetch_findings(client, image.reference)
    assert statements(found) == ([b"new", b"bad" * 10] if bound == "total" else [b"new"])
    assert "older findings artifacts are not read" in list(unusable(found).values())[-1]
    assert all(item.unread for item in found if isinstance(item, Unusable))


@pytest.mark.parametrize("place", ["both", "tag", "neither"])
async def test_signature_under_the_referrers_tag(client: OciClient, image: Image, place: str) -> None:
    """A signature that only the referrers tag lists is found, and one that both lists name is read once."""
    artifact = image.artifact()
    if place != "neither":
        signature = image.sign(artifact, subject=place == "both")
        image.tag_referrers(artifact, signature)
    (signed,) = await fetch_findings(client, image.reference)
    assert isinstance(signed, SignedStatement)
    assert len(signed.signatures) == (place != "neither")


async def test_image_under_the_referrers_tag(client: OciClient, image: Image) -> None:
    """An image that somebody pushes under that tag does not hide the signatures that the registry lists."""
    artifact = image.artifact()
    image.sign(artifact)
    image.store.put_manifest(REPOSITORY, artifact.digest.replace(":", "-"), image.manifest)
    (signed,) = await fetch_findings(client, image.reference)
    assert isinstance(signed, SignedStatement)
    assert len(signed.signatures) == 1


async def test_signature_of_the_older_form(client: OciClient, image: Image) -> None:
    """A signature whose type stands only in its configuration is found, even if the registry lists no type for it."""
    artifact = image.artifact()
    image.sign(artifact, old_form=True)
    (signed,) = await fetch_findings(client, image.reference)
    assert isinstance(signed, SignedStatement)
    assert len(signed.signatures) == 1
    other = image.artifact(b"other", day=1)
    signature = image.sign(other, old_form=True, subject=False)
    image.tag_referrers(other, signature, artifactType=None)
    newest = (await fetch_findings(client, image.reference))[0]
    assert isinstance(newest, SignedStatement)
    assert len(newest.signatures) == 1


async def test_missing_image(client: OciClient, image: Image) -> None:
    """A missing image is not mistaken for one without artifacts."""
    with pytest.raises(NotFound, match="no such image"):
        await fetch_findings(client, image.reference.at("sha256:" + "0" * 64))
    await asyncio.to_thread(image.store.delete_repository, REPOSITORY)
    with pytest.raises(NotFound):
        await fetch_findings(client, image.reference)


async def test_unreachable_registry(start_sandbox: StartSandbox) -> None:
    """An unreachable registry raises an error; it does not look like an image without findings."""
    sandbox = start_sandbox(Scenario(client=Client(private_links=frozenset())))
    add_registry(sandbox, NAME, publicNetworkAccess="Disabled")
    digest = platforms(sandbox, await bring(sandbox))[0]
    async with AzureSession.open() as session, httpx.AsyncClient() as http:
        blind = OciClient(http, Authenticator(http, entra=session.registry_token))
        with pytest.raises(NetworkDenied):
            await fetch_findings(blind, ImageReference(f"{NAME}.azurecr.io", REPOSITORY, digest=digest))


@pytest.mark.parametrize(("status", "error"), [(503, Unavailable), (429, Throttled)])
@pytest.mark.parametrize("place", ["referrers of the image", "manifest", "statement", "signatures", "envelope"])
async def test_transient_errors(
    client: OciClient, image: Image, place: str, status: int, error: type[Exception]
) -> None:
    """A transient error is raised wherever it happens, and the next attempt succeeds."""
    artifact = image.artifact(json.dumps({"at": place}).encode())
    signature = image.sign(artifact)
    path = {
        "referrers of the image": f"*/referrers/{image.manifest.digest}",
        "manifest": f"*/manifests/{artifact.digest}",
        "statement": f"*/blobs/{artifact.layers[0].digest}",
        "signatures": f"*/referrers/{artifact.digest}",
        "envelope": f"*/blobs/{signature.layers[0].digest}",
    }[place]
    image.sandbox.azure.faults.add(kind="status", status=status, path=path)
    with pytest.raises(error):
        await fetch_findings(client, image.reference)
    assert len(statements(await fetch_findings(client, image.reference))) == 1
