"""What an alert needs in Azure Monitor: a rule, the log that feeds it, and an action group that notifies somebody.

These resources are read by their ids through Resource Manager, which needs no SDK of its own for Azure Monitor.

Facts: Microsoft.Insights REST API (scheduledQueryRules 2022-06-15, diagnosticSettings 2021-05-01-preview, actionGroups
2023-01-01).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from pratique.azure.documents import read_document
from pratique.azure.session import AzureSession
from pratique.errors import NotFound, UnreadableAnswer

_INSIGHTS = "providers/Microsoft.Insights"
_ALL_LOGS = ("allLogs", "audit")  # category groups; both contain the registry's repository events


@dataclass(frozen=True, kw_only=True)
class AlertRule:
    """A log search alert rule.

    :ivar frequency: time between two evaluations, as Azure writes it: ``PT10M``
    :ivar scopes: ids of the resources, resource groups and workspaces that the query covers
    :ivar stateful: whether an unresolved alert keeps the rule from firing again
    :ivar action_groups: ids of the action groups that the rule notifies
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
class DiagnosticSetting:
    """A diagnostic setting of a resource.

    :ivar workspace: id of the workspace that it sends logs to; empty for none
    :ivar sends: whether it sends the requested category
    """

    name: str
    workspace: str
    sends: bool


@dataclass(frozen=True)
class ActionGroup:
    """The receivers that an alert notifies.

    :ivar receivers: number of receivers of all kinds
    """

    id: str
    name: str
    enabled: bool
    receivers: int


async def read_rule(session: AzureSession, group: str, rule: str) -> AlertRule | None:
    """Read an alert rule; ``None`` if it does not exist.

    :param group: ARM id of the resource group
    :param rule: the rule's name in that group, or the ARM id of a rule in any
    """
    path = rule if rule.startswith("/") else f"{group}/{_INSIGHTS}/scheduledQueryRules/{rule}"
    found = await _read(session, "read the alert rule", quote(path), "2022-06-15")
    if found is None:
        return None
    properties = _properties(found, rule)
    criteria = (properties.get("criteria") or {}).get("allOf") or [{}]
    return AlertRule(
        id=str(found.get("id")),
        name=str(found.get("name")),
        enabled=properties.get("enabled") is not False,
        query=str(criteria[0].get("query") or ""),
        frequency=str(properties.get("evaluationFrequency") or ""),
        scopes=tuple(map(str, properties.get("scopes") or ())),
        stateful=properties.get("autoMitigate") is not False,
        action_groups=tuple(map(str, (properties.get("actions") or {}).get("actionGroups") or ())),
    )


async def read_diagnostic_settings(session: AzureSession, resource_id: str, category: str) -> list[DiagnosticSetting]:
    """Read the diagnostic settings of a resource.

    :param category: log category, for :attr:`DiagnosticSetting.sends`
    """
    path = f"{resource_id}/{_INSIGHTS}/diagnosticSettings"
    found = await _read(session, "read the diagnostic settings", path, "2021-05-01-preview") or {}
    settings = []
    for entry in found.get("value") or ():
        properties = _properties(entry, resource_id)
        logs = [log for log in properties.get("logs") or () if log.get("enabled")]
        sends = any(log.get("category") == category or log.get("categoryGroup") in _ALL_LOGS for log in logs)
        settings.append(DiagnosticSetting(str(entry.get("name")), str(properties.get("workspaceId") or ""), sends))
    return settings


async def read_action_group(session: AzureSession, group_id: str) -> ActionGroup | None:
    """Read an action group by its id; ``None`` if it does not exist."""
    found = await _read(session, "read the action group", group_id, "2023-01-01")
    if found is None:
        return None
    properties = _properties(found, group_id)
    receivers = sum(len(entries or ()) for key, entries in properties.items() if key.endswith("Receivers"))
    return ActionGroup(str(found.get("id")), str(found.get("name")), properties.get("enabled") is True, receivers)


async def _read(session: AzureSession, attempted: str, path: str, version: str) -> dict[str, Any] | None:
    """Resource Manager's JSON answer; ``None`` for 404."""
    try:
        return await read_document(session, attempted, path, version)
    except NotFound:
        return None


def _properties(found: Mapping[str, Any], subject: str) -> Mapping[str, Any]:
    properties = found.get("properties")
    if not isinstance(properties, dict):
        raise UnreadableAnswer("read the resource", subject, "The answer has no properties.", "Run again.")
    return properties
