"""Runs record their promotions to live/."""

from __future__ import annotations

import json
from typing import Any

import pytest

from flows.release_images import release_images
from pratique.errors import GateBlocked
from sandbox.scenario import Scenario
from tests.flows.conftest import PROMPT, MakeWorld
from tests.flows.test_gate import VULNERABLE
from tests.flows.world import FALCO, KURED, World, git


def promotions(world: World) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(git("show", "pratique-records:promotions.json", folder=world.gitops))[
        "promotions"
    ]
    return found


async def test_promotions_are_recorded(world: MakeWorld) -> None:
    """Source, place, digest, policy and run of each; main has its two commits and no more, and a second run adds
    nothing."""
    cluster = world(((KURED,), (FALCO,)))
    await cluster.prepare()
    found = {record["source"]: record for record in promotions(cluster)}
    assert set(found) == {KURED, FALCO}
    kured = found[KURED]
    assert f"{kured['repository']}:{kured['tag']}" == "live/kubereboot/kured:1.14.0"
    assert kured["digest"] == cluster.live["kubereboot/kured:1.14.0"]
    assert (kured["how"], kured["policy"]) == ("promoted", cluster.config.gate.policy.digest)
    log = git("log", "--format=%x00%B", "pratique-records", folder=cluster.gitops)
    *promoted, registered = (commit.strip() for commit in log.split("\0") if commit.strip())
    assert registered.startswith("Register ")
    assert all(f"Pratique-Run: {kured['run']}" in commit for commit in (*promoted, registered))
    assert len(cluster.commits) == 2
    assert (await release_images(cluster.config)).title == "Nothing to do"
    assert promotions(cluster) == list(found.values())


async def test_promotions_of_a_run_that_fails(world: MakeWorld) -> None:
    """The promotions of one release are recorded although another release was blocked."""
    cluster = world(((KURED,), (FALCO,)), Scenario(scans=VULNERABLE, timings=PROMPT))
    with pytest.raises(GateBlocked):
        await cluster.prepare()
    assert [record["source"] for record in promotions(cluster)] == [FALCO]


async def test_lost_records_come_back(world: MakeWorld) -> None:
    """An image in live/ that passes the gate and has no record is recorded as found."""
    cluster = world()
    await cluster.prepare()
    git("branch", "--delete", "--force", "pratique-records", folder=cluster.gitops)
    await release_images(cluster.config)
    assert [(record["source"], record["how"]) for record in promotions(cluster)] == [(KURED, "found")]
