"""Imports follow Resource Manager's token buckets and a busy registry, in simulated time."""

from __future__ import annotations

import asyncio
import math
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any, cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pratique.azure import import_pacing
from pratique.azure.import_pacing import MOST_AT_ONCE, Window, back_off, paced_import
from pratique.azure.import_polling import Durations, ImportPolling, durations_of
from pratique.azure.pacing import RESERVED, SIZES, Kind, Pace
from pratique.azure.registries import Registry
from pratique.azure.session import AzureSession
from pratique.azure.transport import LONGEST_SECONDS
from pratique.errors import Throttled
from sandbox.core.throttling import Buckets
from tests.pratique.azure.virtual_time import run

POLL_SECONDS = 5.0
LATENCY = 0.5  # seconds of a request, at most
SUBSCRIPTION = "/subscriptions/a/resourceGroups/g/providers/Microsoft.ContainerRegistry/registries/r"
REGISTRY = Registry(id=SUBSCRIPTION, name="r", login_server="r.azurecr.io", location="", public_access=True)
CAPACITY, REFILL = SIZES["writes"]


@dataclass
class Azure:
    """Resource Manager with its buckets, and a registry that takes a number of imports at once.

    :ivar duration: seconds of the next import
    :ivar retry_after: seconds that a pending operation asks to wait
    """

    seed: int
    duration: Callable[[random.Random], float] = lambda _: 70.0
    most: float = math.inf
    retry_after: int = 10
    pace: Pace = field(default_factory=lambda: Pace(lambda: asyncio.get_running_loop().time()))
    throttled: int = 0
    busy: int = 0
    running: int = 0
    polls: list[int] = field(default_factory=list)
    delays: list[float] = field(default_factory=list)
    started: list[int] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.random = random.Random(self.seed)  # noqa: S311  # no secret
        self.buckets = Buckets(self.now)

    @staticmethod
    def now() -> float:
        return asyncio.get_running_loop().time()

    @property
    def session(self) -> AzureSession:
        view = SimpleNamespace(pace=self.pace, poll_seconds=POLL_SECONDS)
        return cast(AzureSession, SimpleNamespace(in_subscription=lambda _: view, **vars(view)))

    async def request(self, method: str, principal: str = "ours") -> tuple[int, dict[str, str]]:
        kind: Kind = "writes" if method == "POST" else "reads"
        counted = self.pace.sent(method) if principal == "ours" else None
        await asyncio.sleep(self.random.uniform(0, LATENCY / 2))
        taken = self.buckets.take(principal if principal == "ours" else "ours", kind)
        await asyncio.sleep(self.random.uniform(0, LATENCY / 2))
        headers = {f"x-ms-ratelimit-remaining-subscription-{kind}": str(taken.remaining)}
        status = 202
        if taken.wait > 0:
            status, headers["Retry-After"] = 429, str(max(1, math.ceil(taken.wait)))
            self.throttled += counted is not None
        if counted is not None:
            counted.answered(status, headers)
        return status, headers

    async def run_import(self, number: int) -> None:
        status, headers = await self.request("POST")
        if status == 429:
            refused = Throttled("import", "it", "429 SubscriptionRequestsThrottled: too many writes", "Wait.")
            refused.retry_after = float(headers["Retry-After"])
            raise refused
        if self.running >= self.most:
            self.busy += 1
            raise Throttled("import", "it", "429 TooManyRequests", "Wait.")
        self.started.append(number)
        duration, self.running = self.duration(self.random), self.running + 1
        asyncio.get_running_loop().call_later(duration, self._end)
        polling = _Polling(self, self.now() + duration)
        await polling.run()
        self.polls.append(polling.polls)
        self.delays.append(self.now() - polling.due)

    def _end(self) -> None:
        self.running -= 1

    async def imports(self, count: int) -> float:
        """Import so many images at once, and return the seconds that it takes."""

        async def one(number: int) -> None:
            await paced_import(self.session, REGISTRY, lambda: self.run_import(number))

        began = self.now()
        await asyncio.gather(*map(one, range(count)))
        return self.now() - began


