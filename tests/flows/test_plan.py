"""A plan shows what the next run changes, and changes nothing."""

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
from sandbox.core.locks import Lock
from sandbox.services.keyvault.vaults import VAULT_TYPE
from sandbox.services.oci.catalogue import image_spec
from tests.flows.conftest import MakeWorld
from tests.flows.test_cluster_stamp import configured
from tests.flows.world import FALCO, KURED, World, git
from tests.sandbox.registries import publish
from tests.waiting import HANGS

#: POST requests that change nothing.
_READ_ONLY = ("/token", "/whatIf", "/calculateTemplateHash", "/Microsoft.ResourceGraph/resources", "/oauth2/exchange")


def written(cluster: World, since: int) -> list[str]:
    """Requests that may change something."""
    return [
        f"{entry['method']} {entry['path']}"
        for entry in cluster.requests(since)
        if entry["method"] not in ("GET", "HEAD") and not entry["path"].endswith(_READ_ONLY)
    ]


def diffs(cluster: World, count: int) -> list[str]:
    """The diffs of the newest commits, oldest first."""
    commits = git("rev-list", f"--max-count={count}", "--reverse", "main", folder=cluster.gitops).split()
    return [git("show", "--format=", commit, folder=cluster.gitops).strip() for commit in commits] if count else []


async def test_a_plan_before_the_first_run(world: MakeWorld) -> None:
    """Everything would be created, imported and promoted; then the run does exactly that."""
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

    prepared = await cluster.prepare()
    made = {resource["id"].lower() for resource in cluster.state()["resources"]} - {
        resource["id"].lower() for resource in before["resources"]
    }
    assert made <= created
    assert [image.digest for image in plan.images] == [image.digest for image in prepared.images]
    assert plan.access.vault == prepared.vault
    assert [commit.message for commit in plan.commits] == [prepared.commits[0][1]]
    assert plan.commits[0].diff == diffs(cluster, 2)[0]


async def test_a_plan_after_a_complete_run(world: MakeWorld) -> None:
    """Only the access for reading the vault is planned, and each image has the gate's current verdict."""
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
    """With another pin, the next step's parameters, another certificate's name and a changed resource, the plan has
    exactly the commits, resources, access and image import of the next run."""
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
    prepared = await cluster.prepare()
    requests = cluster.requests(since)
    assert [commit.message for commit in plan.commits] == [message for _, message in prepared.commits]
    assert [commit.diff for commit in plan.commits] == diffs(cluster, 3)
    assert len([request for request in requests if request["path"].endswith("/importImage")]) == 1
    assigned = [entry for entry in requests if entry["method"] == "PUT" and "/roleAssignments/" in entry["path"]]
    assert bool(assigned) is (plan.access.role is not None)
    rules = [entry for entry in requests if entry["method"] == "PATCH" and f"{VAULT_TYPE}/" in entry["path"]]
    assert bool(rules)
    assert plan.access.address is not None


async def test_conditions_that_stop_a_run_later(world: MakeWorld) -> None:
    """The plan shows a conflict for a released tag that upstream moved and a lock, and fails for an invalid change."""
    cluster = world()
    await cluster.prepare()
    lock = Lock(scope=cluster.vault_id, name="keep", level="CanNotDelete")
    cluster.sandbox.azure.locks.put(lock)
    moved = publish(cluster.sandbox, image_spec(KURED, "alpine:3.20", {"curl": "8.9.1-r2"}))
    plan = await cluster.plan()
    (image,) = plan.images
    assert (image.digest, image.quarantine, image.live) == (moved, "import", "conflict")
    assert "so it cannot have been assessed" in image.gate
    assert any(KURED in note and "would stop" in note for note in plan.notes)
    assert any("stop at the vault" in note and "az lock delete" in note for note in plan.notes)
    cluster.sandbox.azure.locks.delete(lock.id)
    assert isinstance(await cluster.fail(), Conflict)
    elsewhere = configured(cluster, cluster={"parameters": {"location": "eastus2"}})
    with pytest.raises(ConfigurationError, match="location"):
        await elsewhere.plan()


async def test_a_plan_is_shown_three_ways(world: MakeWorld, prefect: Path) -> None:
    """The command prints text and writes JSON; the text ends by saying that nothing was changed."""
    cluster = world()
    target = cluster.folder / "plan.json"
    process = cluster.start(prefect, "--output", str(target), command="plan")
    output, errors = process.communicate(timeout=HANGS)
    assert process.returncode == 0, errors
    assert output.rstrip().endswith(NOTHING_CHANGED)
    document = json.loads(target.read_text())
    assert document["images"][0]["source"] == KURED
    assert KURED in output
    assert all(commit["message"] in output for commit in document["commits"])
    assert cluster.state()["vaults"] == {}


async def test_a_plan_ends_in_the_state_planned(world: MakeWorld) -> None:
    """The state's name distinguishes a plan from a run that made changes."""
    state: State[Any] = await prepare_cluster(world().config, plan_only=True, return_state=True)
    assert (state.name, state.is_completed()) == ("Planned", True)
    plan = await state.aresult()
    assert isinstance(plan, Plan)
    assert plan.markdown().rstrip("*\n").endswith(NOTHING_CHANGED)


async def test_a_refused_template_fails_the_plan(world: MakeWorld) -> None:
    """If Azure would refuse the template, the plan fails with the same error."""
    cluster = configured(world(), cluster={"parameters": {"noSuchParameter": 1}})
    with pytest.raises(ConfigurationError, match="noSuchParameter"):
        await cluster.plan()


def test_pages_show_properties_and_notes() -> None:
    """Changed properties and notes are on both pages, and table cells do not break."""
    change = ResourceChange("/subscriptions/s/resourceGroups/g/providers/A/b/c", "Modify", ("x.y: 1 → 2",))
    access = PlannedAccess(vault="kv", principal="me", role=None, address=None, minutes=30)
    image_plan = Plan(resources=(change,), images=(), access=access, commits=(), notes=("a|b",))
    for page in (image_plan.text(), image_plan.markdown()):
        assert "Modify A/b/c" in page.replace("\\", "")
        assert "x.y: 1 → 2" in page
        assert "a|b" in page.replace("\\", "")
    assert "Nothing has to change." in image_plan.markdown()
