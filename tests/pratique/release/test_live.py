"""``live/`` is looked at, with everything below a digest, and nothing else is taken for an image that is there.

Over TLS, against the local Azure.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

import httpx
import pytest

from pratique.azure.registries import Registry, get_registry, oci_client
from pratique.azure.session import AzureSession
from pratique.errors import (
    ConfigurationError,
    Conflict,
    GateBlocked,
    NotFound,
    NotReplicated,
    OperationFailed,
    Unavailable,
)
from pratique.gate.clearance import PromotionClearance
from pratique.images import ImageReference, ImportedImage, LiveImage, ResolvedImage, UnresolvedReference
from pratique.manifests.images import Pin
from pratique.oci.client import OciClient
from pratique.release.contents import manifests_below
from pratique.release.live import require_known_digests, require_live
from pratique.release.promotion import promote, quarantine, resolve
from pratique.replicas import RegionalServer, Replication
from pratique.rescan.proposals import branch_name, propose
from sandbox.replicas import Replicas
from sandbox.scenario import Client, Scenario
from sandbox.services.acr.regions import REPLICATION_TYPE
from sandbox.services.oci.repository import Repository
from sandbox.services.oci.store import RegistryStore
from sandbox.tenant import CLUSTER_GROUP
from tests.conftest import RunningSandbox, StartSandbox
from tests.pratique.repositories import AUTHOR, git, make_remote, somebody_pushes, there
from tests.sandbox.defending import NAME
from tests.sandbox.registries import add_registry, content

BUSYBOX = "docker.io/library/busybox:1.37.0"
KURED = "ghcr.io/kubereboot/kured:1.14.0"
TAKEN = {"kind": "status", "status": 409, "method": "POST", "path": "*/importImage"}
BUSY = {
    **TAKEN,
    "code": "Conflict",
    "message": "The registry is being updated: live already exists in target registry.",
}


@dataclass
class Registries:
    """One registry for quarantine and live/, and a worker's connections to it."""

    sandbox: RunningSandbox
    session: AzureSession
    client: OciClient
    registry: Registry

    async def quarantined(self, source: str = BUSYBOX) -> ResolvedImage:
        image = await resolve(self.client, ImageReference.parse(source), ("linux/amd64",))
        assert not isinstance(image, UnresolvedReference)
        await quarantine(self.session, self.client, self.registry, image, {})
        return image

    async def promote(self, image: ResolvedImage) -> ImportedImage:
        cleared = PromotionClearance(
            release="r", digest=image.digest, verdict="v", state="Healthy", policy="p", at=datetime.now(UTC)
        )
        return await promote(self.session, self.client, image, cleared, self.registry, self.registry)

    async def promoted(self, source: str = BUSYBOX) -> ImportedImage:
        return await self.promote(await self.quarantined(source))

    async def require(self, *images: ImportedImage) -> list[ImportedImage]:
        return await require_live(self.session, self.client, images, self.registry, self.registry)

    @property
    def store(self) -> RegistryStore:
        return content(self.sandbox, NAME)

    def live(self, image: ImportedImage | ResolvedImage) -> Repository:
        resolved = image.image if isinstance(image, ImportedImage) else image
        return self.store.repository(resolved.location.released("").repository)

    def purge(self, repositories: str = "live/*") -> list[str]:
        purged: list[str] = self.sandbox.control("POST", "/purge", json={"repositories": repositories})["purged"]
        assert purged
        return purged

    def imports(self) -> list[str]:
        return [entry.path for entry in self.sandbox.azure.requests.since(0) if entry.path.endswith("/importImage")]

    def requests(self, since: int = 0) -> list[str]:
        return [
            entry.path
            for entry in self.sandbox.azure.requests.since(since)
            if entry.method == "HEAD" and "/manifests/" in entry.path and entry.status != 401
        ]


async def _registries(sandbox: RunningSandbox) -> AsyncIterator[Registries]:
    add_registry(sandbox, NAME, publicNetworkAccess="Disabled")
    async with AzureSession.open(poll_seconds=0.05) as session, httpx.AsyncClient(timeout=60) as http:
        registry = await get_registry(session, NAME, CLUSTER_GROUP)
        yield Registries(sandbox, session, oci_client(session, http, {}), registry)


@pytest.fixture
async def registries(sandbox: RunningSandbox) -> AsyncIterator[Registries]:
    async for made in _registries(sandbox):
        yield made


