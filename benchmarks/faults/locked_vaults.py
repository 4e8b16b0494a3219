"""Management locks: there before access is granted, unreadable, or put while it stands.

A lock that keeps access from being revoked keeps it from being granted. One that appears later makes the run end with
``AccessNotRevoked``, which says that the lock goes first; when it is gone, one sweep ends the access.
"""

from __future__ import annotations

from functools import partial
from typing import Any

from benchmarks.faults.points import Encounter, Obstacle, difference
from benchmarks.faults.scene import IDENTITY, LATER, NAME, SITUATIONS, VICTIM, Scene, Situation
from benchmarks.faults.worker import JobResult
from sandbox.core.locks import Level, Lock
from sandbox.scenario import Identity
from sandbox.tenant import CLUSTER_GROUP

_ACTION = "Microsoft.Authorization/locks/read"
_LEVELS: tuple[Level, ...] = ("CanNotDelete", "ReadOnly")
_SCOPES = ("vault", "resource group", "subscription")
_SITUATIONS = tuple(found for found in SITUATIONS if found.name in ("nothing", "nothing, PIM", "the role"))
_PROVIDER = "providers/Microsoft.Authorization/locks"
#: Lists of locks, by scope.
_LISTS = {
    "vault": f"*/vaults/{NAME}/{_PROVIDER}",
    "resource group": f"*/resourceGroups/{CLUSTER_GROUP}/{_PROVIDER}",
    "subscription": f"/subscriptions/????????-????-????-????-????????????/{_PROVIDER}",
}
_DENIED: dict[str, Any] = {
    "kind": "status",
    "status": 403,
    "code": "AuthorizationFailed",
    "message": f"The client does not have authorization to perform action '{_ACTION}' over the scope.",
    "times": None,
}
#: An identity that may not read the subscription's locks.
_BLIND = Situation(name="blind", identity=Identity(roles=IDENTITY.roles, subscription_roles=()))
#: Long enough for PIM to let an activation be ended.
_WORK_SECONDS = 600.0


def _lock(scene: Scene, level: Level, scope: str) -> Lock:
    group = scene.vault.id.partition("/providers/")[0]
    scopes = {"vault": scene.vault.id, "resource group": group, "subscription": group.partition("/resourceGroups")[0]}
    lock = Lock(scope=scopes[scope], name="keep", level=level)
    scene.on_azure(lambda azure: azure.locks.put(lock))
    return lock


def _unlock(scene: Scene, lock: Lock) -> None:
    scene.on_azure(lambda azure: azure.locks.delete(lock.id))


def _does_no_harm(situation: Situation, level: Level) -> bool:
    """A rule can be removed under a lock against deletion, so only a temporary role is in danger."""
    return level == "CanNotDelete" and bool(situation.role)


def _before(situation: Situation, level: Level, scope: str, scene: Scene, _: int) -> Encounter:
    scene.set(situation)
    lock = _lock(scene, level, scope)
    before = scene.snapshot()
    result = scene.do("run", VICTIM)
    if _does_no_harm(situation, level):
        broken = [result.text] if result.error else []
        scene.pass_time(LATER)
        broken += difference(before, scene.snapshot())
        return Encounter(outcome="harmless", request=f"{level} at the {scope}", broken=tuple(broken))
    broken = require_refused(scene, result, "ScopeLocked", f"{level} lock keep on {lock.scope}", lock.id)
    broken += difference(before, scene.snapshot())
    _unlock(scene, lock)
    broken += filter(None, [scene.do("run", "second").text])
    scene.pass_time(LATER)
    broken += difference(before, scene.snapshot())
    return Encounter(outcome=result.error, request=f"{level} at the {scope}", broken=tuple(broken))


