"""What docker-compose.yml deploys for the local Azure, against Prefect's schemas."""

from __future__ import annotations

from pathlib import Path

from prefect.cli.deploy._models import DeploymentConfig
from prefect.server.events.schemas.automations import AutomationCreate

from demo.workspace import ACCEPTED, Workspace
from deployments.compose.demo_automation import FILE, POOL, SWEEP, TAG, for_demo
from deployments.compose.demo_deployment import deployments
from pratique.cli.automations import Ids, build_automation, read_files
from tests.deployments.test_automations import IDS
from tests.flows.world import BUSYBOX, upstream_digest


def test_its_deployments_are_known_to_prefect(tmp_path: Path) -> None:
    """No key that would be dropped in silence; the sweep that the automation runs is one of them, in its pool."""
    workspace = Workspace.create(tmp_path / "workspace", 60)
    workspace.write_configuration()
    written = deployments(workspace)["deployments"]
    assert isinstance(written, list)
    assert all({*one} <= {*DeploymentConfig.model_fields} for one in written)
    assert all(one["work_pool"] == {"name": POOL} and "pratique" in one["tags"] for one in written)
    assert SWEEP in {f"{one['entrypoint'].rpartition(':')[2]}/{one['name']}" for one in written}


def test_its_automation_is_the_shipped_one_for_another_pool() -> None:
    """Prefect takes it; it has a name and a tag of its own, and the shipped one is not changed."""
    shipped = read_files()[FILE]
    changed = for_demo(shipped)
    core = build_automation(changed, Ids({SWEEP: next(iter(IDS.deployments.values()))}), TAG)
    AutomationCreate.model_validate(core.model_dump(mode="json", exclude_unset=True))
    assert core.tags == [TAG]
    assert shipped == read_files()[FILE]
    assert changed["name"] != shipped["name"]
    pools = [one["prefect.resource.name"] for one in changed["trigger"]["match_related"] if "work-pool" in one.values()]
    assert pools == [POOL]


def test_it_accepts_the_image_that_the_local_azure_has() -> None:
    """The demo's acceptance names the digest of the local Azure's busybox."""
    assert f"{BUSYBOX}@{upstream_digest(BUSYBOX)}" == ACCEPTED
