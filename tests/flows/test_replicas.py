"""Releases into a geo-replicated registry: manifests wait for the replicas from which clusters pull."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from prefect.client.schemas.objects import State

from flows.release_images import release_images
from pratique.config import Bootstrap
from pratique.errors import NetworkDenied, NotReplicated, PratiqueError
from pratique.git.checkout import CommitAuthor, Repository
from pratique.git.publish import publish
from pratique.preflight.check import run_checks
from pratique.records import clusters as cluster_file
from pratique.records.branch import RecordsBranch
from sandbox.replicas import Replicas
from tasks.runtime import run_clock
from tests.flows.conftest import MakeWorld
from tests.flows.replicas import EAST, WEST, add_replicas
from tests.flows.test_records import promotions
from tests.flows.test_release import NEWER, imports, with_newer
from tests.flows.two_clusters import configured, make_green
from tests.flows.world import World, git

HOME = "centralus"
NOWHERE = Replicas(lag={EAST: "never", WEST: "never"})


class Waits:
    """A clock on which a wait of a second or more is over at once.

    :ivar seconds: of those waits
    :ivar during: called in each of them, with its number
    """

    def __init__(self) -> None:
        self.seconds: list[float] = []
        self.during: Callable[[int], None] = lambda number: None
        self._ahead = timedelta(0)

    def now(self) -> datetime:
        return datetime.now(UTC) + self._ahead

    async def sleep(self, seconds: float) -> None:
        if seconds < 1:
            await asyncio.sleep(seconds)
            return
        self.seconds.append(seconds)
        self.during(len(self.seconds))
        self._ahead += timedelta(seconds=seconds)


@pytest.fixture(autouse=True)
def waits() -> Iterator[Waits]:
    clock = Waits()
    token = run_clock.set(clock)
    yield clock
    run_clock.reset(token)


@pytest.fixture
async def cluster(world: MakeWorld) -> World:
    """A prepared cluster whose registry has since got replicas, with a new version in the catalogue."""
    made = world()
    await made.prepare()
    await asyncio.to_thread(add_replicas, made)
    return with_newer(made)


def arrival(made: World, replicas: Replicas | None = None) -> None:
    """Let replicas have what the scenario says from now on; by default everything."""
    azure = made.sandbox.azure
    azure.scenario = azure.scenario.model_copy(update={"replicas": replicas or Replicas()})


def settings(made: World, **registries: Any) -> World:
    return configured(made, registries=registries)


def record(made: World, source: str = NEWER) -> dict[str, Any]:
    (found,) = [entry for entry in promotions(made) if entry["source"] == source]
    return found


def regional(made: World, since: int = 0) -> list[dict[str, Any]]:
    """Requests to regional login servers."""
    return [entry for entry in made.requests(since) if ".geo." in entry["host"]]


async def refused(made: World) -> PratiqueError:
    """A release, which must end with an error of ours and push nothing."""
    head = made.head
    with pytest.raises(PratiqueError) as failed:
        await release_images(made.config)
    assert made.head == head
    return failed.value


async def test_a_registry_without_replicas(world: MakeWorld, waits: Waits) -> None:
    """Each run lists the replicas once, and does nothing else; the records say nothing about replicas."""
    made = world()
    for _ in range(2):
        since = made.last_request()
        await (made.prepare() if not made.commits else release_images(made.config))
        assert len([entry for entry in made.requests(since) if entry["path"].endswith("/replications")]) == 1
    assert regional(made) == []
    assert all("replicas" not in entry for entry in promotions(made))
    assert waits.seconds == []


@pytest.mark.parametrize("minutes", [0, 5])
@pytest.mark.parametrize("why", ["disabled", "absent", "refused"])
async def test_nobody_can_look(cluster: World, waits: Waits, why: str, minutes: float) -> None:
    """The record says so and why, the run waits as long as is configured, and a second one does not wait again."""
    if why == "disabled":
        await asyncio.to_thread(lambda: add_replicas(cluster, servers=False))
    else:
        arrival(cluster, Replicas.model_validate({"endpoints": why}))
    made = settings(cluster, replication_minutes=minutes)
    heads: list[str] = []
    waits.during = lambda number: heads.append(made.head)
    before = made.head
    delivered = await release_images(made.config)
    assert record(made)["replicas"] == delivered.replicas[0]
    reasons = {"disabled": "are not enabled", "absent": "does not show", "refused": "is refused (400 NoRegistered"}
    assert record(made)["replicas"].startswith("not observable: ")
    assert reasons[why] in record(made)["replicas"]
    assert delivered.images[0].digest in made.manifests
    assert 30 * minutes <= sum(waits.seconds) <= 60 * minutes
    assert heads == [before] * len(waits.seconds)
    assert regional(made) == []
    waited, recorded = len(waits.seconds), git("rev-parse", "pratique-records", folder=made.gitops)
    await release_images(made.config)
    assert len(waits.seconds) == waited
    assert git("rev-parse", "pratique-records", folder=made.gitops) == recorded


async def test_a_run_that_ends_while_it_waits(cluster: World, waits: Waits) -> None:
    """Where nobody can look, the next run still waits before it pushes: from the promotion on record."""
    await asyncio.to_thread(lambda: add_replicas(cluster, servers=False))
    made = settings(cluster, replication_minutes=5)

    def end(number: int) -> None:
        raise RuntimeError("ended")

    waits.during, before = end, made.head
    with pytest.raises(RuntimeError):
        await release_images(made.config)
    assert made.head == before
    assert "replicas" not in record(made)
    waits.during, waits.seconds = lambda number: None, []
    await release_images(made.config)
    assert 0 < sum(waits.seconds) <= 300
    assert made.head != before


@pytest.mark.parametrize(
    ("late", "then"),
    [
        (NOWHERE, Replicas()),
        (Replicas(arrival="index-first", rest="never"), Replicas(arrival="index-first", rest=0)),
        (Replicas(arrival="manifests-first", rest="never"), Replicas(arrival="manifests-first", rest=0)),
        (Replicas(lag={WEST: "never"}, home_listed=False), Replicas(home_listed=False)),
        (Replicas(lag={WEST: "never"}, endpoints="former-property", host_names=False, challenge="global"), None),
    ],
    ids=["nothing arrives", "the index arrives first", "manifests arrive first", "one replica", "other forms"],
)
async def test_replicas_that_are_late(cluster: World, waits: Waits, late: Replicas, then: Replicas | None) -> None:
    """Nothing is pushed before each replica has the digest and everything below it; then the record has the regions."""
    arrival(cluster, late)
    before, heads = cluster.head, []

    def during(number: int) -> None:
        heads.append(cluster.head)
        if number == 3:
            arrival(cluster, then or late.model_copy(update={"lag": {}}))

    waits.during = during
    delivered = await release_images(cluster.config)
    assert waits.seconds == [15.0] * 3
    assert heads == [before] * 3
    assert delivered.images[0].digest in cluster.manifests
    assert record(cluster)["replicas"] == [HOME, EAST, WEST]
    assert delivered.replicas == (f"seen in {HOME}, {EAST}, {WEST}",)


async def test_a_replica_that_never_has_it(cluster: World, waits: Waits) -> None:
    """At the deadline the run ends in a state of its own, which names regions and digests; what was promoted is on
    record, and nothing is pushed. Once it has arrived, another run imports nothing and publishes."""
    arrival(cluster, NOWHERE)
    made = settings(cluster, replication_deadline_minutes=1)
    error = await refused(made)
    assert isinstance(error, NotReplicated)
    digest = made.live["kubereboot/kured:1.14.1"]
    assert error.subject == f"{EAST}, {WEST}"
    for part in (f"{EAST} (", f"{WEST} (", digest, "after 1 minutes", "Run again later"):
        assert part in str(error)
    assert 0 < sum(waits.seconds) <= 60
    assert record(made)["digest"] == digest
    assert "replicas" not in record(made)
    state: State[Any] = await release_images(made.config, return_state=True)
    assert (state.name, state.type.value) == ("Not replicated", "FAILED")

    arrival(made)
    waits.seconds, since = [], made.last_request()
    delivered = await release_images(made.config)
    assert (imports(made, since), waits.seconds) == (0, [])
    assert [image.digest for image in delivered.images] == [digest]
    assert digest in made.manifests
    assert record(made)["replicas"] == [HOME, EAST, WEST]


async def test_two_clusters_in_two_regions(cluster: World, tmp_path: Path) -> None:
    """A cluster waits for the replicas of the other registered ones, too, and for no others."""
    arrival(cluster, Replicas(lag={WEST: "never"}))
    green = await make_green(cluster, tmp_path / "green")
    green = settings(green, regions=[WEST], replication_deadline_minutes=1)
    blue = settings(cluster, regions=[EAST], replication_deadline_minutes=1)
    kept = git("rev-parse", "main", folder=green.gitops)
    with pytest.raises(NotReplicated, match=WEST):
        await release_images(green.config)
    assert git("rev-parse", "main", folder=green.gitops) == kept
    error = await refused(blue)
    assert (type(error), error.subject) == (NotReplicated, WEST)
    arrival(cluster)
    since = cluster.last_request()
    await release_images(blue.config)
    assert record(cluster)["replicas"] == [EAST, WEST]
    assert {entry["host"].split(".")[1] for entry in regional(cluster, since)} == {EAST, WEST}


@pytest.mark.parametrize("regions", [[], ["nowhere1"]])
async def test_a_cluster_without_a_region(cluster: World, regions: list[str]) -> None:
    """One that was registered by an earlier version, or with a region without a replica, may pull from any."""
    made, lacking = settings(cluster, regions=[EAST], replication_deadline_minutes=1), Replicas(lag={WEST: "never"})
    branch = RecordsBranch(
        Repository(remote=str(made.gitops), branch="pratique-records", orphan=True), CommitAuthor("A", "a@localhost")
    )

    def add(text: str | None) -> str:
        document = json.loads(text or "")
        entry = dict(document["clusters"][0], cluster="0/rg-old")
        entry |= {"regions": regions} if regions else {}
        document["clusters"].append({key: value for key, value in entry.items() if key != "regions" or regions})
        return json.dumps(document)

    await release_images(settings(made, regions=[EAST]).config)  # nothing else is registered yet
    assert record(made)["replicas"] == [EAST]
    await branch.write({cluster_file.FILE: add}, "Register.", run="")
    arrival(made, lacking)
    error = await refused(made)
    assert (type(error), error.subject) == (NotReplicated, WEST)


async def test_a_server_that_this_worker_does_not_reach(cluster: World, waits: Waits) -> None:
    """It is said as what it is, at once."""
    arrival(cluster, Replicas(private=False))
    error = await refused(cluster)
    assert isinstance(error, NetworkDenied)
    assert "the replica in" in error.attempted
    assert "private endpoint" in error.remedy
    assert waits.seconds == []


async def test_what_a_replica_has_lost_before_the_push(
    cluster: World, waits: Waits, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The replicas are looked at again directly before the push, whatever an earlier step has seen."""
    before_publishing(monkeypatch, lambda: arrival(cluster, Replicas(lag={EAST: "never"})))
    error = await refused(settings(cluster, replication_deadline_minutes=1))
    assert (type(error), error.subject) == (NotReplicated, EAST)
    assert record(cluster)["replicas"] == [HOME, EAST, WEST]


