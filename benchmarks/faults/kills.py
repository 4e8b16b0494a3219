"""Kill -9 at every request of a run, before its effect and after: one sweep restores the previous state.

The run is a process with real SDKs. The local Azure holds the request (:mod:`sandbox.core.faults`), which marks the
moment to kill it. Another run in parallel keeps its access, and closes it in the end. A sweep may be killed as well:
another sweep completes its work.
"""

from __future__ import annotations

from collections.abc import Iterator

from benchmarks.faults.points import Point, difference
from benchmarks.faults.scene import DEAD, LATER, OTHER, SITUATIONS, VICTIM, Scene, Situation, Snapshot

PART = "kill -9 at a request"
#: Faults that hold a request, by moment.
MOMENTS = {"before": "timeout", "after": "timeout-after"}


def choices() -> Iterator[tuple[Situation, str]]:
    for situation in SITUATIONS:
        for moment in MOMENTS:
            yield situation, moment


def options(situation: Situation, moment: str) -> str:
    """The command-line options that select these points."""
    return f"--part kills --situation '{situation.name}' --kind {moment}"


def kill(scene: Scene, situation: Situation, moment: str, number: int) -> Point:
    """Kill a run at one of its requests, sweep, and compare the states."""
    scene.set(situation)
    pristine = before = scene.snapshot()
    broken: list[str] = []

    def do(what: str, error: str) -> None:
        if error:
            broken.append(f"{what}: {error}")

    if situation.other == "before":
        do("the other run opens access", scene.do("open", OTHER).text)
        before = scene.snapshot()
    if situation.other == "dead":
        do("the dead run opened access", scene.do("open", DEAD).text)
        scene.pass_time(LATER)
    with scene.fault(kind=MOMENTS[moment], nth=number) as active:
        sweeps = situation.other == "dead"
        victim = scene.start("sweep", VICTIM, ahead=LATER) if sweeps else scene.start("run", VICTIM)
        killed = scene.kill(victim, active.caught)
        result = victim.wait()
    if not killed:
        do("the run without a fault", "died" if result is None else result.text)
    after_kill = scene.snapshot()
    if situation.other == "after":
        do("the other run opens access", scene.do("open", OTHER).text)
    do("the sweep", scene.sweep().text)
    swept = scene.snapshot()
    if situation.other == "after":
        broken += _lost(swept, after_kill)
    else:
        broken += difference(before, swept)
    if situation.other in ("before", "after"):
        do("the other run still has access", scene.do("enter", OTHER, ahead=LATER).text)
        do("the other run closes access", scene.do("close", OTHER, ahead=LATER).text)
        broken += difference(pristine, scene.snapshot())
    outcome = "ended before" if not killed else "left traces" if after_kill != before else "left nothing"
    name = f"{options(situation, moment)} --at {number}"
    return Point(part=PART, group=situation.name, name=name, outcome=outcome, request=scene.hit, broken=tuple(broken))


def _lost(swept: Snapshot, after_kill: Snapshot) -> list[str]:
    """The run that joined has its lease record, the killed run has none."""
    leases = {name for name in swept["tags"] if name.startswith("pratique-lease-")}
    return (
        []
        if len(leases - after_kill["tags"].keys()) == 1 == len(leases)
        else [f"lease records after the sweep: {leases}"]
    )
