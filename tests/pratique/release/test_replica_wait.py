"""Images are looked at in replicas until all of them is there, over TLS, against the local Azure."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

import httpx
import pytest

from pratique.azure.registries import Registry, get_registry, oci_client
from pratique.azure.session import AzureSession
from pratique.errors import (
    AuthenticationFailed,
    NetworkDenied,
    NotFound,
    NotReplicated,
    PermissionDenied,
    PratiqueError,
)
from pratique.images import ImageReference, ImportedImage, UnresolvedReference
from pratique.oci.client import Manifest, OciClient
from pratique.oci.media_types import OCI_INDEX, OCI_MANIFEST
from pratique.release.contents import manifests_below
from pratique.release.promotion import quarantine, resolve
from pratique.release.replica_wait import require_replicas, wait_for_replicas
from pratique.replicas import RegionalServer, ReplicaState, Replication
from sandbox.replicas import Replicas
from sandbox.scenario import Scenario, Timings
from sandbox.tenant import CLUSTER_GROUP
from tests.conftest import RunningSandbox, StartSandbox
from tests.sandbox.callers import arm, jump, owner
from tests.sandbox.registries import add_registry, registry_id
from tests.waiting import UNTIL_A_JUMP

NAME = "acraksabc"
BUSYBOX, KURED = "docker.io/library/busybox:1.37.0", "ghcr.io/kubereboot/kured:1.14.0"
EAST, WEST = (RegionalServer(region, f"{NAME}.{region}.geo.azurecr.io") for region in ("eastus2", "westus2"))
DAY = 86_400.0


@dataclass
class CloudTime:
    """Azure's clock: a wait lets its time pass.

    :ivar during: called in each wait, with its number
    """

    sandbox: RunningSandbox
    waits: list[float] = field(default_factory=list)
    during: Callable[[int], None] = lambda number: None

    def now(self) -> datetime:
        return self.sandbox.azure.clock.now()

    async def sleep(self, seconds: float) -> None:
        self.waits.append(seconds)
        self.during(len(self.waits))
        await asyncio.to_thread(jump, self.sandbox, seconds)


@dataclass
class Replicated:
    """A registry with replicas in two regions, and a worker's connections to it."""

    sandbox: RunningSandbox
    client: OciClient
    clock: CloudTime
    registry: Registry
    session: AzureSession

    async def bring(self, source: str = BUSYBOX) -> ImportedImage:
        image = await resolve(self.client, ImageReference.parse(source), ("linux/amd64",))
        assert not isinstance(image, UnresolvedReference)
        return await quarantine(self.session, self.client, self.registry, image, {})

    async def wait(self, *images: ImportedImage, servers: tuple[RegionalServer, ...] = (EAST, WEST)) -> ReplicaState:
        """Wait for all images; what is known of them in the end."""
        known = await wait_for_replicas(self.client, self.clock, images, self.replication(servers))
        (state,) = {image.replicas for image in known}
        assert state is not None
        return state

    @staticmethod
    def replication(servers: tuple[RegionalServer, ...] = (EAST, WEST)) -> Replication:
        return Replication(servers=servers, deadline=timedelta(days=4), interval=timedelta(days=1))

    def arrival(self, **replicas: Any) -> None:
        azure = self.sandbox.azure
        replicas_now = Replicas.model_validate(replicas)
        azure.scenario = azure.scenario.model_copy(update={"replicas": replicas_now})

    def requests(self, host: str = EAST.host) -> list[tuple[str, str]]:
        """Method and digest of each look at a server that got past its login."""
        return [
            (entry.method, entry.path.rpartition("/")[2])
            for entry in self.sandbox.azure.requests.since(0)
            if entry.host == host and "sha256:" in entry.path and entry.status != 401
        ]

    def fault(self, **fields: Any) -> None:
        self.sandbox.control("POST", "/faults", json={"kind": "status", "host": EAST.host, "times": None, **fields})


@pytest.fixture
async def there(start_sandbox: StartSandbox) -> AsyncIterator[Replicated]:
    """Everything arrives at once unless a test says otherwise; Azure's time passes only in jumps."""
    sandbox = start_sandbox(Scenario(timings=Timings(import_image=0, role_assignment=0)), speed=0)
    add_registry(sandbox, NAME, publicNetworkAccess="Disabled", regionalEndpoints="Enabled")
    with arm(sandbox, owner(sandbox)) as client:
        for server in (EAST, WEST):
            path = f"{registry_id(sandbox, NAME)}/replications/{server.region}?api-version=2025-11-01"
            client.put(path, json={"location": server.region}).raise_for_status()
    async with AzureSession.open(poll_seconds=0.05) as session, httpx.AsyncClient() as http:
        registry = await get_registry(session, NAME, CLUSTER_GROUP)
        yield Replicated(sandbox, oci_client(session, http, {}), CloudTime(sandbox), registry, session)


