"""Until when a verdict stays the same if its evidence does.

Time alone changes a verdict when the wait for the image ends, when a scan is old enough or becomes too old, and when an
exception, an acceptance or a break-glass entry begins or ends.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime, timedelta

from pratique.gate.evidence import CLOCKS_DIFFER, Observation
from pratique.gate.policy import Policy
from pratique.gate.rules import Rules, Wait

_NEVER = datetime.max.replace(tzinfo=UTC)
_BEFORE_TIME = datetime.min.replace(tzinfo=UTC)
_INSTANT = timedelta.resolution


def next_change(evidence: Iterable[Sequence[Observation]], rules: Rules, wait: Wait) -> datetime:
    """The first time after ``wait.at`` at which the verdict on an image can be another one, on the same evidence.

    :param evidence: the observations of each digest
    """
    times = [*wait.ends, *_next(rules.exceptions.changes, wait.at)]
    for observations in evidence:
        for observation in observations:
            if observation.at is not None:
                times += _changes(observation.at, rules.policy)
    return min((time for time in times if time > wait.at), default=_NEVER)


def _changes(assessed_at: datetime, policy: Policy) -> Iterator[datetime]:
    """When what an assessment proves changes; see :func:`pratique.gate.evidence.prove`."""
    yield _shifted(assessed_at, -CLOCKS_DIFFER)  # is no longer dated in the future
    yield _shifted(assessed_at, timedelta(minutes=policy.minimum_age))
    yield _shifted(assessed_at, timedelta(hours=policy.maximum_age) + _INSTANT)  # at the limit it still counts


def _next(times: Sequence[datetime], at: datetime) -> Sequence[datetime]:
    position = bisect_right(times, at)
    return times[position : position + 1]


def _shifted(time: datetime, by: timedelta) -> datetime:
    try:
        return time + by
    except OverflowError:
        return _NEVER if by > timedelta(0) else _BEFORE_TIME
