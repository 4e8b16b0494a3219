"""A drill's report, and its entry in :data:`FILE` on the records branch, for auditors.

The entry is written before any image is put into ``live/``, and later replaced by the result. The entry of a drill that
crashed stays ``begun``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Literal

from pratique.audit.drill.alert import AlertResult, AlertSetup, LoggedEvent
from pratique.audit.drill.diagnosis import Defect
from pratique.audit.drill.seal import SealAttempt
from pratique.audit.drill.staging import StagedImage
from pratique.azure.alerts import Alert
from pratique.errors import AlertNotFired, PermanentError, SealNotEffective
from pratique.markdown import literal, table
from pratique.records.document import dump, format_time, load

FILE = "drills.json"
VERSION = 1
_KEY = "drills"

Outcome = Literal["begun", "passed", "failed"]


@dataclass(frozen=True, kw_only=True)
class DrillReport:
    """The report of one drill.

    :ivar run: id of the flow run
    :ivar by: the identity that ran the drill
    :ivar rule: name of the alert rule
    :ivar notified: ids of the action groups
    :ivar seal: what the locks had to refuse; empty when the seal is off
    :ivar seal_defects: what they did not refuse, or could not be tried
    :ivar leftovers: repositories that an earlier drill had left and this one removed before it began
    :ivar removed: repositories of this drill that were removed, each read back as gone
    """

    run: str
    registry: str
    by: str
    began: datetime
    ended: datetime
    outcome: Outcome
    rule: str
    notified: tuple[str, ...] = ()
    staged: tuple[StagedImage, ...] = ()
    events: tuple[LoggedEvent, ...] = ()
    alert: Alert | None = None
    defects: tuple[Defect, ...] = ()
    seal: tuple[SealAttempt, ...] = ()
    seal_defects: tuple[Defect, ...] = ()
    leftovers: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()

    @property
    def delay(self) -> float | None:
        """Seconds from the first event (a completed import or push) to the alert."""
        if self.alert is None or not self.events:
            return None
        return (self.alert.started - min(event.happened for event in self.events)).total_seconds()

    def require_passed(self) -> None:
        """Check the result.

        :raises AlertNotFired: when the alert did not fire for all images, or would have notified nobody
        :raises SealNotEffective: when it did, and a lock let something through that it has to refuse
        """
        defects = (*self.defects, *self.seal_defects)
        if not defects:
            return
        attempted, subject = "get the alert", f"{self.rule} of {self.registry}"
        kind: type[PermanentError] = AlertNotFired
        if not self.defects:
            kind, attempted, subject = SealNotEffective, "prove the seal", self.registry
        raise kind(
            attempted,
            subject,
            " ".join(defect.cause for defect in defects),
            " ".join(dict.fromkeys(defect.remedy for defect in defects)),
        )

    def markdown(self) -> str:
        """The report as Markdown."""
        heading = {"passed": "The alert fired", "failed": "The alert is not reliable", "begun": "Begun"}
        if self.seal_defects and not self.defects:
            heading["failed"] = "The alert fired, and the seal is not effective"
        facts = [
            ("registry", self.registry),
            ("run by", self.by),
            ("began", format_time(self.began)),
            ("ended", format_time(self.ended)),
            ("rule", self.rule),
            ("notified", ", ".join(self.notified) or "nobody"),
            ("alert", f"{self.alert.severity}, {format_time(self.alert.started)}" if self.alert else "none"),
            ("delay", f"{self.delay:.0f} s from the first event" if self.delay is not None else "-"),
            ("removed", ", ".join(self.removed) or "nothing"),
            ("left by an earlier drill", ", ".join(self.leftovers) or "nothing"),
        ]
        parts = [f"# {heading[self.outcome]}", table(("", ""), facts)]
        defects = (*self.defects, *self.seal_defects)
        parts += [f"- {literal(defect.cause)} {literal(defect.remedy)}" for defect in defects]
        if self.staged:
            parts.append(table(("way", "image", "completed", "logged", "found by the rule's query"), self._rows()))
        if self.seal:
            attempts = [(attempt.what, attempt.outcome, attempt.observed or "-") for attempt in self.seal]
            parts += ["## The seal", table(("attempt on the locked image", "outcome", "observed"), attempts)]
        return "\n\n".join(parts) + "\n"

    def _rows(self) -> list[tuple[str, ...]]:
        rows: list[tuple[str, ...]] = []
        for image in self.staged:
            event = next((event for event in self.events if event.repository == image.reference.repository), None)
            logged = ("-", "no", "-")
            if event is not None:
                delay = (event.ingested - event.happened).total_seconds()
                logged = (format_time(event.happened), f"after {delay:.0f} s", "yes" if event.matched else "no")
            rows.append((image.way, image.reference.short, *logged))
        return rows

    def entry(self) -> dict[str, Any]:
        """The report's entry in :data:`FILE`."""
        return {
            "run": self.run,
            "registry": self.registry,
            "by": self.by,
            "began": format_time(self.began),
            "ended": format_time(self.ended),
            "outcome": self.outcome,
            "rule": self.rule,
            "notified": list(self.notified),
            "images": [
                {"way": image.way, "reference": str(image.reference), "began": format_time(image.began)}
                for image in self.staged
            ],
            "events": [
                {
                    "repository": event.repository,
                    "operation": event.operation,
                    "identity": event.identity,
                    "address": event.address,
                    "happened": format_time(event.happened),
                    "ingested": format_time(event.ingested),
                    "matched": event.matched,
                }
                for event in self.events
            ],
            "alert": self.alert and {"id": self.alert.id, "started": format_time(self.alert.started)},
            "delay_seconds": self.delay,
            "defects": [str(defect) for defect in (*self.defects, *self.seal_defects)],
            "seal": [
                {"what": attempt.what, "outcome": attempt.outcome, "observed": attempt.observed}
                for attempt in self.seal
            ],
            "leftovers": list(self.leftovers),
            "removed": list(self.removed),
        }


