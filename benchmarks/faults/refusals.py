"""Each kind of fault at each request of a run: it succeeds or ends with a PratiqueError, and leaves nothing behind."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from benchmarks.faults.points import Point, difference
from benchmarks.faults.scene import LATER, OTHER, SITUATIONS, VICTIM, Scene, Situation
from benchmarks.faults.worker import HANGS, JobResult

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
    """Inject a fault into one request, check what is left, and run again."""
    patience = scene.patience if kind.startswith("timeout") else HANGS
    scene.set(situation)
    pristine, broken = scene.snapshot(), list[str]()
    if situation.other:
        broken += filter(None, [scene.do("open", OTHER).text])
    before = scene.snapshot()
    with scene.fault(**KINDS[kind], nth=number) as active:
        result = scene.do("run", VICTIM, patience=patience)
    broken += _check_result(result, scene.versions, hit=bool(active.hits))
    outcome = result.error or "succeeded"
    scene.pass_time(LATER)  # PIM assignments that cannot be ended in their first five minutes expire
    if difference(before, scene.snapshot()):
        outcome += " + sweep"
        if result.error != "AccessNotRevoked":
            broken += ["access left without an error:", *difference(before, scene.snapshot())]
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
    return Point(
        part=PART,
        group=f"{situation.name}: {kind}",
        name=name,
        outcome=outcome,
        request=scene.hit,
        broken=tuple(broken),
    )


def _check_result(result: JobResult, versions: int, *, hit: bool) -> Iterator[str]:
    if not result.complete:
        yield f"not a complete PratiqueError: {result.text}"
    if not result.error and versions != 1:
        yield f"it succeeded, and {versions} certificates were imported"
    if result.error and not hit:
        yield f"without a fault: {result.text}"
