"""The alarm that a bypass has to raise: what it consists of, and whether it rang.

Everything here is looked at, nothing is assumed: the rule as it is deployed, the diagnostic settings that feed it, the
action groups that it calls, the rows of the log, and the alerts that Azure lists.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

from pratique.audit.drill.staging import Staged
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

#: By which Azure's clock may be ahead of the worker's.
_AHEAD = timedelta(hours=1)
_OURS = f"""
{CATEGORY}
| where Repository startswith "{DRILL}"
| where OperationName =~ "Push" or OperationName =~ "importImage"
| summarize Happened = min(TimeGenerated), Ingested = min(ingestion_time()) by Repository, OperationName, Identity,
    CallerIpAddress
""".strip()


@dataclass(frozen=True)
class AlertSetup:
    """What stands.

    :ivar place: resource group of registry and rule
    :ivar rule: ``None`` when there is none of the name that is configured
    :ivar groups: of the rule's action groups each with what stands behind its id
    """

    place: str
    name: str
    rule: AlertRule | None
    settings: tuple[DiagnosticSetting, ...]
    groups: tuple[tuple[str, ActionGroup | None], ...]


@dataclass(frozen=True)
class Recorded:
    """An event of the drill in the registry's log.

    :ivar happened: when, by Azure's clock
    :ivar ingested: when it could be found
    :ivar matched: whether the rule's own query finds it
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
    """What came of it by the end.

    :ivar deadline: until when the alarm had to ring
    :ivar alert: the first that fired after the first event was in the log, in time or not
    """

    deadline: datetime
    events: tuple[Recorded, ...]
    alert: Alert | None

    def event(self, staged: Staged) -> Recorded | None:
        """The event of an image, once it is in the log."""
        return next((one for one in self.events if one.repository == staged.reference.repository), None)

    @property
    def fired(self) -> bool:
        """Whether the alert fired in time."""
        return self.alert is not None and self.alert.started <= self.deadline

    def complete(self, staged: Sequence[Staged]) -> bool:
        """Whether the alarm rang, and would have rung for each."""
        seen = [self.event(one) for one in staged]
        return self.fired and all(one is not None and one.matched for one in seen)


async def read_alert_setup(session: AzureSession, registry: Registry, rule_name: str) -> AlertSetup:
    """Read what the alarm consists of."""
    group = ResourceId.parse(registry.id).group
    rule, settings = await asyncio.gather(
        read_rule(session, group, rule_name), read_diagnostic_settings(session, registry.id, CATEGORY)
    )
    ids = rule.action_groups if rule else ()
    groups = await asyncio.gather(*(read_action_group(session, one) for one in ids))
    return AlertSetup(group, rule_name, rule, tuple(settings), tuple(zip(ids, groups, strict=True)))


async def require_readable(session: AzureSession, registry: Registry, setup: AlertSetup) -> None:
    """Check that this identity may read log and alerts: who cannot listen must not begin.

    :raises PermissionDenied: when it may not
    """
    now = datetime.now(UTC)
    await query_logs(session, registry.id, _OURS, now - _AHEAD, now)
    if setup.rule is not None:
        await list_alerts(session, setup.place, setup.rule.id, since=now)


async def wait_for_alert(
    session: AzureSession,
    registry: Registry,
    setup: AlertSetup,
    staged: Sequence[Staged],
    drill: Drill,
    *,
    since: datetime,
) -> AlertResult:
    """Look again and again until the alarm has rung for everything, or its time is over.

    :param since: when the drill began
    """
    deadline = max(one.began for one in staged) + timedelta(minutes=drill.deadline)
    matched: set[str] = set()
    while True:
        now = datetime.now(UTC)
        events, alert = await _read_events(session, registry, setup, since, now, matched)
        heard = AlertResult(deadline, events, alert)
        if heard.complete(staged) or now >= deadline:
            return heard
        await asyncio.sleep(min(drill.interval, max(0.0, (deadline - now).total_seconds())))


async def _read_events(
    session: AzureSession, registry: Registry, setup: AlertSetup, since: datetime, now: datetime, matched: set[str]
) -> tuple[tuple[Recorded, ...], Alert | None]:
    """One look. What the rule's query has found once stays found: it may look at what is new only."""
    rule, until = setup.rule, now + _AHEAD
    rows = await query_logs(session, registry.id, _OURS, since, until)
    events = tuple(_event(row) for row in rows)
    if rule is not None and {one.repository for one in events} - matched:
        matched |= await _matched(session, registry, rule, since, until)
    events = tuple(replace(one, matched=one.repository in matched) for one in events)
    alert = None
    if rule is not None and events:
        first = min(one.ingested for one in events)
        alert = next(iter(await list_alerts(session, setup.place, rule.id, since=first)), None)
    return events, alert


async def _matched(
    session: AzureSession, registry: Registry, rule: AlertRule, since: datetime, until: datetime
) -> set[str]:
    """Repositories of the drill that the rule's own query finds; none when it cannot be asked about repositories."""
    query = f'{rule.query}\n| where Repository startswith "{DRILL}"\n| summarize Events = count() by Repository'
    try:
        return {str(row["Repository"]) for row in await query_logs(session, registry.id, query, since, until)}
    except OperationFailed:
        return set()


def _event(row: Row) -> Recorded:
    repository, operation, identity, address = (
        str(row[name] or "") for name in ("Repository", "OperationName", "Identity", "CallerIpAddress")
    )
    happened, ingested = timestamp(row["Happened"]), timestamp(row["Ingested"])
    return Recorded(repository, operation, identity, address, happened, ingested)
