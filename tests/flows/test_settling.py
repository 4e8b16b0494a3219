"""How the branches of a flow end together."""

from __future__ import annotations

import asyncio

import pytest

from flows.settling import settled
from pratique.errors import AccessNotRevoked, GateBlocked, NotFound, PratiqueError, Unavailable


class Stopped(BaseException):
    """As Prefect's TerminationSignal: not an Exception."""


async def gives(value: int) -> int:
    return value


async def fails(error: BaseException) -> int:
    raise error


def error(kind: type[PratiqueError]) -> PratiqueError:
    return kind("do", "it", "no.", "again.")


async def test_results_come_in_the_order_of_the_branches() -> None:
    """As with gather."""
    assert await settled(gives(1), gives(2), gives(3)) == [1, 2, 3]


async def test_a_failure_lets_the_others_finish() -> None:
    """The other branch is neither cancelled nor left behind."""
    failed, finished = asyncio.Event(), asyncio.Event()

    async def breaks() -> None:
        failed.set()
        raise error(NotFound)

    async def goes_on() -> None:
        await failed.wait()
        await asyncio.sleep(0)
        finished.set()

    with pytest.raises(NotFound):
        await settled(breaks(), goes_on())
    assert finished.is_set()


@pytest.mark.parametrize("order", [1, -1])
async def test_the_gravest_failure_is_raised(order: int) -> None:
    """Access that stands beats a blocked gate, which beats what a retry might mend."""
    kinds = [AccessNotRevoked, GateBlocked, NotFound, Unavailable]
    for gravest in range(len(kinds)):
        with pytest.raises(kinds[gravest]):
            await settled(*[fails(error(kind)) for kind in kinds[gravest:][::order]])


class Branch:
    """A branch that runs until it is stopped, and then cleans up."""

    def __init__(self) -> None:
        self.started, self.cleaned = asyncio.Event(), asyncio.Event()

    async def run(self) -> int:
        self.started.set()
        try:
            await asyncio.Event().wait()
            return 0
        finally:
            await asyncio.sleep(0)
            self.cleaned.set()


async def test_an_interruption_stops_the_others_and_waits_for_their_cleanup() -> None:
    """A signal that surfaces in one branch ends the flow now, with every finally run."""
    branch = Branch()
    with pytest.raises(Stopped):
        await settled(branch.run(), fails(Stopped()))
    assert branch.cleaned.is_set()


async def test_cancelling_the_whole_runs_every_cleanup() -> None:
    """Cancellation from outside reaches each branch before it goes on."""
    branch = Branch()
    whole = asyncio.ensure_future(settled(branch.run(), gives(1)))
    await branch.started.wait()
    whole.cancel()
    with pytest.raises(asyncio.CancelledError):
        await whole
    assert branch.cleaned.is_set()
