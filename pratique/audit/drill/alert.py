"""The alert that a bypass of the quarantine must fire: its setup, and whether it fired.

Everything is read from Azure: the deployed rule, the diagnostic settings that feed it, the action groups that it
notifies, the rows of the log, and the alerts.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

from pratique.audit.drill.staging import StagedImage
from pratique.azure.alerts import Alert, list_alerts
from pratique.azure.logs import Row, query_logs, timestamp
from pratique.azure.monitor import (
    ActionGroup,
    AlertRule,
    DiagnosticSetting,
    read_action_group,
    read_diagnostic_settings,
    read_rule,
)
from pratique.azure.registries import Registry
from pratique.azure.resource_ids import ResourceId
from pratique.azure.session import AzureSession
from pratique.config import Drill
from pratique.errors import OperationFailed
from pratique.images import DRILL

CATEGORY = "ContainerRegistryRepositoryEvents"

#: How far Azure's clock may be ahead of the worker's.
_AHEAD = timedelta(hours=1)
_DRILL_EVENTS = f"""
{CATEGORY}
| where Repository startswith "{DRILL}"
| where OperationName =~ "Push" or OperationName =~ "importImage"
| summarize Happened = min(TimeGenerated), Ingested = min(ingestion_time()) by Repository, OperationName, Identity,
    CallerIpAddress
""".strip()


@dataclass(frozen=True, kw_only=True)
class AlertSetup:
    """The resources that make up the alert.

    :ivar group: ARM id of the resource group of the registry, in which a rule without an id is
    :ivar name: configured name or ARM id of the rule
    :ivar rule: ``None`` when there is no rule of that name
    :ivar settings: diagnostic settings of the registry
    :ivar action_groups: ids of the rule's action groups, each with its group, or ``None`` if that does not exist
    """

    group: str
    name: str
    rule: AlertRule | None
    settings: tuple[DiagnosticSetting, ...]
    action_groups: tuple[tuple[str, ActionGroup | None], ...]

    @property
    def alert_groups(self) -> tuple[str, ...]:
        """ARM ids of the resource groups at which the rule's alerts are listed: those of what it queries."""
        scopes = self.rule.scopes if self.rule else ()
        groups = ["/".join(scope.split("/")[:5]) for scope in scopes if scope.count("/") >= 4]
        return tuple({group.lower(): group for group in groups or [self.group]}.values())


@dataclass(frozen=True, kw_only=True)
class LoggedEvent:
    """An event of the drill in the registry's log.

    :ivar happened: time of the event, by Azure's clock
    :ivar ingested: time from which a query finds it
    :ivar matched: whether the rule's query finds it
    """

    repository: str
    operation: str
    identity: str
    address: str
    happened: datetime
    ingested: datetime
    matched: bool = False


@dataclass(frozen=True)
class AlertResult:
    """The result of waiting for the alert.

    :ivar deadline: time by which the alert must fire
    :ivar alert: the first alert after the first event was in the log, in time or not
    """

    deadline: datetime
    events: tuple[LoggedEvent, ...]
    alert: Alert | None

    def event(self, staged: StagedImage) -> LoggedEvent | None:
        """The image's event; ``None`` if it is not in the log yet."""
        return next((event for event in self.events if event.repository == staged.reference.repository), None)

    @property
    def fired(self) -> bool:
        """Whether the alert fired in time."""
        return self.alert is not None and self.alert.started <= self.deadline

    def complete(self, staged: Sequence[StagedImage]) -> bool:
        """Whether the alert fired in time and the rule's query finds each image's event."""
        events = [self.event(image) for image in staged]
        return self.fired and all(event is not None and event.matched for event in events)


async def read_alert_setup(session: AzureSession, registry: Registry, rule_name: str) -> AlertSetup:
    """Read the alert's setup."""
    group = ResourceId.parse(registry.id).group_id
    rule, settings = await asyncio.gather(
        read_rule(session, group, rule_name), read_diagnostic_settings(session, registry.id, CATEGORY)
    )
    ids = rule.action_groups if rule else ()
    groups = await asyncio.gather(*(read_action_group(session, group_id) for group_id in ids))
    return AlertSetup(
        group=group,
        name=rule_name,
        rule=rule,
        settings=tuple(settings),
        action_groups=tuple(zip(ids, groups, strict=True)),
    )


async def require_readable(session: AzureSession, registry: Registry, setup: AlertSetup) -> None:
    """Check that this identity may read the log and the alerts, without which a drill must not begin.

    :raises PermissionDenied: when it may not
    """
    at = datetime.now(UTC)
    await query_logs(session, registry.id, _DRILL_EVENTS, at - _AHEAD, at)
    if setup.rule is not None:
        await _alerts(session, setup, setup.rule, since=at)


async def wait_for_alert(
    session: AzureSession,
    registry: Registry,
    setup: AlertSetup,
    staged: Sequence[StagedImage],
    drill: Drill,
    *,
    since: datetime,
) -> AlertResult:
    """Poll until the alert has fired for all images, or until its deadline.

    :param since: time at which the drill began
    """
    deadline = max(image.began for image in staged) + timedelta(minutes=drill.deadline)
    matched: set[str] = set()
    while True:
        at = datetime.now(UTC)
        events, alert = await _read_events(session, registry, setup, since, at, matched)
        result = AlertResult(deadline, events, alert)
        if result.complete(staged) or at >= deadline:
            return result
        await asyncio.sleep(min(drill.interval, max(0.0, (deadline - at).total_seconds())))


async def _read_events(
    session: AzureSession, registry: Registry, setup: AlertSetup, since: datetime, at: datetime, matched: set[str]
) -> tuple[tuple[LoggedEvent, ...], Alert | None]:
    """Read the events and the alert once.

    :param matched: repositories that the rule's query has found, which is updated: the query may cover new events only
    """
    rule, until = setup.rule, at + _AHEAD
    rows = await query_logs(session, registry.id, _DRILL_EVENTS, since, until)
    events = tuple(_event(row) for row in rows)
    if rule is not None and {event.repository for event in events} - matched:
        matched |= await _matched(session, registry, rule, since, until)
    events = tuple(replace(event, matched=event.repository in matched) for event in events)
    alert = None
    if rule is not None and events:
        first = min(event.ingested for event in events)
        alert = next(iter(await _alerts(session, setup, rule, since=first)), None)
    return events, alert


async def _alerts(session: AzureSession, setup: AlertSetup, rule: AlertRule, *, since: datetime) -> list[Alert]:
    """The rule's alerts, oldest first."""
    listed = [await list_alerts(session, group, rule.id, since=since) for group in setup.alert_groups]
    alerts = {alert.id.lower(): alert for found in listed for alert in found}
    return sorted(alerts.values(), key=lambda alert: alert.started)


async def _matched(
    session: AzureSession, registry: Registry, rule: AlertRule, since: datetime, until: datetime
) -> set[str]:
    """The drill's repositories that the rule's query finds; none when its rows have no repository."""
    query = f'{rule.query}\n| where Repository startswith "{DRILL}"\n| summarize Events = count() by Repository'
    try:
        return {str(row["Repository"]) for row in await query_logs(session, registry.id, query, since, until)}
    except OperationFailed:
        return set()


def _event(row: Row) -> LoggedEvent:
    repository, operation, identity, address = (
        str(row[name] or "") for name in ("Repository", "OperationName", "Identity", "CallerIpAddress")
    )
    return LoggedEvent(
        repository=repository,
        operation=operation,
        identity=identity,
        address=address,
        happened=timestamp(row["Happened"]),
        ingested=timestamp(row["Ingested"]),
    )
