"""Defender's findings in Azure Resource Graph, in each of the forms that they have had.

::

    source = ResourceGraph(session, (RECOMMENDATIONS,))
    observations = await source(subjects)

One query asks about everything that waits. A row is about an image when registry, repository and digest are the
image's; the tags that it names do not matter. That there is no row means nothing: no row is documented for a clean
image, in either form.

Facts: Microsoft Learn, "Transition from grouped to individual recommendations in Defender for Cloud" and "Container
vulnerability assessments REST API".
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from pratique.azure.defender import recommendations, sub_assessments
from pratique.azure.session import AzureSession
from pratique.errors import UnreadableAnswer
from pratique.evidence.parsers.assessment import Row
from pratique.evidence.parsers.recommendation import from_recommendation
from pratique.evidence.parsers.sub_assessment import from_sub_assessment
from pratique.gate.evidence import CLOCKS_DIFFER, Observation, SourceStatus, Subject
from pratique.gate.policy import RECOMMENDATIONS, SUB_ASSESSMENTS

Generation = Literal["recommendations", "sub-assessments"]


@dataclass(frozen=True)
class _Form:
    """How a generation is asked for, and how its rows are read."""

    ask: Callable[[AzureSession, Collection[str]], Awaitable[list[dict[str, Any]]]]
    read: Callable[..., Row]


_FORMS: Mapping[str, _Form] = {
    RECOMMENDATIONS: _Form(recommendations, from_recommendation),
    SUB_ASSESSMENTS: _Form(sub_assessments, from_sub_assessment),
}


@dataclass
class _Rows:
    """What a generation has on one subject.

    :ivar unreadable: why rows that mention its digest cannot be read
    :ivar earlier: how many rows are about an image that stood here before
    """

    rows: list[Row] = field(default_factory=list)
    unreadable: list[str] = field(default_factory=list)
    earlier: int = 0

    def add(self, row: Row, subject: Subject) -> None:
        """Take a row, unless what it is about was deleted before the subject arrived.

        Where it does not say when that was pushed, it may hold findings and does not prove anything.
        """
        since = None if subject.arrived is None else subject.arrived - CLOCKS_DIFFER
        if since is not None and row.pushed is not None and row.pushed < since:
            self.earlier += 1
        elif since is not None and row.pushed is None and row.at is not None and row.at < since:
            self.rows.append(replace(row, at=None))
        else:
            self.rows.append(row)

    def observation(self, source: str) -> Observation:
        answer, detail = self._answer()
        return Observation(
            source,
            answer,
            frozenset(finding for row in self.rows for finding in row.findings),
            max((row.at for row in self.rows if row.at is not None), default=None),
            detail,
            (f"rows about an earlier push of this digest, which do not count: {self.earlier}",) if self.earlier else (),
        )

    def _answer(self) -> tuple[SourceStatus, str]:
        if self.unreadable:
            return SourceStatus.UNREADABLE, self.unreadable[0]
        exempt = list(dict.fromkeys(row.not_applicable for row in self.rows if row.not_applicable))
        assessed = any(row.findings and not row.not_applicable for row in self.rows)
        if exempt and not assessed:
            return SourceStatus.NOT_APPLICABLE, ", ".join(exempt)
        return (SourceStatus.ASSESSED, "") if self.rows else (SourceStatus.NOTHING, "no row yet")


@dataclass(frozen=True)
class ResourceGraph:
    """Defender's rows about images.

    :ivar generations: the forms to ask for, each a source of that name
    """

    session: AzureSession
    generations: Sequence[Generation]

    @property
    def names(self) -> frozenset[str]:
        return frozenset(self.generations)

    async def __call__(self, subjects: Collection[Subject]) -> Mapping[Subject, Sequence[Observation]]:
        """One observation a subject and generation.

        :raises TransientError: when Resource Graph could not be asked this time
        :raises UnreadableAnswer: when not even the digests of its rows can be read
        """
        found: dict[Subject, list[Observation]] = {subject: [] for subject in subjects}
        for name in self.generations:
            rows = await _FORMS[name].ask(self.session, {subject.digest for subject in subjects})
            for subject, some in _sorted(name, rows, subjects).items():
                found[subject].append(some.observation(name))
        return found


def _sorted(name: str, rows: Collection[Mapping[str, Any]], subjects: Collection[Subject]) -> Mapping[Subject, _Rows]:
    """What there is on each subject. A row that cannot be read counts for every image with its digest."""
    known = {subject: _Rows() for subject in subjects}
    by_digest: dict[str, list[Subject]] = {}
    for subject in subjects:
        by_digest.setdefault(subject.digest, []).append(subject)
    for row in rows:
        try:
            read = _FORMS[name].read(row, source=name)
        except UnreadableAnswer as error:
            for subject in by_digest.get(str(row["digest"]), ()):
                known[subject].unreadable.append(f"a row cannot be read: {error.observed}")
            continue
        for subject in by_digest.get(read.digest.lower(), ()):
            if _stands_at(read, subject):
                known[subject].add(read, subject)
    return known


def _stands_at(row: Row, subject: Subject) -> bool:
    place = (row.registry_host.lower(), row.repository.lower())
    return place == (subject.registry.lower(), subject.repository.lower())
