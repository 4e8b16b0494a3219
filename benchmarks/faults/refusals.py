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
    "a web page": {"kind": "web-page"},
    "half an answer": {"kind": "truncated"},
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


def options(situation: Situation, kind: str) -> str:
    """The command-line options that select these points."""
    return f"--part faults --situation '{situation.name}' --kind '{kind}'"


def refuse(scene: Scene, situation: Situation, kind: str, number: int) -> Point:
    """Inject a fault into one request, check what is left, and run again."""
    outcome, broken = run_twice(scene, situation, (kind, number))
    return Point(
        part=PART,
        group=f"{situation.name}: {kind}",
        name=f"{options(situation, kind)} --at {number}",
        outcome=outcome,
        request=scene.hit,
        broken=tuple(broken),
    )


def run_twice(scene: Scene, situation: Situation, *faults: tuple[str, int]) -> tuple[str, list[str]]:
    """Run under faults, check what is left, and run again.

    :param faults: kinds, and the numbers of the requests that they hit
    :returns: how the first run ended, and the broken invariants
    """
    patience = scene.patience if any(kind.startswith("timeout") for kind, _ in faults) else HANGS
    scene.set(situation)
    pristine, broken = scene.snapshot(), list[str]()
    if situation.other:
        broken += filter(None, [scene.do("open", OTHER).text])
    before = scene.snapshot()
    with scene.faults(*({**KINDS[kind], "nth": number} for kind, number in faults)) as active:
        result = scene.do("run", VICTIM, patience=patience)
    broken += _check_result(result, scene.versions, hit=any(fault.hits for fault in active))
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
    return outcome, broken


def _check_result(result: JobResult, versions: int, *, hit: bool) -> Iterator[str]:
    if not result.complete:
        yield f"not a complete PratiqueError: {result.text}"
    if not result.error and versions != 1:
        yield f"it succeeded, and {versions} certificates were imported"
    if result.error and not hit:
        yield f"without a fault: {result.text}"
