"""A sample of the campaign of faults: `make faults` runs all of it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks.faults.kills import kill
from benchmarks.faults.points import Point, Tally, difference
from benchmarks.faults.refusals import refuse
from benchmarks.faults.scene import SITUATIONS, Scene, Snapshot
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
    assert point.request, "it ended before it could be killed"
    assert point.broken == ()


@pytest.mark.parametrize(("kind", "number"), FAULTS)
def test_a_fault_in_the_way(scene: Scene, kind: str, number: int) -> None:
    """A run ends well or with an error of ours, leaves nothing behind, and the next one succeeds."""
    point = refuse(scene, SITUATIONS[0], kind, number)
    assert point.request, "it ended before its fault"
    assert point.broken == ()


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
