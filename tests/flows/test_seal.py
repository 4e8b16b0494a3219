"""The seal: what was promoted is locked against everybody, and unlocked only when nothing has needed it for long."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import httpx
import pytest
from azure.core.exceptions import HttpResponseError
from azure.mgmt.containerregistry.models import ImportImageParameters, ImportSource
from prefect.client.schemas.objects import State, StateType

from flows.prepare_cluster import prepare_cluster
from flows.release_images import release_images
from flows.rescan_live import rescan_live
from flows.seal_live import seal_live
from pratique.config import Bootstrap
from pratique.errors import ConfigurationError, LiveImagesNotSealed, LiveImagesUnexplained, UnreadableAnswer
from pratique.git.checkout import CommitAuthor, Repository
from pratique.records.branch import RecordsBranch
from pratique.records.clusters import Clusters, RegisteredCluster
from sandbox.registry_forms import RegistryLocks
from sandbox.scenario import Scenario
from sandbox.services.oci.catalogue import image_spec
from sandbox.services.oci.manifests import OCI_MANIFEST, encoded, sha256
from sandbox.services.oci.repository import Attributes, Lockable, StoredManifest, Tag
from sandbox.services.oci.repository import Repository as StoredRepository
from sandbox.tenant import CLUSTER_GROUP
from tasks.runtime import run_clock
from tests.flows.conftest import PROMPT, MakeWorld
from tests.flows.test_events import Told, told
from tests.flows.test_rescan import CloudClock
from tests.flows.test_states import stored
from tests.flows.test_versions import NEWER, releasing
from tests.flows.world import KURED, World, git
from tests.sandbox.registries import acr_token, add_identity, publish
from tests.sandbox.test_acr import management
from tests.waiting import UNTIL_A_JUMP

__all__ = ["told"]

DAY, DAYS = 86_400, 30
REPOSITORY, TAG = "live/kubereboot/kured", "1.14.0"
NAME = f"{REPOSITORY}:{TAG}"
LOCKED, OPEN = (False, False), (True, True)


@dataclass(frozen=True)
class Sealed:
    """A prepared cluster whose configuration has the seal on."""

    world: World

    def configured(self, **sections: dict[str, Any]) -> Sealed:
        """The same with some settings changed, by section."""
        document = self.world.config.model_dump(mode="json")
        for section, fields in sections.items():
            document[section] |= fields
        return Sealed(replace(self.world, config=Bootstrap.model_validate(document)))

    async def seal(self) -> dict[str, Any]:
        return await seal_live(self.world.config)

    async def fails(self) -> str:
        with pytest.raises(LiveImagesNotSealed) as failed:
            await self.seal()
        return str(failed.value)

    @property
    def repository(self) -> StoredRepository:
        return self.world.registry.repository(REPOSITORY)

    @property
    def digest(self) -> str:
        return self.repository.tags[TAG].digest

    def mark(self, target: Lockable, **changes: bool) -> None:
        self.world.registry.set_attributes(target, **changes)

    def flags(self, name: str) -> tuple[bool, bool]:
        """Whether a tag or a manifest may be written and deleted."""
        found = self.repository.tags[name] if name in self.repository.tags else self.repository.manifests[name]
        return found.attributes.write_enabled, found.attributes.delete_enabled

    def below(self, tag: str) -> set[str]:
        """Digests of the image of a tag."""
        closure = self.world.registry.closure(REPOSITORY, self.repository.tags[tag].digest)
        return {manifest.digest for manifest in closure}

    @property
    def locked(self) -> set[str]:
        """What cannot be deleted in the repository: tags and digests."""
        everything: dict[str, Tag | StoredManifest] = {**self.repository.tags, **self.repository.manifests}
        return {name for name, found in everything.items() if not found.attributes.deletable}

    @property
    def on_record(self) -> list[dict[str, Any]]:
        text = git("show", "pratique-records:seals.json", folder=self.world.gitops)
        return list(json.loads(text)["seals"])

    @property
    def head(self) -> str:
        return git("rev-parse", "pratique-records", folder=self.world.gitops)

    def changes(self, since: int) -> list[dict[str, Any]]:
        """Requests since a number that change attributes."""
        return [e for e in self.world.requests(since) if e["method"] == "PATCH" and "/acr/v1/" in e["path"]]

    async def days(self, count: float) -> None:
        await self.world.jump(count * DAY)

    async def release_newer(self) -> Sealed:
        """Release a newer version, which the manifests then use; the catalogue has no other."""
        publish(self.world.sandbox, image_spec(NEWER, "alpine:3.20", {"curl": "8.9.1-r2"}))
        newer = Sealed(releasing(self.world, [{"source": NEWER}]))
        await release_images(newer.world.config)
        return newer


@pytest.fixture
def locks() -> RegistryLocks:
    """What the local Azure does with locks; tests replace it."""
    return RegistryLocks()


@pytest.fixture
async def cluster(world: MakeWorld, locks: RegistryLocks) -> Sealed:
    made = Sealed(world(((KURED,),), Scenario(timings=PROMPT, registry_locks=locks)))
    made = made.configured(registries={"seal": {"enabled": True, "unlock_after_days": DAYS}})
    await made.world.prepare()
    return made


@pytest.fixture(autouse=True)
def its_clock(cluster: Sealed) -> Iterator[None]:
    token = run_clock.set(CloudClock(cluster.world))
    yield
    run_clock.reset(token)


@dataclass(frozen=True)
class Somebody:
    """Another identity that may push to the registry and delete from it."""

    http: httpx.AsyncClient
    host: str

    @classmethod
    async def of(cls, cluster: Sealed, http: httpx.AsyncClient) -> Somebody:
        (name,) = cluster.world.state()["registries"]
        host = f"{name}.azurecr.io"
        identity = add_identity(cluster.world.sandbox, "AcrPush", "AcrDelete", registry=name)
        scope = f"repository:{REPOSITORY}:pull,push,delete,metadata_read,metadata_write"
        http.headers.update(await acr_token(http, host, identity, scope))
        return cls(http, host)

    async def overwrite(self, tag: str = TAG) -> httpx.Response:
        digest = sha256(b"{}")
        empty = {"mediaType": "application/vnd.oci.empty.v1+json", "digest": digest, "size": 2}
        manifest = encoded({"schemaVersion": 2, "mediaType": OCI_MANIFEST, "config": empty, "layers": [empty]})
        url = f"https://{self.host}/v2/{REPOSITORY}"
        await self.http.post(f"{url}/blobs/uploads/", params={"digest": digest}, content=b"{}")
        return await self.http.put(f"{url}/manifests/{tag}", content=manifest, headers={"Content-Type": OCI_MANIFEST})

    async def delete(self, path: str) -> httpx.Response:
        return await self.http.delete(f"https://{self.host}{path}")

    async def unlock(self, path: str) -> httpx.Response:
        changes = {"writeEnabled": True, "deleteEnabled": True}
        return await self.http.patch(f"https://{self.host}/acr/v1/{REPOSITORY}/{path}", json=changes)


async def import_onto(cluster: Sealed, tag: str) -> None:
    """Import another image onto a tag, with force, as whoever has the pipeline's rights may."""
    (name,) = cluster.world.state()["registries"]
    other = ImportSource(registry_uri="docker.io", source_image="library/busybox:1.37.0")
    async with management(cluster.world.sandbox) as client:
        body = ImportImageParameters(source=other, target_tags=[f"{REPOSITORY}:{tag}"], mode="Force")
        await (await client.registries.begin_import_image(CLUSTER_GROUP, name, body)).result()


