"""When to ask whether an import is complete: seldom, and with little delay.

Polls are most of the requests of a release. So the first poll is as late as earlier imports from the same source took
(where these differ, as a quarter of them took), and later ones are a tenth of the elapsed time apart, but never closer
than the service asks.

Facts: importImage REST API; azure-core's ``AsyncLROBasePolling``, whose ``Retry-After`` is the lower bound.
"""

from __future__ import annotations

from collections import deque
from weakref import WeakKeyDictionary

from azure.core.polling.base_polling import BadStatus
from azure.mgmt.core.polling.async_arm_polling import AsyncARMPolling

from pratique.azure.pacing import Pace

_REMEMBERED = 64  # imports
_GROWTH = 0.1  # of the elapsed time
_PROBED = 8  # one import of so many is polled earlier
_EARLIER, _LATER = 0.95, 1.02  # of the duration that imports are known to take at most
_CLOSE = 0.9  # of that duration
_ALIKE = 0.25  # of the longest duration: those that differ less count as the same
_MOST_REFUSED = 5  # polls in a row that tell nothing
_TELLS_NOTHING = frozenset({408, 429, 500, 502, 503, 504})  # about the import


class Durations:
    """How long imports took, as far as their polls show it."""

    def __init__(self) -> None:
        self._pending: deque[float] = deque(maxlen=_REMEMBERED)
        self._done: deque[float] = deque(maxlen=_REMEMBERED)
        self._begun = 0

    def probes(self) -> bool:
        """Whether the next import is one of the few that are polled earlier, to find out whether they take less time.

        A poll that is too early delays its import by the least interval that the service allows, so there is none
        where another was too early a short time ago.
        """
        self._begun += 1
        return self._begun % _PROBED == 0 and max(self._pending, default=0.0) < _CLOSE * self.first_poll()

    def learn(self, pending: float, done: float) -> None:
        """Remember an import that ended between two polls.

        :param pending: seconds after its beginning at which it was not complete; 0 when no poll has shown that
        :param done: seconds at which it was
        """
        self._pending.append(pending)
        self._done.append(done)

    def first_poll(self, probing: bool = False) -> float:
        """Seconds after which the first poll is likely to find an import complete; 0 when nothing is known."""
        if not self._done:
            return 0.0
        done = sorted(self._done)
        most = done[-1]
        if most - done[len(done) // 10] > _ALIKE * most:
            return done[len(done) // 4]
        # They took about the same time: longer than the latest poll that was too early.
        too_early = max(self._pending)
        return next(each for each in done if each > too_early or each == most) * (_EARLIER if probing else _LATER)

    def next_poll(self, elapsed: float, least: float, probing: bool = False) -> float:
        """Seconds until the next poll.

        :param elapsed: seconds since the import began
        :param least: seconds that the service asks for at least
        :param probing: whether to poll earlier than is likely to be needed
        """
        expected = self.first_poll(probing) - elapsed
        return max(least, expected if expected > 0 else elapsed * _GROWTH)


_durations: WeakKeyDictionary[Pace, dict[tuple[str, str], Durations]] = WeakKeyDictionary()


def durations_of(pace: Pace, registry_id: str, source: str) -> Durations:
    """What this process has learned about the imports into a registry from a source.

    :param source: host or resource id of the source registry
    """
    return _durations.setdefault(pace, {}).setdefault((registry_id.lower(), source.lower()), Durations())


class ImportPolling(AsyncARMPolling):
    """Polls one import. A poll that the service is too busy to answer says nothing about it, and is repeated later.

    :param endpoint: of Resource Manager, for an operation's address that is relative to it
    :param poll_seconds: between polls, when the service asks for nothing else
    """

    def __init__(self, pace: Pace, durations: Durations, *, endpoint: str, poll_seconds: float) -> None:
        super().__init__(timeout=poll_seconds, path_format_arguments={"endpoint": endpoint}, retry_status=0)
        self._pace, self._durations, self._probing = pace, durations, durations.probes()

    async def _poll(self) -> None:
        began, asked, pending, refused = self._pace.now(), 0.0, 0.0, 0
        while not self.finished():
            pending, least = asked, self._extract_delay() * 2**refused
            await self._sleep(self._durations.next_poll(self._pace.now() - began, least, self._probing))
            async with self._pace.turn("reads"):
                sent = self._pace.now() - began
                try:
                    await self.update_status()
                except BadStatus:
                    refused += 1
                    status = self._pipeline_response.http_response.status_code
                    if status not in _TELLS_NOTHING or refused > _MOST_REFUSED:
                        raise
                else:
                    asked, refused = sent, 0
        await super()._poll()  # finished: it only concludes
        if asked:
            self._durations.learn(pending, asked)
