"""Vaults to which no access can be opened, whatever is granted: refused at once, before anything is."""

from __future__ import annotations

from functools import partial
from typing import Any

from benchmarks.faults.locked_vaults import require_refused
from benchmarks.faults.points import Encounter, Obstacle, difference
from benchmarks.faults.scene import LATER, SITUATIONS, VICTIM, Scene, Situation

#: A refusal that is known at once makes no pauses; this leaves room for one that the SDK makes.
_AT_ONCE_SECONDS = 5.0
_SITUATIONS = {found.name: found for found in SITUATIONS}
#: Settings with their refusal, and the text that explains it.
_SETTINGS: dict[str, tuple[dict[str, Any], str, str]] = {
    "access policies": ({"enableRbacAuthorization": False}, "PermissionDenied", "access policies"),
    "SecuredByPerimeter": ({"publicNetworkAccess": "SecuredByPerimeter"}, "NetworkDenied", "SecuredByPerimeter"),
    "Disabled": ({"publicNetworkAccess": "Disabled"}, "NetworkDenied", "Disabled"),
}


def _meet(situation: Situation, setting: str, scene: Scene, _: int) -> Encounter:
    properties, error, text = _SETTINGS[setting]
    scene.set(situation)
    pristine = scene.snapshot()
    scene.change(**properties)
    scene.pass_time(LATER)
    before = scene.snapshot()
    result = scene.do("run", VICTIM)
    broken = require_refused(scene, result, error, text)
    broken += difference(before, scene.snapshot())
    if (seconds := result.opening_seconds + result.closing_seconds) > _AT_ONCE_SECONDS:
        broken.append(f"the refusal took pauses of {seconds:.1f} s")
    scene.change(enableRbacAuthorization=True, publicNetworkAccess="Enabled")
    scene.pass_time(LATER)
    usable = scene.snapshot()
    broken += filter(None, [scene.do("run", "second").text])
    scene.pass_time(LATER)
    broken += difference(usable, scene.snapshot())
    broken += difference(_access(pristine), _access(scene.snapshot()))
    return Encounter(outcome=result.error, request=setting, broken=tuple(broken))


def _access(snapshot: dict[str, Any]) -> dict[str, Any]:
    return {name: snapshot[name] for name in ("tags", "assignments", "ipRules")}


OBSTACLES = tuple(
    Obstacle(situation=f"an unusable vault: {name}", kind=setting, meet=partial(_meet, _SITUATIONS[name], setting))
    for name in ("nothing", "nothing, PIM", "the role", "the same rule, asked for")
    for setting in _SETTINGS
)
