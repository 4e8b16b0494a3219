"""The control host, ``sandbox.localhost``: what happened, what stands, and how to change the scene.

It lies outside Azure's own address space, so no client of Azure meets it by accident.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import yaml
from pydantic import ValidationError
from starlette.responses import Response

from sandbox.control.state import state_document
from sandbox.core.errors import arm_fault
from sandbox.core.routing import Call, Service, answer
from sandbox.scenario import Scan, Scenario

HOST = "sandbox.localhost"


def control_service(restart: Callable[[Scenario | None], Awaitable[None]]) -> Service:
    """The routes.

    :param restart: forgets everything and starts again, with another scenario if it is given one
    """
    control = Service("control", (HOST,))

    @control.get("/requests")
    async def requests(call: Call) -> Response:
        since = int(call.query.get("since", "0"))
        return answer({"requests": [entry.document() for entry in call.azure.requests.since(since)]})

    @control.get("/state")
    async def state(call: Call) -> Response:
        return answer(state_document(call.azure))

    @control.put("/scans/{repository:path}")
    async def put_scan(call: Call) -> Response:
        """What Defender makes of the images of a repository from now on."""
        try:
            scan = Scan.model_validate(call.json())
        except ValidationError as error:
            raise arm_fault(400, "InvalidScan", str(error)) from None
        call.azure.scans[call.params["repository"]] = scan
        return answer(scan.model_dump(mode="json"))

    @control.post("/clock")
    async def jump(call: Call) -> Response:
        call.azure.clock.jump(float(call.json()["jump"]))
        return answer({"now": call.azure.clock.now().isoformat()})

    @control.post("/reset")
    async def reset(call: Call) -> Response:
        """Start again; a body is the new scenario, in YAML or JSON."""
        try:
            scenario = Scenario.model_validate(yaml.safe_load(call.body)) if call.body.strip() else None
        except (ValidationError, yaml.YAMLError) as error:
            raise arm_fault(400, "InvalidScenario", str(error)) from None
        await restart(scenario)
        return answer({"reset": True})

    return control
