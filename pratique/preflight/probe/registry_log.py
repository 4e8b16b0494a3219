"""What the registry's log writes about imports, and how late alerts follow."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from statistics import median
from typing import Any

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
from pratique.preflight.probe.redaction import Redactor

TOPIC = "The registry's log and its alert"
OPERATIONS = Question("log.operations", TOPIC, "Under which names are imports and pushes logged?")
SOURCE = Question("log.source", TOPIC, "Where does the log name an import's source?")
IDENTITY = Question("log.identity", TOPIC, "What does 'Identity' hold?")
DELAY = Question("log.delay", TOPIC, "How long after an event is its row in the log?")
LOGINS = Question("log.logins", TOPIC, "Are logins logged, and what does their 'Identity' hold?")
ALERT = Question("alert.delay", TOPIC, "How long after an event does the alert fire?")
LOG_QUESTIONS = (OPERATIONS, SOURCE, IDENTITY, DELAY)

_GUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)
_MEDIA_TYPE = re.compile(r"application/[\w.+-]+")
_IMPORT = "importimage"
EVALUATION_MINUTES = 10  # between two evaluations of the template's rule
_MARGIN_MINUTES = 5
_MOST_LINES = 15


@dataclass(frozen=True)
class Me:
    """The identity that runs the probe.

    :ivar application_id: empty for a person
    """

    object_id: str
    application_id: str
    name: str


@dataclass(frozen=True)
class FiredAlert:
    """An alert.

    :ivar fired: by Azure's clock
    :ivar events: times at which images were put into live/ past the quarantine, since the alert before; ``None`` when
        they could not be read
    """

    fired: datetime
    events: tuple[datetime, ...] | None


def log_answers(
    rows: Sequence[Mapping[str, Any]], days: int, me: Me, deadline: float, redactor: Redactor
) -> list[Answer]:
    """The answers to :data:`LOG_QUESTIONS`.

    :param rows: of the repositories in ``quarantine/`` and ``live/`` without pulls; with the column ``Ingested``
    :param days: for which the log was read
    :param deadline: the configured minutes within which an alert has to fire
    """
    if not rows:
        text = f"No imports or pushes in the log of the last {days} days, or no diagnostic setting sends them."
        return [nothing_seen(question, text) for question in LOG_QUESTIONS]
    imports = [row for row in rows if _text(row, "OperationName").casefold() == _IMPORT]
    return [
        _operations(rows, imports, redactor),
        _sources(rows, redactor),
        _identities(rows, me, redactor),
        _delays(rows, deadline),
    ]


def _operations(rows: Sequence[Mapping[str, Any]], imports: Sequence[Any], redactor: Redactor) -> Answer:
    def line(row: Mapping[str, Any]) -> str:
        name, kind, code = (redactor.word(_text(row, column)) for column in ("OperationName", "ResultType", "Category"))
        result = _text(row, "ResultDescription")
        return f"{name}, {kind or 'no result type'} {result if result.isdigit() else 'other'}, category {code}"

    counts = counted(map(line, rows))
    fits = DEFAULT if imports else "No setting fits: the audit and the alert look for importImage. Attach this report."
    return seen(OPERATIONS, tally(counts, len(rows))[:_MOST_LINES], fits=fits, evidence={"operations": counts})


def _sources(rows: Sequence[Mapping[str, Any]], redactor: Redactor) -> Answer:
    counts = counted(
        f"{redactor.word(_text(row, 'OperationName'))}: MediaType is {_source_form(_text(row, 'MediaType'))}"
        for row in rows
    )
    examples = {
        form: redactor.reference(_text(row, "MediaType"))
        for row in rows
        if (form := _source_form(_text(row, "MediaType"))) != "a media type"
    }
    told = any(form in ("a resource id with repository", "an image reference") for form in examples)
    fits = DEFAULT if told else REPORT
    return seen(
        SOURCE, tally(counts, len(rows))[:_MOST_LINES], fits=fits, evidence={"forms": counts, "examples": examples}
    )


def _source_form(media_type: str) -> str:
    if not media_type:
        return "empty"
    if _MEDIA_TYPE.fullmatch(media_type):
        return "a media type"
    if media_type.casefold().startswith("/subscriptions/"):
        return "a resource id with repository" if "/quarantine/" in media_type.casefold() else "a resource id"
    return "an image reference" if "/" in media_type else "something else"


def _identities(rows: Sequence[Mapping[str, Any]], me: Me, redactor: Redactor) -> Answer:
    forms = [identity_form(_text(row, "Identity"), me) for row in rows]
    names = [redactor.word(_text(row, "OperationName")) for row in rows]
    counts = counted(f"{name}: {form}" for name, form in zip(names, forms, strict=True))
    mine = "the object id of this identity" in forms
    observed = tally(counts, len(rows))
    if mine:
        return seen(IDENTITY, observed, evidence={"forms": counts})
    fits = f"{REPORT} The audit expects the object id; run the probe as the identity that imports, to be sure."
    return seen(IDENTITY, observed, fits=fits, evidence={"forms": counts})


def identity_form(identity: str, me: Me) -> str:
    """What a row's ``Identity`` is, without telling it."""
    folded = identity.strip().casefold()
    own = {
        me.name.casefold(): "the name of this identity",
        me.application_id.casefold(): "the application id of this identity",  # which may be the name, too
        me.object_id.casefold(): "the object id of this identity",
    }
    if not folded:
        return "empty"
    if folded in own:
        return own[folded]
    if _GUID.fullmatch(folded):
        return "a GUID of another identity"
    return "a user principal name" if "@" in folded else "a name or something else"


