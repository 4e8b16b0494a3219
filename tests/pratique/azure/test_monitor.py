"""Alert rules, what feeds them, who is told, and what has fired."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from pratique.azure.alerts import list_alerts
from pratique.azure.monitor import read_action_group, read_diagnostic_settings, read_rule
from pratique.azure.session import AzureSession
from pratique.errors import PermissionDenied
from sandbox.scenario import Identity, Scenario
from sandbox.tenant import CLUSTER_GROUP, group_id
from tests.conftest import RunningSandbox, StartSandbox
from tests.sandbox.callers import arm, owner
from tests.sandbox.monitoring import EVENTS, add_setting, add_workspace, happen, put
from tests.sandbox.registries import add_registry
from tests.sandbox.test_alerts import DIRECT, TEN_MINUTES, pass_time, rule


@pytest.fixture
def slow(start_sandbox: StartSandbox) -> RunningSandbox:
    return start_sandbox(speed=0)


async def test_a_rule_as_it_stands(slow: RunningSandbox) -> None:
    """With everything that decides whether it rings; no rule of the name is none."""
    registry = add_registry(slow, "acraksmonitor")
    put(slow, rule(registry, DIRECT, {}, name="A rule with spaces", enabled=False, actions={"actionGroups": ["/g"]}))
    async with AzureSession.open() as session:
        found = await read_rule(session, session.group_id(CLUSTER_GROUP), "A rule with spaces")
        assert found is not None
        assert (found.name, found.enabled, found.query) == ("A rule with spaces", False, DIRECT)
        assert (found.frequency, found.scopes) == ("PT10M", (registry["id"],))
        assert (found.stateful, found.action_groups) == (True, ("/g",))
        assert await read_rule(session, session.group_id(CLUSTER_GROUP), "Another rule") is None


async def test_settings_and_groups(slow: RunningSandbox) -> None:
    """Where the log goes, and how many are told; what does not exist is none."""
    registry, workspace = add_registry(slow, "acraksmonitor"), add_workspace(slow)
    group = f"{group_id(slow.azure, CLUSTER_GROUP)}/providers/Microsoft.Insights/actionGroups/security"
    async with AzureSession.open() as session:
        assert await read_diagnostic_settings(session, registry["id"], EVENTS) == []
        add_setting(slow, registry, workspace)
        [setting] = await read_diagnostic_settings(session, registry["id"], EVENTS)
        assert (setting.name, setting.workspace, setting.sends) == ("default", workspace["id"], True)
        assert [one.sends for one in await read_diagnostic_settings(session, registry["id"], "Other")] == [False]
        assert await read_action_group(session, group) is None
        properties: dict[str, Any] = {"groupShortName": "s", "enabled": True}
        properties |= {"emailReceivers": [{"name": "a"}, {"name": "b"}], "smsReceivers": [{"name": "c"}]}
        with arm(slow, owner(slow)) as client:
            client.put(group, json={"location": "Global", "properties": properties}).raise_for_status()
        found = await read_action_group(session, group)
        assert found is not None
        assert (found.name, found.enabled, found.receivers) == ("security", True, 3)


async def test_alerts_of_one_rule(slow: RunningSandbox) -> None:
    """Those since a moment, of this rule only, however many pages they fill."""
    registry = add_registry(slow, "acraksmonitor")
    add_setting(slow, registry, add_workspace(slow))
    mine = put(slow, rule(registry, DIRECT, {}, name="mine", autoMitigate=False))
    put(slow, rule(registry, DIRECT, {}, name="other", autoMitigate=False))
    async with AzureSession.open() as session:
        began = datetime.now(UTC)
        assert await list_alerts(session, CLUSTER_GROUP, mine["id"], since=began) == []
        for repository in ("live/a", "live/b"):
            happen(slow, registry, repository)
            pass_time(slow, 2 * TEN_MINUTES)
        first, second = await list_alerts(session, CLUSTER_GROUP, mine["id"].upper(), since=began)
        assert first.started < second.started
        assert (first.rule_id, first.severity, first.resolved) == (mine["id"], "Sev3", False)
        since = first.started + timedelta(seconds=1)
        assert await list_alerts(session, CLUSTER_GROUP, mine["id"], since=since) == [second]


async def test_without_the_right(start_sandbox: StartSandbox) -> None:
    """The errors name the actions; alerts are asked for at the group, where the pipeline has its role."""
    sandbox = start_sandbox(Scenario(identity=Identity(roles=("AcrPull",))))
    registry = add_registry(sandbox, "acraksmonitor")
    async with AzureSession.open() as session:
        with pytest.raises(PermissionDenied, match=r"alerts/read.*resourceGroups/rg-"):
            await list_alerts(session, CLUSTER_GROUP, "/r", since=datetime.now(UTC))
        with pytest.raises(PermissionDenied, match="scheduledQueryRules/read"):
            await read_rule(session, session.group_id(CLUSTER_GROUP), "mine")
        with pytest.raises(PermissionDenied, match="diagnosticSettings/read"):
            await read_diagnostic_settings(session, registry["id"], EVENTS)
