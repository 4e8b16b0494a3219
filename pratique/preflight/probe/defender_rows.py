"""What Defender's rows in Resource Graph look like, from a sample of them."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from pratique.evidence.parsers.assessment import Row
from pratique.findings import Severity
from pratique.gate.policy import RECOMMENDATIONS
from pratique.preflight.probe.answers import (
    DEFAULT,
    REPORT,
    Answer,
    Question,
    counted,
    nothing_seen,
    seen,
    tally,
)
from pratique.preflight.probe.outline import leaves, named, objects, outline, shown_key
from pratique.preflight.probe.readings import PARSERS, Reading, read_row
from pratique.preflight.probe.redaction import Redactor

TOPIC = "Defender's rows in Resource Graph"
GENERATIONS = Question("rows.generations", TOPIC, "Which generations of rows exist?")
REGISTRY = Question("rows.registry", TOPIC, "Where does a row name the registry?")
DIGEST = Question("rows.digest", TOPIC, "Where does a row name the image's digest?")
SEVERITY = Question("rows.severity", TOPIC, "Where is the severity of a vulnerability, and is it known?")
FIX = Question("rows.fix", TOPIC, "Where are versions and fixes, and in which words?")
CASING = Question("rows.casing", TOPIC, "In which letter case are the keys?")
STATUS = Question("rows.status", TOPIC, "Which status codes do rows have?")
READABLE = Question("rows.readable", TOPIC, "Can Pratique read these rows?")
QUESTIONS = (GENERATIONS, REGISTRY, DIGEST, SEVERITY, FIX, CASING, STATUS, READABLE)

_DIGEST = re.compile(r"sha256:[0-9a-f]{64}", re.IGNORECASE)
_NESTED = ("resourceadditionaldata", "additionaldata", "resourcedetails", "[]")
_MOST_LINES = 15


@dataclass(frozen=True)
class Sample:
    """Rows of one generation.

    :ivar rows: as ``{"id", "properties"}``; at most a sample
    :ivar total: how many there are
    """

    rows: Sequence[Mapping[str, Any]]
    total: int


def answers(samples: Mapping[str, Sample], redactor: Redactor, login_server: str) -> list[Answer]:
    """The answers to :data:`QUESTIONS`.

    :param samples: by generation: a source of the gate, or :data:`.readings.QUALYS`
    :param login_server: of the cluster's registry; empty when it is not deployed
    """
    generations = _generations(samples)
    readings = [read_row(name, row, redactor) for name in PARSERS for row in samples[name].rows]
    if not readings:
        rest = "There are no rows about images in a registry."
        return [generations, *(nothing_seen(question, rest) for question in QUESTIONS[1:])]
    rows = [reading.content for reading in readings]
    read = [reading.row for reading in readings if reading.row is not None]
    unplaced = sum(not row.place.registries for row in read)
    undigested = sum(not row.place.digests for row in read)
    return [
        generations,
        _places(REGISTRY, rows, unplaced, redactor, lambda text: _names_registry(text, login_server)),
        _places(DIGEST, rows, undigested, redactor, lambda text: bool(_DIGEST.search(text))),
        _severity(rows, read, redactor),
        _fix(rows, redactor),
        _casing(rows),
        _status(rows, redactor),
        _readable(readings),
    ]


def _generations(samples: Mapping[str, Sample]) -> Answer:
    totals = {name: sample.total for name, sample in samples.items()}
    sources = list(dict.fromkeys(PARSERS[name][0] for name in PARSERS if totals[name]))
    evidence = {"rows": totals, "read": {name: len(sample.rows) for name, sample in samples.items()}}
    if not any(totals.values()):
        return nothing_seen(GENERATIONS, "no rows about images in a registry", evidence=evidence)
    observed = [f"{name}: {total} rows" for name, total in totals.items()]
    fits = DEFAULT if sources == [RECOMMENDATIONS] else f"gate.resource_graph: [{', '.join(sources)}]"
    return seen(GENERATIONS, observed, fits=fits, evidence=evidence)


def _places(
    question: Question,
    rows: Sequence[Mapping[str, Any]],
    missed: int,
    redactor: Redactor,
    sought: Callable[[str], bool],
) -> Answer:
    """Every path at which a value satisfies a condition, with the number of rows that have it there.

    :param missed: rows in which Pratique does not find it
    """
    found: dict[str, int] = {}
    examples: dict[str, str] = {}
    nowhere = 0
    for row in rows:
        places = {_path(path, redactor): leaf for path, leaf in leaves(row) if isinstance(leaf, str) and sought(leaf)}
        nowhere += not places
        for path, leaf in places.items():
            found[path] = found.get(path, 0) + 1
            examples.setdefault(path, redactor.reference(leaf))
    observed = tally(found, len(rows))[:_MOST_LINES]
    if nowhere:
        observed.append(f"nowhere: {nowhere} of {len(rows)}")
    evidence = {"rows": len(rows), "paths": found, "examples": examples, "nowhere": nowhere}
    if missed:
        observed.append(f"not found by Pratique: {missed} of {len(rows)}")
    return seen(question, observed, fits=REPORT if missed else DEFAULT, evidence=evidence)


def _severity(rows: Sequence[Mapping[str, Any]], read: Sequence[Row], redactor: Redactor) -> Answer:
    cves = _cves(rows)
    inline = [_word(named(cve, "severity"), redactor) for cve in cves]
    scores = [_cvss_keys(named(cve, "cvss")) for cve in cves]
    severities, in_metadata = (
        counted(inline),
        counted(_word(named(m, "severity"), redactor) for m in _parts(rows, "metadata")),
    )
    findings = [finding for row in read for finding in row.findings]
    unknown = sum(finding.severity is Severity.UNKNOWN for finding in findings)
    evidence = {
        "vulnerabilities": len(cves),
        "inline": severities,
        "with_cvss": sum(map(bool, scores)),
        "cvss_keys": counted(redactor.reference(key) for keys in scores for key in keys),
        "metadata": in_metadata,
        "findings": len(findings),
        "unknown": unknown,
    }
    observed = [
        f"beside the CVE, of {len(cves)} vulnerabilities: {_listed(severities)}",
        f"with a CVSS base score: {sum(map(bool, scores))}",
        f"in the row's metadata, of {len(rows)} rows: {_listed(in_metadata)}",
        f"without any rating, as Pratique reads them: {unknown} of {len(findings)}",
    ]
    fits = DEFAULT
    if unknown:
        fits = (
            "The default: what has no rating counts as critical (gate.policy.limits.critical). With the role Security "
            "Reader on the tenant, Pratique reads the details of CVEs as well."
        )
    return seen(SEVERITY, observed, fits=fits, evidence=evidence)


def _fix(rows: Sequence[Mapping[str, Any]], redactor: Redactor) -> Answer:
    lines = outline(rows, redactor)
    paths = {
        path: kinds
        for path, kinds in lines.items()
        if path.rpartition(".")[2].removesuffix("[]").casefold()
        in ("fixstatus", "fixedversion", "detectedsoftwareversions", "version")
    }
    observed = [f"{path}: {_listed(kinds)}" for path, kinds in paths.items()][:_MOST_LINES]
    known = {'"fixavailable"', '"nofix"', '"nofixavailable"', '"willnotfix"', "null", "empty text"}
    words = {kind for path, kinds in paths.items() if path.casefold().endswith("fixstatus") for kind in kinds}
    unknown = sorted(word for word in words if word.casefold() not in known)
    fits = f"{REPORT} New words: {', '.join(unknown)}" if unknown else DEFAULT
    if not observed:
        return nothing_seen(FIX, "no row names a version or a fix")
    return seen(FIX, observed, fits=fits, evidence={"paths": paths, "outline": lines})


def _casing(rows: Sequence[Mapping[str, Any]]) -> Answer:
    counts: dict[str, dict[str, int]] = {}
    for row in rows:
        for path, _ in leaves(row):
            for parent, key in pairwise(path):
                if parent.casefold() in _NESTED and key != "[]":
                    cased = "PascalCase" if key[:1].isupper() else "camelCase" if key[:1].islower() else "other"
                    at = counts.setdefault("array items" if parent == "[]" else parent.casefold(), {})
                    at[cased] = at.get(cased, 0) + 1
    observed = [f"{place}: {_listed(found)}" for place, found in sorted(counts.items())]
    return seen(CASING, observed or ["no nested keys"], fits="The default: keys match in any case.", evidence=counts)


def _status(rows: Sequence[Mapping[str, Any]], redactor: Redactor) -> Answer:
    codes = counted(_word(named(part, "code"), redactor) for part in _parts(rows, "status"))
    causes = counted(_word(named(part, "cause"), redactor) for part in _parts(rows, "status"))
    observed = [f"code, of {len(rows)} rows: {_listed(codes)}", f"cause: {_listed(causes)}"]
    unknown = sorted(code for code in codes if code.casefold() not in ("healthy", "unhealthy", "notapplicable"))
    fits = f"{REPORT} New codes: {', '.join(unknown)}" if unknown else DEFAULT
    return seen(STATUS, observed, fits=fits, evidence={"codes": codes, "causes": causes})


def _readable(readings: Sequence[Reading]) -> Answer:
    """Whether the gate's own parsers read the rows."""
    observed, evidence, complete = list[str](), dict[str, Any](), True
    for name in PARSERS:
        own = [reading for reading in readings if reading.generation == name]
        problems = counted(reading.in_short for reading in own if reading.in_short)
        bad = sum(problems.values())
        if own:
            observed += [f"{name}: {len(own) - bad} of {len(own)} rows", *(f"not: {line}" for line in tally(problems))]
            evidence[name] = {"rows": len(own), "problems": problems}
        complete &= not bad
    return seen(READABLE, observed, fits=DEFAULT if complete else REPORT, evidence=evidence)