def _delays(rows: Sequence[Mapping[str, Any]], deadline: float) -> Answer:
    delays = [
        (ingested - happened).total_seconds() / 60
        for row in rows
        if isinstance(happened := row.get("TimeGenerated"), datetime)
        and isinstance(ingested := row.get("Ingested"), datetime)
    ]
    if not delays:
        return nothing_seen(DELAY, "No row has both times.")
    in_time = max(delays) + EVALUATION_MINUTES <= deadline
    fits = DEFAULT if in_time else _deadline(max(delays) + EVALUATION_MINUTES)
    return seen(DELAY, [_spread(delays)], fits=fits, evidence=_numbers(delays))


def login_answer(rows: Sequence[Mapping[str, Any]], days: int, me: Me, redactor: Redactor) -> Answer:
    """The answer to :data:`LOGINS`."""
    if not rows:
        return nothing_seen(LOGINS, f"No logins in the log of the last {days} days.")
    forms = counted(identity_form(_text(row, "Identity"), me) for row in rows)
    names = counted(redactor.word(_text(row, "OperationName")) for row in rows)
    observed = [*tally(forms, len(rows)), f"operations: {', '.join(tally(names))}"]
    return seen(LOGINS, observed, fits="Pratique reads no logins.", evidence={"forms": forms, "operations": names})


def alert_answer(alerts: Sequence[FiredAlert], days: int, deadline: float) -> Answer:
    """The answer to :data:`ALERT`.

    :param deadline: the configured minutes within which an alert has to fire
    """
    if not alerts:
        text = f"The rule fired no alert in the last {days} days. A drill makes it fire: pratique drill."
        return nothing_seen(ALERT, text)
    delays = [
        (alert.fired - min(alert.events)).total_seconds() / 60
        for alert in alerts
        if alert.events is not None and alert.events
    ]
    observed = [f"{len(alerts)} alerts in {days} days"]
    if not delays:
        observed.append("no event in the log could be matched with them")
        return seen(ALERT, observed, fits=REPORT, evidence={"alerts": len(alerts)})
    observed.append(f"from the first event: {_spread(delays)}")
    evidence = {"alerts": len(alerts), **_numbers(delays)}
    fits = DEFAULT if max(delays) <= deadline else _deadline(max(delays))
    return seen(ALERT, observed, fits=fits, evidence=evidence)


def _deadline(slowest: float) -> str:
    return f"drill.deadline: more than {int(slowest) + 1 + _MARGIN_MINUTES} minutes."


def _spread(minutes: Sequence[float]) -> str:
    text = f"{min(minutes):.1f} to {max(minutes):.1f} minutes, median {median(minutes):.1f}"
    return f"{text}, of {len(minutes)}"


def _numbers(minutes: Sequence[float]) -> dict[str, float]:
    return {
        "number": len(minutes),
        "shortest_minutes": round(min(minutes), 1),
        "median_minutes": round(median(minutes), 1),
        "longest_minutes": round(max(minutes), 1),
    }


def matched(fired: Iterable[datetime], events: Sequence[datetime] | None) -> list[FiredAlert]:
    """Each alert with the events since the one before, at most a day earlier."""
    found, before = [], None
    for at in sorted(fired):
        since = max(before, at - timedelta(days=1)) if before else at - timedelta(days=1)
        own = None if events is None else tuple(event for event in events if since < event <= at)
        found.append(FiredAlert(at, own))
        before = at
    return found


def _text(row: Mapping[str, Any], column: str) -> str:
    return str(row.get(column) or "")
