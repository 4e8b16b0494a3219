"""A plan tells what the following run does, and does none of it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from prefect.client.schemas.objects import State

from flows.prepare_cluster import prepare_cluster
from pratique.azure.what_if import ResourceChange
from pratique.errors import ConfigurationError, Conflict
from pratique.preflight.plan import NOTHING_CHANGED, Plan, PlannedAccess
from sandbox.services.keyvault.vaults import VAULT_TYPE
from sandbox.services.oci.catalogue import image_spec
from tests.flows.conftest import MakeWorld
from tests.flows.test_cluster_stamp import configured
from tests.flows.world import FALCO, KURED, World, git
from tests.sandbox.registries import publish

#: POST requests that only ask.
_ASKING = ("/token", "/whatIf", "/calculateTemplateHash", "/Microsoft.ResourceGraph/resources", "/oauth2/exchange")


def written(cluster: World, since: int) -> list[str]:
    """Requests that may change something."""
    return [
        f"{entry['method']} {entry['path']}"
        for entry in cluster.requests(since)
        if entry["method"] not in ("GET", "HEAD") and not entry["path"].endswith(_ASKING)
    ]


def diffs(cluster: World, count: int) -> list[str]:
    """Of the newest commits, oldest first."""
    commits = git("rev-list", f"--max-count={count}", "--reverse", "main", folder=cluster.gitops).split()
    return [git("show", "--format=", commit, folder=cluster.gitops).strip() for commit in commits] if count else []


async def test_a_plan_for_nothing_yet(world: MakeWorld) -> None:
    """Before anything stands: everything would be created, imported and promoted; then the run does just that."""
    cluster = world(((KURED,), (FALCO,)))
    before, head, since = cluster.state(), cluster.head, cluster.last_request()
    plan = await cluster.plan()
    assert written(cluster, since) == []
    after = cluster.state()
    assert {key: after[key] for key in ("resources", "registries", "vaults", "roleAssignments")} == {
        key: before[key] for key in ("resources", "registries", "vaults", "roleAssignments")
    }
    assert cluster.head == head
    assert plan.resources is not None
    created = {change.id.lower() for change in plan.resources if change.kind == "Create"}
    assert [(image.quarantine, image.live) for image in plan.images] == [("import", "promote")] * 2
    assert (plan.access.role, plan.access.minutes) == (cluster.config.access.role_definition, 30)

    told = await cluster.prepare()
    made = {one["id"].lower() for one in cluster.state()["resources"]} - {
        one["id"].lower() for one in before["resources"]
    }
    assert made <= created
    assert [image.digest for image in plan.images] == [image.digest for image in told.images]
    assert plan.access.vault == told.vault
    assert [commit.message for commit in plan.commits] == [told.commits[0][1]]
    assert plan.commits[0].diff == diffs(cluster, 2)[0]


async def test_a_plan_where_all_is_done(world: MakeWorld) -> None:
    """After a run nothing is left but the access under which the vault is asked; the gate's word is as of now."""
    cluster = world()
    await cluster.prepare()
    since = cluster.last_request()
    plan = await cluster.plan()
    assert written(cluster, since) == []
    assert plan.resources is None
    (image,) = plan.images
    assert (image.quarantine, image.live) == ("already there", "already there")
    assert image.gate.startswith("Healthy")
    assert plan.commits == ()
    assert cluster.access == []

    since = cluster.last_request()
    await cluster.prepare()
    did = [entry for entry in cluster.requests(since) if entry["method"] in ("PUT", "PATCH", "POST")]
    assert any("/roleAssignments/" in entry["path"] for entry in did) is (plan.access.role is not None)
    assert not any(entry["path"].endswith("/importImage") for entry in did)