class TestOff:
    """Without the setting, which is the default."""

    async def test_nothing_is_locked(self, cluster: Sealed) -> None:
        """The flow is refused, and no other flow changes an attribute or writes a record of seals."""
        off = cluster.configured(registries={"seal": {"enabled": False}})
        since = off.world.last_request()
        with pytest.raises(ConfigurationError, match="It is off"):
            await off.seal()
        await off.world.prepare()
        await rescan_live(off.world.config)
        assert off.changes(since) == []
        assert off.locked == set()
        assert "seals.json" not in git("ls-tree", "--name-only", "pratique-records", folder=off.world.gitops)


class TestSealed:
    """What was promoted is locked."""

    async def test_what_is_locked(self, cluster: Sealed, told: Told) -> None:
        """The tag against changes, and every manifest against deletion; quarantine/ is left alone. It is on record,
        with who did it, and there is an event for each."""
        found = await cluster.seal()
        assert (found["outcome"], found["changed"], found["images"]) == ("Sealed", True, 1)
        assert cluster.locked == {TAG, *cluster.below(TAG)}
        assert (cluster.flags(TAG), cluster.flags(cluster.digest)) == (LOCKED, (True, False))
        quarantined = cluster.world.registry.repository(REPOSITORY.replace("live/", "quarantine/"))
        assert {each.attributes for each in quarantined.manifests.values()} == {Attributes()}
        [entry] = cluster.on_record
        assert {*entry["parts"]} == cluster.locked
        assert cluster.world.sandbox.azure.scenario.identity.object_id in entry["sealed"]["by"]
        assert entry["unsealed"] is entry["unusedSince"] is None
        events = [event for event in told() if event.event == "pratique.live.sealed"]
        assert len(events) == len(cluster.locked)
        assert f"pratique.image.{NAME}" in {event.resource.id for event in events}

    async def test_the_next_run_has_nothing_to_do(self, cluster: Sealed) -> None:
        """It says so, changes no attribute and commits nothing."""
        first: State[Any] = await seal_live(cluster.world.config, return_state=True)
        assert (await stored(first))[:2] == ("Completed", StateType.COMPLETED)
        head, since = cluster.head, cluster.world.last_request()
        again: State[Any] = await seal_live(cluster.world.config, return_state=True)
        assert (await stored(again))[:2] == ("Nothing to do", StateType.COMPLETED)
        assert (cluster.head, cluster.changes(since)) == (head, [])

    async def test_nobody_overwrites_or_deletes(self, cluster: Sealed) -> None:
        """A client that may push and delete is refused by the registry; before the seal it was not."""
        await cluster.seal()
        before, digest = cluster.world.live, cluster.digest
        async with httpx.AsyncClient() as http:
            somebody = await Somebody.of(cluster, http)
            attempts = [
                await somebody.overwrite(),
                await somebody.delete(f"/acr/v1/{REPOSITORY}/_tags/{TAG}"),
                await somebody.delete(f"/v2/{REPOSITORY}/manifests/{TAG}"),
                *[await somebody.delete(f"/v2/{REPOSITORY}/manifests/{each}") for each in cluster.below(TAG)],
                await somebody.delete(f"/acr/v1/{REPOSITORY}"),
            ]
            for path in (f"_tags/{TAG}", f"_manifests/{digest}"):
                assert (await somebody.unlock(path)).status_code == 401
            assert {(each.status_code, each.json()["errors"][0]["code"]) for each in attempts} == {
                (405, "REGISTRY_DISALLOWED_OPERATION")
            }
            assert cluster.world.live == before
            found: list[Lockable] = [cluster.repository.tags[TAG], *cluster.repository.manifests.values()]
            for target in found:
                cluster.mark(target, write_enabled=True, delete_enabled=True)
            assert (await somebody.overwrite()).status_code == 201
            assert (await somebody.delete(f"/acr/v1/{REPOSITORY}")).status_code == 202

    async def test_a_purge_spares_what_is_sealed(self, cluster: Sealed) -> None:
        """Manifests below a tagged index are deleted by a purge, unless they are locked."""
        await cluster.seal()
        whole = cluster.below(TAG)
        assert cluster.world.sandbox.control("POST", "/purge", json={"repositories": "live/*"})["purged"] == []
        assert cluster.below(TAG) == whole


