"""Each kind of fault at each request of a run: it ends well or with an error of ours, and leaves nothing behind."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from benchmarks.faults.points import Point, difference
from benchmarks.faults.scene import LATER, OTHER, SITUATIONS, VICTIM, Scene, Situation
from benchmarks.faults.worker import Ended

PART = "a fault at a request"
KINDS: dict[str, dict[str, Any]] = {
    "500": {"kind": "status", "status": 500},
    "503": {"kind": "status", "status": 503},
    "429": {"kind": "status", "status": 429},
    "429, Retry-After": {"kind": "status", "status": 429, "retry_after": 1},
    "403": {"kind": "status", "status": 403},
    "404": {"kind": "status", "status": 404},
    "reset before": {"kind": "reset-before"},
    "reset after": {"kind": "reset-after"},
    "timeout before": {"kind": "timeout"},
    "timeout after": {"kind": "timeout-after"},
}


def choices() -> Iterator[tuple[Situation, str]]:
    for situation in SITUATIONS:
        if situation.name in ("nothing", "nothing, PIM", "a live lease"):
            for kind in KINDS:
                yield situation, kind


def refuse(scene: Scene, situation: Situation, kind: str, number: int) -> Point:
    """Put a fault in the way of one request; look what is left; run again."""
    scene.set(situation)
    pristine, broken = scene.snapshot(), list[str]()
    if situation.other:
        broken += filter(None, [scene.do("open", OTHER).text])
    before = scene.snapshot()
    with scene.fault(**KINDS[kind], nth=number) as standing:
        ended = scene.do("run", VICTIM)
    broken += _unlike_a_run(ended, scene.versions, hit=bool(standing.hits))
    outcome = ended.error or "succeeded"
    scene.pass_time(LATER)  # what PIM does not end before its fifth minute ends by itself
    if difference(before, scene.snapshot()):
        outcome += " + sweep"
        if ended.error != "AccessNotRevoked":
            broken += ["left in silence:", *difference(before, scene.snapshot())]
        broken += filter(None, [scene.do("sweep", "sweeper", ahead=LATER).text])
    broken += difference(before, scene.snapshot())
    broken += filter(None, [scene.do("run", "second", ahead=LATER).text])
    if scene.versions != 1:
        broken.append(f"after a second run {scene.versions} certificates were imported")
    if situation.other:
        broken += filter(None, [scene.do("close", OTHER, ahead=LATER).text])
    scene.pass_time(LATER)
    broken += difference(pristine, scene.snapshot())
    name = f"--part faults --situation '{situation.name}' --kind '{kind}' --at {number}"
    return Point(PART, f"{situation.name}: {kind}", name, outcome, scene.hit, tuple(broken))


def _unlike_a_run(ended: Ended, versions: int, *, hit: bool) -> Iterator[str]:
    if not ended.ours:
        yield f"not an error of ours: {ended.text}"
    if not ended.error and versions != 1:
        yield f"it succeeded, and {versions} certificates were imported"
    if ended.error and not hit:
        yield f"without a fault: {ended.text}"
