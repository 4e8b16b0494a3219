"""Two faults in one run: what holds after one fault also holds when the recovery from it fails.

The second fault hits a request soon after the first one: an attempt that is repeated, or the cleanup. In half of the
series the first fault is a kill, and the second one hits the sweep that follows. Chosen by the seed and a number.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from weakref import WeakKeyDictionary

from benchmarks.faults.kills import MOMENTS
from benchmarks.faults.points import Point, difference
from benchmarks.faults.refusals import KINDS, run_twice
from benchmarks.faults.scene import LATER, OTHER, SITUATIONS, VICTIM, Scene, Situation
from benchmarks.faults.worker import HANGS

PART = "a pair of faults"
#: The second fault hits a request of a run's cleanup, or of a sweep: they send about as many.
_DISTANCE = 12
#: No run sends so many requests.
_NEVER = 1_000_000
_COUNTS: WeakKeyDictionary[Scene, dict[str, int]] = WeakKeyDictionary()
_REFUSED = tuple(found for found in SITUATIONS if found.name in ("nothing", "nothing, PIM", "a live lease"))
_KILLED = tuple(found for found in SITUATIONS if found.other in ("", "before"))


def options(situation: str, seed: int) -> str:
    """The command-line options that select these points."""
    return f"--part pairs --situation '{situation}' --seed {seed}"


def _distance(chance: random.Random) -> int:
    """How many requests after the first fault the second one comes: mostly few, since many runs end soon after one."""
    return chance.randint(1, chance.randint(1, _DISTANCE))


def _two_faults(scene: Scene, chance: random.Random) -> tuple[str, str, str, list[str]]:
    """A fault at a request of a run, and another one a few requests later."""
    situation, kinds = chance.choice(_REFUSED), chance.choices(tuple(KINDS), k=2)
    first = chance.randint(1, _requests(scene, situation))
    second = first + _distance(chance)
    outcome, broken = run_twice(scene, situation, (kinds[0], first), (kinds[1], second))
    pair = f"{kinds[0]} at request {first}, {kinds[1]} at request {second}"
    return situation.name, pair, outcome, broken


def _kill_and_fault(scene: Scene, chance: random.Random) -> tuple[str, str, str, list[str]]:
    """A run dies, and the first sweep meets a fault: it ends the access or fails, and then the next one ends it."""
    situation, moment, kind = chance.choice(_KILLED), chance.choice(tuple(MOMENTS)), chance.choice(tuple(KINDS))
    patience = scene.patience if kind.startswith("timeout") else HANGS
    first, second = chance.randint(1, _requests(scene, situation)), _distance(chance)
    scene.set(situation)
    pristine, broken = scene.snapshot(), list[str]()
    if situation.other:
        broken += filter(None, [scene.do("open", OTHER).text])
    before = scene.snapshot()
    with scene.fault(kind=MOMENTS[moment], nth=first) as active:
        victim = scene.start("run", VICTIM)
        scene.kill(victim, active.caught)
        victim.wait()
    scene.pass_time(LATER)
    with scene.fault(**KINDS[kind], nth=second) as active:
        swept = scene.do(situation.sweep, VICTIM, ahead=LATER, patience=patience)
    if not swept.complete or (swept.error and not active.hits):
        broken.append(f"the first sweep ends with {swept.text}")
    if not swept.error:
        broken += [f"the first sweep ended well, and {line}" for line in difference(before, scene.snapshot())]
    broken += filter(None, [scene.do(situation.sweep, "sweeper", ahead=LATER).text])
    broken += difference(before, scene.snapshot())
    if situation.other:
        broken += filter(None, [scene.do(verb, OTHER, ahead=LATER).text for verb in ("enter", "close")])
        broken += difference(pristine, scene.snapshot())
    pair = f"killed {moment} request {first}, {kind} at request {second} of the sweep"
    return situation.name, pair, swept.error or "swept", broken


def _requests(scene: Scene, situation: Situation) -> int:
    """How many requests a run sends. Those that are refused for want of a token do not count."""
    counts = _COUNTS.setdefault(scene, {})
    if situation.name not in counts:
        scene.set(situation)
        if situation.other:
            scene.do("open", OTHER)
        with scene.fault(kind="status", nth=_NEVER) as counter:
            scene.do("run", VICTIM)
        counts[situation.name] = counter.matched
    return counts[situation.name]


#: How a pair of a kind is run. Returns the situation, the two faults, the outcome, and the broken invariants.
PAIRS: dict[str, Callable[[Scene, random.Random], tuple[str, str, str, list[str]]]] = {
    "two faults": _two_faults,
    "a kill, and a fault of the sweep": _kill_and_fault,
}


def strike_twice(scene: Scene, kind: str, seed: int, number: int) -> Point:
    """Run the pair with a number."""
    chance = random.Random(f"{kind}/{seed}/{number}")  # noqa: S311  # no secret
    situation, pair, outcome, broken = PAIRS[kind](scene, chance)
    hits = scene.hits
    return Point(
        part=PART,
        group=f"{kind}: {situation}",
        name=f"{options(kind, seed)} --at {number}",
        outcome=outcome if len(hits) > 1 else f"{outcome}, one fault met",
        request=(hits or [""])[-1],
        broken=(pair, *broken) if broken else (),
    )