class TestThePipeline:
    """What Pratique itself does with live/ goes on."""

    async def test_running_again_and_releasing(self, cluster: Sealed) -> None:
        """A run finds everything there; a new version gets into the sealed repository, and the next run seals it."""
        await cluster.seal()
        again: State[Any] = await prepare_cluster(cluster.world.config, return_state=True)
        assert (await stored(again))[0] == "Nothing to do"
        newer = await cluster.release_newer()
        assert {*newer.repository.tags} == {TAG, "1.15.0"}
        assert newer.flags("1.15.0") == OPEN
        await rescan_live(newer.world.config)
        found = await newer.seal()
        assert f"{REPOSITORY}:1.15.0" in found["locked"]
        assert newer.locked == {TAG, "1.15.0", *newer.below(TAG), *newer.below("1.15.0")}

    async def test_restoring_what_was_deleted(self, cluster: Sealed) -> None:
        """A manifest whose lock was lifted and that was deleted is noted, imported again beside its locked siblings,
        and locked again."""
        await cluster.seal()
        child = next(iter(cluster.below(TAG) - {cluster.digest}))
        cluster.mark(cluster.repository.manifests[child], delete_enabled=True)
        cluster.world.registry.delete_manifest(REPOSITORY, child)
        (note,) = (await cluster.seal())["notes"]
        assert child in note
        await release_images(cluster.world.config)
        assert child in cluster.repository.manifests
        found = await cluster.seal()
        assert (found["locked"], found["undone"]) == ([f"{REPOSITORY}@{child}"], [])
        assert cluster.locked == {TAG, *cluster.below(TAG)}


