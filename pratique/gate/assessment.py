"""The evidence on a release's images while it waits, and the verdicts that follow from it.

A verdict is evaluated when it is needed, and again only when its evidence has changed, or when time alone can have
changed it (:mod:`.validity`). So a look at a thousand images of which nothing is new evaluates none.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from pratique.gate.candidate import Candidate
from pratique.gate.evaluate import evaluate_image
from pratique.gate.evidence import Observation, Subject, with_earlier_findings, with_findings_of_index
from pratique.gate.polling import Evidence, EvidencePoller
from pratique.gate.rules import Rules, Wait
from pratique.gate.validity import next_change
from pratique.gate.verdict import ImageVerdict, VerdictState

#: States that no more evidence changes.
BAD = frozenset({VerdictState.UNHEALTHY, VerdictState.HELD})
#: States in which a narrow source is not needed: it cannot change them, or has proven them.
_DECIDED = BAD | {VerdictState.HEALTHY, VerdictState.TOLERATED}


@dataclass(frozen=True)
class _Evaluated:
    """A verdict, and until when it is the same on the same evidence."""

    verdict: ImageVerdict
    at: datetime
    until: datetime

    def is_current(self, at: datetime) -> bool:
        return self.at <= at < self.until


@dataclass
class _Image:
    """An image with the digests that need a verdict, and the indexes above them.

    :ivar evaluated: its last verdict; ``None`` when its evidence has changed since
    """

    candidate: Candidate
    subjects: Sequence[Subject]
    indexes: Sequence[Subject]
    evaluated: _Evaluated | None = None


class Assessment:
    """The evidence on a release's images so far, and the verdicts that follow from it.

    :param patience: minutes to wait for an image that is accepted unassessed
    :param deadline: minutes to wait for all others
    :ivar started: when the wait began
    """

    def __init__(
        self,
        candidates: Sequence[Candidate],
        rules: Rules,
        poller: EvidencePoller,
        *,
        patience: float,
        deadline: float,
    ) -> None:
        self._images = [_Image(each, each.subjects(rules.platforms), each.indexes) for each in candidates]
        self._rules = rules
        self._poller = poller
        self._patience, self._deadline = patience, deadline
        self.started = self._asking_since = poller.clock.now()
        subjects = [subject for image in self._images for subject in image.subjects]
        indexes = [index for image in self._images for index in image.indexes]
        self._known: Evidence = {subject: {} for subject in (*subjects, *indexes)}
        self._users: dict[Subject, list[_Image]] = {subject: [] for subject in self._known}
        for image in self._images:
            for subject in dict.fromkeys((*image.subjects, *image.indexes)):
                self._users[subject].append(image)
        self._asked_again: frozenset[Subject] = frozenset()
        poller.forget(self._known)  # a scan of an earlier wait is not today's word

    async def ask(self, due: datetime) -> None:
        """Ask the sources, when the next round is due.

        :raises PratiqueError: when a source cannot be asked at all
        """
        if self._rules.sources and self._known:
            self.add(await self._poller.poll(self._known, self.undecided, due))
            self._asked_again = frozenset()

    def look_everywhere(self, verdicts: Sequence[ImageVerdict], decisive: Collection[VerdictState]) -> bool:
        """Whether a verdict in a state that decides rests on a partial look. Sources look everywhere about it next."""
        self._asked_again = frozenset(
            subject
            for image, verdict in zip(self._images, verdicts, strict=True)
            for subject in (image.subjects if verdict.state in decisive and verdict.state not in BAD else ())
            if any(observation.partial for observation in self._known[subject].values())
        )
        self._poller.look_everywhere(self._asked_again)
        return bool(self._asked_again)

    def renew(self, at: datetime) -> bool:
        """Whether answers have become too old for a verdict. Every source is asked again about these digests next."""
        oldest = at - timedelta(minutes=self._rules.policy.maximum_verdict_age)
        self._asked_again = frozenset(s for s in self._known if (asked := self._asked_at([s])) and asked < oldest)
        if self._asked_again:
            self._asking_since = at
            self._poller.look_everywhere(self._asked_again)
            self.forget_verdicts()
        return bool(self._asked_again)

    def add(self, evidence: Evidence) -> None:
        """Add evidence. What a source reported earlier in this wait still counts when it is silent about it now."""
        for subject, observations in evidence.items():
            known, changed = self._known[subject], False
            for name, observation in observations.items():
                before = known.get(name)
                now = observation if before is None else with_earlier_findings(observation, before)
                changed = changed or now != before
                known[name] = now
            for image in self._users[subject] if changed else ():
                image.evaluated = None

    def verdicts(self, at: datetime) -> tuple[ImageVerdict, ...]:
        """The verdicts on the evidence so far, in the catalogue's order."""
        return tuple(self._verdict(image, at) for image in self._images)

    def forget_verdicts(self) -> None:
        """Have every verdict evaluated anew."""
        for image in self._images:
            image.evaluated = None

    @property
    def asked_at(self) -> datetime | None:
        """When the oldest question was asked; ``None`` when none was."""
        return self._asked_at(self._known)

    def undecided(self, latest: Evidence) -> Collection[Subject]:
        """The subjects to ask the narrow sources about: those whose verdict they can change, and those to ask again.

        Neither those that block nor those proven are undecided.

        :param latest: what the broad sources report now
        """
        at = self._poller.clock.now()
        return [
            subject
            for image in self._images
            for subject in image.subjects
            if subject in self._asked_again or self._state(image, latest, at) not in _DECIDED
        ]

    def deadlines(self, verdicts: Sequence[ImageVerdict], at: datetime) -> Iterator[datetime]:
        """The times after ``at`` at which the wait for an image ends."""
        for image, verdict in zip(self._images, verdicts, strict=True):
            for since in (self._since(image), self._asking_since) if not verdict.state.final else ():
                for minutes in (self._patience, self._deadline):
                    if (end := since + timedelta(minutes=minutes)) > at:
                        yield end

    def _verdict(self, image: _Image, at: datetime) -> ImageVerdict:
        if image.evaluated is None or not image.evaluated.is_current(at):
            image.evaluated = self._evaluate(image, self._known, at)
        return image.evaluated.verdict

    def _state(self, image: _Image, latest: Evidence, at: datetime) -> VerdictState:
        """The state of an image if the latest evidence is added to that so far."""
        subjects = (*image.subjects, *image.indexes)
        if all(self._known[s].get(name) == said for s in subjects for name, said in latest.get(s, {}).items()):
            return self._verdict(image, at).state
        together = {subject: self._known[subject] | latest.get(subject, {}) for subject in subjects}
        return self._evaluate(image, together, at).verdict.state

    def _evaluate(self, image: _Image, known: Evidence, at: datetime) -> _Evaluated:
        evidence = {s.digest: _with_indexes(known[s], image.indexes, known) for s in image.subjects}
        wait = Wait(
            at=at,
            since=self._since(image),
            started=self._asking_since,
            patience=self._patience,
            deadline=self._deadline,
        )
        verdict = evaluate_image(image.candidate.image, evidence, self._rules, wait)
        return _Evaluated(verdict, at, next_change(evidence.values(), self._rules, wait))

    def _since(self, image: _Image) -> datetime:
        return image.candidate.since or self.started

    def _asked_at(self, subjects: Collection[Subject]) -> datetime | None:
        """When the oldest question about the subjects was asked; ``None`` when none was."""
        times = (said.asked_at for subject in subjects for said in self._known[subject].values())
        return min(filter(None, times), default=None)


def _with_indexes(
    own: Mapping[str, Observation], indexes: Collection[Subject], known: Evidence
) -> tuple[Observation, ...]:
    """What the sources report about a manifest and about the indexes above it."""
    observations = []
    for name, observation in own.items():
        for index in indexes:
            if (about_index := known[index].get(name)) is not None:
                observation = with_findings_of_index(observation, index.digest, about_index)
        observations.append(observation)
    return tuple(observations)