def final_report(
    begun: DrillReport,
    setup: AlertSetup,
    staged: Sequence[StagedImage],
    result: AlertResult | None,
    found: Sequence[Defect],
    *,
    seal: Sequence[SealAttempt] = (),
    seal_defects: Sequence[Defect] = (),
    removed: Sequence[str],
    ended: datetime,
) -> DrillReport:
    """The report of a completed drill.

    :param begun: the report from when the drill began
    :param result: ``None`` when the alert's setup had defects, so that no image was staged
    :param found: the alert's defects
    :param seal: what was tried on the locked image
    :param seal_defects: what of it the locks did not refuse
    """
    return replace(
        begun,
        ended=ended,
        outcome="failed" if found or seal_defects else "passed",
        rule=setup.name,
        notified=tuple(group_id for group_id, group in setup.action_groups if group is not None),
        staged=tuple(staged),
        events=result.events if result else (),
        alert=result.alert if result else None,
        defects=tuple(found),
        seal=tuple(seal),
        seal_defects=tuple(seal_defects),
        removed=tuple(removed),
    )


def merge_entry(text: str | None, report: DrillReport) -> str:
    """Add the report to the text of :data:`FILE`, in place of the entry from when the drill began.

    :param text: current text of the file; ``None`` when there is no file
    :raises UnreadableAnswer: when the text is malformed or has another version
    """
    entries: list[Mapping[str, Any]] = load(text, FILE, _KEY, VERSION, _entry) if text is not None else []
    kept = [entry for entry in entries if entry["run"] != report.run or not report.run]
    return dump(_KEY, VERSION, [*kept, report.entry()])


def _entry(entry: Mapping[str, Any]) -> Mapping[str, Any]:
    """Check an entry. Only its run is used."""
    if not isinstance(entry["run"], str):
        raise TypeError(f"run is {entry['run']!r}")
    return entry
