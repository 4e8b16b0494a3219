"""The in-toto statement of a complete scan, with the predicate "vulns" v0.2, as attached to an image.

Defender attaches one in the registry, and other scanners can too. Whoever wrote it, only an empty list of results
proves that the scan found nothing. The predicate requires ``scanner.db.lastUpdate``; without it nobody knows how old
the scanner's knowledge was.
"""

from __future__ import annotations

import json
import math
import re
from dataclasses import dataclass
from functools import lru_cache

from pratique.config.scanner_command import filters
from pratique.errors import UnreadableAnswer
from pratique.evidence.parsers.assessment import Assessment
from pratique.evidence.parsers.defender import fix_of, purl_of
from pratique.evidence.parsers.json_reader import Reader, unreadable
from pratique.findings import Finding, Fix, Severity

STATEMENT_TYPE = "https://in-toto.io/Statement/v1"
PREDICATE_TYPE = "https://in-toto.io/attestation/vulns/v0.2"

#: Where an invocation has the scanner's arguments and variables, in lower case.
_ARGUMENTS = ("parameters", "environment", "env")
#: A CVSS vector of any version.
_VECTOR = re.compile(r"\(?(CVSS:|AV:[NAL]/)", re.IGNORECASE)
#: Methods that rate how likely an attack is, and what to do about it.
_OTHER_METHODS = re.compile(r"epss|ssvc|kev")
_REMEMBERED, _LONGEST_REMEMBERED = 16_384, 2_000  # findings, and characters of one
_SHOWN = 40  # characters of an unknown rating


def from_statement(document: bytes, *, digest: str, source: str) -> Assessment:
    """Parse an in-toto statement with a vulnerability predicate.

    :param document: the artifact's layer, after its signature was verified
    :param digest: of the manifest that the statement must be about
    :raises UnreadableAnswer: when it is about something else, or does not list its results in full
    """
    statement = Reader.of(document, digest, "statement")
    for key, expected in (("_type", STATEMENT_TYPE), ("predicateType", PREDICATE_TYPE)):
        if statement.required(key) != expected:
            raise statement.invalid(key, f"is {statement.required(key)!r:.100} instead of {expected!r}")
    subjects = statement.documents("subject")
    own = [subject for subject in subjects if f"sha256:{subject.document('digest').text('sha256')}" == digest]
    if not own:
        raise unreadable(digest, "The statement is about another image.")
    names = tuple(subject.text("name") for subject in own if subject.text("name"))
    predicate = statement.document("predicate")
    scanner = predicate.document("scanner")
    if scanner.get("result") is None:
        raise unreadable(digest, "The statement has no list of results.")
    findings = tuple(_finding(result, source) for result in scanner.documents("result"))
    finished = predicate.document("metadata").required_timestamp("scanFinishedOn")
    name = " ".join(part for part in (scanner.required("uri"), scanner.text("version")) if part)
    updated = scanner.optional("db").timestamp("lastUpdate")
    return Assessment(findings, finished, name, updated, gap=_gap(predicate.optional("invocation")), names=names)


@dataclass(frozen=True)
class BadNews:
    """What a statement reports about an image, whatever else is wrong with it.

    :ivar unread: why it may report more; empty when it cannot, or is not about the image
    """

    findings: tuple[Finding, ...] = ()
    unread: str = ""


def bad_news(document: bytes, *, digest: str, source: str) -> BadNews:
    """The findings of a statement: a finding needs the image's digest, its own identifier, and nothing else.

    :param document: anything at all
    :param digest: of the manifest that the findings must be about
    """
    named = digest.removeprefix("sha256:")
    try:
        statement = Reader.of(document, digest, "statement")
        subjects = [value.lower() for _, value in statement.leaves("subject") if isinstance(value, str)]
        if not any(named in subject for subject in subjects):
            return BadNews()
        scanner = statement.document("predicate").document("scanner")
        results = scanner.array("result")
    except UnreadableAnswer as error:
        return BadNews(unread=error.observed if named.encode() in document.lower() else "")
    if scanner.get("result") is None:
        return BadNews(unread="It has no list of results.")
    findings: list[Finding] = []
    unread: list[str] = []
    for index, result in enumerate(results):
        try:
            findings.append(_any_finding(Reader.of(result, digest, f"{scanner.path}.result[{index}]"), source))
        except UnreadableAnswer as error:
            unread.append(error.observed)
    return BadNews(tuple(findings), unread[0] if unread else "")


