"""Defender's findings in Azure Resource Graph, in each generation of their format.

::

    source = ResourceGraph(session, (RECOMMENDATIONS,))
    observations = await source(subjects)

One query covers all images that wait for a verdict. :mod:`~pratique.evidence.attribution` decides which row is about
which image. A missing row proves nothing: neither generation documents a row for a clean image.

Facts: Microsoft Learn, "Transition from grouped to individual recommendations in Defender for Cloud" and "Container
vulnerability assessments REST API".
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Literal

from pratique.azure.defender import cve_details, recommendations, sub_assessments
from pratique.azure.session import AzureSession
from pratique.errors import NotFound, OperationFailed, PermissionDenied, Prohibited, UnreadableAnswer
from pratique.evidence.attribution import ParsedRow, observations, parse_row
from pratique.evidence.parsers.assessment import Details, Row
from pratique.evidence.parsers.recommendation import from_recommendation
from pratique.evidence.parsers.sub_assessment import from_sub_assessment
from pratique.evidence.parsers.vulnerability import vulnerability_details
from pratique.gate.evidence import Observation, Subject
from pratique.gate.policy import RECOMMENDATIONS, SUB_ASSESSMENTS

Generation = Literal["recommendations", "sub-assessments"]


@dataclass(frozen=True)
class _Format:
    """How to query the rows of a generation, and how to parse one."""

    query: Callable[[AzureSession, Collection[str], Collection[str]], Awaitable[list[dict[str, Any]]]]
    parse: Callable[..., Row]


_FORMATS: Mapping[str, _Format] = {
    RECOMMENDATIONS: _Format(recommendations, from_recommendation),
    SUB_ASSESSMENTS: _Format(sub_assessments, from_sub_assessment),
}


@dataclass(frozen=True)
class ResourceGraph:
    """Defender's rows about images.

    :ivar generations: the generations to query; each is a source of that name
    :ivar subscriptions: ids of the subscriptions to ask; default: the session's
    """

    session: AzureSession
    generations: Sequence[Generation]
    subscriptions: Collection[str] = ()

    @property
    def names(self) -> frozenset[str]:
        return frozenset(self.generations)

    async def __call__(self, subjects: Collection[Subject]) -> Mapping[Subject, Sequence[Observation]]:
        """One observation per subject and generation.

        :raises TransientError: when Resource Graph cannot be queried at the moment
        :raises UnreadableAnswer: when its answer is truncated, or is not a list of rows
        """
        found: dict[Subject, list[Observation]] = {subject: [] for subject in subjects}
        digests = {subject.digest for subject in subjects}
        rows = {
            name: await _FORMATS[name].query(self.session, digests, self.subscriptions) for name in self.generations
        }
        parsed = {name: [parse_row(row, _parser(name, {})) for row in rows[name]] for name in rows}
        details, problem = await self._details([row for of_name in parsed.values() for row in of_name])
        for name in self.generations:
            detailed = _with_details(name, rows[name], parsed[name], details)
            for subject, observation in observations(name, detailed, subjects).items():
                notes = (*observation.notes, *_detail_notes(observation, details, problem))
                found[subject].append(replace(observation, notes=notes))
        return found

    async def _details(self, rows: Collection[ParsedRow]) -> tuple[Details, str]:
        """Details of the vulnerabilities that have no rating in their rows, and why there are none."""
        unrated = {name for row in rows for name in _unrated(row)}
        if not unrated:
            return {}, ""
        try:
            return vulnerability_details(await cve_details(self.session, unrated)), ""
        except (PermissionDenied, Prohibited, NotFound, OperationFailed, UnreadableAnswer) as error:
            return {}, error.observed


def _parser(name: str, details: Details) -> Callable[[Mapping[str, Any]], Row]:
    return partial(_FORMATS[name].parse, source=name, details=details)


def _with_details(
    name: str, rows: Sequence[Mapping[str, Any]], parsed: Sequence[ParsedRow], details: Details
) -> list[ParsedRow]:
    """The rows, with those that leave a vulnerability unrated parsed again."""
    return [
        parse_row(raw, _parser(name, details)) if details and _unrated(row) else row
        for raw, row in zip(rows, parsed, strict=True)
    ]


def _unrated(row: ParsedRow) -> frozenset[str]:
    return row.parsed.unrated if row.parsed else frozenset()


def _detail_notes(observation: Observation, details: Details, problem: str) -> list[str]:
    names = sorted({finding.vulnerability.upper() for finding in observation.findings})
    rejected = [name for name in names if name in details and details[name].rejected]
    notes = [f"{name} is rejected in Defender's details, but counts until an exception covers it" for name in rejected]
    if problem and names:
        notes.append(f"Defender's details of vulnerabilities cannot be read, so unrated ones have none: {problem}")
    return notes
