"""Polls the sources, in rounds that all waiting releases share.

Resource Graph limits queries, not images. Every release joins the next round that is due, so all releases of a run
together ask no more often than one release alone.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from types import TracebackType
from typing import Self

from pratique.clock import Clock, SystemClock
from pratique.errors import TransientError, UnreadableAnswer
from pratique.gate.evidence import EvidenceSource, KeepsAnswers, LooksEverywhere, Observation, SourceStatus, Subject

#: Observations by subject and source.
Evidence = dict[Subject, dict[str, Observation]]


@dataclass
class _Request:
    subjects: Collection[Subject]
    undecided: Callable[[Evidence], Collection[Subject]]
    due: datetime
    answer: asyncio.Future[Evidence] = field(default_factory=lambda: asyncio.get_running_loop().create_future())


class EvidencePoller:
    """Polls the sources for all releases that wait.

    :param broad: sources asked about everything, every round: one query covers many images
    :param narrow: sources asked one image at a time, so only about what the broad ones leave undecided
    """

    def __init__(
        self, broad: Sequence[EvidenceSource], narrow: Sequence[EvidenceSource], clock: Clock | None = None
    ) -> None:
        self._broad = broad
        self._narrow = narrow
        self.clock: Clock = clock or SystemClock()
        self._requests: list[_Request] = []
        self._new_request = asyncio.Event()
        self._rounds: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._rounds is not None:
            self._rounds.cancel()
            await asyncio.gather(self._rounds, return_exceptions=True)
        for request in self._requests:
            request.answer.cancel()

    def forget(self, subjects: Collection[Subject]) -> None:
        """Have every source ask anew about the subjects, also those that keep answers for a while."""
        for source in (*self._broad, *self._narrow):
            if isinstance(source, KeepsAnswers):
                source.forget(subjects)

    def look_everywhere(self, subjects: Collection[Subject]) -> None:
        """Have every source look everywhere for the subjects next time, also where news is unlikely."""
        for source in (*self._broad, *self._narrow):
            if isinstance(source, LooksEverywhere):
                source.look_everywhere(subjects)

    async def poll(
        self, subjects: Collection[Subject], undecided: Callable[[Evidence], Collection[Subject]], due: datetime
    ) -> Evidence:
        """Wait for the next round, and return what the sources report.

        :param undecided: from what the broad sources report, the subjects to ask the narrow ones about
        :param due: when the round starts at the latest; it is sooner if another request is due sooner
        :raises PratiqueError: when a source cannot be asked, and trying again would not help
        """
        request = _Request(subjects, undecided, due)
        self._requests.append(request)
        self._new_request.set()
        if self._rounds is None or self._rounds.done():
            self._rounds = asyncio.create_task(self._run_rounds())
        try:
            return await request.answer
        finally:
            if request in self._requests:
                self._requests.remove(request)

    async def _run_rounds(self) -> None:
        while self._requests:
            await self._until_due()
            waiting = list(self._requests)
            try:
                answers = await self._round(waiting)
            except Exception as error:  # of any kind: it is raised to those who wait
                answers = [error] * len(waiting)
            for request, answer in zip(waiting, answers, strict=True):
                if request.answer.done():
                    continue
                if isinstance(answer, Exception):
                    request.answer.set_exception(answer)
                else:
                    request.answer.set_result(answer)
            self._requests = [request for request in self._requests if not request.answer.done()]

    async def _until_due(self) -> None:
        while self._requests:
            self._new_request.clear()
            remaining = (min(request.due for request in self._requests) - self.clock.now()).total_seconds()
            if remaining <= 0:
                return
            sleep, wakeup = (
                asyncio.ensure_future(self.clock.sleep(remaining)),
                asyncio.ensure_future(self._new_request.wait()),
            )
            try:
                await asyncio.wait({sleep, wakeup}, return_when=asyncio.FIRST_COMPLETED)
            finally:
                sleep.cancel()
                wakeup.cancel()

    async def _round(self, waiting: Sequence[_Request]) -> list[Evidence | Exception]:
        subjects = {subject for request in waiting for subject in request.subjects}
        found = await self._ask_all(self._broad, subjects)
        answers: list[Evidence] = [
            {subject: dict(found.get(subject, {})) for subject in request.subjects} for request in waiting
        ]
        undecided = {
            subject for request, answer in zip(waiting, answers, strict=True) for subject in request.undecided(answer)
        }
        narrow = await self._ask_all(self._narrow, undecided)
        for answer in answers:
            for subject in answer.keys() & narrow.keys():
                answer[subject] |= narrow[subject]
        return list(answers)

    async def _ask_all(self, sources: Sequence[EvidenceSource], subjects: Collection[Subject]) -> Evidence:
        if not subjects:
            return {}
        at = self.clock.now()
        answers = await asyncio.gather(*(_ask(source, subjects) for source in sources), return_exceptions=True)
        together: Evidence = {subject: {} for subject in subjects}
        for answer in answers:
            if isinstance(answer, BaseException):
                raise answer
            for subject, observations in answer.items():
                together[subject] |= {name: _asked(observation, at) for name, observation in observations.items()}
        return together


def _asked(observation: Observation, at: datetime) -> Observation:
    return observation if observation.asked_at else replace(observation, asked_at=at)


async def _ask(source: EvidenceSource, subjects: Collection[Subject]) -> Evidence:
    """Ask one source. A failure that another attempt may fix becomes an observation."""
    try:
        answer: Mapping[Subject, Sequence[Observation]] = await source(subjects)
    except (TransientError, UnreadableAnswer) as error:
        detail = f"could not be asked: {error.observed}"
        return {
            s: {name: Observation(source=name, status=SourceStatus.FAILED, detail=detail) for name in source.names}
            for s in subjects
        }
    return {
        subject: {name: Observation(source=name, status=SourceStatus.NOTHING) for name in source.names}
        | {observation.source: observation for observation in answer.get(subject, ())}
        for subject in subjects
    }
