"""A sample of the campaign of faults: `make faults` runs all of it."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks.faults.kills import kill
from benchmarks.faults.obstacles import OBSTACLES as ALL_OBSTACLES
from benchmarks.faults.pairs import strike_twice
from benchmarks.faults.points import Point, Tally, difference
from benchmarks.faults.refusals import refuse
from benchmarks.faults.scene import SITUATIONS, VICTIM, Scene, Snapshot
from benchmarks.faults.series import Selection
from sandbox.scenario import Scenario
from tests.conftest import RunningSandbox

NOTHING = "nothing"
#: Situation, moment and request: where the two halves are made, where they are waited for, used, and taken back.
KILLS = [
    (NOTHING, "after", 8),
    (NOTHING, "before", 19),
    ("nothing, access is late", "after", 12),
    ("nothing, PIM", "after", 9),
    ("the same rule, asked for", "after", 12),
    ("a wider rule, asked for", "before", 14),
    ("the role", "after", 9),
    ("a live lease", "after", 10),
    ("a live lease, PIM", "after", 13),
    ("a live lease that joins", "after", 8),
    ("a sweep of a dead run", "after", 7),
]
FAULTS = [
    ("500", 7),
    ("503", 8),
    ("429", 9),
    ("429, Retry-After", 18),
    ("403", 17),
    ("404", 10),
    ("reset before", 15),
    ("reset after", 8),
    ("reset after", 19),
    ("timeout after", 24),
]
#: Kind and number, under seed 1.
PAIRS = [("two faults", 1), ("two faults", 2), ("a kill, and a fault of the sweep", 1)]
NAMES = {series.name(number) for series in Selection().series() for number in range(1, 50)}
#: Situation, kind, and for an obstacle at a request its number: where access is granted, and where it is revoked.
OBSTACLES = [
    ("a lock before the grant: nothing", "ReadOnly at the resource group", None),
    ("a lock before the revocation: nothing, PIM", "CanNotDelete at the subscription", None),
    ("locks that cannot be read", "an identity without the right", None),
    ("an unusable vault: nothing", "access policies", None),
    ("an unusable vault: nothing, PIM", "SecuredByPerimeter", None),
    ("a forged lease", "a foreign version", None),
    ("a forged lease beside a run", "a permanent rule", None),
    ("a damaged lease of a run", "the description is cut", None),
    ("a hostile Retry-After: nothing", "an hour", 14),
    ("a hostile Retry-After: nothing", "for ever", 24),
    ("a hostile Retry-After: a sweep of a dead run", "garbage", 5),
]


@pytest.fixture(scope="module")
def scene(sandbox_home: Path) -> Iterator[Scene]:
    """One sandbox for all points; processes are told where it is, this one's environment stays as it is."""
    sandbox = RunningSandbox(sandbox_home, Scenario(), Scene.SPEED)
    yield Scene(sandbox)
    sandbox.close()


@pytest.mark.parametrize(("situation", "moment", "number"), KILLS)
def test_killed(scene: Scene, situation: str, moment: str, number: int) -> None:
    """Kill -9 at a request, and one sweep: what is left is what was there before, and who goes on keeps his access."""
    (found,) = [one for one in SITUATIONS if one.name == situation]
    point = kill(scene, found, moment, number)
    assert point.name in NAMES
    assert point.request, "it ended before it could be killed"
    assert point.broken == ()


@pytest.mark.parametrize(("kind", "number"), FAULTS)
def test_a_fault_in_the_way(scene: Scene, kind: str, number: int) -> None:
    """A run ends well or with an error of ours, leaves nothing behind, and the next one succeeds."""
    point = refuse(scene, SITUATIONS[0], kind, number)
    assert point.name in NAMES
    assert point.request, "it ended before its fault"
    assert point.broken == ()


@pytest.mark.parametrize(("situation", "kind", "number"), OBSTACLES)
def test_an_obstacle(scene: Scene, situation: str, kind: str, number: int | None) -> None:
    """Access that cannot be revoked is not granted, nothing of others is removed, and nothing of ours stays unsaid."""
    (obstacle,) = [found for found in ALL_OBSTACLES if (found.situation, found.kind) == (situation, kind)]
    point = obstacle.point(scene, number or 1)
    assert point.name in NAMES
    assert point.request, "it ended before its obstacle"
    assert point.broken == ()


@pytest.mark.parametrize(("kind", "number"), PAIRS)
def test_a_pair(scene: Scene, kind: str, number: int) -> None:
    """A fault in the recovery from another one: what is left is reported, and the next run or sweep succeeds."""
    point = strike_twice(scene, kind, 1, number)
    assert point.broken == ()
    assert point.request, "it ended before its first fault"
    assert point.name in NAMES


def test_pauses_count_in_full(scene: Scene) -> None:
    """A process does not make the pause that Azure asks for, and reports it where it would have been made."""
    seconds = []
    for number in (9, 24):
        scene.set(SITUATIONS[0])
        with scene.fault(kind="status", status=429, retry_after=45, nth=number):
            result = scene.do("run", VICTIM)
        assert scene.hit, "it ended before its fault"
        assert result.error == ""
        seconds.append((result.opening_seconds >= 45, 5 <= result.closing_seconds < 45))
    assert seconds == [(True, False), (False, True)]


def test_every_obstacle_can_be_repeated() -> None:
    """The options that a point prints name it alone, and a shell reads them as they are meant."""
    options = [shlex.split(obstacle.options(1)) for obstacle in ALL_OBSTACLES]
    assert [words[3:6:2] for words in options] == [[found.situation, found.kind] for found in ALL_OBSTACLES]
    assert len(set(map(tuple, options))) == len(options)


def test_the_campaign_would_notice() -> None:
    """Whatever differs is told with its place, lists without regard to their order."""
    before: Snapshot = {"tags": {"team": "platform"}, "rules": [{"value": "a"}, {"value": "b"}], "action": "Deny"}
    after = {"tags": {"team": "platform", "lease": "x"}, "rules": [{"value": "b"}], "action": "Deny"}
    assert difference(before, before | {"rules": before["rules"][::-1]}) == ()
    assert difference(before, after) == (
        "rules[{'value': 'a'}] was there, is not there",
        "tags.lease was not there, is x",
    )


def test_what_is_told() -> None:
    """Points are counted by what was done to them, and by the request that was hit."""
    tally = Tally(
        [
            Point(part="p", group="503", name="n", outcome="succeeded", request="GET x"),
            Point(part="p", group="503", name="n", outcome="died", request="GET y", broken=("no",)),
        ]
    )
    assert [point.request for point in tally.broken] == ["GET y"]
    lines = [" ".join(line.split()) for line in tally.table().splitlines()]
    assert "503 2 1 succeeded 1, died 1" in lines
    assert "GET y 1 1 died 1" in lines
