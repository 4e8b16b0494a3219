"""Active rules, fired alerts and sent notifications.

Azure Monitor disables a rule that has failed for a week ("Troubleshoot log search alerts"). UNVERIFIED: an alert keeps
its state when its rule is disabled or deleted.
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

#: Azure seconds of continuous failure after which a rule is disabled.
FAILING_WEEK = 7 * 86_400.0

_log = logging.getLogger(__name__)


@dataclass(kw_only=True)
class _RuleState:
    """The state of a rule's evaluations.

    :ivar rule: ``None`` when it is disabled, deleted or not supported
    :ivar open: the unresolved alert of a stateful rule
    :ivar healthy: consecutive evaluations without a violation
    :ivar muted_until: Azure seconds
    :ivar evaluated: Azure seconds at which the last evaluation was due
    :ivar failure: why it cannot be evaluated, since ``failing_since`` in Azure seconds
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
        self._rule_states: dict[str, _RuleState] = {}
        self.alerts: dict[str, Alert] = {}
        self.notifications: list[Notification] = []
        azure.events.on(ResourceChanged, self._follow)
        azure.events.on(RepositoryEvent, self._expect)

    def state(self) -> dict[str, Any]:
        """Alerts, notifications, and the state of each rule, for the control API."""
        return {
            "alerts": [alert.document() for alert in self.alerts.values()],
            "notifications": [notification.document() for notification in self.notifications],
            "rules": {
                name: {
                    "watched": found.rule is not None,
                    "evaluated": found.evaluated,
                    "failure": found.failure,
                }
                for name, found in self._rule_states.items()
            },
        }

    def _follow(self, change: ResourceChanged) -> None:
        """Evaluate created and changed rules; stop evaluating disabled and deleted ones."""
        if change.type.lower() != RULE_TYPE.lower():
            return
        rule_state = self._rule_states.setdefault(change.id.lower(), _RuleState())
        try:
            enabled = change.after is not None and change.after["properties"].get("enabled") is not False
            rule = Rule.of(change.after) if change.after is not None and enabled else None
            rule_state.failure = None
        except (RuleNotSupported, ValueError, KeyError) as error:
            rule, rule_state.failure = None, str(error)
        if rule == rule_state.rule:
            return
        if rule_state.task is not None:
            rule_state.task.cancel()
        rule_state.rule, rule_state.task, rule_state.failing_since = rule, None, None
        if rule is not None:
            watched = rule
            watch = Watch(self._azure, rule, lambda due, outcome: self._evaluated(watched, rule_state, due, outcome))
            rule_state.task = self._azure.spawn(watch.run())

    def _expect(self, event: RepositoryEvent) -> None:
        """Let time pass until every rule has seen what just happened. Nobody waits for an alert about a pull."""
        if event.operation == "Pull":
            return
        for rule_state in self._rule_states.values():
            if rule_state.rule is not None:
                self._azure.clock.after(self._azure.scenario.timings.log_ingestion + rule_state.rule.frequency)

    def _evaluated(self, rule: Rule, rule_state: _RuleState, due: float, outcome: bool | Exception) -> None:
        rule_state.evaluated = due
        if isinstance(outcome, Exception):
            self._failed(rule, rule_state, outcome)
            return
        rule_state.failure, rule_state.failing_since = None, None
        if not outcome:
            rule_state.healthy += 1
            if rule_state.open is not None and rule_state.healthy >= rule.healthy_evaluations:
                self._resolve(rule, rule_state, rule_state.open)
            return
        rule_state.healthy = 0
        if rule_state.open is None:
            self._fire(rule, rule_state)

    def _fire(self, rule: Rule, rule_state: _RuleState) -> None:
        now, moment = self._azure.clock.now(), self._azure.clock.elapsed()
        alert = Alert(
            rule_id=rule.id,
            rule_name=rule.name,
            description=rule.description,
            severity=f"Sev{rule.severity}",
            target=rule.scopes[0],
            started=now,
            modified=now,
        )
        self.alerts[alert.name] = alert
        if rule.stateful:
            rule_state.open = alert
        if moment >= rule_state.muted_until:
            self._notify(rule, alert)
            rule_state.muted_until = moment + rule.mute

    def _resolve(self, rule: Rule, rule_state: _RuleState, alert: Alert) -> None:
        alert.condition, rule_state.open = "Resolved", None
        alert.resolved = alert.modified = self._azure.clock.now()
        self._notify(rule, alert)

    def _notify(self, rule: Rule, alert: Alert) -> None:
        now = self._azure.clock.now()
        self.notifications += [
            Notification(
                at=now,
                action_group=group,
                alert_id=alert.id,
                rule_id=rule.id,
                condition=alert.condition,
                told=receivers(self._azure.resources.get(group)),
            )
            for group in rule.action_groups
        ]

    def _failed(self, rule: Rule, rule_state: _RuleState, error: Exception) -> None:
        _log.warning("cannot evaluate rule %s: %s", rule.name, error)
        moment = self._azure.clock.elapsed()
        rule_state.failure = str(error)
        if rule_state.failing_since is None:
            rule_state.failing_since = moment
        document = self._azure.resources.get(rule.id)
        if document is not None and moment - rule_state.failing_since >= FAILING_WEEK:
            document["properties"]["enabled"] = False
            self._azure.resources.put(document)