class TestRetired:
    """What nothing needs is unlocked, after the configured days."""

    async def test_after_the_days(self, cluster: Sealed, told: Told) -> None:
        """Not sooner, and nothing of the image that replaced it. Then it can be deleted, and goes off the record."""
        await cluster.seal()
        newer = await cluster.release_newer()
        older = newer.below(TAG) - newer.below("1.15.0")
        everything = {TAG, "1.15.0", *newer.below(TAG), *newer.below("1.15.0")}
        found = await newer.seal()
        assert [(each["image"], each["retired"]) for each in found["unused"]] == [(NAME, False)]
        await newer.days(DAYS - 1)
        assert not (await newer.seal())["changed"]
        assert newer.locked == everything
        await newer.days(1)
        told()
        found = await newer.seal()
        assert {*found["unlocked"]} == {NAME, *(f"{REPOSITORY}@{digest}" for digest in older)}
        assert newer.locked == everything - older - {TAG}
        assert {event.event for event in told()} == {"pratique.live.unsealed"}
        unsealed = {entry["digest"]: entry["unsealed"] for entry in newer.on_record}
        assert [bool(unsealed[newer.repository.tags[tag].digest]) for tag in (TAG, "1.15.0")] == [True, False]
        assert not (await newer.seal())["changed"]
        newer.world.registry.delete_manifest(REPOSITORY, newer.digest)
        await newer.seal()
        assert len(newer.on_record) == 1

    async def test_never_while_a_cluster_cannot_be_read(self, cluster: Sealed, tmp_path: Path) -> None:
        """Whatever the time, as that cluster may use it; the report says why. The time begins when it can be read."""
        await self.register(cluster, remote=str(tmp_path / "gone.git"))
        newer = await cluster.release_newer()
        for _ in range(3):
            found = await newer.seal()
            assert found["unused"] == []
            assert any("counts as using every image" in note for note in found["notes"])
            await newer.days(2 * DAYS)
        assert TAG in newer.locked

    async def test_never_while_a_catalogue_is_not_known(self, cluster: Sealed) -> None:
        """A cluster of an earlier version has registered: what it is about to use is not on record."""
        manifests = cluster.world.config.manifests
        await self.register(cluster, remote=manifests.remote, catalogue=None)
        newer = await cluster.release_newer()
        for _ in range(2):
            assert (await newer.seal())["unused"] == []
            await newer.days(2 * DAYS)
        assert TAG in newer.locked
        await self.register(cluster, remote=manifests.remote, catalogue=())
        await newer.seal()
        await newer.days(DAYS)
        await newer.seal()
        assert TAG not in newer.locked

    async def test_never_while_its_own_manifests_cannot_be_read(self, cluster: Sealed, tmp_path: Path) -> None:
        """They keep nothing from being locked, either."""
        newer = await cluster.release_newer()
        records = str(tmp_path / "records.git")
        git("clone", "--quiet", "--bare", str(newer.world.gitops), records, folder=tmp_path)
        apart = newer.configured(
            manifests={"remote": str(tmp_path / "gone.git")}, registries={"records": {"remote": records}}
        )
        found = await apart.seal()
        assert (found["outcome"], found["unused"]) == ("Sealed", [])
        assert TAG in apart.locked

    @staticmethod
    async def register(cluster: Sealed, remote: str, **changes: Any) -> None:
        """Register another cluster for the registry, with manifests at a remote that the configuration may read."""
        (name,) = cluster.world.state()["registries"]
        manifests = cluster.world.config.manifests
        green = RegisteredCluster(
            registry=f"{name}.azurecr.io",
            cluster="0000/rg-green",
            remote=remote,
            branch=manifests.branch,
            folder=manifests.folder,
            identities=(),
            registered=cluster.world.sandbox.azure.clock.now(),
            run="run-of-green",
        )
        green = replace(green, catalogue=()) if "catalogue" not in changes else replace(green, **changes)
        repository = Repository(remote=manifests.remote, branch="pratique-records", orphan=True)
        branch = RecordsBranch(repository, CommitAuthor("Green", "green@localhost"))
        await branch.write(
            {"clusters.json": lambda text: Clusters.parse(text).with_cluster(green).text()}, "Green", run=""
        )


