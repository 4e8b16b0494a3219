"""ARM's token buckets: how many requests of a kind a principal may send, and all principals together.

Facts: Azure Resource Manager, "Understand how Azure Resource Manager throttles requests": per subscription, principal
and kind of operation a bucket of 250 reads that regains 25 a second, of 200 writes and of 200 deletes that regain 10;
all principals of a subscription together have fifteen times that. Azure counts by region, the sandbox has one. Calls
outside a subscription have buckets of their own size beside these.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

Kind = Literal["reads", "writes", "deletes"]

EVERYBODY = 15
#: Every other method takes from the writes, POST too (UNVERIFIED).
KINDS: dict[str, Kind] = {"GET": "reads", "HEAD": "reads", "DELETE": "deletes"}


@dataclass(frozen=True)
class Size:
    """A bucket's capacity, and the tokens that it regains in a second of Azure's time."""

    capacity: int
    refill: float

    def times(self, factor: int) -> Size:
        return Size(self.capacity * factor, self.refill * factor)


SIZES: dict[Kind, Size] = {"reads": Size(250, 25), "writes": Size(200, 10), "deletes": Size(200, 10)}


@dataclass
class Bucket:
    """Tokens, as they were at a moment."""

    size: Size
    tokens: float
    at: float

    def refill(self, now: float) -> None:
        self.tokens = min(self.size.capacity, self.tokens + (now - self.at) * self.size.refill)
        self.at = now

    @property
    def fills(self) -> float:
        """Azure seconds until it is full."""
        return (self.size.capacity - self.tokens) / self.size.refill

    @property
    def wait(self) -> float:
        """Azure seconds until there is a whole token."""
        return max(0.0, (1 - self.tokens) / self.size.refill)


@dataclass(frozen=True)
class Taken:
    """What came of asking for a token.

    :ivar remaining: whole tokens left in the principal's own bucket, and in everybody's
    :ivar wait: Azure seconds until the next one; 0 when one was given
    :ivar fills: Azure seconds until both buckets are full
    """

    remaining: int
    remaining_of_all: int
    wait: float
    fills: float


class Buckets:
    """The buckets of one subscription, or of the tenant.

    :param elapsed: Azure seconds
    """

    def __init__(self, elapsed: Callable[[], float]) -> None:
        self._elapsed = elapsed
        self._buckets: dict[tuple[str, Kind], Bucket] = {}

    def take(self, principal: str, kind: Kind) -> Taken:
        """Use up a token of both the principal's and everybody's bucket, or of neither when one is empty."""
        size = SIZES[kind]
        both = self._bucket(principal, kind, size), self._bucket("", kind, size.times(EVERYBODY))
        wait = max(bucket.wait for bucket in both)
        if wait == 0:
            for bucket in both:
                bucket.tokens -= 1
        own, of_all = (math.floor(bucket.tokens) for bucket in both)
        return Taken(own, of_all, wait, max(bucket.fills for bucket in both))

    def _bucket(self, owner: str, kind: Kind, size: Size) -> Bucket:
        now = self._elapsed()
        bucket = self._buckets.get((owner, kind))
        if bucket is None:
            bucket = self._buckets[owner, kind] = Bucket(size, size.capacity, now)
        bucket.refill(now)
        return bucket
