"""Alerts that have fired, as Azure's Alerts Management lists them.

They are listed at the resource groups of the resources that they concern, so a role on these groups is enough. An alert
concerns what its rule queries, not the rule: a rule may be in another group.

Facts: Microsoft.AlertsManagement/alerts 2019-05-05-preview; its filter ``alertRule`` takes the rule's resource id.
UNVERIFIED: the RBAC action, ``Microsoft.AlertsManagement/alerts/read``.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from pratique.azure.faults import azure_faults
from pratique.azure.lists import every_page
from pratique.azure.session import AzureSession
from pratique.azure.wire import enum_value

if TYPE_CHECKING:
    from azure.mgmt.alertsmanagement import models

_DAYS = 30  # Azure keeps alerts for this long
_PAGE = 250


@dataclass(frozen=True, kw_only=True)
class Alert:
    """An alert that a rule has fired.

    :ivar started: when it fired, by Azure's clock
    :ivar resolved: whether Azure has resolved it since
    """

    id: str
    rule_id: str
    severity: str
    started: datetime
    resolved: bool


async def list_alerts(session: AzureSession, group: str, rule_id: str, *, since: datetime) -> list[Alert]:
    """List the alerts that a rule has fired since a point in time, oldest first.

    :param group: resource group of the resource that the rule watches: a name in the session's subscription, or an ARM
        id
    :param since: at most thirty days ago
    """
    age = datetime.now(UTC) - since
    span = next((name for name, days in (("1d", 1), ("7d", 7)) if age.days < days), f"{_DAYS}d")
    attempted = "list the alerts"
    if group.startswith("/"):
        _, _, subscription, _, group = group.split("/")
        session = session.in_subscription(subscription)
    with azure_faults(attempted, rule_id):
        found = [
            alert
            async for listed in session.alerts(group).alerts.get_all(
                alert_rule=rule_id,
                time_range=span,
                page_count=_PAGE,
                raw_response_hook=every_page(attempted, rule_id),
            )
            if (alert := _alert(listed)) is not None
        ]
    matching = (alert for alert in found if alert.rule_id.lower() == rule_id.lower() and alert.started >= since)
    return sorted(matching, key=lambda alert: alert.started)


def _alert(listed: models.Alert) -> Alert | None:
    essentials = listed.properties.essentials if listed.properties else None
    if essentials is None or essentials.start_date_time is None or not listed.id:
        return None
    return Alert(
        id=listed.id,
        rule_id=str(essentials.alert_rule or ""),
        severity=enum_value(essentials.severity),
        started=essentials.start_date_time.astimezone(UTC),
        resolved=enum_value(essentials.monitor_condition) == "Resolved",
    )
