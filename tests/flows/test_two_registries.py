"""Registries of others: one for quarantine/ and one for live/, each in a subscription of its own."""

from __future__ import annotations

import asyncio

import pytest

from flows.drill_quarantine_bypass import drill_quarantine_bypass
from flows.release_images import release_images
from flows.rescan_live import rescan_live
from pratique.azure.registries import Upstream
from pratique.config.drill import CONFIRMATION
from pratique.errors import ConfigurationError, GateBlocked, LiveImagesUnexplained, PratiqueError
from pratique.preflight.check import CLUSTER_ACTIONS, LIVE_ACTIONS, REGISTRY_ACTIONS, run_checks
from pratique.rescan import report
from sandbox.services.acr.state import Registries
from tests.flows.conftest import MakeWorld
from tests.flows.two_registries import EXPLAINS, TWO_EVALUATIONS, Shared, role_actions
from tests.flows.world import KURED
from tests.sandbox.callers import jump

EVERY_ACTION = [
    *(("quarantine", action) for action in role_actions("pipeline-role-quarantine")),
    *(("live", action) for action in role_actions("pipeline-role-live")),
]


async def check(shared: Shared) -> None:
    """:raises PratiqueError: when a line of ``pratique check`` does not pass"""
    for line in await run_checks(shared.world.config):
        if not line.passed:
            raise PratiqueError(f"check {line.name}", "", line.detail, line.remedy)


async def everything(shared: Shared) -> None:
    """:raises PratiqueError: when a flow fails, or the check does not pass"""
    await shared.world.prepare()
    await rescan_live(shared.world.config)
    await check(shared)


async def test_two_registries_in_two_subscriptions(world: MakeWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every flow succeeds under the roles in infra/, which have no action too many; a bypass is reported and alarms."""
    monkeypatch.setattr("pratique.audit.drill.staging.LOOK_AGAIN_SECONDS", 0.05)
    monkeypatch.setattr("pratique.audit.drill.staging.LINGERS", 0.3)
    shared = Shared(world)
    await shared.settled()
    config = shared.world.config

    plan = await shared.world.plan()
    assert [image.quarantine for image in plan.images] == ["import"]
    prepared = await shared.world.prepare()
    assert [image.live_tag for image in prepared.images] == [f"acrlive.azurecr.io/live/{KURED.partition('/')[2]}"]
    assert shared.repositories("acrlive") == {"live/kubereboot/kured"}
    assert shared.repositories("acrquarantine") == {"quarantine/kubereboot/kured"}
    await release_images(config)
    outcome = (await rescan_live(config))["outcome"]
    await check(shared)
    used = shared.used()
    await asyncio.to_thread(jump, shared.sandbox, TWO_EVALUATIONS)
    assert shared.alerts == 0

    with pytest.raises(ConfigurationError, match="belongs to"):
        await drill_quarantine_bypass(config, CONFIRMATION)
    drilled = await shared.drill(monkeypatch)
    assert (drilled.outcome, {image.way for image in drilled.staged}) == ("passed", {"import", "push"})
    await rescan_live(config)

    before = shared.alerts
    await shared.bypass(monkeypatch, "live/library/busybox:sly", Upstream("docker.io", "library/busybox", "1.37.0"))
    await asyncio.to_thread(jump, shared.sandbox, TWO_EVALUATIONS)
    await shared.world.until(lambda: shared.alerts > before)
    with pytest.raises(LiveImagesUnexplained, match="live/library/busybox:sly"):
        await rescan_live(config)

    assert outcome in (report.WELL, report.NOT_VERIFIED)  # Defender may not have scanned live/ yet
    for place in ("quarantine", "live"):  # asked for beforehand: Resource Graph leaves rows out in silence
        used[place].add("microsoft.security/assessments/read")
    for place, actions in shared.roles.items():
        granted = {action.lower() for action in actions}
        assert sorted(used[place] - granted - {EXPLAINS}) == sorted(granted - used[place] - {EXPLAINS}) == [], place


@pytest.mark.parametrize(("place", "action"), EVERY_ACTION)
async def test_without_it_something_fails(
    world: MakeWorld, place: str, action: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Take one action away at one registry, and a flow or the check ends with an error that names it."""
    monkeypatch.setattr("pratique.access.revoke.PAUSES", (0.0, 0.0))
    shared = Shared(world)
    shared.allow(place, without=action)
    with pytest.raises(PratiqueError) as failed:
        await everything(shared)
    assert action in str(failed.value)


async def test_defender_off_where_the_images_are_judged(world: MakeWorld) -> None:
    """The plan of the subscription with quarantine/ counts for a release, and not that of the cluster's."""
    shared = Shared(world)
    scenario = shared.sandbox.azure.scenario
    off = scenario.subscriptions[0].model_copy(update={"defender": "off"})
    shared.sandbox.azure.scenario = scenario.model_copy(update={"subscriptions": (off, *scenario.subscriptions[1:])})
    error = await shared.world.fail()
    assert isinstance(error, GateBlocked)
    assert off.id in str(error)


async def test_what_is_missing_below_is_restored_from_the_other_registry(world: MakeWorld) -> None:
    """A purge that deletes manifests below an index in live/ is repaired from quarantine/ of the other registry."""
    shared = Shared(world)
    await shared.world.prepare()
    store = shared.sandbox.azure.state(Registries).store("acrlive")

    async def purge() -> list[str]:
        return store.purge_untagged("live/kubereboot/kured")

    (index,) = shared.world.live.values()
    whole = {manifest.digest for manifest in store.closure("live/kubereboot/kured", index)}
    assert whole & set(shared.sandbox.run(purge()))
    await release_images(shared.world.config)
    assert whole <= set(store.repository("live/kubereboot/kured").manifests)


def test_the_roles_are_narrow() -> None:
    """They import, read and judge; what ``pratique check`` asks for is among it; only that of live/ reads log and
    replicas."""
    quarantine, live = role_actions("pipeline-role-quarantine"), role_actions("pipeline-role-live")
    assert {*REGISTRY_ACTIONS} <= {*quarantine}
    assert not {*REGISTRY_ACTIONS} & {*CLUSTER_ACTIONS}
    assert {*live} - {*quarantine} == {*LIVE_ACTIONS, "Microsoft.Insights/logs/read"}
    assert all(action.endswith(("/read", "/importImage/action")) for action in live)
    assert live == sorted(live)
