"""What counts as a promotion when quarantine/ is in another registry, whatever form the log gives the source."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

import pytest

from pratique.audit.provenance import IrregularityKind
from pratique.audit.registry_log import explain_live
from pratique.azure.logs import query_logs
from pratique.azure.registries import Internal, Upstream, get_registry, import_image
from pratique.azure.session import AzureSession
from pratique.images import ImageReference
from pratique.records.promotions import Promotions
from sandbox.registry_forms import RegistryLog
from sandbox.scenario import Scenario, Timings
from sandbox.services.acr.models import REGISTRY_TYPE
from sandbox.subscriptions import SharedGroup, SharedRegistry, Subscription
from tests.conftest import RunningSandbox, StartSandbox
from tests.sandbox.callers import jump

ROOT = Path(__file__).parents[3]
IMPORTER = ("Container Registry Data Importer and Data Reader", "Log Analytics Reader")


def shared(number: int, name: str) -> tuple[Subscription, str]:
    """A subscription with one registry, and the registry's id."""
    subscription = "-".join(str(number) * length for length in (8, 4, 4, 4, 12))
    group = SharedGroup(name=f"rg-{name}", roles=IMPORTER, registries=(SharedRegistry(name=name),))
    resource_id = f"/subscriptions/{subscription}/resourceGroups/rg-{name}/providers/{REGISTRY_TYPE}/{name}"
    return Subscription(id=subscription, groups=(group,)), resource_id


(QUARANTINE, QUARANTINE_ID), (LIVE, LIVE_ID) = shared(3, "acrQuarantine"), shared(4, "acrLive")


def rule_query(template: str, quarantine_id: str, login_server: str) -> str:
    """The query of the alert rule in a template of infra/, without its limit to what was ingested lately."""
    document: dict[str, Any] = json.loads((ROOT / "infra" / template).read_text())
    (rule,) = [found for found in document["resources"] if found["type"].endswith("/scheduledQueryRules")]
    text = rule["properties"]["criteria"]["allOf"][0]["query"].removeprefix("[format('").partition("', variables")[0]
    return str(text.replace(" and ingestion_time() > ago(15m)", "").format(quarantine_id, login_server))


def digest(sandbox: RunningSandbox, registry: str, repository: str, tag: str) -> str:
    return str(sandbox.control("GET", "/state")["registries"][registry][repository][tag])


@pytest.mark.parametrize("form", ["resource-id", "lower-case-id", "login-server"])
@pytest.mark.parametrize("template", ["pre-cluster-stamp.json", "registry-alert.json"])
async def test_promotions_and_bypasses(
    start_sandbox: StartSandbox, form: Literal["resource-id", "lower-case-id", "login-server"], template: str
) -> None:
    """Only what comes from quarantine/ of the quarantine registry is one; audit and rule see everything else."""
    scenario = Scenario(
        subscriptions=(QUARANTINE, LIVE),
        registry_log=RegistryLog(source=form),
        timings=Timings(log_ingestion=0, role_assignment=0),
    )
    sandbox = start_sandbox(scenario)
    busybox = Upstream("docker.io", "library/busybox", "1.37.0")
    async with AzureSession.open(poll_seconds=0.02) as session:
        quarantine, live = await get_registry(session, QUARANTINE_ID), await get_registry(session, LIVE_ID)
        for registry, target in ((quarantine, "quarantine/a:1"), (quarantine, "other/a:1"), (live, "quarantine/a:1")):
            await import_image(session, registry, source=busybox, targets=[target])
        known = digest(sandbox, "acrQuarantine", "quarantine/a", "1")
        for resource_id, repository, target in (
            (QUARANTINE_ID, "quarantine/a", "live/promoted:1"),
            (QUARANTINE_ID, "other/a", "live/from-elsewhere:1"),
            (LIVE_ID, "quarantine/a", "live/from-its-own:1"),
        ):
            source = Internal(resource_id, repository, known)
            await import_image(session, live, source=source, targets=[target])
        await import_image(session, live, source=busybox, targets=["live/from-outside:1"])
        jump(sandbox, 60)
        names = ("promoted", "from-elsewhere", "from-its-own", "from-outside")
        images = [ImageReference(live.login_server, f"live/{name}", "1", known) for name in names]
        report = await explain_live(session, live, images, Promotions(), quarantine=quarantine, at=datetime.now(UTC))
        query = rule_query(template, QUARANTINE_ID, quarantine.login_server) + "\n| project Repository"
        found = {str(row["Repository"]) for row in await query_logs(session, live.id, query)}
    assert report.logged == 1
    bypasses = {f"live/{name}" for name in names[1:]}
    assert {one.reference.repository for one in report.irregularities} == bypasses
    assert {one.kind for one in report.irregularities} == {IrregularityKind.BYPASS}
    assert found == bypasses
