"""Alerts, as Alerts Management shows them.

Wire shape: Microsoft.AlertsManagement/alerts 2019-05-05-preview. UNVERIFIED: the name of the monitor service, taken
from the common alert schema.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

MONITOR_SERVICE = "Log Alerts V2"
STATES = ("New", "Acknowledged", "Closed")


@dataclass(kw_only=True)
class Alert:
    """An alert that a rule fired.

    :ivar condition: ``Fired`` or ``Resolved``, set by Azure
    :ivar state: ``New``, ``Acknowledged`` or ``Closed``, set by people
    """

    rule_id: str
    rule_name: str
    description: str
    severity: str
    target: str
    started: datetime
    modified: datetime
    modified_by: str = "System"
    condition: str = "Fired"
    state: str = "New"
    resolved: datetime | None = None
    name: str = field(default_factory=lambda: str(uuid.uuid4()))

    @property
    def id(self) -> str:
        return f"{self.target}/providers/Microsoft.AlertsManagement/alerts/{self.name}"

    @property
    def target_type(self) -> str:
        return "/".join(self.target.rpartition("/providers/")[2].split("/")[:2]).lower()

    @property
    def target_group(self) -> str:
        parts = self.target.split("/")
        return parts[4].lower() if len(parts) > 4 else ""

    def document(self) -> dict[str, Any]:
        """The resource."""
        essentials = {
            "severity": self.severity,
            "signalType": "Log",
            "alertState": self.state,
            "monitorCondition": self.condition,
            "targetResource": self.target.lower(),
            "targetResourceName": self.target.rpartition("/")[2].lower(),
            "targetResourceGroup": self.target_group,
            "targetResourceType": self.target_type,
            "monitorService": MONITOR_SERVICE,
            "alertRule": self.rule_id,
            "sourceCreatedId": self.name,
            "startDateTime": stamp(self.started),
            "lastModifiedDateTime": stamp(self.modified),
            "lastModifiedUserName": self.modified_by,
            "actionStatus": {"isSuppressed": False},
            "description": self.description,
        }
        if self.resolved is not None:
            essentials["monitorConditionResolvedDateTime"] = stamp(self.resolved)
        return {
            "id": self.id,
            "name": self.rule_name,
            "type": "Microsoft.AlertsManagement/alerts",
            "properties": {"essentials": essentials},
        }


@dataclass(frozen=True, kw_only=True)
class Notification:
    """A call of an action group for an alert.

    :ivar action_group: id of the group, whether or not it exists
    :ivar condition: ``Fired`` or ``Resolved``
    :ivar told: names of the group's receivers; none when the group is missing or disabled
    """

    at: datetime
    action_group: str
    alert_id: str
    rule_id: str
    condition: str
    told: tuple[str, ...] = ()

    def document(self) -> dict[str, Any]:
        return {
            "at": stamp(self.at),
            "actionGroup": self.action_group,
            "alert": self.alert_id,
            "rule": self.rule_id,
            "condition": self.condition,
            "told": list(self.told),
        }


def receivers(group: Mapping[str, Any] | None) -> tuple[str, ...]:
    """Names of an action group's receivers of every kind; none when the group is missing or disabled."""
    properties = group["properties"] if group is not None else {}
    if not properties.get("enabled"):
        return ()
    lists = (entries for key, entries in properties.items() if key.endswith("Receivers"))
    return tuple(str(receiver["name"]) for entries in lists for receiver in entries or ())


def stamp(moment: datetime) -> str:
    return moment.isoformat().replace("+00:00", "Z")