def is_about_something_else(document: bytes) -> bool:
    """Whether a statement has another predicate than the results of a scan."""
    try:
        predicate = Reader.of(document, "an attestation", "statement").text("predicateType")
    except UnreadableAnswer:
        return False
    return bool(predicate) and not predicate.startswith(PREDICATE_TYPE.rpartition("/")[0])


def _any_finding(result: Reader, source: str) -> Finding:
    """A result as far as it can be read.

    :raises UnreadableAnswer: when it has no identifier
    """
    try:
        return _finding(result, source)
    except UnreadableAnswer:
        vulnerability = result.required("id")
    try:
        severity = _rating(result)[0]
    except UnreadableAnswer:
        severity = Severity.UNKNOWN
    return Finding(vulnerability=vulnerability, severity=severity, sources=(source,))


def _gap(invocation: Reader) -> str:
    """Which argument may have left findings out. The predicate has no field for arguments; cosign's, its model, has."""
    left_out = filters([_written(key, *leaf) for key in _ARGUMENTS for leaf in invocation.leaves(key)])
    return f"its scanner ran with {', '.join(left_out)}, which may leave findings out" if left_out else ""


def _written(key: str, name: str, value: object) -> str:
    """An argument or a variable as on a command line, whether it is one of a list or the value of a name."""
    if name == key:
        return value if isinstance(value, str) else ""
    return f"--{name}" if key == "parameters" else f"{name}={value}"


def _finding(result: Reader, source: str) -> Finding:
    """A result's finding. Images share most of theirs, and so do the days: each is parsed once, and is one object.

    :raises UnreadableAnswer: when the result cannot be read
    """
    try:
        text = json.dumps(result.mapping)
        if len(text) <= _LONGEST_REMEMBERED:
            return _finding_of(text, source)
    except (UnreadableAnswer, RecursionError):
        pass  # the error names the place of the result in its statement
    return _parse_finding(result, source)


@lru_cache(_REMEMBERED)
def _finding_of(text: str, source: str) -> Finding:
    return _parse_finding(Reader.of(text, "", ""), source)


def _parse_finding(result: Reader, source: str) -> Finding:
    """An entry of ``scanner.result``. The predicate does not define the names of annotations; scanners choose them."""
    annotations = result.documents("annotations")
    severity, unknown = _rating(result)
    return Finding(
        vulnerability=result.required("id"),
        severity=severity,
        rated=", ".join(unknown),
        package=_annotation(annotations, "packageName", "package"),
        version=_annotation(annotations, "installedVersion", "version"),
        fixed_version=_annotation(annotations, "fixedVersion"),
        fix=fix_of(*annotations) if annotations else Fix.UNKNOWN,
        sources=(source,),
        purls=(_purl(annotations),),
    )


def _purl(annotations: list[Reader]) -> str:
    name = _annotation(annotations, "packageName", "package")
    kind, language = (_annotation(annotations, *keys) for keys in (("packageType", "category"), ("language",)))
    return _annotation(annotations, "purl", "packageUrl") or purl_of(name, kind, language)


def _annotation(annotations: list[Reader], *names: str) -> str:
    return next((text for name in names for annotation in annotations if (text := annotation.text(name))), "")


def _rating(result: Reader) -> tuple[Severity, list[str]]:
    """The worst of the ratings, and those that are no known severity.

    What rates something else is skipped: vectors, which repeat the score or name beside them, and numbers of other
    methods than CVSS, which have other scales, such as EPSS's of how likely an attack is.
    """
    rated: list[Severity] = []
    unknown: list[str] = []
    others: list[str] = []
    for rating in result.documents("severity"):
        score, method = rating.get("score"), rating.text("method")
        severity = _severity(score, method.lower())
        if severity is None:
            others.append(f"{method} {score}".strip()[:_SHOWN])
            continue
        rated.append(severity)
        if severity is Severity.UNKNOWN and score is not None:
            unknown.append(str(score)[:_SHOWN])
    return max(rated, default=Severity.UNKNOWN), unknown if rated else others


def _severity(score: object, method: str) -> Severity | None:
    """A score is a name, or a number if the method is a CVSS method; ``None`` for what rates something else."""
    if isinstance(score, str) and _VECTOR.match(score.strip()):
        return None
    number = _number(score)
    if number is None:
        named = Severity.parse(score)
        return None if named is Severity.UNKNOWN and _OTHER_METHODS.search(method) else named
    if "cvss" not in method:
        return None
    return Severity.of_score(number) if math.isfinite(number) else Severity.UNKNOWN


def _number(score: object) -> float | None:
    if isinstance(score, bool) or not isinstance(score, str | int | float):
        return None
    try:
        return float(score)
    except (ValueError, OverflowError):
        return None