async def test_what_is_there_already(there: Replicated) -> None:
    """One look is enough: each manifest and blob once at each server, and each manifest is read at one of them."""
    image = await there.bring()
    assert await there.wait(image) == ReplicaState(regions=("eastus2", "westus2"))
    assert there.clock.waits == []
    looks = there.requests() + there.requests(WEST.host)
    manifests = {image.image.digest, *manifests_below(image.image)}
    assert {digest for method, digest in looks if method == "GET"} == manifests
    assert len([method for method, _ in looks if method == "GET"]) == len(manifests)
    seen = [{digest for _, digest in there.requests(server.host)} for server in (EAST, WEST)]
    assert seen[0] == seen[1]
    assert len(seen[0]) > len(manifests)
    assert all(len(there.requests(server.host)) == len(seen[0]) for server in (EAST, WEST))


async def test_a_replica_that_is_late(there: Replicated) -> None:
    """It is looked at again until it has everything; what was there before is not asked for again."""
    early = await there.bring(KURED)
    await there.wait(early)
    there.arrival(lag={"eastus2": UNTIL_A_JUMP})
    late = await there.bring()
    there.arrival(lag={"eastus2": UNTIL_A_JUMP})
    assert await there.wait(late) == ReplicaState(regions=("eastus2", "westus2"))
    assert there.clock.waits == [DAY, DAY]
    of_west = [look for look in there.requests(WEST.host) if look[1] == late.image.digest]
    assert len(of_west) == 1
    of_east = [look for look in there.requests() if look[1] == late.image.digest]
    assert len(of_east) == 3


@pytest.mark.parametrize("arrival", ["index-first", "manifests-first"])
async def test_parts_that_arrive_later(there: Replicated, arrival: str) -> None:
    """An index without its manifests, and manifests without their blobs, are not enough."""
    image = await there.bring()
    there.arrival(arrival=arrival, rest=UNTIL_A_JUMP)
    told: list[str] = []
    await wait_for_replicas(there.client, there.clock, [image], there.replication(), progress=told.append)
    assert there.clock.waits == [DAY, DAY]
    assert len(told) == 1  # nothing changed between the two looks
    assert "eastus2" in told[0]
    assert image.image.digest not in told[0].partition(" of ")[0]


async def test_what_does_not_arrive(there: Replicated) -> None:
    """At the deadline the error names regions, servers and digests, and what to do; every wait has been capped."""
    image, other = await there.bring(), await there.bring(KURED)
    there.arrival(lag={"westus2": "never"})
    with pytest.raises(NotReplicated) as failed:
        await there.wait(image, other)
    assert failed.value.subject == "westus2"
    for part in (WEST.host, image.image.digest, other.image.digest, "after 5760 minutes", "no manifests were pushed"):
        assert part in str(failed.value)
    assert "eastus2" not in str(failed.value)
    assert sum(there.clock.waits) <= 4 * DAY
    there.arrival()
    assert (await there.wait(image, other)).regions == ("eastus2", "westus2")


@pytest.mark.parametrize("region", ["eastus2", "westus2"])
async def test_servers_that_do_not_count(there: Replicated, region: str) -> None:
    """What other replicas lack is nobody's concern."""
    image = await there.bring()
    there.arrival(lag={region: "never"})
    server = WEST if region == "eastus2" else EAST
    assert await there.wait(image, servers=(server,)) == ReplicaState(regions=(server.region,))
    assert there.requests(EAST.host if server is WEST else WEST.host) == []


@pytest.mark.parametrize(
    ("fault", "kind", "says"),
    [
        ({"status": 401, "path": "/oauth2/*"}, AuthenticationFailed, "token endpoint refuses"),
        ({"status": 403, "path": "/v2/quarantine/*", "message": "no"}, PermissionDenied, "403"),
        ({"status": 403, "path": "*/blobs/*"}, PermissionDenied, "403"),
        (
            {"status": 403, "message": "client with IP '203.0.113.10' is not allowed access."},
            NetworkDenied,
            "is not allowed access",
        ),
        ({"status": 404}, NotFound, "There is no such server"),
    ],
    ids=["no token", "no right", "no right to blobs", "closed network", "no such server"],
)
async def test_a_server_that_refuses(
    there: Replicated, fault: dict[str, Any], kind: type[PratiqueError], says: str
) -> None:
    """It is said as what it is, with the region and the host, and not waited for."""
    image = await there.bring()
    there.fault(**fault)
    with pytest.raises(PratiqueError) as failed:
        await there.wait(image)
    assert type(failed.value) is kind
    assert (failed.value.attempted, failed.value.subject) == ("look at the replica in eastus2", EAST.host)
    assert says in failed.value.observed
    assert failed.value.remedy
    assert there.clock.waits == []


