"""Shows what a run would change."""

from __future__ import annotations

from prefect.artifacts import acreate_markdown_artifact

from pratique.config import Bootstrap
from pratique.preflight.plan import Plan
from pratique.preflight.preview import PlanContext, make_plan
from tasks.policies import UNCACHED
from tasks.replication import replication_of
from tasks.runtime import current
from tasks.step import step


@step(name="plan", run_name="plan {config.cluster.resource_group}", **UNCACHED)
async def plan_preparation(config: Bootstrap, public_certificate: str, network_id: str) -> Plan:
    """Find out what a run would change, change nothing, and show the plan as an artifact."""
    runtime = current()
    context = PlanContext(
        session=runtime.session,
        http=runtime.http,
        oci=runtime.oci,
        gate=runtime.gate,
        repository=await runtime.repository(),
        replication=lambda registry: replication_of(registry, config.registries),
    )
    plan = await make_plan(config, context, public_certificate, network_id)
    await acreate_markdown_artifact(plan.markdown(), key="plan", description="What a run would change")
    return plan
