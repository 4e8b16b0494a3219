"""Waiting for several branches of a flow: all of them end, then the gravest failure is the flow's."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import TypeVar

from pratique.errors import AccessNotRevoked, GateBlocked, PermanentError

T = TypeVar("T")
_GRAVEST_FIRST = (AccessNotRevoked, GateBlocked, PermanentError)


async def settled(*branches: Awaitable[T]) -> list[T]:
    """Run the branches side by side and let each come to its own end.

    Unlike ``asyncio.gather`` no failure leaves siblings unawaited, and unlike a ``TaskGroup`` none cancels them: an
    image that fails does not stop the certificate's import half way.

    :raises Exception: of the failures the gravest; the others are in the failed task runs
    """
    outcomes = await asyncio.gather(*branches, return_exceptions=True)
    failures = [outcome for outcome in outcomes if isinstance(outcome, BaseException)]
    if failures:
        raise min(failures, key=_gravity)
    return [outcome for outcome in outcomes if not isinstance(outcome, BaseException)]


def _gravity(failure: BaseException) -> int:
    if not isinstance(failure, Exception):
        return -1  # a cancellation goes on as what it is
    return next((rank for rank, kind in enumerate(_GRAVEST_FIRST) if isinstance(failure, kind)), len(_GRAVEST_FIRST))
