"""The named states in which runs end, each of one of Prefect's final types."""

from __future__ import annotations

from typing import Any

from prefect import get_client
from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterId
from prefect.client.schemas.objects import State, StateType

from flows.prepare_cluster import prepare_cluster
from flows.release_images import release_images
from flows.renew_certificate import renew_certificate
from flows.sweep_access import sweep_access
from pratique.errors import CertificateRejected, Conflict, GateBlocked
from sandbox.scenario import Finding, Scan, Scenario
from tests.flows.conftest import PROMPT, MakeWorld
from tests.flows.world import KURED, write_certificate

FINDING = Finding(cve="CVE-2025-1974", severity="Critical", package="openssl", version="3.1.4-r5")
BLOCKED = GateBlocked("promote", "release web", "A finding.", "Upgrade.")
TAKEN = Conflict("promote", "nginx:1.27", "It is another one.", "Use a new tag.")


async def stored(state: State) -> tuple[str | None, StateType, str]:
    """The state on the server, which the UI shows."""
    run_id = state.state_details.flow_run_id
    assert run_id is not None
    async with get_client() as client:
        found = (await client.read_flow_run(run_id)).state
    assert found is not None
    return found.name, found.type, found.message or ""


async def task_states(state: State) -> dict[str, str | None]:
    """Names of the states of a run's tasks, by the name of the task."""
    async with get_client() as client:
        run_id = FlowRunFilterId(any_=[state.state_details.flow_run_id])
        runs = await client.read_task_runs(flow_run_filter=FlowRunFilter(id=run_id))
    return {run.name: run.state_name for run in runs}


async def test_nothing_to_do(world: MakeWorld) -> None:
    """Every flow ends in this state if it changed nothing, and still returns its result."""
    cluster = world()
    first: State[Any] = await prepare_cluster(cluster.config, return_state=True)
    assert (await stored(first))[:2] == ("Completed", StateType.COMPLETED)
    again: State[Any] = await prepare_cluster(cluster.config, return_state=True)
    assert (await stored(again))[:2] == ("Nothing to do", StateType.COMPLETED)
    idle = {name for name, state in (await task_states(again)).items() if state == "Nothing to do"}
    assert {name.split()[0] for name in idle} == {
        "deploy",
        "find",
        "quarantine",
        "promote",
        "store",
        "import",
        "record",
        "register",
        "publish",
    }
    before, after = await first.aresult(), await again.aresult()
    assert (before.images, before.head, before.changed) == (after.images, after.head, not after.changed)
    for run in (release_images, renew_certificate, sweep_access):
        state = await run(cluster.config, return_state=True)
        assert (await stored(state))[:2] == ("Nothing to do", StateType.COMPLETED), run.name


async def test_blocked_by_gate(world: MakeWorld) -> None:
    """A blocked run ends in a named failed state with the error's message; callers get the error."""
    scans = {"kubereboot/kured": Scan(outcome="unhealthy", findings=(FINDING,))}
    cluster = world(scenario=Scenario(scans=scans, timings=PROMPT))
    state: State[Any] = await prepare_cluster(cluster.config, return_state=True)
    name, kind, message = await stored(state)
    assert (name, kind) == ("Blocked by gate", StateType.FAILED)
    assert KURED in message
    assert FINDING.cve in message
    assert isinstance(await state.aresult(raise_on_failure=False), GateBlocked)


async def test_certificate_rejected(world: MakeWorld) -> None:
    """A run whose certificate is rejected ends in a named failed state."""
    cluster = world()
    write_certificate(cluster.pem, "somebody-else.contoso.com")
    state: State[Any] = await prepare_cluster(cluster.config, return_state=True)
    assert (await stored(state))[:2] == ("Certificate rejected", StateType.FAILED)
    assert isinstance(await state.aresult(raise_on_failure=False), CertificateRejected)
