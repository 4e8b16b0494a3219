"""ISO 8601 durations and intervals, as used in rules and queries.

>>> seconds("PT1H30M")
5400.0
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

_DURATION = re.compile(
    r"P(?:(?P<weeks>\d+)W)?(?:(?P<days>\d+)D)?"
    r"(?:T(?=\d)(?:(?P<hours>\d+)H)?(?:(?P<minutes>\d+)M)?(?:(?P<seconds>\d+(?:\.\d+)?)S)?)?"
)


def seconds(text: str) -> float:
    """:raises ValueError: when it is not a duration of weeks, days, hours, minutes and seconds"""
    found = _DURATION.fullmatch(text.strip().upper())
    if found is None or not any(found.groupdict().values()):
        raise ValueError(f"'{text}' is not an ISO 8601 duration")
    return timedelta(**{unit: float(value) for unit, value in found.groupdict().items() if value}).total_seconds()


def interval(text: str, at: datetime) -> tuple[datetime, datetime]:
    """Start and end of a timespan: a duration up to ``at``, or two of start, end and duration.

    :raises ValueError: for anything else
    """
    first, slash, second = (part.strip() for part in text.partition("/"))
    if not slash:
        return at - timedelta(seconds=seconds(first)), at
    if first.upper().startswith("P"):
        end = moment(second)
        return end - timedelta(seconds=seconds(first)), end
    start = moment(first)
    if second.upper().startswith("P"):
        return start, start + timedelta(seconds=seconds(second))
    return start, moment(second)


def moment(text: str) -> datetime:
    """A point in time, UTC by default.

    :raises ValueError: when it is not ISO 8601
    """
    parsed = datetime.fromisoformat(text)
    return parsed if parsed.tzinfo else parsed.replace(tzinfo=UTC)