@pytest.fixture
async def blind(start_sandbox: StartSandbox) -> AsyncIterator[Registries]:
    """A worker that cannot reach the registry's data plane."""
    async for made in _registries(start_sandbox(Scenario(client=Client(private_links=frozenset())))):
        yield made


async def test_an_image_arrives_with_everything_below_it(registries: Registries) -> None:
    """The promotion is read back: the tag, and one HEAD for each manifest below its digest."""
    image = await registries.quarantined()
    since = registries.sandbox.azure.requests.since(0)[-1].number
    promoted = await registries.promote(image)
    below = manifests_below(image)
    assert (promoted.outcome, promoted.verified, promoted.restored) == ("imported", True, ())
    assert len(below) > 1
    assert {path.rpartition("/")[2] for path in registries.requests(since)} == {"1.37.0", *below}


async def test_a_purged_child_is_restored_by_the_promotion(registries: Registries) -> None:
    """The tag still names the digest, which says nothing about what is below it."""
    promoted = await registries.promoted()
    tags = dict(registries.live(promoted).tags)
    purged = {name.rpartition("@")[2] for name in registries.purge()}
    below = {*manifests_below(promoted.image)}
    assert purged >= below
    again = await registries.promote(promoted.image)
    assert (again.outcome, again.verified, {*again.restored}) == ("imported", True, below)
    assert {*registries.live(promoted).manifests} >= below
    assert {*registries.live(promoted).tags} == {*tags}
    assert (await registries.promote(promoted.image)).outcome == "already there"


async def test_purged_children_are_restored_before_the_push(registries: Registries) -> None:
    """Also below images that an earlier attempt promoted; those that are complete cost one HEAD for each digest."""
    busybox, kured = await registries.promoted(BUSYBOX), await registries.promoted(KURED)
    registries.purge("live/library/*")
    since = registries.sandbox.azure.requests.since(0)[-1].number
    seen = await registries.require(busybox, kured)
    assert [image.verified for image in seen] == [True, True]
    assert {*seen[0].restored} == {*manifests_below(busybox.image)}
    assert seen[1] == kured
    of_kured = [path for path in registries.requests(since) if "kured" in path]
    assert len(of_kured) == 1 + len(manifests_below(kured.image))


async def test_a_purged_image_is_promoted_again(registries: Registries) -> None:
    """A promotion that is remembered proves nothing: the tag is created again, as nothing else has it."""
    promoted = await registries.promoted()

    async def delete() -> None:
        registries.store.delete_repository(promoted.reference.repository)

    registries.sandbox.run(delete())
    (seen,) = await registries.require(promoted)
    assert (seen.outcome, seen.verified) == ("imported", True)
    assert registries.live(promoted).tags["1.37.0"].digest == promoted.image.digest


async def test_a_tag_that_names_a_deleted_manifest(registries: Registries) -> None:
    """The tag is answered with 404, and its import with 409: the digest comes back, and the tag does not move."""
    promoted = await registries.promoted()

    async def lose() -> None:
        registries.live(promoted).manifests.pop(promoted.image.digest)

    registries.sandbox.run(lose())
    (seen,) = await registries.require(promoted)
    assert seen.verified
    assert promoted.image.digest in registries.live(promoted).manifests


async def test_a_tag_that_names_another_deleted_manifest(registries: Registries) -> None:
    """Nobody can see what it stands for: it is refused, and stays as it is."""
    promoted, other = await registries.promoted(), "sha256:" + "0" * 64

    async def lose() -> None:
        registries.live(promoted).tags["1.37.0"].digest = other

    registries.sandbox.run(lose())
    with pytest.raises(Conflict, match="names a manifest that was deleted"):
        await registries.promote(promoted.image)
    assert registries.live(promoted).tags["1.37.0"].digest == other


async def test_a_tag_that_names_another_digest(registries: Registries) -> None:
    """Before the push as in the promotion it is refused, and does not move."""
    promoted = await registries.promoted()
    other = manifests_below(promoted.image)[0]

    async def move() -> None:
        registries.live(promoted).tags["1.37.0"].digest = other

    registries.sandbox.run(move())
    with pytest.raises(Conflict, match=other):
        await registries.require(promoted)
    with pytest.raises(Conflict, match=other):
        await registries.promote(promoted.image)
    assert registries.live(promoted).tags["1.37.0"].digest == other


