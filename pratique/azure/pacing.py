"""The pace of requests to Resource Manager: what its token buckets hold, and who sends next.

Resource Manager answers 429 when a bucket is empty. Work that can wait, such as imports and the polls of their
operations, asks for a token first. Everything else is sent at once, and is only counted::

    async with session.pace.turn("writes"):
        await client.begin_import_image(...)

The buckets belong to a principal and a subscription, so all sessions of a process with the same ones share a
:class:`Pace`. What the buckets hold is read from every response. Between responses it is estimated from the documented
size and refill rate; other processes take tokens as well.

Facts: Microsoft Learn, "Understand how Azure Resource Manager throttles requests". Subscriptions with larger buckets
have been recorded, so the documented size is where an estimate starts, and not a limit.
"""

from __future__ import annotations

import math
import re
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Literal
from weakref import WeakValueDictionary

from pratique.azure.queues import Queue
from pratique.http_errors import retry_after

Kind = Literal["reads", "writes", "deletes"]

#: Documented tokens in a full bucket, and tokens that it gets in a second.
SIZES: Mapping[Kind, tuple[int, float]] = {"reads": (250, 25.0), "writes": (200, 10.0), "deletes": (200, 10.0)}
#: Part of a documented bucket that work that can wait leaves to work that cannot, such as the end of an access.
RESERVED = 0.1

_KINDS: Mapping[str, Kind] = {"GET": "reads", "HEAD": "reads", "DELETE": "deletes"}
_SUBSCRIPTION = re.compile(r"https://management\.[^/]+/subscriptions/([^/?]+)", re.IGNORECASE)
_REMAINING = ("x-ms-ratelimit-remaining-subscription-{}", "x-ms-ratelimit-remaining-subscription-global-{}")
_NO_TIME = 1e-6  # seconds
_BLOCKED_SECONDS = 1.0  # after a 429 that gives no time


class Bucket:
    """An estimate of one bucket, on the safe side.

    A request whose answer is outstanding counts as not yet taken from the bucket. Answers arrive in any order: a higher
    number of tokens counts only from a request that was sent after the last number had arrived.

    :param capacity: documented tokens in a full bucket
    :param refill: documented tokens a second
    """

    def __init__(self, capacity: int, refill: float) -> None:
        self._capacity, self._refill = float(capacity), refill
        self._reserve = capacity * RESERVED
        self._tokens, self._at = float(capacity), -math.inf
        self._blocked_until = -math.inf
        self._outstanding = 0

    def wait(self, now: float) -> float:
        """Seconds until work that can wait may take a token, as far as is known; 0 for now."""
        missing = self._reserve + 1 - (self._estimate(now) - self._outstanding)
        seconds = max(self._blocked_until - now, missing / self._refill)
        return seconds if seconds > _NO_TIME else 0.0

    def take(self, now: float) -> None:
        """Count a request that is, or is about to be, sent."""
        self._outstanding += 1

    def returned(self) -> None:
        """A token that was taken for a request is not needed."""
        self._outstanding -= 1

    def answered(self, now: float, sent: float, remaining: int | None) -> None:
        """Read an answer.

        :param sent: when its request was sent
        :param remaining: tokens that were left; ``None`` when the answer does not say it, or there was none
        """
        self._outstanding -= 1
        estimate = self._estimate(now)
        if remaining is None:
            self._tokens, self._at = max(0.0, estimate - 1), max(now, self._at)
        elif sent > self._at or remaining < estimate:
            self._capacity = max(self._capacity, remaining)
            self._tokens, self._at = float(remaining), now

    def refused(self, now: float, seconds: float | None) -> None:
        """The bucket was empty.

        :param seconds: that the answer asks to wait
        """
        self._outstanding -= 1
        self._tokens, self._at = 0.0, now
        self._blocked_until = max(self._blocked_until, now + (_BLOCKED_SECONDS if seconds is None else seconds))

    def _estimate(self, now: float) -> float:
        if self._at == -math.inf:
            return self._tokens
        since = max(0.0, now - max(self._at, self._blocked_until))
        return min(self._capacity, self._tokens + since * self._refill)