class _Polling(ImportPolling):
    """Polls an import of the simulated Azure."""

    def __init__(self, azure: Azure, due: float) -> None:
        learned = durations_of(azure.pace, REGISTRY.id, "docker.io")
        super().__init__(azure.pace, learned, endpoint="https://management.azure.com", poll_seconds=POLL_SECONDS)
        self.azure, self.due, self.polls = azure, due, 0
        self.initialize(cast(Any, None), self._response(202, "POST", {}), lambda _: None)

    def _response(self, status: int, method: str, headers: dict[str, str]) -> Any:
        waits = {"retry-after": str(self.azure.retry_after)} if self.azure.retry_after else {}
        all_headers = {"location": "https://management.azure.com/result", **waits, **headers}
        request = SimpleNamespace(method=method, headers={}, url="https://management.azure.com/")
        answer = SimpleNamespace(status_code=status, headers=all_headers, request=request, body=lambda: b"")
        return SimpleNamespace(http_response=answer, http_request=request, context={})

    async def request_status(self, status_link: str) -> Any:
        self.polls += 1
        status, headers = await self.azure.request("GET")
        if status == 202 and self.azure.now() >= self.due:
            return self._response(200, "GET", {})
        return self._response(status, "GET", {"retry-after": headers["Retry-After"]} if status == 429 else {})

    async def _sleep(self, delay: float) -> None:
        await asyncio.sleep(delay)


@settings(deadline=None, max_examples=8)
@given(st.integers(1, 500), st.sampled_from([0, 2, 10]), st.integers())
def test_imports_alone_in_a_subscription(count: int, retry_after: int, seed: int) -> None:
    """No request is refused, and they take the bucket's time, a few seconds and a poll longer than one import."""
    azure = Azure(seed, retry_after=retry_after)
    seconds = run(azure.imports(count))
    assert azure.throttled == 0
    waited = max(0.0, count - CAPACITY * (1 - RESERVED)) / REFILL
    # A poll's delay, and the latency of the requests; a token that a request in flight may have taken is waited for.
    assert seconds <= 70 + waited + max(retry_after, POLL_SECONDS, 7) + 20 * LATENCY
    assert max(azure.polls) <= 2 + 70 / max(retry_after, POLL_SECONDS)


@settings(deadline=None, max_examples=10)
@given(st.integers())
def test_polls_get_few(seed: int) -> None:
    """Once it is known how long imports from a source take, two polls an import are enough, with little delay."""
    azure = Azure(seed)

    async def later() -> tuple[list[int], list[float]]:
        for _ in range(10):
            await azure.imports(7)
        return azure.polls[-28:], azure.delays[-28:]

    polls, delays = run(later())
    assert sum(polls) / len(polls) <= 2
    assert sum(delays) / len(delays) <= 5


@settings(deadline=None, max_examples=10)
@given(st.integers(), st.floats(5, 300), st.floats(0.1, 0.9))
def test_polls_where_durations_differ(seed: int, median: float, spread: float) -> None:
    """The delay is small against the duration, or one interval that the service asks for."""
    azure = Azure(seed, duration=lambda source: source.lognormvariate(math.log(median), spread))

    async def later() -> None:
        for _ in range(5):
            await azure.imports(40)

    run(later())
    assert sum(azure.delays) / len(azure.delays) <= azure.retry_after + LATENCY + 0.1 * median
    assert max(azure.polls) <= 2 + 10 + math.log(1800 / 70) / math.log(1.1)


