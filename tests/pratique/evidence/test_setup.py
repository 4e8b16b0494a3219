"""What a gate is set up with, and what it warns of."""

from __future__ import annotations

import pytest

from pratique.azure.session import AzureSession
from pratique.config import Gate
from pratique.errors import GateBlocked
from pratique.evidence.setup import set_up
from pratique.gate.policy import RECOMMENDATIONS
from pratique.preflight.check import _defender
from sandbox.scenario import DefenderPlan, Scenario
from sandbox.tenant import CLUSTER_GROUP
from tests.conftest import StartSandbox
from tests.pratique.evidence.conftest import Scanned


async def test_a_plan_that_lists_no_extensions(start_sandbox: StartSandbox) -> None:
    """Nobody knows then whether Defender scans: its sources are asked, a warning says so, and `check` does not pass."""
    scanned = Scanned(start_sandbox(Scenario(defender=DefenderPlan(extensions=False))), [])
    gate = Gate(unsafe_accept_unsigned_artifacts=True, policy={"defender_off": "skip"})
    async with scanned.session() as session, scanned.client() as client:
        ready = await set_up(gate, session, client, judged=session.group_id(CLUSTER_GROUP))
        lines = [line async for line in _defender(session)]
    assert RECOMMENDATIONS in ready.rules.sources
    assert any("does not say whether it scans" in warning for warning in ready.warnings)
    assert [(line.passed, line.detail.partition(":")[0]) for line in lines] == [
        (True, "on"),
        (False, "not known"),
        (False, "not known"),
    ]
    assert all(line.remedy for line in lines if not line.passed)


async def test_a_plan_that_is_off(start_sandbox: StartSandbox) -> None:
    """An extension that the plan lists as off is off: without the policy's leave the gate does not wait in vain."""
    scanned = Scanned(start_sandbox(Scenario(defender=DefenderPlan(registry_assessment=False))), [])
    async with AzureSession.open() as session, scanned.client() as client:
        with pytest.raises(GateBlocked, match="is off"):
            await set_up(
                Gate(unsafe_accept_unsigned_artifacts=True), session, client, judged=session.group_id(CLUSTER_GROUP)
            )
