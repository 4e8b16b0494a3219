"""Fields that all generations of Defender's findings share.

The values of ``FixStatus`` are not published; FixAvailable, NoFix, NoFixAvailable and WillNotFix have been observed.
"""

from __future__ import annotations

from datetime import datetime
from urllib.parse import quote

from pratique.evidence.parsers.json_reader import Reader
from pratique.findings import Fix
from pratique.purl import SYSTEM

HEALTHY = "healthy"
NOT_APPLICABLE = "notapplicable"

_NO_FIX = frozenset({"nofix", "nofixavailable", "willnotfix"})
_FIX = "fixavailable"
#: Types of package URLs by Defender's names of languages, whose values are not published either.
_LANGUAGES = {
    "python": "pypi",
    "javascript": "npm",
    "node": "npm",
    "nodejs": "npm",
    "node.js": "npm",
    "java": "maven",
    "go": "golang",
    "golang": "golang",
    "ruby": "gem",
    "rust": "cargo",
    "php": "composer",
    ".net": "nuget",
    "dotnet": "nuget",
    "c#": "nuget",
}


def fix_of(*documents: Reader) -> Fix:
    """Combine ``FixStatus`` and ``FixedVersion`` of all the documents.

    A fix is available when any document names one. There is none only when every status given says so.
    """
    statuses = {document.text("FixStatus").lower() for document in documents if document.has("FixStatus")}
    if _FIX in statuses or any(document.has("FixedVersion") for document in documents):
        return Fix.AVAILABLE
    return Fix.NONE if statuses and statuses <= _NO_FIX else Fix.UNKNOWN


def purl_of(name: str, category: str, language: str) -> str:
    """The package URL of a package without its version; empty when its ecosystem is not known.

    Defender does not say which distribution a package of the operating system belongs to.

    :param category: ``OS`` or ``Language``
    """
    kind = SYSTEM if category.lower() == "os" and not language else _LANGUAGES.get(language.lower(), "")
    group, colon, artifact = name.partition(":")  # as Maven names artifacts
    path = f"{group}/{artifact}" if kind == "maven" and colon else name
    return f"pkg:{kind}/{quote(path, safe='/')}" if kind and name else ""


def code_of(status: Reader) -> str:
    """The status code in lower case: ``healthy``, ``unhealthy``, ``notapplicable``, or a later addition."""
    return status.required("code").lower()


def not_applicable(status: Reader) -> str:
    """Why Defender did not assess the image; empty when it did."""
    if code_of(status) != NOT_APPLICABLE:
        return ""
    return status.text("cause") or status.text("description") or "no cause given"


def latest(*times: datetime | None) -> datetime | None:
    return max((time for time in times if time is not None), default=None)