class TestUndone:
    """Locks that others lift, and tags that they move."""

    @pytest.fixture
    def locks(self) -> RegistryLocks:
        return RegistryLocks(undone_after=UNTIL_A_JUMP)

    async def test_a_replica_undoes_locks(self, cluster: Sealed, told: Told) -> None:
        """The next run finds them, sets them again and reports it; then they stay."""
        await cluster.seal()
        everything = cluster.locked
        await cluster.world.jump(UNTIL_A_JUMP)
        await cluster.world.until(lambda: not cluster.locked)
        told()
        found = await cluster.seal()
        assert {*found["undone"]} == {*found["locked"]}
        assert len(found["undone"]) == len(everything)
        assert cluster.locked == everything
        assert {event.event for event in told()} == {"pratique.live.sealed", "pratique.live.seal-undone"}
        assert not (await cluster.seal())["changed"]


class TestMoved:
    """A tag that a forced import has moved past its lock."""

    async def test_it_is_found(self, cluster: Sealed) -> None:
        """The run fails in a state of its own and names tag, digests and lock; the manifest stays locked. The audit of
        a rescan names the image that is there now."""
        await cluster.seal()
        digest = cluster.digest
        await import_onto(cluster, TAG)
        said = await cluster.fails()
        for part in (NAME, digest, cluster.digest, "although it is locked", "docs/seal.md"):
            assert part in said
        state: State[Any] = await seal_live(cluster.world.config, return_state=True)
        assert (await stored(state))[:2] == ("Live images not sealed", StateType.FAILED)
        assert not cluster.repository.manifests[digest].attributes.deletable
        with pytest.raises(LiveImagesUnexplained):
            await rescan_live(cluster.world.config)

    @pytest.mark.parametrize("form", ["fail", "conflict"])
    async def test_where_locks_stop_imports(self, cluster: Sealed, form: Any) -> None:
        """In either form of a refusal nothing is moved."""
        azure = cluster.world.sandbox.azure
        azure.scenario = azure.scenario.model_copy(update={"registry_locks": RegistryLocks(forced_imports=form)})
        await cluster.seal()
        before = cluster.world.live
        with pytest.raises(HttpResponseError, match="disallowed"):
            await import_onto(cluster, TAG)
        assert cluster.world.live == before
        assert not (await cluster.seal())["changed"]


