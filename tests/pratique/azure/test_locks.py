"""Management locks that apply to a vault are found, whatever a list at one scope shows."""

from __future__ import annotations

import pytest

from pratique.azure.locks import read_locks
from pratique.azure.session import AzureSession
from pratique.errors import PermissionDenied
from sandbox.core.locks import Level, Lock
from sandbox.scenario import Identity, Scenario
from sandbox.tenant import CLUSTER_GROUP, group_id
from tests.conftest import RunningSandbox, StartSandbox
from tests.pratique.azure.vaults import make_vault


@pytest.mark.parametrize("shown", ["both", "above", "below", "neither"])
async def test_locks_at_each_scope(start_sandbox: StartSandbox, shown: str) -> None:
    """Those of the vault, its group and its subscription, and none beside or below it; for a group, its own."""
    sandbox = start_sandbox(Scenario.model_validate({"lock_lists": shown}))
    async with AzureSession.open() as session:
        vault, group = await make_vault(session), group_id(sandbox.azure, CLUSTER_GROUP)
        subscription = group.partition("/resourceGroups")[0]
        levels: dict[str, Level] = {subscription: "CanNotDelete", group: "ReadOnly", vault: "CanNotDelete"}
        for scope in (*levels, f"{vault}-other", f"{vault}/secrets/one", f"{group}-other"):
            level = levels.get(scope, "ReadOnly")
            sandbox.azure.locks.put(Lock(scope=scope, name="keep", level=level))
        found = await read_locks(session, vault)
        assert {lock.scope: lock.level for lock in found} == levels
        assert {lock.scope: lock.only_keeps for lock in found} == {subscription: True, group: False, vault: True}
        assert {lock.scope for lock in await read_locks(session, group)} == {subscription, group}
        texts = {str(lock) for lock in found}
        assert f"ReadOnly lock keep on {group}" in texts


async def test_no_locks(session: AzureSession, sandbox: RunningSandbox) -> None:
    """Usually there are none."""
    assert await read_locks(session, await make_vault(session)) == ()


async def test_without_the_right_to_read_them(start_sandbox: StartSandbox) -> None:
    """The error names the action and the scope, here the subscription."""
    start_sandbox(Scenario(identity=Identity(subscription_roles=())))
    async with AzureSession.open() as session:
        vault = await make_vault(session)
        with pytest.raises(PermissionDenied) as refused:
            await read_locks(session, vault)
    where = f"Microsoft.Authorization/locks/read on /subscriptions/{session.subscription_id}"
    assert where in refused.value.remedy