@dataclass(eq=False)
class _Token:
    """A token that was taken for the next request of a turn.

    :ivar state: ``held`` until a nested turn or the request itself uses it
    """

    kind: Kind
    state: Literal["held", "claimed", "sent"] = "held"


_held: ContextVar[_Token | None] = ContextVar("pratique_arm_token", default=None)


class Pace:
    """The buckets of a principal in a subscription, and the queues for them. Threads may share it.

    :param now: monotonic seconds
    """

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self.now = now
        self._buckets = {kind: Bucket(*size) for kind, size in SIZES.items()}
        self._queues = {kind: Queue(bucket, now) for kind, bucket in self._buckets.items()}

    @asynccontextmanager
    async def turn(self, kind: Kind) -> AsyncIterator[None]:
        """Wait for a token, first come, first served, and hold it for the first request of the block.

        Inside a turn that still holds its token, this takes over that token and does not wait.
        """
        token = _held.get()
        if token is not None and token.kind == kind and token.state == "held":
            token.state = "claimed"
            yield
            return
        await self._queues[kind].enter()
        token = _Token(kind)
        reset = _held.set(token)
        try:
            yield
        finally:
            _held.reset(reset)
            if token.state != "sent":
                token.state = "sent"
                self._change(kind, self._buckets[kind].returned)

    def sent(self, method: str) -> Sent:
        """Count a request that is about to be sent."""
        kind, token = _KINDS.get(method, "writes"), _held.get()
        if token is not None and token.kind == kind and token.state != "sent":
            token.state = "sent"
        else:
            self._change(kind, lambda: self._buckets[kind].take(self.now()))
        return Sent(self, kind, self.now())

    def read(self, request: Sent, status: int | None, headers: Mapping[str, str]) -> None:
        """Read the answer to a request.

        :param status: ``None`` without an answer
        """
        bucket, remaining = self._buckets[request.kind], _remaining(headers, request.kind)
        if status == 429 and not remaining:  # with tokens left, it is the limit of a resource provider
            self._change(request.kind, lambda: bucket.refused(self.now(), retry_after(headers)))
        else:
            self._change(request.kind, lambda: bucket.answered(self.now(), request.at, remaining))

    def _change(self, kind: Kind, change: Callable[[], None]) -> None:
        with self._queues[kind].changing():
            change()


@dataclass(frozen=True)
class Sent:
    """A request without an answer.

    :ivar at: when it was sent
    """

    pace: Pace
    kind: Kind
    at: float

    def answered(self, status: int | None = None, headers: Mapping[str, str] | None = None) -> None:
        """Read its answer, or count it as lost."""
        self.pace.read(self, status, headers or {})


class Paces:
    """The paces of one principal, by subscription."""

    def __init__(self) -> None:
        self._by_subscription: dict[str, Pace] = {}

    def of(self, subscription_id: str) -> Pace:
        """The pace in a subscription.

        :param subscription_id: in any letter case
        """
        return self._by_subscription.setdefault(subscription_id.lower(), Pace())

    def sent(self, method: str, url: str) -> Sent | None:
        """Count a request; ``None`` when it does not take from a subscription's buckets."""
        found = _SUBSCRIPTION.match(url)
        return self.of(found[1]).sent(method) if found else None


_shared: WeakValueDictionary[str, Paces] = WeakValueDictionary()


def shared_paces(principal: str) -> Paces:
    """The paces that all open sessions of this process share for a principal.

    :param principal: any text that tells principals apart
    """
    return _shared.setdefault(principal, Paces())


def _remaining(headers: Mapping[str, str], kind: Kind) -> int | None:
    """The least number of tokens that the headers give."""
    texts = [headers.get(name.format(kind), "") for name in _REMAINING]
    return min((int(text) for text in texts if text.isascii() and text.isdigit() and len(text) < 10), default=None)