@settings(deadline=None, max_examples=10)
@given(st.integers(1, 300), st.floats(0, 12), st.integers())
def test_beside_others(count: int, rate: float, seed: int) -> None:
    """Another process with the same identity empties the bucket for a minute: every import still ends."""
    azure = Azure(seed)

    async def others() -> None:
        for _ in range(int(rate * 60)):
            task = asyncio.create_task(azure.request("POST", "another process"))
            tasks.add(task)
            await asyncio.sleep(1 / rate)

    tasks: set[asyncio.Task[Any]] = set()

    async def both() -> float:
        beside = asyncio.create_task(others())
        seconds = await azure.imports(count)
        await beside
        return seconds

    seconds = run(both())
    assert len(azure.polls) == count
    limit = 70 + max(0.0, count + rate * 60 - CAPACITY * (1 - RESERVED)) / REFILL
    assert seconds <= limit + 60 + 4 * LONGEST_SECONDS * (azure.throttled > 0)


@settings(deadline=None, max_examples=15)
@given(st.integers(1, 300), st.integers(1, 200), st.integers())
def test_a_busy_registry(count: int, most: int, seed: int) -> None:
    """A registry that takes only so many imports at once refuses some, and none of them fails."""
    azure = Azure(seed, most=most, duration=lambda source: source.uniform(2, 8), retry_after=1)
    run(azure.imports(count))
    assert len(azure.polls) == count
    assert (azure.busy > 0) <= (count > most)


def test_first_come_first_served() -> None:
    """With far more imports than tokens, none is overtaken by more than what a request takes."""
    azure = Azure(1)
    run(azure.imports(600))
    assert max(abs(position - number) for position, number in enumerate(azure.started)) <= CAPACITY


async def _hold(pace: Pace, entered: list[str], name: str) -> None:
    async with pace.turn("writes"):
        entered.append(name)
        pace.sent("POST").answered(200, {"x-ms-ratelimit-remaining-subscription-writes": "150"})


def test_one_that_gives_up_does_not_block_the_queue() -> None:
    """A cancelled run leaves the queue, and those behind it go on."""

    async def work() -> list[str]:
        pace, entered = Pace(lambda: asyncio.get_running_loop().time()), list[str]()
        pace.sent("POST").answered(429, {"Retry-After": "30"})
        first, second = (asyncio.create_task(_hold(pace, entered, name)) for name in ("first", "second"))
        await asyncio.sleep(1)
        first.cancel()
        await second
        return entered

    assert run(work()) == ["second"]


def test_an_unused_token_goes_back() -> None:
    """Images that are already there cost no tokens: a thousand of them do not wait."""

    async def work() -> float:
        pace = Pace(lambda: asyncio.get_running_loop().time())
        for _ in range(1000):
            async with pace.turn("writes"):
                pass
        return asyncio.get_running_loop().time()

    assert run(work()) == 0


def test_a_turn_within_a_turn_takes_one_token() -> None:
    """An import inside of paced_import uses the token that was waited for; further ones take their own."""

    async def work() -> int:
        pace = Pace(lambda: asyncio.get_running_loop().time())
        sent = 0
        async with pace.turn("writes"):
            for _ in range(3):
                async with pace.turn("writes"):
                    pace.sent("POST").answered(200)
                    sent += 1
        while pace._buckets["writes"].wait(0.0) == 0:
            pace.sent("POST")
            sent += 1
        return sent

    assert run(work()) == CAPACITY * (1 - RESERVED)


def test_answers_in_any_order() -> None:
    """A high number of tokens that arrives late, from a request that was sent early, opens nothing."""
    now = 0.0
    pace = Pace(lambda: now)
    early = [pace.sent("POST") for _ in range(170)]
    for remaining, sent in enumerate(early[:-1]):
        sent.answered(200, {"x-ms-ratelimit-remaining-subscription-writes": str(remaining)})
    early[-1].answered(200, {"x-ms-ratelimit-remaining-subscription-writes": "199"})
    assert pace._buckets["writes"].wait(now) > 0
    now = 0.1
    pace.sent("POST").answered(200, {"x-ms-ratelimit-remaining-subscription-writes": "199"})
    assert pace._buckets["writes"].wait(now) == 0


def test_a_larger_bucket_is_used() -> None:
    """Subscriptions with 800 writes have been recorded: the number in the answer counts."""
    pace = Pace(lambda: 0.0)
    pace.sent("POST").answered(200, {"x-ms-ratelimit-remaining-subscription-writes": "799"})
    for _ in range(700):
        pace.sent("POST")
    assert pace._buckets["writes"].wait(0.0) == 0


