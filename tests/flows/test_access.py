"""Temporary access ends, however the run does, and takes nothing with it that was there before."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from prefect.client.orchestration import get_client
from prefect.client.schemas.objects import FlowRun
from prefect.client.schemas.sorting import FlowRunSort
from prefect.states import Crashed

from flows.hooks import end_leases_of_run
from flows.prepare_cluster import prepare_cluster
from flows.sweep_access import sweep_access
from pratique.access import grant
from pratique.azure.firewall import record_lease
from pratique.azure.roles import assignment_name, grant_role
from pratique.azure.rule_marks import marks
from pratique.azure.session import AzureSession
from pratique.azure.vault import ProbeResult, Vault, probe
from pratique.config import CERTIFICATES_OFFICER
from pratique.errors import CertificateRejected, PermissionDenied, Unavailable
from pratique.lease import TAG_PREFIX, Lease, lease_id
from sandbox.scenario import Scenario, Timings
from sandbox.services.keyvault.state import Vaults
from sandbox.services.keyvault.vaults import VAULT_TYPE
from tasks.runtime import lease_owner
from tests.flows.conftest import MakeWorld
from tests.flows.test_cluster_stamp import configured
from tests.flows.world import OPENED, World, write_certificate

ADDRESS = IPv4Address("203.0.113.10")
OURS = ["role Key Vault Certificates Officer", f"rule {ADDRESS}/32"]


async def test_access_arrives_late(world: MakeWorld) -> None:
    """Role and rule that take their time are waited for, and are gone afterwards all the same."""
    cluster = world(scenario=Scenario(timings=Timings(role_assignment=3000, firewall_rule=2000)))
    told = await cluster.prepare()
    assert cluster.vault["certificates"][told.certificate]["thumbprint"] == told.thumbprint
    assert cluster.access == []


async def test_access_that_never_arrives(world: MakeWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    """A step that is retried waits for what is left of the run's patience, and its end is not retried."""
    cluster = configured(
        world(scenario=Scenario(timings=Timings(role_assignment=10**9, firewall_rule=0))),
        access={"opening_minutes": 0.001},
    )
    wait = grant.wait_until_open
    deadlines: list[grant.Deadline] = []
    failures = iter([Unavailable("list the vault's certificates", "kv", "No answer.", "Run again.")])

    async def waiting(*arguments: Any) -> Lease:
        deadlines.append(arguments[-1])
        return await wait(*arguments)

    async def probing(session: AzureSession, vault: str) -> ProbeResult:
        if failure := next(failures, None):
            raise failure
        return await probe(session, vault)

    monkeypatch.setattr(grant, "wait_until_open", waiting)
    monkeypatch.setattr(grant, "probe", probing)
    error = await cluster.fail()
    assert isinstance(error, PermissionDenied)
    assert "after 0.001 minutes" in error.observed
    first, second = deadlines
    assert first is second
    assert cluster.access == []


async def test_wrong_certificate(world: MakeWorld) -> None:
    """A certificate for another name is refused before anything is deployed or opened."""
    cluster = world()
    write_certificate(cluster.pem, "somebody-else.contoso.com")
    assert isinstance(await cluster.fail(), CertificateRejected)
    assert cluster.state()["vaults"] == {}
    assert cluster.live == {}


async def test_certificate_goes_wrong_meanwhile(world: MakeWorld) -> None:
    """A file that is replaced while the template deploys fails with the access open; it is closed again."""
    cluster = world()
    held = cluster.sandbox.azure.faults.add(kind="slow", seconds=60, method="PUT", path="*/deployments/*")
    run = asyncio.create_task(cluster.fail())
    await cluster.until(lambda: held.hits > 0)
    write_certificate(cluster.pem, "somebody-else.contoso.com")
    await cluster.jump(60)
    assert isinstance(await run, CertificateRejected)
    assert _granted(cluster)
    assert cluster.access == []
    assert cluster.vault["certificates"] == {}
    assert cluster.commits == []