async def test_what_is_restored_before_the_push(cluster: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Manifests that were purged and come back have to reach the replicas again before anything is pushed."""
    before_publishing(
        monkeypatch, lambda: cluster.sandbox.control("POST", "/purge", json={"repositories": "live/*"}), times=1
    )
    delivered = await release_images(cluster.config)
    assert delivered.images[0].digest in cluster.manifests
    restored = max(entry["number"] for entry in cluster.requests() if entry["path"].endswith("/importImage"))
    assert {entry["host"].split(".")[1] for entry in regional(cluster, restored)} == {HOME, EAST, WEST}


def before_publishing(monkeypatch: pytest.MonkeyPatch, work: Callable[[], object], times: int = 10) -> None:
    """Let something happen when a run begins to publish manifests, which it does not know yet."""
    left = iter(range(times))

    async def first(*arguments: Any, **options: Any) -> Any:
        if next(left, None) is not None:
            await asyncio.to_thread(work)
        return await publish(*arguments, **options)

    monkeypatch.setattr("pratique.release.delivery.publish", first)


async def test_what_is_said_beforehand(cluster: World) -> None:
    """``pratique check`` and the plan say which replicas a run looks at, or that nobody can."""
    made = settings(cluster, regions=[EAST])

    async def said(config: Bootstrap) -> tuple[bool, bool, str]:
        (line,) = [line for line in await run_checks(config) if line.name == "replicas"]
        return line.passed, line.warning, f"{line.detail} {line.remedy}"

    text = f"the replicas in {EAST} serve the image, after 30 minutes at most"
    passed, warns, detail = await said(made.config)
    assert (passed, warns, text in detail) == (True, False, True)
    assert any(text in note for note in (await made.plan()).notes)
    arrival(made, Replicas(private=False))
    passed, _, detail = await said(made.config)
    assert (passed, "is not allowed access" in detail) == (False, True)
    arrival(made, Replicas(endpoints="refused"))
    passed, warns, detail = await said(made.config)
    assert (passed, warns, "registries.replication_minutes" in detail) == (True, True, True)
    assert any("a run does not wait" in note for note in (await made.plan()).notes)
    passed, warns, detail = await said(settings(made, replication_minutes=2).config)
    assert (passed, warns, "a run waits 2 minutes" in detail) == (True, False, True)


async def test_regions_are_registered(cluster: World) -> None:
    """A change of the regions is a change of the registration."""
    made = settings(cluster, regions=[WEST, EAST])
    await release_images(made.config)
    (entry,) = json.loads(git("show", "pratique-records:clusters.json", folder=made.gitops))["clusters"]
    assert entry["regions"] == [EAST, WEST]
    await release_images(settings(made, regions=[EAST]).config)
    (entry,) = json.loads(git("show", "pratique-records:clusters.json", folder=made.gitops))["clusters"]
    assert entry["regions"] == [EAST]
