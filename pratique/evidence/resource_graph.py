"""Defender's findings in Azure Resource Graph, in each generation of their format.

::

    source = ResourceGraph(session, (RECOMMENDATIONS,))
    observations = await source(subjects)

One query covers all images that wait for a verdict. A row is about an image when it names the image's registry,
repository and digest; tags do not matter. A missing row proves nothing: neither generation documents a row for a clean
image.

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
class _Format:
    """How to query the rows of a generation, and how to parse one."""

    query: Callable[[AzureSession, Collection[str]], Awaitable[list[dict[str, Any]]]]
    parse: Callable[..., Row]


_FORMATS: Mapping[str, _Format] = {
    RECOMMENDATIONS: _Format(recommendations, from_recommendation),
    SUB_ASSESSMENTS: _Format(sub_assessments, from_sub_assessment),
}


@dataclass
class _Rows:
    """The rows of one generation about one subject.

    :ivar unreadable: why rows that mention its digest cannot be read
    :ivar earlier: how many rows are about an earlier push of the same digest
    """

    rows: list[Row] = field(default_factory=list)
    unreadable: list[str] = field(default_factory=list)
    earlier: int = 0

    def add(self, row: Row, subject: Subject) -> None:
        """Add a row, unless its image was deleted before the subject arrived.

        A row that is older than the subject and does not say when its image was pushed loses its time: its findings
        may apply, but it proves nothing.
        """
        since = None if subject.arrived is None else subject.arrived - CLOCKS_DIFFER
        if since is not None and row.pushed is not None and row.pushed < since:
            self.earlier += 1
        elif since is not None and row.pushed is None and row.at is not None and row.at < since:
            self.rows.append(replace(row, at=None))
        else:
            self.rows.append(row)

    def observation(self, source: str) -> Observation:
        status, detail = self._status()
        ignored = f"rows about an earlier push of this digest, which do not count: {self.earlier}"
        return Observation(
            source=source,
            status=status,
            findings=frozenset(finding for row in self.rows for finding in row.findings),
            at=max((row.at for row in self.rows if row.at is not None), default=None),
            detail=detail,
            notes=(ignored,) if self.earlier else (),
        )

    def _status(self) -> tuple[SourceStatus, str]:
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

    :ivar generations: the generations to query; each is a source of that name
    """

    session: AzureSession
    generations: Sequence[Generation]

    @property
    def names(self) -> frozenset[str]:
        return frozenset(self.generations)

    async def __call__(self, subjects: Collection[Subject]) -> Mapping[Subject, Sequence[Observation]]:
        """One observation per subject and generation.

        :raises TransientError: when Resource Graph cannot be queried at the moment
        :raises UnreadableAnswer: when not even the digests of its rows can be read
        """
        found: dict[Subject, list[Observation]] = {subject: [] for subject in subjects}
        for name in self.generations:
            rows = await _FORMATS[name].query(self.session, {subject.digest for subject in subjects})
            for subject, subject_rows in _by_subject(name, rows, subjects).items():
                found[subject].append(subject_rows.observation(name))
        return found


def _by_subject(
    name: str, rows: Collection[Mapping[str, Any]], subjects: Collection[Subject]
) -> Mapping[Subject, _Rows]:
    """The rows about each subject. An unreadable row counts for every image with its digest."""
    grouped = {subject: _Rows() for subject in subjects}
    by_digest: dict[str, list[Subject]] = {}
    for subject in subjects:
        by_digest.setdefault(subject.digest, []).append(subject)
    for row in rows:
        try:
            parsed = _FORMATS[name].parse(row, source=name)
        except UnreadableAnswer as error:
            for subject in by_digest.get(str(row["digest"]), ()):
                grouped[subject].unreadable.append(f"a row cannot be read: {error.observed}")
            continue
        for subject in by_digest.get(parsed.digest.lower(), ()):
            if _same_repository(parsed, subject):
                grouped[subject].add(parsed, subject)
    return grouped


def _same_repository(row: Row, subject: Subject) -> bool:
    repository = (row.registry_host.lower(), row.repository.lower())
    return repository == (subject.registry.lower(), subject.repository.lower())
