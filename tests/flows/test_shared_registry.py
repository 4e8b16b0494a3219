"""Blue and green use one registry, each with a GitOps repository and a folder of its own."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from flows.prepare_cluster import prepare_cluster
from flows.release_images import release_images
from flows.rescan_live import rescan_live
from pratique.cli.records import forget
from pratique.errors import ConfigurationError, LiveImagesAtRisk
from pratique.release.summary import Preparation
from sandbox.scenario import DefenderPlan, Scenario
from tasks.runtime import run_clock
from tests.flows.conftest import PROMPT, MakeWorld
from tests.flows.test_rescan import ADVISORY, NAME, CloudClock, Life
from tests.flows.two_clusters import FOLDER, GREEN, configured, make_green
from tests.flows.world import KURED, World, git

EVERY_REACTION = {"reactions": ["notify", "hold", "propose", "block-pulls"], "block_pulls_referenced": True}
USE = f"{GREEN}: {FOLDER}/kustomization.yaml"


@pytest.fixture
async def blue(world: MakeWorld, tmp_path: Path) -> Life:
    """A prepared cluster; nothing is known against its image. It may read whatever lies beside its own repository."""
    file = tmp_path / "advisories.yaml"
    file.write_text("[]")
    cluster = world(((KURED,),), Scenario(defender=DefenderPlan(advisories=str(file)), timings=PROMPT))
    cluster = configured(cluster, registries={"readers": [{"remote": str(tmp_path)}]})
    await cluster.prepare()
    return Life(cluster, file)


@pytest.fixture(autouse=True)
def its_clock(blue: Life) -> Iterator[None]:
    token = run_clock.set(CloudClock(blue.world))
    yield
    run_clock.reset(token)


async def at_risk(cluster: World) -> str:
    """The rescan's error. A bypass or an unknown promoter would be more severe, so the audit is clean."""
    with pytest.raises(LiveImagesAtRisk) as failed:
        await rescan_live(cluster.config)
    return str(failed.value)


async def test_an_image_that_another_cluster_runs(blue: Life, tmp_path: Path) -> None:
    """Green still runs what blue has replaced, and it turns bad. Under every reaction, blue's rescan reports it with
    green's name, its clock runs, and nothing blocks it, whether or not green's repository can be read. Green proposes
    the replacement in its own repository."""
    green = await make_green(blue.world, tmp_path / "green")
    await release_images(green.config)
    fixed = (await blue.release_fix()).with_scanning(**EVERY_REACTION)
    for config in (fixed.world.config, green.config):
        quiet = await rescan_live(config)
        assert (quiet["outcome"], quiet["changes"]) == ("All is well", [])

    blue.advisories.write_text(ADVISORY)
    await blue.days(1)
    told = await at_risk(fixed.world)
    for part in (NAME, USE, "in 30 days"):
        assert part in told
    assert (fixed.case["condition"], fixed.case["blocked"], fixed.readable) == ("bad", None, True)
    assert fixed.case["held"]
    assert "that cluster's pods could not start again" in await fixed.summary()
    assert fixed.case["proposals"] == {}  # blue's own manifests do not use it

    proposing = configured(green, scanning={"reactions": ["propose"]})
    assert f"{FOLDER}/kustomization.yaml" in await at_risk(proposing)
    (proposal,) = fixed.case["proposals"].values()
    name, _, sha = proposal.partition("@")
    assert git("rev-parse", name, folder=green.gitops).strip() == sha
    assert fixed.case["held"]  # green's configuration ends no hold of blue's
    await at_risk(fixed.world)
    assert list(fixed.case["proposals"].values()) == [proposal]  # nor blue's green's proposal

    green.gitops.rename(green.folder / "gone.git")
    assert "manifests that cannot be read" in await at_risk(fixed.world)
    assert (fixed.case["condition"], fixed.case["blocked"], fixed.readable) == ("bad", None, True)
    (green.folder / "gone.git").rename(green.gitops)

    await blue.days(30, scanned=False)
    assert "0 days overdue" in await at_risk(fixed.world)
    (finding,) = fixed.case["findings"]
    assert datetime.fromisoformat(finding["due"]) - datetime.fromisoformat(finding["firstSeen"]) == timedelta(days=30)
    assert (fixed.case["blocked"], fixed.readable) == (None, True)


async def test_a_cluster_that_is_forgotten(blue: Life, tmp_path: Path) -> None:
    """What only a cluster used that is no longer registered is replaced, and its pulls are blocked."""
    green = await make_green(blue.world, tmp_path / "green")
    await release_images(green.config)
    fixed = (await blue.release_fix()).with_scanning(reactions=["block-pulls"])
    registered = json.loads(git("show", "pratique-records:clusters.json", folder=blue.world.gitops))["clusters"]
    identity = blue.world.sandbox.azure.scenario.identity
    assert [(entry["folder"], entry["identities"]) for entry in registered] == [
        ("cluster-manifests", [identity.object_id]),
        (FOLDER, [identity.object_id]),
    ]
    path = tmp_path / "forgetting.yaml"
    YAML().dump(fixed.world.config.model_dump(mode="json", exclude_none=True), path)
    await run_in_thread(path)
    blue.advisories.write_text(ADVISORY)
    await blue.days(1)
    await rescan_live(fixed.world.config)
    assert (fixed.case["condition"], fixed.readable) == ("replaced", False)


async def run_in_thread(path: Path) -> None:
    await asyncio.to_thread(forget, path, GREEN)


async def test_a_laxer_cluster_promotes_nothing(blue: Life, tmp_path: Path) -> None:
    """A configuration that is laxer than the registry's policy is refused before it promotes, commits or rescans; the
    error names the field, both values, and what to do."""
    green = await make_green(blue.world, tmp_path / "green")
    lax = green.with_gate(
        policy=green.config.gate.policy.model_dump(mode="json") | {"limits": {"critical": 5, "high": 5}}
    )
    before = blue.world.live, git("rev-parse", "main", folder=green.gitops)
    with pytest.raises(ConfigurationError) as refused:
        await release_images(lax.config)
    assert re.search(r"gate\.policy\.limits\.critical is 5 here, and 0 for the registry", str(refused.value))
    assert "registries.policy: own" in str(refused.value)
    assert (blue.world.live, git("rev-parse", "main", folder=green.gitops)) == before
    with pytest.raises(ConfigurationError):
        await rescan_live(lax.config)
    prepared = await prepare_cluster(blue.world.config)
    assert isinstance(prepared, Preparation)