async def test_deleted_certificate_has_the_name(world: MakeWorld) -> None:
    """A soft-deleted certificate of the name is recovered, and is the current version as it is; nothing stays open."""
    cluster = world()
    told = await cluster.prepare()
    _change(
        cluster, lambda vaults: vaults.contents(told.vault).delete(told.certificate, cluster.sandbox.azure.clock.now())
    )
    cluster.sandbox.control("POST", "/clock", json={"jump": cluster.sandbox.azure.scenario.timings.vault_object})
    again = await cluster.prepare()
    assert again.thumbprint == told.thumbprint
    assert cluster.vault["certificates"][told.certificate]["versions"] == 1
    assert cluster.access == []


async def test_what_existed_before_stays(world: MakeWorld) -> None:
    """A rule for this very address and a standing role are used, and left as they were."""
    cluster = world()
    told = await cluster.prepare()
    write_certificate(cluster.pem)
    _let_in(cluster)
    assert cluster.access == OURS
    again = await cluster.prepare()
    assert again.thumbprint != told.thumbprint
    assert cluster.vault["certificates"][told.certificate]["versions"] == 2
    assert cluster.access == OURS


async def test_cancelled_with_access_open(world: MakeWorld) -> None:
    """A run that is cancelled while it waits behind its own grants takes them back."""
    cluster = world(scenario=Scenario(timings=Timings(role_assignment=10**9)))
    run = asyncio.create_task(prepare_cluster(cluster.config))
    await cluster.until(lambda: len(cluster.access) == OPENED)
    run.cancel()
    with pytest.raises(asyncio.CancelledError):
        await run
    assert cluster.access == []
    ended = (await _newest_run()).state
    assert ended is not None
    assert ended.is_final()
    assert not ended.is_completed()


async def test_cancelled_again_while_revoking(world: MakeWorld) -> None:
    """A second cancellation finds the revocation under way, and waits for it."""
    cluster = world(scenario=Scenario(timings=Timings(role_assignment=10**9)))
    run = asyncio.create_task(prepare_cluster(cluster.config))
    await cluster.until(lambda: len(cluster.access) == OPENED)
    held = cluster.sandbox.azure.faults.add(kind="slow", seconds=1500, method="PATCH", path="*/vaults/*")
    run.cancel()
    await cluster.until(lambda: held.hits > 0)
    run.cancel()
    await cluster.jump(1500)
    with pytest.raises(asyncio.CancelledError):
        await run
    assert cluster.access == []


async def test_hook_of_a_killed_run(world: MakeWorld) -> None:
    """What a killed process left open, the hook closes in another one; other runs' access is not its business."""
    cluster = world()
    await cluster.prepare()
    killed, other = uuid4(), uuid4()
    async with AzureSession.open() as session:
        vault = Vault(cluster.vault_name, cluster.vault_id)
        for run, address in ((killed, ADDRESS), (other, IPv4Address("198.51.100.7"))):
            await _record(session, vault, lease_owner(run), address, timedelta(minutes=30))
    assert f"rule {ADDRESS}/32" in cluster.access
    config = cluster.config.model_dump(mode="json")
    # Nothing that the hook does not need must stop it.
    config["catalogue"]["credentials"] = [{"registry": "docker.io", "username": "x", "password": "env:NOT_THERE"}]
    parameters = {"config": config}
    await end_leases_of_run(prepare_cluster, FlowRun(id=killed, flow_id=uuid4(), parameters=parameters), Crashed())
    assert [trace for trace in cluster.access if trace.startswith("rule")] == ["rule 198.51.100.7/32"]
    assert len([trace for trace in cluster.access if trace.startswith("tag")]) == 1


async def test_killed_with_access_open(world: MakeWorld, prefect: Path) -> None:
    """A process that is killed cleans nothing up; the hook, given what Prefect knows of the run, does it for it."""
    cluster = world(scenario=Scenario(timings=Timings(role_assignment=10**9)))
    run = cluster.start(prefect)
    await cluster.until(lambda: len(cluster.access) == OPENED)
    run.kill()
    await asyncio.to_thread(run.communicate)
    assert len(cluster.access) == OPENED
    killed = await _newest_run()
    async with get_client() as client:  # or the next test's run would wait for the cluster that this one seems to hold
        await client.set_flow_run_state(killed.id, Crashed(), force=True)
    await end_leases_of_run(prepare_cluster, killed, Crashed())
    assert cluster.access == []


