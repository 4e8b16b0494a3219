"""The statement of a whole scan that lies beside an image: in-toto, with the predicate "vulns" v0.2.

Defender attaches one in the registry, and so may any scanner. Whoever wrote it, only its list of results can say that
nothing was found.
"""

from __future__ import annotations

import math

from pratique.evidence.parsers.assessment import Assessment
from pratique.evidence.parsers.defender import fix_of
from pratique.evidence.parsers.json_reader import Reader, unreadable
from pratique.findings import Finding, Fix, Severity

STATEMENT_TYPE = "https://in-toto.io/Statement/v1"
PREDICATE_TYPE = "https://in-toto.io/attestation/vulns/v0.2"


def from_statement(document: bytes, *, digest: str, source: str) -> Assessment:
    """Read an in-toto statement with a vulnerability predicate.

    :param document: the artifact's layer, after its signature was verified
    :param digest: of the manifest that the statement has to be about
    :raises UnreadableAnswer: when it is about something else, or does not say in full what was found
    """
    statement = Reader.of(document, digest, "statement")
    for key, expected in (("_type", STATEMENT_TYPE), ("predicateType", PREDICATE_TYPE)):
        if statement.required(key) != expected:
            raise statement.wrong(key, f"is {statement.required(key)!r:.100} instead of {expected!r}")
    if digest not in {f"sha256:{one.document('digest').text('sha256')}" for one in statement.documents("subject")}:
        raise unreadable(digest, "The statement is about another image.")
    predicate = statement.document("predicate")
    scanner = predicate.document("scanner")
    if scanner.get("result") is None:
        raise unreadable(digest, "The statement has no list of results.")
    findings = tuple(_finding(result, source) for result in scanner.documents("result"))
    finished = predicate.document("metadata").required_moment("scanFinishedOn")
    name = " ".join(part for part in (scanner.required("uri"), scanner.text("version")) if part)
    return Assessment(findings, finished, name)


def _finding(result: Reader, source: str) -> Finding:
    """An entry of ``scanner.result``; the predicate leaves the annotations' names to the scanner."""
    notes = result.documents("annotations")
    return Finding(
        vulnerability=result.required("id"),
        severity=_worst(result),
        package=_noted(notes, "packageName", "package"),
        version=_noted(notes, "installedVersion", "version"),
        fixed_version=_noted(notes, "fixedVersion"),
        fix=fix_of(*notes) if notes else Fix.UNKNOWN,
        sources=(source,),
    )


def _noted(notes: list[Reader], *names: str) -> str:
    return next((text for name in names for note in notes if (text := note.text(name))), "")


def _worst(result: Reader) -> Severity:
    """The worst of the ratings; a CVSS vector only repeats what a score or name beside it says."""
    ratings = result.documents("severity")
    plain = [rating for rating in ratings if not rating.text("score").startswith("CVSS:")]
    return max((_rating(rating) for rating in plain), default=Severity.UNKNOWN)


def _rating(rating: Reader) -> Severity:
    """A score is a name, or a number by one of CVSS's methods: other methods' numbers mean something else."""
    score = rating.get("score")
    if "cvss" not in rating.text("method").lower() or isinstance(score, bool):
        return Severity.parse(score)
    try:
        number = float(score)
    except (TypeError, ValueError, OverflowError):
        return Severity.parse(score)
    return Severity.of_score(number) if math.isfinite(number) else Severity.UNKNOWN
