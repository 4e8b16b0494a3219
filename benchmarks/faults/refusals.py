"""Each kind of fault at each request of a run: it ends well or with an error of ours, and leaves nothing behind."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from benchmarks.faults.points import Point, difference
from benchmarks.faults.scene import SITUATIONS, VICTIM, Scene, Situation

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
    for situation in SITUATIONS[:1]:
        for kind in KINDS:
            yield situation, kind


def refuse(scene: Scene, situation: Situation, kind: str, number: int) -> Point:
    """Put a fault in the way of one request; look what is left; run again."""
    scene.set(situation)
    before = scene.snapshot()
    broken: list[str] = []
    with scene.fault(**KINDS[kind], nth=number) as standing:
        ended = scene.do("run", VICTIM)
    if not ended.ours:
        broken.append(f"not an error of ours: {ended.text}")
    if not ended.error and scene.versions != 1:
        broken.append(f"it succeeded, and {scene.versions} certificates were imported")
    if not standing.hits and ended.error:
        broken.append(f"without a fault: {ended.text}")
    outcome = ended.error or "succeeded"
    if difference(before, scene.snapshot()):
        outcome += " + sweep"
        if ended.error != "AccessNotRevoked":
            broken += ["left in silence:", *difference(before, scene.snapshot())]
        broken += filter(None, [scene.sweep().text])
    broken += difference(before, scene.snapshot())
    broken += filter(None, [scene.do("run", "second").text])
    broken += difference(before, scene.snapshot())
    if scene.versions != 1:
        broken.append(f"after a second run {scene.versions} certificates were imported")
    name = f"--part faults --situation '{situation.name}' --kind '{kind}' --at {number}"
    return Point(PART, kind, name, outcome, scene.hit, tuple(broken))
