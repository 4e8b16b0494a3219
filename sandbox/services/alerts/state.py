"""Every rule that is watched, every alert that was fired, and who was told.

Azure Monitor disables a rule that failed for a week ("Troubleshoot log search alerts"). Unverified: an alert stays as
it is when its rule is disabled or deleted.
"""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass
from typing import Any

from sandbox.azure import Azure
from sandbox.core.resources import ResourceChanged
from sandbox.services.acr.models import RepositoryEvent
from sandbox.services.alerts.models import Alert, Notification, receivers
from sandbox.services.alerts.rules import RULE_TYPE, Rule, RuleNotSupported
from sandbox.services.alerts.watch import Watch

#: Azure seconds of failure after which a rule is disabled.
FAILING_WEEK = 7 * 86_400.0

_log = logging.getLogger(__name__)


@dataclass
class _Standing:
    """How a rule stands.

    :ivar rule: ``None`` when it is disabled, deleted or not played
    :ivar open: the alert of a stateful rule that is not resolved
    :ivar healthy: evaluations in a row that found nothing
    :ivar muted_until: Azure seconds
    :ivar evaluated: Azure seconds for which the last evaluation was due
    :ivar failure: what is wrong with it, since ``failing_since`` in Azure seconds
    """

    rule: Rule | None = None
    task: asyncio.Task[None] | None = None
    open: Alert | None = None
    healthy: int = 0
    muted_until: float = 0.0
    evaluated: float | None = None
    failure: str | None = None
    failing_since: float | None = None


class Alerts:
    """Azure Monitor's log search alerts.

    :ivar alerts: by name, oldest first
    :ivar notifications: oldest first
    """

    def __init__(self, azure: Azure) -> None:
        self._azure = azure
        self._standings: dict[str, _Standing] = {}
        self.alerts: dict[str, Alert] = {}
        self.notifications: list[Notification] = []
        azure.events.on(ResourceChanged, self._follow)
        azure.events.on(RepositoryEvent, self._expect)

    def state(self) -> dict[str, Any]:
        """Alerts, notifications, and how each rule stands, for the control host."""
        return {
            "alerts": [alert.document() for alert in self.alerts.values()],
            "notifications": [notification.document() for notification in self.notifications],
            "rules": {
                name: {
                    "watched": found.rule is not None,
                    "evaluated": found.evaluated,
                    "failure": found.failure,
                }
                for name, found in self._standings.items()
            },
        }

    def _follow(self, change: ResourceChanged) -> None:
        """Watch a rule that was made or changed, and no longer one that was disabled or deleted."""
        if change.type.lower() != RULE_TYPE.lower():
            return
        standing = self._standings.setdefault(change.id.lower(), _Standing())
        try:
            enabled = change.after is not None and change.after["properties"].get("enabled") is not False
            rule = Rule.of(change.after) if change.after is not None and enabled else None
            standing.failure = None
        except (RuleNotSupported, ValueError, KeyError) as error:
            rule, standing.failure = None, str(error)
        if rule == standing.rule:
            return
        if standing.task is not None:
            standing.task.cancel()
        standing.rule, standing.task, standing.failing_since = rule, None, None
        if rule is not None:
            watched = rule
            watch = Watch(self._azure, rule, lambda due, outcome: self._evaluated(watched, standing, due, outcome))
            standing.task = self._azure.spawn(watch.run())

    def _expect(self, _: RepositoryEvent) -> None:
        """Let time pass until every rule has seen what just happened."""
        for standing in self._standings.values():
            if standing.rule is not None:
                self._azure.clock.after(self._azure.scenario.timings.log_ingestion + standing.rule.frequency)

    def _evaluated(self, rule: Rule, standing: _Standing, due: float, outcome: bool | Exception) -> None:
        standing.evaluated = due
        if isinstance(outcome, Exception):
            self._failed(rule, standing, outcome)
            return
        standing.failure, standing.failing_since = None, None
        if not outcome:
            standing.healthy += 1
            if standing.open is not None and standing.healthy >= rule.healthy_evaluations:
                self._resolve(rule, standing, standing.open)
            return
        standing.healthy = 0
        if standing.open is None:
            self._fire(rule, standing)

    def _fire(self, rule: Rule, standing: _Standing) -> None:
        now, moment = self._azure.clock.now(), self._azure.clock.elapsed()
        alert = Alert(rule.id, rule.name, rule.description, f"Sev{rule.severity}", rule.scopes[0], now, now)
        self.alerts[alert.name] = alert
        if rule.stateful:
            standing.open = alert
        if moment >= standing.muted_until:
            self._notify(rule, alert)
            standing.muted_until = moment + rule.mute

    def _resolve(self, rule: Rule, standing: _Standing, alert: Alert) -> None:
        alert.condition, standing.open = "Resolved", None
        alert.resolved = alert.modified = self._azure.clock.now()
        self._notify(rule, alert)

    def _notify(self, rule: Rule, alert: Alert) -> None:
        now = self._azure.clock.now()
        self.notifications += [
            Notification(now, group, alert.id, rule.id, alert.condition, receivers(self._azure.resources.get(group)))
            for group in rule.action_groups
        ]

    def _failed(self, rule: Rule, standing: _Standing, error: Exception) -> None:
        _log.warning("the rule %s cannot be evaluated: %s", rule.name, error)
        moment = self._azure.clock.elapsed()
        standing.failure = str(error)
        if standing.failing_since is None:
            standing.failing_since = moment
        document = self._azure.resources.get(rule.id)
        if document is not None and moment - standing.failing_since >= FAILING_WEEK:
            document["properties"]["enabled"] = False
            self._azure.resources.put(document)
