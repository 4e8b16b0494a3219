"""What has to stand for an alarm to ring: a rule, the log that feeds it, and somebody who is told.

Azure's SDK for these resources is not needed to read three of them: Resource Manager serves any resource by its id.

Facts: Microsoft.Insights REST API (scheduledQueryRules 2022-06-15, diagnosticSettings 2021-05-01-preview, actionGroups
2023-01-01).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast
from urllib.parse import quote

from pratique.azure.faults import azure_faults
from pratique.azure.session import AzureSession
from pratique.errors import NotFound, UnreadableAnswer

_INSIGHTS = "providers/Microsoft.Insights"
_ALL_LOGS = ("allLogs", "audit")  # groups of categories; the registry's repository events are in both


@dataclass(frozen=True)
class AlertRule:
    """A log search alert rule.

    :ivar frequency: time between two evaluations, as Azure writes it: ``PT10M``
    :ivar scopes: ids of what the query looks at: resources, groups, workspaces
    :ivar stateful: whether an alert that is not resolved keeps the rule from firing again
    :ivar action_groups: ids of those that are told
    """

    id: str
    name: str
    enabled: bool
    query: str
    frequency: str
    scopes: tuple[str, ...]
    stateful: bool
    action_groups: tuple[str, ...]


@dataclass(frozen=True)
class LogSetting:
    """A diagnostic setting.

    :ivar workspace: id of the workspace that it sends to; empty for none
    :ivar sends: whether it sends the category that was asked about
    """

    name: str
    workspace: str
    sends: bool


@dataclass(frozen=True)
class ActionGroup:
    """Who is told of an alert.

    :ivar receivers: how many it has, of whatever kind
    """

    id: str
    name: str
    enabled: bool
    receivers: int


async def read_rule(session: AzureSession, group: str, name: str) -> AlertRule | None:
    """A rule of a resource group by its name; ``None`` when there is none."""
    path = f"/subscriptions/{session.subscription_id}/resourceGroups/{group}/{_INSIGHTS}/scheduledQueryRules/"
    found = await _read(session, "read the alert rule", path + quote(name), "2022-06-15")
    if found is None:
        return None
    asked = _properties(found, name)
    criteria = (asked.get("criteria") or {}).get("allOf") or [{}]
    return AlertRule(
        id=str(found.get("id")),
        name=str(found.get("name")),
        enabled=asked.get("enabled") is not False,
        query=str(criteria[0].get("query") or ""),
        frequency=str(asked.get("evaluationFrequency") or ""),
        scopes=tuple(map(str, asked.get("scopes") or ())),
        stateful=asked.get("autoMitigate") is not False,
        action_groups=tuple(map(str, (asked.get("actions") or {}).get("actionGroups") or ())),
    )


async def log_settings(session: AzureSession, resource_id: str, category: str) -> list[LogSetting]:
    """The diagnostic settings of a resource.

    :param category: of logs, for :attr:`LogSetting.sends`
    """
    path = f"{resource_id}/{_INSIGHTS}/diagnosticSettings"
    found = await _read(session, "read the diagnostic settings", path, "2021-05-01-preview") or {}
    settings = []
    for entry in found.get("value") or ():
        asked = _properties(entry, resource_id)
        logs = [log for log in asked.get("logs") or () if log.get("enabled")]
        sends = any(log.get("category") == category or log.get("categoryGroup") in _ALL_LOGS for log in logs)
        settings.append(LogSetting(str(entry.get("name")), str(asked.get("workspaceId") or ""), sends))
    return settings


async def read_action_group(session: AzureSession, group_id: str) -> ActionGroup | None:
    """An action group by its id; ``None`` when there is none."""
    found = await _read(session, "read the action group", group_id, "2023-01-01")
    if found is None:
        return None
    asked = _properties(found, group_id)
    receivers = sum(len(entries or ()) for key, entries in asked.items() if key.endswith("Receivers"))
    return ActionGroup(str(found.get("id")), str(found.get("name")), asked.get("enabled") is True, receivers)


async def _read(session: AzureSession, attempted: str, path: str, version: str) -> dict[str, Any] | None:
    """The JSON that Resource Manager answers with, ``None`` for 404."""
    try:
        with azure_faults(attempted, path):
            # With a "cls", the SDK's method returns what that makes of the answer: its own model drops lists.
            body = await session.resources.resources.get_by_id(
                path, version, cls=lambda answer, *_: answer.http_response.json()
            )
    except NotFound:
        return None
    if not isinstance(body, dict):
        raise UnreadableAnswer(attempted, path, "It is no JSON object.", "Run again.")
    return cast(dict[str, Any], body)


def _properties(found: Mapping[str, Any], subject: str) -> Mapping[str, Any]:
    properties = found.get("properties")
    if not isinstance(properties, dict):
        raise UnreadableAnswer("read the resource", subject, "It has no properties.", "Run again.")
    return properties