def _names_registry(text: str, login_server: str) -> bool:
    folded = text.casefold()
    name = login_server.partition(".")[0]
    return ".azurecr." in folded or "/registries/" in folded or bool(name and name in folded)


def _cves(rows: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Every entry about a vulnerability: those of recommendations, and the rows of sub-assessments."""
    return [found for row in rows for found in objects(row, "cveid")]


def _parts(rows: Sequence[Mapping[str, Any]], key: str) -> Iterator[Mapping[str, Any]]:
    """An object of each row's properties; an empty one where there is none."""
    for row in rows:
        properties = named(row, "properties")
        part = named(properties, key) if isinstance(properties, dict) else None
        yield part if isinstance(part, dict) else {}


def _cvss_keys(cvss: Any) -> list[str]:
    """The versions for which there is a base score: of a list of keys and values, or of an object by version."""
    pairs: list[tuple[Any, Any]] = []
    if isinstance(cvss, dict):
        pairs = list(cvss.items())
    elif isinstance(cvss, list):
        pairs = [(named(score, "key"), named(score, "value")) for score in cvss if isinstance(score, dict)]
    scored = [(key, named(value, "base")) for key, value in pairs if isinstance(value, dict)]
    return [str(key)[:5] for key, base in scored if isinstance(base, int | float) and not isinstance(base, bool)]


def _word(value: Any, redactor: Redactor) -> str:
    if isinstance(value, str):
        return redactor.word(value) if value.strip() else "empty"
    return "none" if value is None else type(value).__name__


def _path(path: Sequence[str], redactor: Redactor) -> str:
    return ".".join(shown_key(key, redactor) if key != "[]" else key for key in path).replace(".[]", "[]")


def _listed(counts: Mapping[str, int]) -> str:
    return ", ".join(tally(counts)) or "none"