@pytest.mark.parametrize("text", ["", "-1", "1e3", "many", "٣", "9" * 400])
def test_a_number_of_tokens_that_is_none(text: str) -> None:
    """It is as if the answer named none: the request has taken one."""
    pace = Pace(lambda: 0.0)
    pace.sent("POST").answered(200, {"x-ms-ratelimit-remaining-subscription-writes": text})
    assert pace._buckets["writes"].wait(0.0) == 0


def test_the_limit_of_a_provider_leaves_the_bucket_alone() -> None:
    """A 429 with tokens left is not Resource Manager's: revocations and other writes go on."""
    pace = Pace(lambda: 0.0)
    headers = {"Retry-After": "60", "x-ms-ratelimit-remaining-subscription-writes": "150"}
    pace.sent("POST").answered(429, headers)
    assert pace._buckets["writes"].wait(0.0) == 0
    pace.sent("POST").answered(429, {"Retry-After": "60"})
    assert pace._buckets["writes"].wait(0.0) == 60


def test_the_window_is_cut_once_for_imports_that_ran_together() -> None:
    """A hundred refusals at once halve it once; a later one halves it again; it never closes."""
    window = Window(100)
    for _ in range(100):
        window.take(0.0)
    for _ in range(100):
        window.refused(1.0, 0.0)
        window.ended()
    free = 0
    while window.wait(2.0) == 0:
        window.take(2.0)
        free += 1
    assert free == 50
    for second in range(3, 30):
        window.refused(second, second)
    for _ in range(free):
        window.ended()
    assert window.wait(31.0) == 0


@given(st.integers(0, 10**6), st.floats(0.01, 100), st.none() | st.floats(0, 10**9))
def test_every_wait_is_capped(attempt: int, base: float, asked: float | None) -> None:
    """However often Azure refuses, and whatever it asks for."""
    assert 0 < back_off(attempt, base, asked) <= 2 * LONGEST_SECONDS


def test_it_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    """An import that Azure refuses for half an hour fails with the error that says so."""
    azure = Azure(1, most=0)
    with pytest.raises(Throttled):
        run(azure.imports(1))
    assert azure.busy > 30
    monkeypatch.setattr(import_pacing, "IMPORT_DEADLINE_SECONDS", 1.0)
    azure = Azure(1, most=0)
    with pytest.raises(Throttled):
        run(azure.imports(1))
    assert azure.busy <= 3


def test_the_source_s_limit_is_not_azures() -> None:
    """Docker Hub's limit lasts for hours: the import fails at once, as before, and says what to do."""

    async def work() -> None:
        error = Throttled("import", "it", "toomanyrequests", "Wait.")
        error.source_limit = True
        raise error

    async def once() -> float:
        with pytest.raises(Throttled):
            await paced_import(Azure(1).session, REGISTRY, work)
        return asyncio.get_running_loop().time()

    assert run(once()) == 0
    assert MOST_AT_ONCE >= CAPACITY + 70 * REFILL


def test_durations_that_are_known() -> None:
    """Nothing is known; the same for all, and one of eight asks earlier; different ones: as the quick quarter."""
    durations = Durations()
    assert durations.next_poll(0, 10) == 10
    assert durations.next_poll(200, 10) == 20
    durations.learn(60, 80)
    assert [durations.probes() for _ in range(16)] == ([False] * 7 + [True]) * 2
    assert (durations.first_poll(), durations.first_poll(probing=True)) == pytest.approx((81.6, 76))
    durations.learn(0, 76)
    assert durations.first_poll() == pytest.approx(76 * 1.02)
    durations.learn(77, 87)
    assert durations.first_poll() == pytest.approx(80 * 1.02)
    assert not any(durations.probes() for _ in range(16))
    for done in (10, 10, 30, 200):
        durations.learn(0, done)
    assert durations.first_poll() == durations.first_poll(probing=True) == 10
