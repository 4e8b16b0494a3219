"""What a drill leaves behind for an auditor: a report to read, and an entry of :data:`FILE` on the records' branch.

The entry is made before anything is put into ``live/``, and replaced by the result: a drill that died stays ``begun``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from pratique.audit.drill.alert import AlertResult, AlertSetup, Recorded
from pratique.audit.drill.diagnosis import Defect
from pratique.audit.drill.staging import Staged
from pratique.azure.alerts import Alert
from pratique.errors import AlertNotFired
from pratique.markdown import literal, table
from pratique.records.document import dump, format_time, load

FILE = "drills.json"
VERSION = 1
_KEY = "drills"

Outcome = Literal["begun", "passed", "failed"]


@dataclass(frozen=True)
class DrillReport:
    """One drill.

    :ivar run: id of the flow run
    :ivar by: whose identity the drill had
    :ivar rule: name of the alert rule
    :ivar notified: ids of the action groups
    :ivar leftovers: repositories that an earlier drill had left, and that were removed
    :ivar removed: repositories that this one removed, each read back as gone
    """

    run: str
    registry: str
    by: str
    began: datetime
    ended: datetime
    outcome: Outcome
    rule: str
    notified: tuple[str, ...] = ()
    staged: tuple[Staged, ...] = ()
    events: tuple[Recorded, ...] = ()
    alert: Alert | None = None
    defects: tuple[Defect, ...] = ()
    leftovers: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()

    @property
    def delay(self) -> float | None:
        """Seconds from the first event, when its import or push was done, to the alert."""
        if self.alert is None or not self.events:
            return None
        return (self.alert.started - min(event.happened for event in self.events)).total_seconds()

    def require(self) -> None:
        """:raises AlertNotFired: unless the alarm rang for everything, and somebody was told"""
        if self.outcome == "failed":
            raise AlertNotFired(
                "hear the alarm",
                f"{self.rule} of {self.registry}",
                " ".join(defect.cause for defect in self.defects),
                " ".join(dict.fromkeys(defect.remedy for defect in self.defects)),
            )

    def markdown(self) -> str:
        """For people to read."""
        heading = {"passed": "The alarm rang", "failed": "The alarm is not to be relied on", "begun": "Begun"}
        facts = [
            ("registry", self.registry),
            ("by", self.by),
            ("from", format_time(self.began)),
            ("to", format_time(self.ended)),
            ("rule", self.rule),
            ("notified", ", ".join(self.notified) or "nobody"),
            ("alert", f"{self.alert.severity}, {format_time(self.alert.started)}" if self.alert else "none"),
            ("delay", f"{self.delay:.0f} s from the first event" if self.delay is not None else "-"),
            ("removed", ", ".join(self.removed) or "nothing was there"),
            ("left by an earlier drill", ", ".join(self.leftovers) or "nothing"),
        ]
        parts = [f"# {heading[self.outcome]}", table(("", ""), facts)]
        parts += [f"- {literal(defect.cause)} {literal(defect.remedy)}" for defect in self.defects]
        if self.staged:
            parts.append(table(("way", "image", "done", "in the log", "the rule's query"), self._rows()))
        return "\n\n".join(parts) + "\n"

    def _rows(self) -> list[tuple[str, ...]]:
        rows: list[tuple[str, ...]] = []
        for one in self.staged:
            event = next((event for event in self.events if event.repository == one.reference.repository), None)
            seen = ("-", "not seen", "-")
            if event is not None:
                late = (event.ingested - event.happened).total_seconds()
                finds = "finds it" if event.matched else "does not find it"
                seen = (format_time(event.happened), f"after {late:.0f} s", finds)
            rows.append((one.way, one.reference.short, *seen))
        return rows

    def entry(self) -> dict[str, Any]:
        """Its JSON form."""
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
                {"way": one.way, "reference": str(one.reference), "began": format_time(one.began)}
                for one in self.staged
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
            "defects": [str(defect) for defect in self.defects],
            "leftovers": list(self.leftovers),
            "removed": list(self.removed),
        }


def concluded(
    begun: DrillReport,
    setup: AlertSetup,
    staged: Sequence[Staged],
    heard: AlertResult | None,
    found: Sequence[Defect],
    *,
    removed: Sequence[str],
    ended: datetime,
) -> DrillReport:
    """The drill's result.

    :param heard: ``None`` when the alarm was found defective before anything was staged
    :param found: what is wrong with the alarm
    """
    return DrillReport(
        begun.run,
        begun.registry,
        begun.by,
        begun.began,
        ended,
        "failed" if found else "passed",
        setup.name,
        tuple(group_id for group_id, group in setup.groups if group is not None),
        tuple(staged),
        heard.events if heard else (),
        heard.alert if heard else None,
        tuple(found),
        begun.leftovers,
        tuple(removed),
    )


def including(text: str | None, report: DrillReport) -> str:
    """The text of :data:`FILE` with this drill, in place of what was written when it began.

    :param text: as it is; ``None`` for no file
    :raises UnreadableAnswer: when it is of another version, or malformed
    """
    before: list[Mapping[str, Any]] = load(text, FILE, _KEY, VERSION, _entry) if text is not None else []
    kept = [one for one in before if one["run"] != report.run or not report.run]
    return dump(_KEY, VERSION, [*kept, report.entry()])


def _entry(entry: Mapping[str, Any]) -> Mapping[str, Any]:
    """An entry of any drill, of which only its run is read again."""
    if not isinstance(entry["run"], str):
        raise TypeError(f"run is {entry['run']!r}")
    return entry