async def test_what_quarantine_has_lost_as_well(registries: Registries) -> None:
    """What nobody has cannot be restored: the error says so and what to do, and a new run imports it from upstream."""
    promoted = await registries.promoted()
    registries.purge("*")
    with pytest.raises(NotFound, match="Start a new run") as lost:
        await registries.require(promoted)
    assert lost.value.subject.split("@")[1] in manifests_below(promoted.image)
    await registries.quarantined()
    (seen,) = await registries.require(promoted)
    assert seen.verified


async def test_a_restored_manifest_is_read_back(registries: Registries, monkeypatch: pytest.MonkeyPatch) -> None:
    """An import that says that it succeeded is not believed."""
    promoted = await registries.promoted()
    registries.purge()

    async def nothing(*_: object, **__: object) -> None:
        """Succeeds."""

    monkeypatch.setattr("pratique.release.contents.import_image", nothing)
    with pytest.raises(Unavailable, match="without sha256:"):
        await registries.require(promoted)


@pytest.mark.parametrize("where", ["at once", "while it is polled"])
async def test_another_conflict_is_an_error(registries: Registries, where: str) -> None:
    """Only the tag's existence is "already there": any other 409 is raised with its reason."""
    image = await registries.quarantined()
    operation = {"kind": "operation-fails", "operation": "import", "code": "Conflict", "message": BUSY["message"]}
    registries.sandbox.control("POST", "/faults", json=BUSY if where == "at once" else operation)
    with pytest.raises(Conflict, match="The registry is being updated"):
        await registries.promote(image)
    assert "live/library/busybox" not in registries.store.repositories()


async def test_another_conflict_where_live_cannot_be_seen(blind: Registries) -> None:
    """A worker that sees nothing takes no other refusal for an image that is there, neither for a tag of its own."""
    image = await _seen_elsewhere(blind)
    blind.sandbox.control("POST", "/faults", json=BUSY)
    with pytest.raises(Conflict, match="The registry is being updated"):
        await blind.promote(image)
    first = await blind.promote(image)
    assert (first.outcome, first.verified) == ("imported", False)
    blind.sandbox.control("POST", "/faults", json={**BUSY, "nth": 2})
    with pytest.raises(Conflict, match="The registry is being updated"):
        await blind.promote(image)
    again = await blind.promote(image)
    assert (again.outcome, again.verified) == ("already there", False)


async def test_a_refusal_that_is_no_conflict(registries: Registries) -> None:
    """It stays what it is."""
    image = await registries.quarantined()
    refused = {**TAKEN, "status": 400, "code": "BadRequest", "message": "No."}
    registries.sandbox.control("POST", "/faults", json=refused)
    with pytest.raises(OperationFailed, match="No\\."):
        await registries.promote(image)


async def test_tags_alone_are_refused_where_live_cannot_be_seen(blind: Registries) -> None:
    """Nobody would know what the cluster pulls; with the digest in the manifests, it is what was judged."""
    promoted = await blind.promote(await _seen_elsewhere(blind))
    seen = await blind.require(replace(promoted, verified=True))
    assert [image.verified for image in seen] == [False]
    require_known_digests("both", seen)
    require_known_digests("digest", seen)
    with pytest.raises(ConfigurationError, match=r"manifests\.pin to both or digest") as refused:
        require_known_digests("tag", seen)
    assert str(promoted.reference) in refused.value.subject


async def test_only_the_cleared_digest(registries: Registries) -> None:
    """A clearance for another digest lets nothing in."""
    image = await registries.quarantined()
    cleared = PromotionClearance(
        release="r", digest="sha256:" + "0" * 64, verdict="v", state="Healthy", policy="p", at=datetime.now(UTC)
    )
    with pytest.raises(GateBlocked):
        await promote(registries.session, registries.client, image, cleared, registries.registry, registries.registry)


async def _seen_elsewhere(blind: Registries) -> ResolvedImage:
    """An image in quarantine: this worker resolves it upstream."""
    return await blind.quarantined()


KUSTOMIZATION = """\
images:
- name: docker.io/library/busybox
  newName: {registry}/live/library/busybox
  newTag: 1.36.1
"""


