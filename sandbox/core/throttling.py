"""ARM's token buckets: how many requests of a kind each principal may send, and all principals together.

Facts: Azure Resource Manager, "Understand how Azure Resource Manager throttles requests": for each subscription,
principal and kind of operation, a bucket of 250 reads that refills at 25 a second, and buckets of 200 writes and 200
deletes that refill at 10; all principals of a subscription together have fifteen times that. Azure counts by region;
the sandbox has a single region. Calls outside a subscription have separate buckets of the same size.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

Kind = Literal["reads", "writes", "deletes"]

EVERYBODY = 15
#: Every other method counts as a write, including POST (UNVERIFIED).
KINDS: dict[str, Kind] = {"GET": "reads", "HEAD": "reads", "DELETE": "deletes"}


@dataclass(frozen=True)
class Size:
    """A bucket's capacity, and its refill rate in tokens per second of Azure's time."""

    capacity: int
    refill: float

    def times(self, factor: int) -> Size:
        return Size(self.capacity * factor, self.refill * factor)


SIZES: dict[Kind, Size] = {"reads": Size(250, 25), "writes": Size(200, 10), "deletes": Size(200, 10)}


@dataclass
class Bucket:
    """A bucket's tokens as of a moment."""

    size: Size
    tokens: float
    at: float

    def refill(self, at: float) -> None:
        self.tokens = min(self.size.capacity, self.tokens + (at - self.at) * self.size.refill)
        self.at = at

    @property
    def fills(self) -> float:
        """Azure seconds until it is full."""
        return (self.size.capacity - self.tokens) / self.size.refill

    @property
    def wait(self) -> float:
        """Azure seconds until a whole token is available."""
        return max(0.0, (1 - self.tokens) / self.size.refill)


@dataclass(frozen=True)
class Taken:
    """The result of a request for a token.

    :ivar remaining: whole tokens left in the principal's bucket; ``remaining_of_all`` in the bucket of all principals
    :ivar wait: Azure seconds until the next token; 0 when a token was granted
    :ivar fills: Azure seconds until both buckets are full
    """

    remaining: int
    remaining_of_all: int
    wait: float
    fills: float


class Buckets:
    """The buckets of one subscription, or of the tenant.

    :param elapsed: returns Azure seconds
    """

    def __init__(self, elapsed: Callable[[], float]) -> None:
        self._elapsed = elapsed
        self._buckets: dict[tuple[str, Kind], Bucket] = {}

    def take(self, principal: str, kind: Kind) -> Taken:
        """Take a token from the buckets of the principal and of all principals, or from neither when one is empty."""
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
