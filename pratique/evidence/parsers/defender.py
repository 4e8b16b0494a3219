"""Fields that all generations of Defender's findings share.

The values of ``FixStatus`` are not published; FixAvailable, NoFix, NoFixAvailable and WillNotFix have been observed.
Versions and fixes stand beside the software's name, in each CVE, and for each scanner in ``ScannersDetails``.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Any

from pratique.evidence.parsers.json_reader import Reader
from pratique.findings import Fix

HEALTHY = "healthy"
NOT_APPLICABLE = "notapplicable"

_EXEMPT = frozenset({"exempt", "exempted"})
_NO_FIX = frozenset({"nofix", "nofixavailable", "willnotfix"})
_FIX = "fixavailable"
_SCANNERS = "ScannersDetails"


def fix_of(*documents: Reader) -> Fix:
    """Combine ``FixStatus`` and ``FixedVersion`` of all the documents and of their scanners.

    A fix is available when any place names one. There is none only when every status given says so.
    """
    statuses = {_word(status) for status in _values(documents, "FixStatus")}
    if _FIX in statuses or any(True for _ in _values(documents, "FixedVersion")):
        return Fix.AVAILABLE
    return Fix.NONE if statuses and statuses <= _NO_FIX else Fix.UNKNOWN


def versions(key: str, *documents: Reader) -> str:
    """The versions under a key, separated by commas.

    They may be an array, its JSON text, or a single version. The first document that has any decides; what its scanners
    say comes last.
    """
    for document in documents:
        if found := _printable(value for name, value in document.leaves(key)):
            return found
    return _printable(value for document in documents for name, value in _of_scanners(document, key))


def code_of(status: Reader) -> str:
    """The letters of the status code in lower case: ``healthy``, ``unhealthy``, ``notapplicable``, or a later one."""
    code = "".join(filter(str.isalpha, status.required("code"))).lower()
    return NOT_APPLICABLE if code in _EXEMPT else code


def not_applicable(status: Reader) -> str:
    """Why Defender did not assess the image; empty when it did."""
    if code_of(status) != NOT_APPLICABLE:
        return ""
    return status.text("cause") or status.text("description") or "no cause given"


def latest(*times: datetime | None) -> datetime | None:
    return max((time for time in times if time is not None), default=None)


def _values(documents: tuple[Reader, ...], key: str) -> Iterator[Any]:
    """The values under a key, in the documents and for each of their scanners, without empty ones."""
    for document in documents:
        if document.has(key):
            yield document.get(key)
        for _, value in _of_scanners(document, key):
            if value not in (None, ""):
                yield value


def _of_scanners(document: Reader, key: str) -> Iterator[tuple[str, Any]]:
    return ((name, value) for name, value in document.leaves(_SCANNERS) if name == key.lower())


def _word(value: object) -> str:
    return value.strip().lower() if isinstance(value, str) and value.isprintable() else ""


def _printable(values: Iterator[Any]) -> str:
    texts = (value.strip() for value in values if isinstance(value, str) and value.isprintable())
    return ", ".join(dict.fromkeys(filter(None, texts)))