@pytest.mark.parametrize("lost", ["nothing", "a manifest below it", "the image"])
async def test_a_proposal_names_only_what_is_in_live(registries: Registries, tmp_path: Path, lost: str) -> None:
    """A rescan's proposal is not pushed if an image that it names was deleted, or a manifest below one was."""
    remote, promoted = make_remote(tmp_path), await registries.promoted()
    login_server = registries.registry.login_server
    somebody_pushes(remote, "cluster/kustomization.yaml", KUSTOMIZATION.format(registry=login_server))
    if lost == "a manifest below it":
        registries.purge()
    if lost == "the image":

        async def delete() -> None:
            registries.store.delete_repository(promoted.reference.repository)

        registries.sandbox.run(delete())
    replacements = {"library/busybox": LiveImage("1.37.0", promoted.image.digest)}
    proposing = propose(
        replace(there(remote), folder="cluster"),
        login_server,
        replacements,
        client=registries.client,
        author=AUTHOR,
        pin="both",
        run="1",
    )
    if lost == "nothing":
        assert await proposing
        return
    with pytest.raises(NotFound):
        await proposing
    assert git("branch", "--list", "--format=%(refname:short)", cwd=remote) == "main"


@pytest.mark.parametrize("late", [False, True])
async def test_a_proposal_waits_for_replicas(registries: Registries, tmp_path: Path, late: bool) -> None:
    """Nothing is proposed that a replica does not serve, with everything below its digest."""
    remote, promoted = make_remote(tmp_path), await registries.promoted()
    login_server, azure = registries.registry.login_server, registries.sandbox.azure
    somebody_pushes(remote, "cluster/kustomization.yaml", KUSTOMIZATION.format(registry=login_server))
    add_registry(registries.sandbox, NAME, publicNetworkAccess="Disabled", regionalEndpoints="Enabled")
    azure.scenario = azure.scenario.model_copy(
        update={"replicas": Replicas(arrival="manifests-first", rest="never" if late else 0)}
    )
    replica: dict[str, object] = {"name": "east", "type": REPLICATION_TYPE, "location": "eastus2", "properties": {}}
    replica["id"] = f"{registries.registry.id}/replications/east"

    async def add() -> None:
        azure.resources.put(replica)

    async def replication() -> Replication:
        return Replication(servers=(RegionalServer("eastus2", f"{NAME}.eastus2.geo.azurecr.io"),))

    registries.sandbox.run(add())
    proposing = propose(
        replace(there(remote), folder="cluster"),
        login_server,
        {"library/busybox": LiveImage("1.37.0", promoted.image.digest)},
        client=registries.client,
        author=AUTHOR,
        pin="both",
        run="1",
        replication=replication,
    )
    if not late:
        assert await proposing
        return
    with pytest.raises(NotReplicated, match="eastus2"):
        await proposing
    assert git("branch", "--list", "--format=%(refname:short)", cwd=remote) == "main"


@pytest.mark.parametrize("somebody", [False, True])
async def test_a_proposal_that_is_there_already(registries: Registries, tmp_path: Path, somebody: bool) -> None:
    """A branch of the same content is taken for the proposal; what somebody else put there is not."""
    remote, promoted = make_remote(tmp_path), await registries.promoted()
    login_server = registries.registry.login_server
    somebody_pushes(remote, "cluster/kustomization.yaml", KUSTOMIZATION.format(registry=login_server))
    replacements = {"library/busybox": LiveImage("1.37.0", promoted.image.digest)}

    async def proposed() -> str | None:
        return await propose(
            replace(there(remote), folder="cluster"),
            login_server,
            replacements,
            client=registries.client,
            author=AUTHOR,
            pin="both",
            run="1",
        )

    if somebody:
        name = branch_name(replacements, replace(there(remote), folder="cluster"))
        git("branch", name, "main", cwd=remote)
        with pytest.raises(Conflict, match=name):
            await proposed()
    else:
        first = await proposed()
        assert await proposed() == first


async def test_a_proposal_of_tags_that_cannot_be_seen(blind: Registries, tmp_path: Path) -> None:
    """A branch that names only tags is not pushed by a worker that does not know what they stand for."""
    remote, login_server = make_remote(tmp_path), blind.registry.login_server
    somebody_pushes(remote, "cluster/kustomization.yaml", KUSTOMIZATION.format(registry=login_server))
    replacements = {"library/busybox": LiveImage("1.37.0", "sha256:" + "0" * 64)}
    pins: tuple[Pin, ...] = ("tag", "both")
    for pin in pins:
        proposing = propose(
            replace(there(remote), folder="cluster"),
            login_server,
            replacements,
            client=blind.client,
            author=AUTHOR,
            pin=pin,
            run="1",
        )
        if pin == "tag":
            with pytest.raises(ConfigurationError, match=r"manifests\.pin"):
                await proposing
        else:
            assert await proposing
