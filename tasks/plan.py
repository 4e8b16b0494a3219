"""What a run would do, looked up and shown."""

from __future__ import annotations

from prefect import task
from prefect.artifacts import acreate_markdown_artifact

from pratique.config import Bootstrap
from pratique.preflight.plan import Plan
from pratique.preflight.preview import PlanContext, make_plan
from tasks.policies import ALWAYS
from tasks.runtime import current


@task(name="plan", task_run_name="plan {config.cluster.resource_group}", **ALWAYS)
async def plan_preparation(config: Bootstrap, public_certificate: str, network_id: str) -> Plan:
    """Look what the run would do, change nothing, and leave it for readers."""
    now = current()
    sight = PlanContext(now.session, now.http, now.oci, now.gate, await now.repository())
    plan = await make_plan(config, sight, public_certificate, network_id)
    await acreate_markdown_artifact(plan.markdown(), key="plan", description="What a run would do; nothing was changed")
    return plan
