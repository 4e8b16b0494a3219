"""HTTP errors that any service can cause: failed connections, a proxy that denies a host, and ``Retry-After``."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

import httpx

from pratique.errors import NetworkDenied, Unavailable
from pratique.markdown import one_line

_DENIED_BY_PROXY = re.compile(r"40[37]\b")

_MILLISECONDS = re.compile(r"[0-9]{1,15}")


@contextmanager
def connection_faults(attempted: str, subject: str) -> Iterator[None]:
    """Turn errors that httpx raises in the block into errors of :mod:`pratique.errors`.

    :raises NetworkDenied: when the network's proxy denies the host
    :raises Unavailable: for every other request without a response
    """
    try:
        yield
    except httpx.ProxyError as error:
        if _DENIED_BY_PROXY.match(str(error)) is None:
            raise _unavailable(attempted, subject, error) from None
        raise NetworkDenied(
            attempted, subject, f"The proxy denies it: {error}.", "Allow this worker to reach the host."
        ) from None
    except (httpx.HTTPError, httpx.StreamError, httpx.InvalidURL) as error:
        raise _unavailable(attempted, subject, error) from None


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds that a response asks to wait (``Retry-After`` as number or date, ``retry-after-ms``), or ``None``."""
    for name in ("retry-after-ms", "x-ms-retry-after-ms"):
        if _MILLISECONDS.fullmatch(milliseconds := headers.get(name, "")):
            return int(milliseconds) / 1000
    text = headers.get("Retry-After", "")
    try:
        seconds = float(text)
    except ValueError:
        seconds = _seconds_until(text)
    return max(0.0, seconds) if math.isfinite(seconds) else None


def _seconds_until(date: str) -> float:
    try:
        return (parsedate_to_datetime(date) - datetime.now(UTC)).total_seconds()
    except (LookupError, TypeError, ValueError, OverflowError):
        return math.nan


def _unavailable(attempted: str, subject: str, error: Exception) -> Unavailable:
    reason = one_line(f"{type(error).__name__} {error}")
    return Unavailable(attempted, subject, f"No response: {reason}.", "Run again; check the network if it persists.")
