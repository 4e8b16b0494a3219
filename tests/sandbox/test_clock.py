"""Azure's time: durations that run faster than the wall's, only when somebody waits for them, or not at all."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any

import pytest

from sandbox.core.clock import LONGEST_WAIT, Clock


class Wall:
    """The wall's monotonic clock, which a test moves."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.seconds = 100.0
        monkeypatch.setattr("sandbox.core.clock.time.monotonic", lambda: self.seconds)


@pytest.fixture
def wall(monkeypatch: pytest.MonkeyPatch) -> Wall:
    return Wall(monkeypatch)


async def started(work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
    task = asyncio.create_task(work)
    await asyncio.sleep(0)
    return task


def test_durations_pass_faster(wall: Wall) -> None:
    """At speed 60 a second of the wall's is a minute of Azure's, and a jump comes on top."""
    clock = Clock(60)
    wall.seconds += 2
    clock.jump(30)
    assert clock.elapsed() == 150


def test_on_demand_nothing_passes_that_nobody_waits_for(wall: Wall) -> None:
    """Time comes as far as the latest moment that somebody waits for, and goes on from there."""
    clock = Clock(60, on_demand=True)
    wall.seconds += 1000
    assert clock.elapsed() == 0
    assert (clock.after(90), clock.after(30)) == (90, 30)
    wall.seconds += 1
    assert clock.elapsed() == 60
    wall.seconds += 1000
    assert clock.elapsed() == 90
    assert clock.after(60) == 150
    wall.seconds += 0.5
    assert clock.elapsed() == 120


def test_on_demand_up_to_a_moment(wall: Wall) -> None:
    """Somebody who asks again waits for a moment, which is never sooner for others, nor a day away."""
    clock = Clock(60, on_demand=True)
    clock.pass_until(90)
    clock.pass_until(30)
    clock.pass_until(LONGEST_WAIT + 1)
    wall.seconds += 1000
    assert clock.elapsed() == 90


def test_on_demand_a_jump_goes_beyond(wall: Wall) -> None:
    """It moves time past what is waited for, and leaves what is waited for later where it was."""
    clock = Clock(60, on_demand=True)
    clock.after(90)
    clock.jump(60)
    wall.seconds += 1000
    assert clock.elapsed() == 90
    clock.jump(60)
    wall.seconds += 1000
    assert clock.elapsed() == 150


def test_on_demand_what_never_comes_is_not_waited_for(wall: Wall) -> None:
    """A delay that stands for 'never' does not let days pass."""
    clock = Clock(60, on_demand=True)
    assert clock.after(LONGEST_WAIT + 1) == LONGEST_WAIT + 1
    wall.seconds += 1000
    assert clock.elapsed() == 0


async def test_a_background_sleep_waits_for_others() -> None:
    """It makes no time pass, and ends once others have made it pass."""
    clock = Clock(1e6, on_demand=True)
    background = await started(clock.sleep_until(500))
    assert clock.elapsed() == 0
    await clock.sleep(1000)
    await background
    assert clock.elapsed() == 1000


async def test_a_clock_that_stands_still() -> None:
    """At speed 0 only a jump brings what is due, and nothing that is not."""
    clock = Clock(0)
    soon, later = await started(clock.sleep(60)), await started(clock.sleep(61))
    clock.jump(60)
    await soon
    assert (clock.elapsed(), later.done()) == (60, False)
    clock.jump(1)
    await later


def test_what_clients_are_told() -> None:
    """Whole seconds if there are any; milliseconds otherwise, and from a clock that stands still."""
    assert Clock(2).retry_after(10) == {"Retry-After": "5"}
    assert Clock(100).retry_after(10) == {"x-ms-retry-after-ms": "100"}
    assert Clock(0).retry_after(10) == {"x-ms-retry-after-ms": "20"}


def test_time_does_not_run_backwards() -> None:
    """Neither by speed nor by a jump."""
    with pytest.raises(ValueError, match="negative"):
        Clock(-1)
    with pytest.raises(ValueError, match="backwards"):
        Clock().jump(-1)