async def test_sweep(world: MakeWorld) -> None:
    """The sweeper ends what is over its time, whoever took it, and nothing else."""
    cluster = world()
    await cluster.prepare()
    vault = Vault(cluster.vault_name, cluster.vault_id)
    theirs = IPv4Address("198.51.100.7")
    async with AzureSession.open() as session:
        for address, minutes in ((ADDRESS, -1), (theirs, 30)):
            await _record(session, vault, f"run of {address}", address, timedelta(minutes=minutes))
    shared = "role Key Vault Certificates Officer"
    swept = await sweep_access(cluster.config)
    assert swept == [lease_id(f"run of {ADDRESS}", vault.id)]
    left = f"tag {TAG_PREFIX}{lease_id(f'run of {theirs}', vault.id)}"
    assert cluster.access == [f"mark {marks(vault.id, theirs)[0]}", shared, f"rule {theirs}/32", left]
    assert await sweep_access(cluster.config) == []
    assert await sweep_access(cluster.config, everything=True) == [lease_id(f"run of {theirs}", vault.id)]
    assert cluster.access == []


async def test_sweep_everything(world: MakeWorld) -> None:
    """On demand the living are ended as well: the run opens its access again, and ends as if nothing had happened."""
    cluster = world(scenario=Scenario(timings=Timings(role_assignment=10**9, firewall_rule=0)))
    run = asyncio.create_task(cluster.prepare())
    await cluster.until(lambda: len(cluster.access) == OPENED)
    granted = cluster.last_request()
    assert len(await sweep_access(cluster.config, everything=True)) == 1
    await cluster.until(lambda: _granted(cluster, since=granted) and len(cluster.access) == OPENED)
    for held in cluster.sandbox.azure.access.assignments():
        held.effective = 0
    told = await run
    assert cluster.vault["certificates"][told.certificate]["thumbprint"] == told.thumbprint
    assert cluster.access == []


async def test_nothing_to_sweep(world: MakeWorld) -> None:
    """Before the first deployment there is no vault, and that is no error."""
    assert await sweep_access(world().config) == []


async def _record(session: AzureSession, vault: Vault, owner: str, address: IPv4Address, life: timedelta) -> None:
    """What a run leaves behind that dies with its access open."""
    caller = await session.caller()
    name = assignment_name(vault.id, CERTIFICATES_OFFICER, caller.object_id)
    lease = Lease(id=lease_id(owner, vault.id), owner=owner, expires=datetime.now(UTC) + life, assignment=name)
    description = lease.description
    await grant_role(session, vault.id, CERTIFICATES_OFFICER, caller, name=name, description=description)
    await record_lease(session, vault.id, lease, address)


async def _newest_run() -> FlowRun:
    async with get_client() as client:
        (newest, *_) = await client.read_flow_runs(sort=FlowRunSort.START_TIME_DESC, limit=1)
    return newest


def _granted(cluster: World, since: int = 0) -> bool:
    return any("/roleAssignments/" in asked["path"] and asked["method"] == "PUT" for asked in cluster.requests(since))


def _change(cluster: World, change: Callable[[Vaults], object]) -> None:
    async def work() -> None:
        change(cluster.sandbox.azure.state(Vaults))

    cluster.sandbox.run(work())


def _let_in(cluster: World) -> None:
    """A rule and a role that somebody else made."""
    azure = cluster.sandbox.azure
    vault = azure.resources.named(VAULT_TYPE, cluster.vault_name)
    assert vault is not None
    properties = {
        **vault["properties"],
        "networkAcls": {"defaultAction": "Deny", "ipRules": [{"value": f"{ADDRESS}/32"}]},
    }

    async def work() -> None:
        azure.resources.put({**vault, "properties": properties})
        azure.access.assign(
            role=CERTIFICATES_OFFICER, principal_id=azure.scenario.identity.object_id, scope=vault["id"], at_once=True
        )

    cluster.sandbox.run(work())
