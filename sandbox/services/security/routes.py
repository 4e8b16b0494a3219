"""Microsoft.Security: assessments, and the subscription's Defender plans with their extensions.

Wire shape of the plans: pricings, 2024-01-01. The scenario sets the Containers plan; the others are Free.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from starlette.responses import Response

from sandbox.core.errors import arm_fault
from sandbox.core.routing import Call, Service, answer
from sandbox.scenario import DefenderPlan
from sandbox.services.entra.state import arm_caller
from sandbox.services.security.assessments import add_assessments

READ = "Microsoft.Security/pricings/read"

_FREE_PLANS = ("CloudPosture", "ContainerRegistry", "KeyVaults", "VirtualMachines")
_ENABLED_ON = datetime(2026, 3, 2, 9, 30, tzinfo=UTC)

security = Service(
    "security",
    ("management.azure.com",),
    authenticate=arm_caller,
    api_versions=("2024-01-01", "2021-06-01", "2019-01-01-preview"),
)
add_assessments(security)


@security.get("/subscriptions/{sub}/providers/Microsoft.Security/pricings", action=READ)
async def list_pricings(call: Call) -> Response:
    """All plans."""
    plans = [_containers(call), *(_free(call, name) for name in _FREE_PLANS)]
    return answer({"value": plans})


@security.get("/subscriptions/{sub}/providers/Microsoft.Security/pricings/{name}", action=READ)
async def get_pricing(call: Call) -> Response:
    """One plan."""
    plan_name = call.params["name"].lower()
    if plan_name == "containers":
        return answer(_containers(call))
    for name in _FREE_PLANS:
        if name.lower() == plan_name:
            return answer(_free(call, name))
    raise arm_fault(404, "ResourceNotFound", f"The pricing configuration '{call.params['name']}' was not found.")


def _containers(call: Call) -> dict[str, Any]:
    plan = call.azure.scenario.defender_in(call.params["sub"])
    if plan.tier == "Free":
        return _free(call, "Containers")
    properties = {
        "pricingTier": plan.tier,
        "freeTrialRemainingTime": "PT0S",
        "enablementTime": _ENABLED_ON.isoformat().replace("+00:00", "Z"),
        "enforce": "False",
        "resourcesCoverageStatus": "FullyCovered",
        "deprecated": False,
    }
    if plan.extensions:
        properties["extensions"] = _extensions(plan)
    return _document(call, "Containers", properties)


def _free(call: Call, name: str) -> dict[str, Any]:
    properties: dict[str, Any] = {"pricingTier": "Free", "freeTrialRemainingTime": "P30D", "enforce": "False"}
    if name == "ContainerRegistry":
        properties |= {"deprecated": True, "replacedBy": ["Containers"]}
    return _document(call, name, properties)


def _extensions(plan: DefenderPlan) -> list[dict[str, Any]]:
    switches = {
        "ContainerRegistriesVulnerabilityAssessments": plan.registry_assessment,
        "ContainerIntegrityContribution": plan.findings_artifact,
        "AgentlessDiscoveryForKubernetes": False,
        "AgentlessVmScanning": False,
        "ContainerSensor": False,
    }
    return [
        {"name": name, "isEnabled": str(on)} | ({"operationStatus": {"code": "Succeeded"}} if on else {})
        for name, on in switches.items()
    ]


def _document(call: Call, name: str, properties: dict[str, Any]) -> dict[str, Any]:
    return {
        "id": f"/subscriptions/{call.params['sub']}/providers/Microsoft.Security/pricings/{name}",
        "name": name,
        "type": "Microsoft.Security/pricings",
        "properties": properties,
    }
