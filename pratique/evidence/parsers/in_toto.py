"""The in-toto statement of a complete scan, with the predicate "vulns" v0.2, as attached to an image.

Defender attaches one in the registry, and other scanners can too. Whoever wrote it, only an empty list of results
proves that the scan found nothing. The predicate requires ``scanner.db.lastUpdate``; without it nobody knows how old
the scanner's knowledge was.
"""

from __future__ import annotations

import math

from pratique.config.scanner_command import filters
from pratique.evidence.parsers.assessment import Assessment
from pratique.evidence.parsers.defender import fix_of, purl_of
from pratique.evidence.parsers.json_reader import Reader, unreadable
from pratique.findings import Finding, Fix, Severity

STATEMENT_TYPE = "https://in-toto.io/Statement/v1"
PREDICATE_TYPE = "https://in-toto.io/attestation/vulns/v0.2"


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
    if digest not in {f"sha256:{subject.document('digest').text('sha256')}" for subject in subjects}:
        raise unreadable(digest, "The statement is about another image.")
    predicate = statement.document("predicate")
    scanner = predicate.document("scanner")
    if scanner.get("result") is None:
        raise unreadable(digest, "The statement has no list of results.")
    findings = tuple(_finding(result, source) for result in scanner.documents("result"))
    finished = predicate.document("metadata").required_timestamp("scanFinishedOn")
    name = " ".join(part for part in (scanner.required("uri"), scanner.text("version")) if part)
    updated = scanner.optional("db").timestamp("lastUpdate")
    arguments = predicate.optional("invocation").texts("parameters")
    return Assessment(findings, finished, name, updated, gap=_gap(arguments))


def _gap(arguments: list[str]) -> str:
    """Which argument may have left findings out. The predicate has no field for arguments; cosign's, its model, has."""
    left_out = filters(arguments)
    return f"its scanner ran with {', '.join(left_out)}, which may leave findings out" if left_out else ""


def _finding(result: Reader, source: str) -> Finding:
    """An entry of ``scanner.result``. The predicate does not define the names of annotations; scanners choose them."""
    annotations = result.documents("annotations")
    return Finding(
        vulnerability=result.required("id"),
        severity=_worst(result),
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


def _worst(result: Reader) -> Severity:
    """The worst of the ratings. CVSS vectors are skipped: they repeat the score or name given beside them."""
    ratings = result.documents("severity")
    plain = [rating for rating in ratings if not rating.text("score").startswith("CVSS:")]
    return max((_rating(rating) for rating in plain), default=Severity.UNKNOWN)


def _rating(rating: Reader) -> Severity:
    """A score is a name, or a number if the method is a CVSS method: numbers of other methods have other scales."""
    score = rating.get("score")
    if "cvss" not in rating.text("method").lower() or isinstance(score, bool):
        return Severity.parse(score)
    try:
        number = float(score)
    except (TypeError, ValueError, OverflowError):
        return Severity.parse(score)
    return Severity.of_score(number) if math.isfinite(number) else Severity.UNKNOWN
