"""Management locks at subscriptions, resource groups and resources.

Source: REST API, Microsoft.Authorization/locks 2016-09-01; PowerShell's ``Get-AzResourceLock`` for what a list shows:
locks at, above and below its scope, or with ``atScope()`` at and above it. UNVERIFIED: the REST documents say less,
so a scenario selects other forms (``lock_lists``).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from starlette.responses import Response

from sandbox.core.errors import arm_fault
from sandbox.core.locks import Lock
from sandbox.core.rbac import contains
from sandbox.core.routing import Call, Service, answer
from sandbox.services.arm.ids import canonical
from sandbox.services.entra.state import arm_caller

LOCKS = "Microsoft.Authorization/locks"
LIST = f"/{{scope:path}}/providers/{LOCKS}"
ONE = LIST + "/{name}"

locks = Service(
    "locks", ("management.azure.com",), authenticate=arm_caller, api_versions=("2016-09-01",), ignores_locks=True
)


@locks.put(ONE, action=f"{LOCKS}/write")
async def put_lock(call: Call) -> Response:
    properties: Any = call.json().get("properties")
    level = properties.get("level") if isinstance(properties, dict) else None
    if level not in ("CanNotDelete", "ReadOnly"):
        raise arm_fault(400, "InvalidLockLevel", f"The lock level '{level}' is not CanNotDelete or ReadOnly.")
    lock = Lock(scope=_scope(call), name=call.params["name"], level=level, notes=properties.get("notes"))
    return answer(_document(lock), 201 if call.azure.locks.put(lock) else 200)


@locks.get(ONE, action=f"{LOCKS}/read")
async def get_lock(call: Call) -> Response:
    lock = call.azure.locks.get(call.path)
    if lock is None:
        raise arm_fault(404, "LockNotFound", f"The lock '{call.params['name']}' could not be found.")
    return answer(_document(lock))


@locks.delete(ONE, action=f"{LOCKS}/delete")
async def delete_lock(call: Call) -> Response:
    """204 when there is nothing to delete."""
    return Response(status_code=204 if call.azure.locks.delete(call.path) is None else 200)


@locks.get(LIST, action=f"{LOCKS}/read")
async def list_locks(call: Call) -> Response:
    found = call.azure.locks.list(_filter(call, _scope(call)))
    return answer({"value": [_document(lock) for lock in found]})


def _filter(call: Call, scope: str) -> Callable[[Lock], bool]:
    text, shown = call.query.get("$filter", "").strip(), call.azure.scenario.lock_lists
    if text not in ("", "atScope()"):
        raise arm_fault(400, "UnsupportedQuery", f"The filter '{text}' is not supported.")
    above, below = shown in ("both", "above"), shown in ("both", "below") and not text

    def shows(lock: Lock) -> bool:
        at = contains(lock.scope, scope) and contains(scope, lock.scope)
        return at or (above and contains(lock.scope, scope)) or (below and contains(scope, lock.scope))

    return shows


def _scope(call: Call) -> str:
    return canonical(call.azure, "/" + call.params["scope"].strip("/"))


def _document(lock: Lock) -> dict[str, Any]:
    notes = {} if lock.notes is None else {"notes": lock.notes}
    return {"id": lock.id, "name": lock.name, "type": LOCKS, "properties": {"level": lock.level, **notes}}
