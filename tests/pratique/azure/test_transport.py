"""No client of Azure waits for as long as a service likes, and a Retry-After that is no time is none."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pratique.azure import transport
from pratique.azure.defender import read_plan
from pratique.azure.deployments import find_deployment
from pratique.azure.firewall import read_firewall
from pratique.azure.groups import read_group
from pratique.azure.locks import read_locks
from pratique.azure.registries import get_registry
from pratique.azure.roles import list_assignments
from pratique.azure.session import AzureSession
from pratique.azure.transport import brief_waits, limit_waits
from pratique.azure.vault import probe
from pratique.azure.what_if import Prediction, what_if
from pratique.errors import NotFound
from sandbox.scenario import Scenario, Timings
from sandbox.tenant import CLUSTER_GROUP, group_id
from tests.conftest import RunningSandbox, StartSandbox
from tests.pratique.azure.vaults import NAME, make_vault
from tests.waiting import HANGS

#: An hour, for ever, years, and what is no time.
HOSTILE = ("3600", "1e999", "Wed, 01 Jan 2098 00:00:00 GMT", "nan", "soon")
TEMPLATE = {
    "$schema": "https://schema.management.azure.com/schemas/2019-04-01/deploymentTemplate.json#",
    "contentVersion": "1.0.0.0",
    "resources": [],
}


@pytest.fixture
def prompt(monkeypatch: pytest.MonkeyPatch) -> None:
    """The longest waits are none."""
    monkeypatch.setattr(transport, "LONGEST_SECONDS", 0)
    monkeypatch.setattr(transport, "BRIEF_SECONDS", 0)


async def _registry(session: AzureSession) -> object:
    with pytest.raises(NotFound):
        await get_registry(session, "nosuchregistry")
    return None


async def _vault(session: AzureSession) -> object:
    return await read_firewall(session, await _vault_id(session))


async def _assignments(session: AzureSession) -> object:
    return await list_assignments(session, await _vault_id(session))


async def _locks(session: AzureSession) -> object:
    return await read_locks(session, await _vault_id(session))


async def _probe(session: AzureSession) -> object:
    return await probe(session, NAME)


async def _deployment(session: AzureSession) -> object:
    return await find_deployment(session, CLUSTER_GROUP, "none")


async def _group(session: AzureSession) -> object:
    return await read_group(session, CLUSTER_GROUP)


async def _vault_id(session: AzureSession) -> str:
    group = f"/subscriptions/{session.subscription_id}/resourceGroups/{CLUSTER_GROUP}"
    return f"{group}/providers/Microsoft.KeyVault/vaults/{NAME}"


@pytest.mark.usefixtures("prompt")
@pytest.mark.parametrize("retry_after", HOSTILE)
@pytest.mark.parametrize("read", [_registry, _vault, _assignments, _locks, _probe, _deployment, _group, read_plan])
async def test_every_client(
    session: AzureSession,
    sandbox: RunningSandbox,
    read: Callable[[AzureSession], Awaitable[object]],
    retry_after: str,
) -> None:
    """It asks again soon, whatever the service asks for."""
    await make_vault(session, "203.0.113.10")
    sandbox.azure.access.assign(
        role="Key Vault Certificates Officer",
        principal_id=sandbox.azure.scenario.identity.object_id,
        scope=group_id(sandbox.azure, CLUSTER_GROUP),
        at_once=True,
    )
    host = "*.vault.azure.net" if read is _probe else "management.azure.com"
    fault = sandbox.azure.faults.add(kind="status", status=429, host=host, method="GET", retry_after=retry_after)
    async with asyncio.timeout(HANGS):
        await read(session)
    assert fault.hits == 1


@pytest.mark.usefixtures("prompt")
@pytest.mark.parametrize("retry_after", HOSTILE)
async def test_the_token_service(session: AzureSession, sandbox: RunningSandbox, retry_after: str) -> None:
    """The credential shares the transport."""
    fault = sandbox.azure.faults.add(
        kind="status", status=429, host="login.microsoftonline.com", retry_after=retry_after
    )
    async with asyncio.timeout(HANGS):
        assert await session.registry_token()
    assert fault.hits == 1


@pytest.mark.usefixtures("prompt")
async def test_polls(start_sandbox: StartSandbox) -> None:
    """A long-running operation that asks for a poll in days is polled soon."""
    start_sandbox(Scenario(timings=Timings(poll=10**9)))
    async with AzureSession.open(poll_seconds=0.05) as session, asyncio.timeout(HANGS):
        assert await what_if(session, CLUSTER_GROUP, "nothing", TEMPLATE, {}) == Prediction()


@given(st.one_of(st.sampled_from(HOSTILE), st.floats(), st.integers(), st.text(), st.datetimes()).map(str))
def test_any_header(text: str) -> None:
    """What is left is a time within the limit, which the SDKs can read, or nothing."""
    names = ("retry-after", "retry-after-ms", "x-ms-retry-after-ms")
    headers: dict[str, str] = {"other": text} | dict.fromkeys(names, text)
    limit_waits(headers, 5.0)
    assert headers.pop("other") == text
    for name, value in headers.items():
        assert 0 <= int(value) <= (5000 if name.endswith("-ms") else 5)


@pytest.mark.parametrize(("asked", "kept"), [("3", "3"), ("0.5", "1"), ("7", "5"), ("0", "0")])
def test_an_ordinary_header(asked: str, kept: str) -> None:
    """Shorter waits are as the service asks, in whole seconds: some operations of the SDKs read nothing else."""
    headers: dict[str, Any] = {"retry-after": asked}
    limit_waits(headers, 5.0)
    assert headers == {"retry-after": kept}


async def test_cleanup_waits_briefly(
    session: AzureSession, sandbox: RunningSandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In such a block only; tasks that start in it are in it."""
    limits: list[float] = []
    monkeypatch.setattr(transport, "limit_waits", lambda headers, longest: limits.append(longest))

    async def read() -> float:
        await read_group(session, CLUSTER_GROUP)
        return limits[-1]

    assert await read() == transport.LONGEST_SECONDS
    with brief_waits():
        assert await asyncio.create_task(read()) == transport.BRIEF_SECONDS
    assert await read() == transport.LONGEST_SECONDS
