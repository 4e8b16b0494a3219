"""``Retry-After`` that asks for an hour or means nothing, once, at each request: no run and no cleanup waits for it.

Pauses count in full and take no time (:mod:`.worker`), so the result does not depend on the machine.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from functools import partial

from benchmarks.faults.points import Encounter, Obstacle, difference
from benchmarks.faults.scene import DEAD, LATER, SITUATIONS, VICTIM, Scene, Situation

#: Sums of all pauses. The product cuts one that a service asks for to a minute, in cleanup to five seconds.
_OPENING_SECONDS, _CLOSING_SECONDS = 75.0, 10.0
RETRY_AFTER = {
    "an hour": "3600",
    "for ever": "1e999",
    "a date next year": format_datetime(datetime.now(UTC) + timedelta(days=365), usegmt=True),
    "negative": "-1",
    "garbage": "soon",
}
_SITUATIONS = tuple(found for found in SITUATIONS if found.name in ("nothing", "nothing, PIM", "a sweep of a dead run"))


def _meet(situation: Situation, kind: str, scene: Scene, number: int) -> Encounter:
    scene.set(situation)
    before, broken = scene.snapshot(), list[str]()
    sweeps = situation.other == "dead"
    if sweeps:
        broken += filter(None, [scene.do("open", DEAD).text])
        scene.pass_time(LATER)
    with scene.fault(kind="status", status=429, retry_after=RETRY_AFTER[kind], nth=number):
        result = scene.do("sweep", VICTIM, ahead=LATER) if sweeps else scene.do("run", VICTIM)
    if not result.complete or result.error == "AccessNotRevoked" or (result.error and not scene.hit):
        broken.append(f"it ends with {result.text}")
    for what, seconds, limit in (
        ("the run", result.opening_seconds, _OPENING_SECONDS),
        ("the cleanup", result.closing_seconds, _CLOSING_SECONDS),
    ):
        if seconds > limit:
            broken.append(f"{what} pauses for {seconds:.0f} s")
    scene.pass_time(LATER)  # PIM assignments that cannot be ended in their first five minutes expire
    broken += difference(before, scene.snapshot())
    return Encounter(outcome=result.error or "succeeded", request=scene.hit, broken=tuple(broken))


OBSTACLES = tuple(
    Obstacle(
        situation=f"a hostile Retry-After: {situation.name}",
        kind=kind,
        meet=partial(_meet, situation, kind),
        at_requests=True,
    )
    for situation in _SITUATIONS
    for kind in RETRY_AFTER
)
