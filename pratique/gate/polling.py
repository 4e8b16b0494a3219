"""Rounds of questions to the sources, shared by all releases that wait.

Resource Graph counts queries, not images: whoever waits joins the round that is due first, so that all releases of a
run together ask no more often than one of them would.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from types import TracebackType
from typing import Self

from pratique.clock import Clock, SystemClock
from pratique.errors import TransientError, UnreadableAnswer
from pratique.gate.evidence import EvidenceSource, Observation, SourceStatus, Subject

#: Observations by subject and source.
Evidence = dict[Subject, dict[str, Observation]]


@dataclass
class _Request:
    subjects: Collection[Subject]
    undecided: Callable[[Evidence], Collection[Subject]]
    due: datetime
    answer: asyncio.Future[Evidence] = field(default_factory=lambda: asyncio.get_running_loop().create_future())


class EvidencePoller:
    """Asks the sources for everybody who waits.

    :param broad: asked about everything, every round: one question serves many images
    :param narrow: asked one image at a time, so only about what the broad ones leave undecided
    """

    def __init__(
        self, broad: Sequence[EvidenceSource], narrow: Sequence[EvidenceSource], clock: Clock | None = None
    ) -> None:
        self._broad = broad
        self._narrow = narrow
        self.clock: Clock = clock or SystemClock()
        self._requests: list[_Request] = []
        self._came = asyncio.Event()
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

    async def look(
        self, subjects: Collection[Subject], undecided: Callable[[Evidence], Collection[Subject]], due: datetime
    ) -> Evidence:
        """What the sources say in the next round.

        :param undecided: given what the broad sources say, the subjects that the narrow ones are to be asked about
        :param due: when to look at the latest; sooner if anybody else is due sooner
        :raises PratiqueError: what a source cannot be asked for, now or later
        """
        request = _Request(subjects, undecided, due)
        self._requests.append(request)
        self._came.set()
        if self._rounds is None or self._rounds.done():
            self._rounds = asyncio.create_task(self._make_rounds())
        try:
            return await request.answer
        finally:
            if request in self._requests:
                self._requests.remove(request)

    async def _make_rounds(self) -> None:
        while self._requests:
            await self._until_due()
            waiting = list(self._requests)
            try:
                answers = await self._round(waiting)
            except Exception as error:  # whatever it is belongs to those who wait
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
            self._came.clear()
            remaining = (min(one.due for one in self._requests) - self.clock.now()).total_seconds()
            if remaining <= 0:
                return
            sleeping, coming = (
                asyncio.ensure_future(self.clock.sleep(remaining)),
                asyncio.ensure_future(self._came.wait()),
            )
            try:
                await asyncio.wait({sleeping, coming}, return_when=asyncio.FIRST_COMPLETED)
            finally:
                sleeping.cancel()
                coming.cancel()

    async def _round(self, waiting: Sequence[_Request]) -> list[Evidence | Exception]:
        everything = {subject for request in waiting for subject in request.subjects}
        found = await _ask_all(self._broad, everything)
        answers: list[Evidence] = [
            {subject: dict(found.get(subject, {})) for subject in request.subjects} for request in waiting
        ]
        open_subjects = {
            subject for request, answer in zip(waiting, answers, strict=True) for subject in request.undecided(answer)
        }
        for subject, observations in (await _ask_all(self._narrow, open_subjects)).items():
            for answer in answers:
                if subject in answer:
                    answer[subject] |= observations
        return list(answers)


async def _ask_all(sources: Sequence[EvidenceSource], subjects: Collection[Subject]) -> Evidence:
    if not subjects:
        return {}
    answers = await asyncio.gather(*(_ask(source, subjects) for source in sources), return_exceptions=True)
    together: Evidence = {subject: {} for subject in subjects}
    for answer in answers:
        if isinstance(answer, BaseException):
            raise answer
        for subject, observations in answer.items():
            together[subject] |= observations
    return together


async def _ask(source: EvidenceSource, subjects: Collection[Subject]) -> Evidence:
    """One source; a failure that another attempt may mend is an observation like any other."""
    try:
        answer: Mapping[Subject, Sequence[Observation]] = await source(subjects)
    except (TransientError, UnreadableAnswer) as error:
        detail = f"could not be asked: {error.observed}"
        return {
            s: {name: Observation(name, SourceStatus.FAILED, detail=detail) for name in source.names} for s in subjects
        }
    return {
        subject: {name: Observation(name, SourceStatus.NOTHING) for name in source.names}
        | {one.source: one for one in answer.get(subject, ())}
        for subject in subjects
    }