class TestProblems:
    """What cannot be locked, and what is not Pratique's."""

    async def test_what_is_not_on_record(self, cluster: Sealed) -> None:
        """It is reported and never locked, in a repository of its own as well as beside what is sealed."""
        await import_onto(cluster, "sly")
        found = await cluster.seal()
        assert found["unrecorded"] == [f"{REPOSITORY}:sly"]
        assert cluster.flags("sly") == OPEN
        assert found["outcome"] == "Sealed"

    async def test_a_registry_that_is_busy(self, cluster: Sealed) -> None:
        """Refusals that pass are tried again within the run."""
        faults = cluster.world.sandbox.azure.faults
        faults.add(kind="status", status=429, method="PATCH", path="*/_manifests/*", times=3)
        assert (await cluster.seal())["outcome"] == "Sealed"
        assert cluster.locked == {TAG, *cluster.below(TAG)}

    async def test_what_cannot_be_locked(self, cluster: Sealed, told: Told) -> None:
        """The run fails and says what and why; everything else is locked. What was never locked is no lock undone."""
        faults, path = cluster.world.sandbox.azure.faults, f"*/_manifests/{cluster.digest}"
        faults.add(kind="status", status=503, method="PATCH", path=path, times=None)
        told()
        said = await cluster.fails()
        assert f"{REPOSITORY}@{cluster.digest}" in said
        assert "503" in said
        assert cluster.locked == {TAG, *cluster.below(TAG)} - {cluster.digest}
        failed = [event for event in told() if event.event == "pratique.live.seal-failed"]
        assert [event.payload["reference"] for event in failed] == [f"{REPOSITORY}@{cluster.digest}"]
        faults.clear()
        found = await cluster.seal()
        assert (found["locked"], found["undone"]) == ([f"{REPOSITORY}@{cluster.digest}"], [])

    async def test_a_lock_that_is_not_kept(self, cluster: Sealed, monkeypatch: pytest.MonkeyPatch) -> None:
        """The registry says yes to a change, and shows it otherwise: that is read back, and fails the run."""
        monkeypatch.setattr("sandbox.services.oci.store.RegistryStore.set_attributes", lambda *_, **__: None)
        said = await cluster.fails()
        assert "shows it otherwise afterwards" in said
        assert "replicas" in said

    async def test_a_repository_that_is_locked_as_a_whole(self, cluster: Sealed) -> None:
        """As ``az acr repository update`` without a tag does: the report says how to undo it."""
        cluster.mark(cluster.repository, write_enabled=False)
        (note,) = (await cluster.seal())["notes"]
        assert f"--repository {REPOSITORY} --write-enabled true" in note

    async def test_records_that_cannot_be_read(self, cluster: Sealed) -> None:
        """Nothing is locked or unlocked, and nothing is written: nothing is guessed."""
        await cluster.seal()
        repository = Repository(remote=cluster.world.config.manifests.remote, branch="pratique-records", orphan=True)
        branch = RecordsBranch(repository, CommitAuthor("Somebody", "somebody@localhost"))
        for file in ("seals.json", "promotions.json", "findings.json"):
            before = (await branch.texts(file)).get(file)
            await branch.write({file: lambda _: "{"}, "Break it", run="")
            since = cluster.world.last_request()
            with pytest.raises(UnreadableAnswer, match=file):
                await cluster.seal()
            assert cluster.changes(since) == []
            await branch.write({file: lambda _, text=before: text or "{}"}, "Mend it", run="")  # type: ignore[misc]
            if before is None:
                break
