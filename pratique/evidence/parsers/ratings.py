"""How severe Defender says that a vulnerability is: read from every place that documents or tenants show.

A vulnerability's own severity and its CVSS base scores of any version count together, and the worst of them wins. One
that has neither takes the rating of the whole row; without that, its severity is unknown, which counts as the worst.

Facts: Microsoft Learn, "Transition from grouped to individual recommendations in Defender for Cloud" (severity moved to
``metadata.severity``, scores to ``microsoft.security/cvedetails``). Tenants show "Unknown", null and 0 for no rating.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from pratique.evidence.parsers.json_reader import Reader
from pratique.findings import Severity

_UNRATED = frozenset({"", "unknown", "none", "null"})
_SCORES = ("Cvss", "CvssV30Score")
#: Names that hold a base score below ``Cvss``, whichever way its versions are written.
_SCORE = re.compile(r"base|basescore|score|value|cvss|cvssv30score|v?[1-9](\.\d)?")


def rating(*documents: Reader) -> Severity | None:
    """The worst of the severities and CVSS base scores in the documents; ``None`` when none of them has one.

    A severity that is no known word, and a score that is no number from 0 to 10, count as unknown severity. So does a
    severity that another document calls unknown, unless there is a score.
    """
    words = [word for document in documents if (word := document.get("Severity")) is not None]
    known = [Severity.parse(word) for word in words if not _unrated(word)]
    scores = [score for document in documents for score in _scores(document)]
    if known and not scores and len(known) < len(words):
        return Severity.UNKNOWN
    return max([*known, *scores], default=None)


def settled(own: Sequence[Severity | None], row: Severity | None) -> list[Severity]:
    """The severities of the vulnerabilities of one row.

    When the row is rated worse than each of its vulnerabilities, nobody knows which of them is that severe: all count
    as such.

    :param own: each vulnerability's own rating
    :param row: the rating of the whole row
    """
    rated = [severity or row or Severity.UNKNOWN for severity in own]
    if row is not None and rated and max(rated) < row:
        return [row] * len(rated)
    return rated


def _unrated(word: object) -> bool:
    return isinstance(word, str) and word.strip().lower() in _UNRATED


def _scores(document: Reader) -> Iterator[Severity]:
    for key in _SCORES:
        for name, value in document.leaves(key):
            if _SCORE.fullmatch(name) and (severity := _of_score(value)) is not None:
                yield severity


def _of_score(value: object) -> Severity | None:
    """The severity of a base score; ``None`` for null, 0 and vectors, which are no score."""
    if isinstance(value, str):
        if _unrated(value) or value.startswith("CVSS:"):
            return None
        try:
            value = float(value)
        except ValueError:
            return Severity.UNKNOWN
    if value is None or (value == 0 and not isinstance(value, bool)):
        return None
    return Severity.of_score(value) if isinstance(value, int | float) and value is not True else Severity.UNKNOWN