async def test_a_plan_for_a_change(world: MakeWorld) -> None:
    """Another pin, the next step's parameters, another certificate's name, a changed resource: just what the run then
    commits and deploys, the access that it opens, and an image that it imports again."""
    cluster = world(((KURED,), (FALCO,)))
    await cluster.prepare()
    registry = cluster.registry

    async def delete() -> None:
        registry.delete_tag("live/kubereboot/kured", "1.14.0")

    cluster.sandbox.run(delete())
    cluster = configured(
        cluster,
        manifests={"pin": "tag"},
        cluster_stamp={"commit": True},
        certificate={"name": "another-name"},
        cluster={"parameters": {"logRetentionInDays": 180}},
    )
    since = cluster.last_request()
    plan = await cluster.plan()
    assert written(cluster, since) == []
    changed = [change for change in plan.resources or () if not change.idle]
    assert [(change.name.split("/")[1], change.kind) for change in changed] == [("workspaces", "Modify")]
    assert changed[0].properties == ("properties.retentionInDays: 90 → 180",)
    assert [image.live for image in plan.images] == ["promote", "already there"]

    since = cluster.last_request()
    told = await cluster.prepare()
    requests = cluster.requests(since)
    assert [commit.message for commit in plan.commits] == [message for _, message in told.commits]
    assert [commit.diff for commit in plan.commits] == diffs(cluster, 3)
    assert len([one for one in requests if one["path"].endswith("/importImage")]) == 1
    opened = [one for one in requests if one["method"] == "PUT" and "/roleAssignments/" in one["path"]]
    assert bool(opened) is (plan.access.role is not None)
    rules = [one for one in requests if one["method"] == "PATCH" and f"{VAULT_TYPE}/" in one["path"]]
    assert bool(rules)
    assert plan.access.address is not None


async def test_what_would_stop_a_run_later_is_told(world: MakeWorld) -> None:
    """A released tag that upstream has moved is a conflict; a resource that cannot be changed so ends the plan."""
    cluster = world()
    await cluster.prepare()
    moved = publish(cluster.sandbox, image_spec(KURED, "alpine:3.20", {"curl": "8.9.1-r2"}))
    plan = await cluster.plan()
    (image,) = plan.images
    assert (image.digest, image.quarantine, image.live) == (moved, "import", "conflict")
    assert "so nobody can have assessed it" in image.gate
    assert any(KURED in note and "would stop" in note for note in plan.notes)
    assert isinstance(await cluster.fail(), Conflict)
    elsewhere = configured(cluster, cluster={"parameters": {"location": "eastus2"}})
    with pytest.raises(ConfigurationError, match="location"):
        await elsewhere.plan()


async def test_a_plan_is_shown_three_ways(world: MakeWorld, prefect: Path) -> None:
    """The command prints a page and writes JSON; each way ends by saying that nothing was changed."""
    cluster = world()
    target = cluster.folder / "plan.json"
    process = cluster.start(prefect, "--output", str(target), command="plan")
    output, errors = process.communicate(timeout=120)
    assert process.returncode == 0, errors
    assert output.rstrip().endswith(NOTHING_CHANGED)
    document = json.loads(target.read_text())
    assert document["images"][0]["source"] == KURED
    assert KURED in output
    assert all(commit["message"] in output for commit in document["commits"])
    assert cluster.state()["vaults"] == {}


async def test_the_state_says_that_it_was_a_plan(world: MakeWorld) -> None:
    """In the UI a planned run cannot be taken for one that did something."""
    state: State[Any] = await prepare_cluster(world().config, plan_only=True, return_state=True)
    assert (state.name, state.is_completed()) == ("Planned", True)
    plan = await state.aresult()
    assert isinstance(plan, Plan)
    assert plan.markdown().rstrip("*\n").endswith(NOTHING_CHANGED)


async def test_what_would_stop_the_run_stops_the_plan(world: MakeWorld) -> None:
    """A template that Azure would refuse is no plan."""
    cluster = configured(world(), cluster={"parameters": {"noSuchParameter": 1}})
    with pytest.raises(ConfigurationError, match="noSuchParameter"):
        await cluster.plan()


def test_a_page_tells_properties_and_notes() -> None:
    """Changed properties and notes are on both pages, and table cells do not break."""
    change = ResourceChange("/subscriptions/s/resourceGroups/g/providers/A/b/c", "Modify", ("x.y: 1 → 2",))
    image_plan = Plan((change,), (), PlannedAccess("kv", "me", None, None, 30), (), ("a|b",))
    for page in (image_plan.text(), image_plan.markdown()):
        assert "Modify A/b/c" in page.replace("\\", "")
        assert "x.y: 1 → 2" in page
        assert "a|b" in page.replace("\\", "")
    assert "Nothing has to change." in image_plan.markdown()
