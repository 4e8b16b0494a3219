"""Deployments of ARM templates to resource groups.

Source: REST API ``Microsoft.Resources/deployments``. Clients send ``resourcegroups`` in lower case; the list of a
deployment's operations has no ``providers`` segment.
"""

from __future__ import annotations

import re
from typing import Any

from starlette.responses import Response

from sandbox.core.errors import arm_fault
from sandbox.core.operations import Operation
from sandbox.core.routing import Call, Service, answer
from sandbox.services.deployments.body import parse_body
from sandbox.services.deployments.errors import TemplateError, unsupported
from sandbox.services.deployments.history import Deployment
from sandbox.services.deployments.state import Deployments
from sandbox.services.deployments.template import Plan, minified, template_hash
from sandbox.services.deployments.what_if import SECONDS, forecast
from sandbox.services.entra.state import arm_caller

ACTION = "Microsoft.Resources/deployments"
GROUP = "/subscriptions/{sub}/resourceGroups/{rg}"
ALL = GROUP + "/providers/Microsoft.Resources/deployments"
ONE = ALL + "/{name}"
STEPS = GROUP + "/deployments/{name}/operations"
RESULT = "/subscriptions/{sub}/operationresults/{operation}"
DEFAULT_PAGE = 100

_STATE_FILTER = re.compile(r"provisioningState eq '(\w+)'", re.IGNORECASE)

deployments = Service(
    "deployments", ("management.azure.com",), authenticate=arm_caller, api_versions=("2026-06-01", "2025-04-01")
)


def _deployment_scope(call: Call) -> str:
    """The deployment, for paths that continue after it or name it differently."""
    params = call.params
    return f"/subscriptions/{params['sub']}/resourceGroups/{params['rg']}/providers/{ACTION}/{params['name']}"


def _group(call: Call) -> str:
    return f"/subscriptions/{call.params['sub']}/resourceGroups/{call.params['rg']}"


def _deployments(call: Call) -> Deployments:
    return call.azure.state(Deployments)


def _deployment(call: Call) -> Deployment:
    return _deployments(call).get(_group(call), call.params["name"])


@deployments.put(ONE, action=f"{ACTION}/write")
async def put_deployment(call: Call) -> Response:
    """Start a deployment and respond immediately."""
    group, name = _group(call), call.params["name"]
    status = 201 if _deployments(call).find(group, name) is None else 200
    deployment = _deployments(call).start(group, name, parse_body(call.body), call.principal)
    operation_id = deployment.operation.id if deployment.operation else ""
    version = call.query.get("api-version", "")
    headers = {
        "Azure-AsyncOperation": call.url(f"{deployment.id}/operationStatuses/{operation_id}?api-version={version}"),
        **_retry_after(call),
    }
    return answer(deployment.document(call.azure.clock.elapsed(), "Accepted"), status, headers)


@deployments.get(ONE, action=f"{ACTION}/read")
async def get_deployment(call: Call) -> Response:
    return answer(_deployment(call).document(call.azure.clock.elapsed()))


@deployments.head(ONE, action=f"{ACTION}/read")
async def check_existence(call: Call) -> Response:
    _deployment(call)
    return Response(status_code=204)


@deployments.delete(ONE, action=f"{ACTION}/delete")
async def delete_deployment(call: Call) -> Response:
    """Delete only the history entry."""
    deployment = _deployment(call)
    if deployment.active:
        raise arm_fault(409, "DeploymentActive", f"The deployment '{deployment.name}' is still active.")
    _deployments(call).forget(deployment)
    return Response(status_code=204)


@deployments.post(ONE + "/cancel", action=f"{ACTION}/cancel/action", scope=_deployment_scope)
async def cancel_deployment(call: Call) -> Response:
    await _deployments(call).cancel(_deployment(call))
    return Response(status_code=204)


@deployments.post(ONE + "/validate", action=f"{ACTION}/validate/action", scope=_deployment_scope)
async def validate_deployment(call: Call) -> Response:
    """Everything except deploying: check the template, its parameters and the caller's rights."""
    place, template, plan = _deployments(call).plan(_group(call), parse_body(call.body))
    _require_rights(call, plan)
    clock = call.azure.clock
    would_be = Deployment(
        name=call.params["name"],
        place=place,
        template=template,
        plan=plan,
        deployer=call.principal,
        started=clock.now(),
        began=clock.elapsed(),
    )
    document = would_be.document(would_be.began)
    document["properties"]["validatedResources"] = [{"id": resource.id} for resource in plan.resources]
    del document["properties"]["outputs"], document["properties"]["outputResources"]
    return answer(document)


