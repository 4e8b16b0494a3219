"""How long an answer asks a client to wait."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds that an answer asks to wait (``Retry-After`` as seconds or date, ``retry-after-ms``), or ``None``."""
    for name in ("retry-after-ms", "x-ms-retry-after-ms"):
        if (milliseconds := headers.get(name, "")).isdigit():
            return int(milliseconds) / 1000
    text = headers.get("Retry-After", "")
    try:
        return max(0.0, float(text))
    except ValueError:
        pass
    try:
        return max(0.0, (parsedate_to_datetime(text) - datetime.now(UTC)).total_seconds())
    except (TypeError, ValueError):
        return None
