"""Alerts that have fired, as Azure's Alerts Management lists them.

They are asked for at the resource group of what they are about, so that a role on the group suffices.

Facts: Microsoft.AlertsManagement/alerts 2019-05-05-preview; its filter ``alertRule`` takes the rule's resource id.
UNVERIFIED: the RBAC action, ``Microsoft.AlertsManagement/alerts/read``.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

from azure.mgmt.alertsmanagement import models

from pratique.azure.faults import azure_faults
from pratique.azure.session import AzureSession
from pratique.azure.wire import word

_DAYS = 30  # for which Azure keeps alerts
_PAGE = 250


@dataclass(frozen=True)
class Alert:
    """One time that a rule fired.

    :ivar started: when, by Azure's clock
    :ivar resolved: whether Azure has taken it back since
    """

    id: str
    rule_id: str
    severity: str
    started: datetime
    resolved: bool


async def alerts_of_rule(session: AzureSession, group: str, rule_id: str, *, since: datetime) -> list[Alert]:
    """The alerts of one rule that have fired since a moment, oldest first.

    :param group: resource group of what the rule watches
    :param since: at most thirty days ago
    """
    age = datetime.now(UTC) - since
    span = next((name for name, days in (("1d", 1), ("7d", 7)) if age.days < days), f"{_DAYS}d")
    with azure_faults("list the alerts", rule_id):
        found = [
            alert
            async for listed in session.alerts(group).alerts.get_all(
                alert_rule=rule_id, time_range=span, page_count=_PAGE
            )
            if (alert := _alert(listed)) is not None
        ]
    mine = (one for one in found if one.rule_id.lower() == rule_id.lower() and one.started >= since)
    return sorted(mine, key=lambda one: one.started)


def _alert(listed: models.Alert) -> Alert | None:
    essentials = listed.properties.essentials if listed.properties else None
    if essentials is None or essentials.start_date_time is None or not listed.id:
        return None
    return Alert(
        listed.id,
        str(essentials.alert_rule or ""),
        word(essentials.severity),
        essentials.start_date_time.astimezone(UTC),
        word(essentials.monitor_condition) == "Resolved",
    )