async def test_a_region_without_a_server(there: Replicated) -> None:
    """A host that does not know the registry is not waited for either."""
    nowhere = RegionalServer("nowhere", f"{NAME}.nowhere.geo.azurecr.io")
    image = await there.bring()
    with pytest.raises(NotFound, match="no such server") as failed:
        await there.wait(image, servers=(EAST, nowhere))
    assert failed.value.subject == nowhere.host


async def test_a_network_that_denies_the_host(there: Replicated) -> None:
    """The worker's own proxy says so."""
    image, azure = await there.bring(), there.sandbox.azure
    client = azure.scenario.client.model_copy(update={"blocked": frozenset({"*.geo.azurecr.io"})})
    azure.scenario = azure.scenario.model_copy(update={"client": client})
    with pytest.raises(NetworkDenied, match="proxy denies it"):
        await there.wait(image)


async def test_a_role_for_the_registry_is_missing(there: Replicated) -> None:
    """The error is the registry's own: which right is missing, and where."""
    image, access = await there.bring(), there.sandbox.azure.access
    me = there.sandbox.azure.scenario.identity.object_id

    async def revoke() -> None:
        for assignment in access.assignments():
            if assignment.principal_id == me:
                access.unassign(assignment.id)

    there.sandbox.run(revoke())
    with pytest.raises(PermissionDenied, match="registries/pull/read") as failed:
        await there.wait(image)
    assert failed.value.subject in (EAST.host, WEST.host)


@pytest.mark.parametrize("status", [429, 503])
async def test_a_server_that_is_busy(there: Replicated, status: int) -> None:
    """It is asked again, as late as it says, until the deadline; the error then says what it answered."""
    image = await there.bring()
    there.fault(status=status, retry_after=2 * int(DAY), message="busy")
    with pytest.raises(NotReplicated, match="busy") as failed:
        await there.wait(image)
    assert failed.value.subject == "eastus2"
    assert there.clock.waits[0] == (2 * DAY if status == 429 else DAY)
    there.clock.waits.clear()
    there.clock.during = lambda number: there.sandbox.azure.faults.clear()
    assert (await there.wait(image)).regions == ("eastus2", "westus2")
    assert len(there.clock.waits) == 1


async def test_an_image_that_this_worker_could_not_read(there: Replicated) -> None:
    """It cannot be looked at in replicas, and is waited for as where nobody can look."""
    image = replace(await there.bring(), verified=False)
    replication = replace(there.replication(), pause=timedelta(minutes=3))
    (known,) = await wait_for_replicas(there.client, there.clock, [image], replication)
    assert known.replicas is not None
    assert "cannot read the registry" in known.replicas.not_observable
    assert there.requests() == []
    assert 90 < sum(there.clock.waits) <= 180


async def test_where_nobody_can_look(there: Replicated) -> None:
    """The wait begins with the promotion, and is made once."""
    images = [await there.bring(), await there.bring(KURED)]
    blind = Replication(not_observable="because", pause=timedelta(days=3))
    ages = {images[0].reference: there.clock.now() - timedelta(days=1), images[1].reference: there.clock.now()}
    ages[images[1].reference] -= timedelta(days=2)
    known = await wait_for_replicas(there.client, there.clock, images, blind, since=ages)
    assert {str(image.replicas) for image in known} == {"not observable: because"}
    assert 1.9 * DAY < sum(there.clock.waits) <= 2 * DAY
    there.clock.waits.clear()
    assert await wait_for_replicas(there.client, there.clock, known, blind) == known
    assert await wait_for_replicas(there.client, there.clock, images, replace(blind, pause=timedelta(0))) == known
    assert (there.clock.waits, there.requests()) == ([], [])


async def test_looking_once(there: Replicated) -> None:
    """For what is not waited for."""
    image = await there.bring()
    await require_replicas(there.client, [image], there.replication())
    await require_replicas(there.client, [image], Replication())
    there.arrival(lag={"eastus2": "never"})
    await require_replicas(there.client, [image], there.replication((WEST,)))
    with pytest.raises(NotReplicated, match="at the moment") as failed:
        await require_replicas(there.client, [image], there.replication())
    assert failed.value.subject == "eastus2"
    assert there.clock.waits == []


def test_blobs_that_a_registry_has_to_have() -> None:
    """A manifest's configuration and layers, without those that nodes get from elsewhere; an index has none."""
    document = {
        "config": {"digest": "sha256:c"},
        "layers": [
            {"digest": "sha256:a", "mediaType": "application/vnd.oci.image.layer.v1.tar+gzip"},
            {"digest": "sha256:w", "mediaType": "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip"},
            {"digest": "sha256:a"},
            {"digest": 5},
            "nothing",
        ],
    }
    assert Manifest(OCI_MANIFEST, "d", b"", document).blobs == ("sha256:c", "sha256:a")
    assert Manifest(OCI_MANIFEST, "d", b"", {"config": None, "layers": None}).blobs == ()
    assert Manifest(OCI_INDEX, "d", b"", document).blobs == ()
