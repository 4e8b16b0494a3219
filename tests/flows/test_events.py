"""The events that a run emits."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from prefect.events.clients import AssertingEventsClient
from prefect.events.schemas.events import Event
from prefect.events.worker import EventsWorker

from flows.renew_certificate import renew_certificate
from flows.sweep_access import sweep_access
from pratique.errors import AccessNotRevoked, CertificateRejected, GateBlocked
from pratique.lease import Lease, lease_id
from sandbox.scenario import Finding, Scan, Scenario
from sandbox.services.keyvault.vaults import VAULT_TYPE
from tests.flows.conftest import PROMPT, MakeWorld
from tests.flows.test_approval import Run
from tests.flows.test_renewal import deployed, issue
from tests.flows.world import World

Told = Callable[[], list[Event]]
IMAGE = "pratique.image.kubereboot/kured:1.14.0"
RELEASE = "pratique.release.release-0"
FINDING = Finding(cve="CVE-2025-1974", severity="Critical", package="openssl", version="3.1.4-r5")


@pytest.fixture
def told(prefect: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Told]:
    """Returns the project's events since the last call, with Prefect's additions. Nothing is sent."""
    worker = EventsWorker.instance(AssertingEventsClient)
    monkeypatch.setattr(EventsWorker, "instance", lambda *_: worker)

    def take() -> list[Event]:
        worker.wait_until_empty()
        client = worker._client
        assert isinstance(client, AssertingEventsClient)
        return [event for event in client.pop_events() if event.event.startswith("pratique.")]

    yield take
    worker.drain()


def cluster_id(cluster: World) -> str:
    return f"pratique.cluster.{cluster.config.cluster.resource_group}"


async def test_a_run(world: MakeWorld, told: Told) -> None:
    """Events come in order, about the right resource, related to cluster and run; without changes there are fewer."""
    cluster = world()
    await cluster.prepare()
    events = told()
    everything = [(event.event.removeprefix("pratique."), event.resource.id) for event in events]
    images = [(what, about) for what, about in everything if what.startswith(("image.", "gate.", "manifests."))]
    assert images == [
        ("image.quarantined", IMAGE),
        ("gate.passed", RELEASE),
        ("image.promoted", IMAGE),
        ("manifests.published", cluster_id(cluster)),
    ]
    assert [what for what, _ in everything if what.startswith(("access.", "certificate."))] == [
        "access.opened",
        "certificate.imported",
        "access.revoked",
    ]
    for event in events:
        assert cluster_id(cluster) in [resource.id for resource in event.involved_resources]
        assert "flow-run" in [resource.role for resource in event.related]
    (digest,) = cluster.live.values()
    (promoted,) = [event for event in events if event.event == "pratique.image.promoted"]
    assert promoted.payload["digest"] == digest
    assert "PRIVATE KEY" not in json.dumps([event.payload for event in events])
    await cluster.prepare()
    assert {event.event for event in told()} == {
        "pratique.access.opened",
        "pratique.access.revoked",
        "pratique.gate.passed",
    }


async def test_a_blocked_release(world: MakeWorld, told: Told) -> None:
    """A blocked gate emits one event with the reason and the next step, and there is no event of a promotion."""
    scans = {"kubereboot/kured": Scan(outcome="unhealthy", findings=(FINDING,))}
    cluster = world(scenario=Scenario(scans=scans, timings=PROMPT))
    assert isinstance(await cluster.fail(), GateBlocked)
    events = told()
    (blocked,) = [event for event in events if event.event == "pratique.gate.blocked"]
    assert blocked.resource.id == RELEASE
    assert FINDING.cve in blocked.payload["reason"]
    assert not {event.event for event in events} & {"pratique.gate.passed", "pratique.image.promoted"}


async def test_leaked_access(world: MakeWorld, told: Told) -> None:
    """A sweep emits that a lease had expired, and that it is revoked; without an expired lease it emits nothing."""
    cluster = world()
    await cluster.prepare()
    await sweep_access(cluster.config)
    told()
    over = datetime.now(UTC).replace(microsecond=0) - timedelta(minutes=1)
    lease = Lease(id=lease_id("run", cluster.vault_id), owner="run", expires=over)
    azure = cluster.sandbox.azure
    vault = azure.resources.named(VAULT_TYPE, cluster.vault_name)
    assert vault is not None

    async def leave() -> None:
        azure.resources.put({**vault, "tags": {lease.tag_name: lease.tag_value}})

    cluster.sandbox.run(leave())
    assert await sweep_access(cluster.config) == [lease.id]
    events = told()
    assert [event.event for event in events] == ["pratique.access.leaked", "pratique.access.revoked"]
    assert [event.resource.id for event in events] == [cluster_id(cluster)] * 2
    assert [event.payload for event in events] == [{"vault": cluster.vault_name, "leases": [lease.id]}] * 2
    await sweep_access(cluster.config)
    assert told() == []


@pytest.mark.parametrize("revokes", ["the run", "a sweep"])
async def test_access_that_cannot_be_revoked(
    world: MakeWorld, told: Told, monkeypatch: pytest.MonkeyPatch, revokes: str
) -> None:
    """Whatever fails to revoke access emits that, with the manual steps, and does not emit that it was revoked."""
    monkeypatch.setattr("pratique.access.revoke.PAUSES", (0.0, 0.0))
    cluster = world()
    faults = cluster.sandbox.azure.faults
    faults.add(kind="status", status=409, method="DELETE", path="*/roleAssignments/*", times=None)
    with pytest.raises(AccessNotRevoked):
        await cluster.prepare()
    if revokes == "a sweep":
        told()
        with pytest.raises(AccessNotRevoked):
            await sweep_access(cluster.config, everything=True)
    events = [event for event in told() if event.event in ("pratique.access.leaked", "pratique.access.revoked")]
    assert {(event.event, event.resource.id) for event in events} == {("pratique.access.leaked", cluster_id(cluster))}
    for event in events:
        assert event.payload["vault"] == cluster.vault_name
        assert "az role assignment delete" in event.payload["remedy"]
        assert len(event.payload["leases"]) == (0 if revokes == "a sweep" else 1)


async def test_an_expiring_certificate(world: MakeWorld, told: Told) -> None:
    """A renewal without a better certificate emits when the vault's expires."""
    cluster = await deployed(world, issue(age=300, days=310))
    with pytest.raises(CertificateRejected):
        await renew_certificate(cluster.config)
    events = told()
    assert [event.event.removeprefix("pratique.") for event in events] == [
        "access.opened",
        "certificate.expiring",
        "access.revoked",
    ]
    assert events[1].payload["expires"] == (datetime.now(UTC) + timedelta(days=10)).date().isoformat()


async def test_a_question(told: Told) -> None:
    """A run emits an event when it starts to wait for a person, and none when it continues with the answer."""
    run = await Run.of("web")
    await run.until_it_asks()
    (asked,) = told()
    assert (asked.event, asked.resource.id) == ("pratique.gate.asked", "pratique.release.web")
    await run.answer()
    await run.execute()
    assert told() == []