def _between(situation: Situation, level: Level, scope: str, scene: Scene, _: int) -> Encounter:
    scene.set(situation)
    pristine = scene.snapshot()
    broken = list(filter(None, [scene.do("open", VICTIM).text]))
    scene.pass_time(_WORK_SECONDS)
    lock = _lock(scene, level, scope)
    result = scene.do("close", VICTIM)
    outcome = result.error or "harmless"
    if _does_no_harm(situation, level):
        broken += filter(None, [result.text])
    else:
        broken += _require_lock_first(result, f"az lock delete --ids {lock.id}")
        swept = scene.do("sweep everything", "sweeper")
        broken += _require_lock_first(swept, f"az lock delete --ids {lock.id}")
        if swept.ended:
            broken.append(f"a sweep under the lock says that it ended leases of {swept.ended}")
        _unlock(scene, lock)
        broken += filter(None, [scene.do("sweep everything", "sweeper").text])
        outcome += " + sweep"
    broken += difference(pristine, scene.snapshot())
    return Encounter(outcome=outcome, request=f"{level} at the {scope}", broken=tuple(broken))


def _unreadable(scope: str, scene: Scene, _: int) -> Encounter:
    scene.set(SITUATIONS[0])
    before = scene.snapshot()
    with scene.fault(**_DENIED, path=_LISTS[scope]):
        result = scene.do("run", VICTIM)
    broken = require_refused(scene, result, "PermissionDenied", _ACTION)
    broken += difference(before, scene.snapshot())
    return Encounter(outcome=result.error, request=f"403 at the {scope}", broken=tuple(broken))


def _without_the_right(scene: Scene, _: int) -> Encounter:
    scene.set(_BLIND)
    before = scene.snapshot()
    result = scene.do("run", VICTIM)
    broken = require_refused(scene, result, "PermissionDenied", _ACTION)
    broken += difference(before, scene.snapshot())
    return Encounter(outcome=result.error, request="an identity without the right", broken=tuple(broken))


def _unreadable_later(scene: Scene, _: int) -> Encounter:
    """A lock appears, and nobody may read which: the command that lists locks comes first."""
    scene.set(SITUATIONS[0])
    pristine = scene.snapshot()
    broken = list(filter(None, [scene.do("open", VICTIM).text]))
    lock = _lock(scene, "CanNotDelete", "vault")
    with scene.fault(**_DENIED, path=f"*/{_PROVIDER}"):
        result = scene.do("close", VICTIM)
    broken += _require_lock_first(result, "az lock list --resource-group")
    _unlock(scene, lock)
    broken += filter(None, [scene.do("sweep everything", "sweeper").text])
    broken += difference(pristine, scene.snapshot())
    return Encounter(outcome=f"{result.error} + sweep", request="403 after it appeared", broken=tuple(broken))


def require_refused(scene: Scene, result: JobResult, error: str, *texts: str) -> list[str]:
    """What is wrong with a refusal that has to come before the run changes anything."""
    broken = [f"{error} expected: {result.text or 'it succeeded'}"] if result.error != error else []
    broken += [f"the error does not name {text}: {result.text}" for text in texts if text not in result.text]
    broken += [f"the refused run changed something: {request}" for request in scene.changes]
    return broken if result.complete else [*broken, "the error is not complete"]


def _require_lock_first(result: JobResult, command: str) -> list[str]:
    if result.error == "AccessNotRevoked" and result.complete and f"ACT NOW: {command}" in result.text:
        return []
    return [f"AccessNotRevoked that begins with '{command}' expected: {result.text or 'it succeeded'}"]


OBSTACLES = (
    *(
        Obstacle(
            situation=f"a lock {'before the grant' if meet is _before else 'before the revocation'}: {situation.name}",
            kind=f"{level} at the {scope}",
            meet=partial(meet, situation, level, scope),
        )
        for meet in (_before, _between)
        for situation in _SITUATIONS
        for level in _LEVELS
        for scope in _SCOPES
    ),
    *(
        Obstacle(situation="locks that cannot be read", kind=f"403 at the {scope}", meet=partial(_unreadable, scope))
        for scope in _SCOPES
    ),
    Obstacle(situation="locks that cannot be read", kind="an identity without the right", meet=_without_the_right),
    Obstacle(situation="locks that cannot be read", kind="403 after it appeared", meet=_unreadable_later),
)
