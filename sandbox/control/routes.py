"""The control host, ``sandbox.localhost``: what happened, what stands, and how to change the scene.

It lies outside Azure's own address space, so no client of Azure meets it by accident. docs/sandbox-control.md shows
every route.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from fnmatch import fnmatchcase

from starlette.responses import Response

from sandbox.control import HOST
from sandbox.control.inputs import Jump, Page, Purge, check, read, refused
from sandbox.control.invariants import invariants_document
from sandbox.control.state import state_document
from sandbox.core.clock import Clock
from sandbox.core.faults import Fault
from sandbox.core.routing import Call, Service, answer
from sandbox.scenario import PublicImage, Scan, Scenario
from sandbox.services.acr.models import REGISTRY_TYPE
from sandbox.services.acr.state import Registries
from sandbox.services.oci.catalogue import image_spec
from sandbox.services.public_registries.state import PublicRegistries

Restart = Callable[[Scenario | None], Awaitable[None]]


def control_service(restart: Restart) -> Service:
    """The routes.

    :param restart: forgets everything and starts again, with another scenario if it is given one
    """
    control = Service("control", (HOST,))
    control.get("/requests")(get_requests)
    control.get("/checks")(get_checks)
    control.get("/state")(get_state)
    control.get("/invariants")(get_invariants)
    control.put("/scans/{repository:path}")(put_scan)
    control.post("/upstream")(move_upstream)
    control.post("/purge")(purge)
    control.get("/clock")(get_clock)
    control.post("/clock")(jump)
    control.get("/faults")(get_faults)
    control.post("/faults")(add_fault)
    control.delete("/faults")(clear_faults)

    @control.put("/scenario")
    async def put_scenario(call: Call) -> Response:
        """Start again with another scenario."""
        await restart(read(Scenario, call))
        return answer({"reset": True})

    @control.post("/reset")
    async def reset(call: Call) -> Response:
        """Start again; a body is the new scenario, in YAML or JSON."""
        await restart(read(Scenario, call) if call.body.strip() else None)
        return answer({"reset": True})

    return control


async def get_requests(call: Call) -> Response:
    """The log, or what is newer than ``?since=``."""
    page = check(Page, call.query)
    return answer({"requests": [entry.document() for entry in call.azure.requests.since(page.since)]})


async def get_checks(call: Call) -> Response:
    """Who was allowed what, and who was not."""
    return answer({"checks": call.azure.access.checks.document()})


async def get_state(call: Call) -> Response:
    return answer(state_document(call.azure))


async def get_invariants(call: Call) -> Response:
    return answer(invariants_document(call.azure))


async def put_scan(call: Call) -> Response:
    """What Defender makes of the images of a repository from now on."""
    scan = read(Scan, call)
    call.azure.scans[call.params["repository"]] = scan
    return answer(scan.model_dump(mode="json"))


async def move_upstream(call: Call) -> Response:
    """Build an image and put it under its tag in a public registry; the tag moves if it was elsewhere."""
    asked = read(PublicImage, call)
    try:
        spec = image_spec(asked.reference, asked.base, asked.packages, asked.platforms)
        index = call.azure.state(PublicRegistries).publish(spec)
    except ValueError as error:
        raise refused("base" if "base" in str(error) else "reference", str(error)) from None
    return answer({"reference": asked.reference, "digest": index.digest}, 201)


async def purge(call: Call) -> Response:
    """Delete manifests without a tag from repositories, as ``acr purge --untagged`` does: also those below an index."""
    asked, purged = read(Purge, call), []
    for registry in call.azure.resources.list(REGISTRY_TYPE):
        store = call.azure.state(Registries).store(registry["name"])
        for repository in store.repositories():
            if fnmatchcase(repository, asked.repositories):
                purged += [f"{registry['name']}/{repository}@{digest}" for digest in store.purge_untagged(repository)]
    return answer({"purged": purged})


async def get_clock(call: Call) -> Response:
    return answer(_clock(call.azure.clock))


async def jump(call: Call) -> Response:
    """Azure's time goes forward; whatever is due by then happens."""
    call.azure.clock.jump(read(Jump, call).jump)
    return answer(_clock(call.azure.clock))


async def get_faults(call: Call) -> Response:
    """Those that stand, with how often each has matched and hit."""
    return answer({"faults": [standing.document() for standing in call.azure.faults.all()]})


async def add_fault(call: Call) -> Response:
    return answer(call.azure.faults.add(read(Fault, call)).document(), 201)


async def clear_faults(call: Call) -> Response:
    """All of them. What already hangs goes on hanging."""
    call.azure.faults.clear()
    return answer({"faults": []})


def _clock(clock: Clock) -> dict[str, object]:
    return {"now": clock.now().isoformat(), "elapsed": clock.elapsed(), "speed": clock.speed}