@deployments.post(ONE + "/whatIf", action=f"{ACTION}/whatIf/action", scope=_deployment_scope)
async def what_if(call: Call) -> Response:
    """Start a what-if operation; it needs all rights that a deployment needs."""
    body = parse_body(call.body, "whatifsettings")
    place, _, plan = _deployments(call).plan(_group(call), body)
    _require_rights(call, plan)
    settings = body["properties"].get("whatIfSettings") or {}
    payloads = str(settings.get("resultFormat", "FullResourcePayloads")).lower() != "resourceidonly"
    azure = call.azure

    async def work(operation: Operation) -> list[dict[str, Any]]:
        await azure.clock.sleep(SECONDS)
        return forecast(azure, place, plan, payloads=payloads)

    operation = azure.operations.start("what-if", _deployment_scope(call), work)
    return Response(status_code=202, headers=_poll_headers(call, operation))


@deployments.get(RESULT, unchecked="knowing the operation's id is enough")
async def what_if_result(call: Call) -> Response:
    """The target of ``Location``. Failures are reported with HTTP 200."""
    operation = call.azure.operations.get(call.params["operation"])
    if operation is None or operation.kind != "what-if":
        raise arm_fault(404, "OperationNotFound", f"There is no operation '{call.params['operation']}'.")
    if operation.status == "Running":
        return Response(status_code=202, headers=_poll_headers(call, operation))
    if operation.status != "Succeeded":
        return answer({"status": operation.status, "error": operation.error})
    return answer({"status": "Succeeded", "properties": {"changes": operation.result}})


@deployments.post(ONE + "/exportTemplate", action=f"{ACTION}/exportTemplate/action", scope=_deployment_scope)
async def export_template(call: Call) -> Response:
    return answer({"template": _deployment(call).template})


@deployments.get(ALL, action=f"{ACTION}/read")
async def list_deployments(call: Call) -> Response:
    found = _deployments(call).of_group(_group(call))
    if condition := call.query.get("$filter"):
        match = _STATE_FILTER.fullmatch(condition.strip())
        if match is None:
            raise unsupported(f"the filter '{condition}' for deployments")
        found = [entry for entry in found if entry.state.lower() == match[1].lower()]
    documents = [entry.document(call.azure.clock.elapsed()) for entry in found]
    skip, top = (int(call.query.get(key, default)) for key, default in (("$skiptoken", 0), ("$top", DEFAULT_PAGE)))
    page = {"value": documents[skip : skip + top]}
    if len(documents) > skip + top:
        rest = re.sub(r"&\$skiptoken=\d+", "", call.query_string.replace("%24", "$"))
        return answer({**page, "nextLink": call.url(f"{call.path}?{rest}&$skiptoken={skip + top}")})
    return answer(page)


@deployments.get(ONE + "/operationStatuses/{id}", action=f"{ACTION}/operationstatuses/read", scope=_deployment_scope)
async def operation_status(call: Call) -> Response:
    """The target of ``Azure-AsyncOperation``. Failures are reported with HTTP 200."""
    operation = call.azure.operations.get(call.params["id"])
    if operation is None or operation.subject.lower() != _deployment_scope(call).lower():
        raise arm_fault(404, "OperationNotFound", f"The operation '{call.params['id']}' could not be found.")
    if operation.error is not None:
        return answer({"status": operation.status, "error": operation.error})
    return answer({"status": operation.status}, headers=_retry_after(call) if operation.status == "Running" else None)


@deployments.get(STEPS, action=f"{ACTION}/operations/read", scope=_deployment_scope)
async def list_operations(call: Call) -> Response:
    deployment, at = _deployment(call), call.azure.clock.elapsed()
    return answer({"value": [deployment.step_document(step, at) for step in deployment.steps]})


@deployments.get(STEPS + "/{id}", action=f"{ACTION}/operations/read", scope=_deployment_scope)
async def get_operation(call: Call) -> Response:
    deployment = _deployment(call)
    step = next((step for step in deployment.steps if step.id == call.params["id"]), None)
    if step is None:
        raise arm_fault(404, "DeploymentOperationNotFound", f"No operation '{call.params['id']}' here.")
    return answer(deployment.step_document(step, call.azure.clock.elapsed()))


@deployments.post("/providers/Microsoft.Resources/calculateTemplateHash", unchecked="it reads no tenant data")
async def calculate_template_hash(call: Call) -> Response:
    template = call.json()
    if not template:
        raise TemplateError("The request content is not a template.", "InvalidRequestContent")
    return answer({"minifiedTemplate": minified(template), "templateHash": template_hash(template)})


def _require_rights(call: Call, plan: Plan) -> None:
    """:raises HttpFault: when the caller may not write all of the resources"""
    if denied := _deployments(call).denied(plan, call.principal):
        raise arm_fault(
            400,
            "InvalidTemplateDeployment",
            f"Deployment failed with multiple errors: '{denied[0]['message']}'",
            details=denied,
        )


def _poll_headers(call: Call, operation: Operation) -> dict[str, str]:
    version = call.query.get("api-version", "")
    path = RESULT.format(sub=call.params["sub"], operation=operation.id)
    return {"Location": call.url(f"{path}?api-version={version}"), **_retry_after(call)}


def _retry_after(call: Call) -> dict[str, str]:
    return call.azure.clock.retry_after(call.azure.scenario.timings.poll)
