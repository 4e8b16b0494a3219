"""Which images rows of Resource Graph are about, and what they report about them.

A digest names bytes. Findings about a digest count wherever and whenever the row says that the image stood; only a
proof has to be about this registry, this repository and this push. A row that may be about an image and cannot be read,
or names no digest, is a doubt about it. Any other row that does not count is noted.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from pratique.errors import UnreadableAnswer
from pratique.evidence.parsers.assessment import Row
from pratique.evidence.parsers.place import Place, place_of
from pratique.gate.evidence import CLOCKS_DIFFER, Observation, SourceStatus, Subject

_HEX = re.compile(r"(?<![0-9a-f])[0-9a-f]{64}(?![0-9a-f])")
_NAMED = 3  # rows or places that a note names


@dataclass(frozen=True)
class ParsedRow:
    """A row of Resource Graph.

    :ivar parsed: ``None`` when it cannot be read
    :ivar problem: why it cannot be read
    :ivar mentioned: every digest that occurs in it
    """

    id: str
    parsed: Row | None
    problem: str
    mentioned: frozenset[str]

    @property
    def digests(self) -> frozenset[str]:
        """The digests that it is or may be about."""
        if self.parsed is None:
            return self.mentioned
        anywhere = self.mentioned if self.parsed.findings or not self.parsed.kind else frozenset()
        return self.parsed.place.digests or anywhere

    @property
    def place(self) -> Place:
        return self.parsed.place if self.parsed else place_of(self.id)


def parse_row(row: Mapping[str, Any], parse: Callable[[Mapping[str, Any]], Row]) -> ParsedRow:
    """Parse a row, whatever is wrong with it.

    :param parse: the parser of its format
    """
    mentioned = frozenset(f"sha256:{digest}" for digest in _HEX.findall(_text(row)))
    row_id = str(row.get("id"))
    try:
        return ParsedRow(row_id, parse(row), "", mentioned)
    except UnreadableAnswer as error:
        return ParsedRow(row_id, None, error.observed, mentioned)


@dataclass
class _Rows:
    """The rows of one format about one subject.

    :ivar proving: rows about exactly this image, since it arrived
    :ivar other: rows about its digest that prove nothing
    :ivar doubts: why a row that may be about it does not count
    :ivar notes: descriptions of rows that do not count in full, each with examples
    """

    subject: Subject
    proving: list[Row] = field(default_factory=list)
    other: list[Row] = field(default_factory=list)
    doubts: list[str] = field(default_factory=list)
    notes: dict[str, list[str]] = field(default_factory=dict)

    def add(self, row: ParsedRow) -> None:
        digest = self.subject.digest.lower()
        if digest in row.digests:
            self._add_own(row)
        elif digest in row.mentioned:
            kind = row.parsed.kind if row.parsed and row.parsed.kind else "another digest"
            self.notes.setdefault(f"rows about {kind} that only mention this digest", []).append(row.id)
        elif not row.digests:
            self._add_nameless(row)

    def _add_own(self, row: ParsedRow) -> None:
        parsed = row.parsed
        if parsed is None:
            self.doubts.append(f"a row cannot be read: {row.problem}")
            return
        if (why := self._why_no_proof(parsed)) is None:
            self.proving.append(self._without_early_time(parsed))
        else:
            note, example = why
            self.notes.setdefault(f"{note}; their findings count, but they prove nothing", []).append(example)
            self.other.append(parsed)

    def _why_no_proof(self, row: Row) -> tuple[str, str] | None:
        """A description of such rows, and an example; ``None`` when the row is about exactly this image."""
        if row.kind:
            return f"rows of another kind ({row.kind})", row.id
        if row.place.digests != {self.subject.digest.lower()}:
            return "rows that name several digests, or this one in an unusual place", row.id
        if not row.place.is_at(self.subject.registry, self.subject.repository):
            return "rows about this digest in another place", str(row.place)
        if self._is_earlier(row):
            return "rows about an earlier push of this digest", row.id
        return None

    def _add_nameless(self, row: ParsedRow) -> None:
        if row.parsed is not None and row.parsed.kind and not row.parsed.findings:
            return
        if row.place.may_be_at(self.subject.registry, self.subject.repository):
            reason = f": {row.problem}" if row.problem else ""
            self.doubts.append(f"a row about {row.place} names no digest{reason} ({row.id})")
        else:
            note = "rows that name no digest, about other repositories"
            self.notes.setdefault(note, []).append(str(row.place))

    def _is_earlier(self, row: Row) -> bool:
        since = self.subject.arrived
        return since is not None and row.pushed is not None and row.pushed < since - CLOCKS_DIFFER

    def _without_early_time(self, row: Row) -> Row:
        """The row without a time from before the image arrived: its findings may apply, but it proves nothing."""
        since = self.subject.arrived
        early = since is not None and row.at is not None and row.at < since - CLOCKS_DIFFER
        return replace(row, at=None) if early else row

    def observation(self, source: str) -> Observation:
        status, detail = self._status()
        return Observation(
            source=source,
            status=status,
            findings=frozenset(finding for row in (*self.proving, *self.other) for finding in row.findings),
            at=max((row.at for row in self.proving if row.at is not None), default=None),
            detail=detail,
            notes=tuple(_counted(note, examples) for note, examples in self.notes.items()),
        )

    def _status(self) -> tuple[SourceStatus, str]:
        if self.doubts:
            return SourceStatus.UNREADABLE, _counted("", self.doubts, most=1)
        exempt = list(dict.fromkeys(row.not_applicable for row in self.proving if row.not_applicable))
        assessed = any(row.findings and not row.not_applicable for row in self.proving)
        if exempt and not assessed:
            return SourceStatus.NOT_APPLICABLE, ", ".join(exempt)
        if self.proving:
            return SourceStatus.ASSESSED, ""
        return SourceStatus.NOTHING, "no row that proves a scan" if self.other else "no row yet"


def observations(source: str, rows: Iterable[ParsedRow], subjects: Collection[Subject]) -> dict[Subject, Observation]:
    """What the rows report about each subject.

    :param source: the name of the rows' format in the policy
    """
    found = {subject: _Rows(subject) for subject in subjects}
    by_digest: dict[str, list[_Rows]] = {}
    for subject, subject_rows in found.items():
        by_digest.setdefault(subject.digest.lower(), []).append(subject_rows)
    for row in rows:
        for subject_rows in _concerned(row, by_digest):
            subject_rows.add(row)
    return {subject: subject_rows.observation(source) for subject, subject_rows in found.items()}


def _concerned(row: ParsedRow, by_digest: Mapping[str, Sequence[_Rows]]) -> Iterator[_Rows]:
    named = row.digests | row.mentioned
    for digest in named if row.digests else by_digest.keys():
        yield from by_digest.get(digest, ())


def _text(row: Mapping[str, Any]) -> str:
    return json.dumps(row, default=str).lower()


def _counted(note: str, examples: Sequence[str], most: int = _NAMED) -> str:
    named = list(dict.fromkeys(examples))[:most]
    rest = len(examples) - len(named)
    more = f" and {rest} more" if rest > 0 else ""
    return f"{note} ({len(examples)}): {', '.join(named)}" if note else f"{named[0]}{more}"
