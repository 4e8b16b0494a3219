"""Kill -9 at every request of a run, before its effect and after: one sweep, and everything is as it was.

The run is a process with real SDKs; the local Azure holds the request (:mod:`sandbox.core.faults`) and so tells the
moment. Whoever goes on beside it keeps the access, and in the end takes it away. A sweep may die as well: another one
ends its work.
"""

from __future__ import annotations

from collections.abc import Iterator

from benchmarks.faults.points import Point, difference
from benchmarks.faults.scene import DEAD, LATER, OTHER, SITUATIONS, VICTIM, Scene, Situation, Snapshot

PART = "kill -9 at a request"
#: Faults that hold a request, by when.
MOMENTS = {"before": "timeout", "after": "timeout-after"}


def choices() -> Iterator[tuple[Situation, str]]:
    for situation in SITUATIONS:
        for moment in MOMENTS:
            yield situation, moment


def kill(scene: Scene, situation: Situation, moment: str, number: int) -> Point:
    """Kill a run at one of its requests; sweep; compare."""
    scene.set(situation)
    pristine = before = scene.snapshot()
    broken: list[str] = []

    def do(what: str, error: str) -> None:
        if error:
            broken.append(f"{what}: {error}")

    if situation.other == "before":
        do("the other opens", scene.do("open", OTHER).text)
        before = scene.snapshot()
    if situation.other == "dead":
        do("the dead one opened", scene.do("open", DEAD).text)
        scene.pass_time(LATER)
    with scene.fault(kind=MOMENTS[moment], nth=number) as standing:
        sweeps = situation.other == "dead"
        victim = scene.start("sweep", VICTIM, ahead=LATER) if sweeps else scene.start("run", VICTIM)
        killed = scene.kill(victim, standing.caught)
        ended = victim.ended()
    if not killed:
        do("the run without a fault", "died" if ended is None else ended.text)
    left = scene.snapshot()
    if situation.other == "after":
        do("the other opens", scene.do("open", OTHER).text)
    do("the sweep", scene.sweep().text)
    swept = scene.snapshot()
    if situation.other == "after":
        broken += _lost(swept, left)
    else:
        broken += difference(before, swept)
    if situation.other in ("before", "after"):
        do("the other, still let in", scene.do("enter", OTHER, ahead=LATER).text)
        do("the other closes", scene.do("close", OTHER, ahead=LATER).text)
        broken += difference(pristine, scene.snapshot())
    outcome = "ended before" if not killed else "left traces" if left != before else "left nothing"
    name = f"--part kills --situation '{situation.name}' --kind {moment} --at {number}"
    return Point(PART, situation.name, name, outcome, scene.hit, tuple(broken))


def _lost(swept: Snapshot, left: Snapshot) -> list[str]:
    """The one that joined has its record, the one that died has none."""
    leases = {name for name in swept["tags"] if name.startswith("pratique-lease-")}
    return [] if len(leases - left["tags"].keys()) == 1 == len(leases) else [f"records after the sweep: {leases}"]
