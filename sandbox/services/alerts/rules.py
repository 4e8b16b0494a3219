"""A log search alert rule, as a template deploys it.

Source: Microsoft.Insights/scheduledQueryRules 2022-06-15; "Overview of Azure Monitor alerts" for when a stateful alert
is resolved.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from sandbox.core.resources import Document
from sandbox.services.loganalytics.durations import seconds

RULE_TYPE = "Microsoft.Insights/scheduledQueryRules"
MINUTE, HOUR = 60.0, 3600.0

_OPERATORS: Mapping[str, Callable[[float, float], bool]] = {
    "Equals": operator.eq,
    "GreaterThan": operator.gt,
    "GreaterThanOrEqual": operator.ge,
    "LessThan": operator.lt,
    "LessThanOrEqual": operator.le,
}
_AGGREGATIONS: Mapping[str, Callable[[list[float]], float]] = {
    "Average": lambda values: sum(values) / len(values),
    "Maximum": max,
    "Minimum": min,
    "Total": sum,
}


class RuleNotSupported(Exception):
    """The rule uses something that Azure Monitor has and the sandbox has not."""


@dataclass(frozen=True)
class Condition:
    """One condition of a rule.

    :ivar aggregation: ``Count`` of the query's rows, or of what the measured column holds
    :ivar periods: how many windows are looked at, of which at least ``failing`` must violate
    """

    query: str
    aggregation: str
    column: str | None
    operator: str
    threshold: float
    periods: int
    failing: int

    def violated(self, columns: list[str], rows: list[list[Any]]) -> bool:
        """Whether a query's answer violates the condition. Without values there is nothing to compare.

        :raises KeyError: when the answer has no such column
        """
        if self.aggregation == "Count":
            value = float(len(rows))
        else:
            if self.column not in columns:
                raise KeyError(f"the query returns no column '{self.column}'")
            position = columns.index(self.column)
            values = [float(row[position]) for row in rows if row[position] is not None]
            if not values:
                return False
            value = _AGGREGATIONS[self.aggregation](values)
        return _OPERATORS[self.operator](value, self.threshold)


@dataclass(frozen=True)
class Rule:
    """What is evaluated, how often, and who is told.

    :ivar scopes: ids of workspaces, resources or groups whose records the query sees
    :ivar frequency: Azure seconds between evaluations
    :ivar window: Azure seconds that one evaluation looks back
    :ivar stateful: fires once and is resolved by itself, in place of firing at every evaluation that finds something
    :ivar mute: Azure seconds for which a stateless rule tells nobody again
    """

    id: str
    name: str
    description: str
    severity: int
    scopes: tuple[str, ...]
    frequency: float
    window: float
    conditions: tuple[Condition, ...]
    stateful: bool
    mute: float
    action_groups: tuple[str, ...]

    @classmethod
    def of(cls, document: Document) -> Rule:
        """:raises RuleNotSupported: for a kind of rule that the sandbox does not evaluate
        :raises ValueError: when a value is out of the ordinary
        :raises KeyError: when something is missing
        """
        asked = document["properties"]
        if document.get("kind") not in (None, "LogAlert") or asked.get("overrideQueryTimeRange"):
            raise RuleNotSupported("the sandbox plays rules of kind LogAlert, without overrideQueryTimeRange")
        return cls(
            id=document["id"],
            name=document["name"],
            description=asked.get("description") or "",
            severity=int(asked["severity"]),
            scopes=tuple(asked["scopes"]),
            frequency=seconds(asked["evaluationFrequency"]),
            window=seconds(asked["windowSize"]),
            conditions=tuple(_condition(criterion) for criterion in asked["criteria"]["allOf"]),
            stateful=asked.get("autoMitigate") is not False,
            mute=seconds(asked["muteActionsDuration"]) if asked.get("muteActionsDuration") else 0.0,
            action_groups=tuple((asked.get("actions") or {}).get("actionGroups") or ()),
        )

    @property
    def lookback(self) -> float:
        """Azure seconds that all periods of all conditions cover."""
        return self.window * max(condition.periods for condition in self.conditions)

    @property
    def healthy_evaluations(self) -> int:
        """After how many evaluations in a row without a violation a stateful alert is resolved."""
        if self.frequency < 5 * MINUTE:
            return max(1, round(10 * MINUTE / self.frequency))
        if self.frequency <= 15 * MINUTE:
            return 3
        return 2 if self.frequency <= 11 * HOUR else 1


def _condition(criterion: Mapping[str, Any]) -> Condition:
    if criterion.get("dimensions") or criterion.get("resourceIdColumn"):
        raise RuleNotSupported("the sandbox does not split alerts by dimensions or by a resource id column")
    aggregation, comparison = criterion["timeAggregation"], criterion["operator"]
    if comparison not in _OPERATORS or aggregation not in ("Count", *_AGGREGATIONS):
        raise ValueError(f"no rule aggregates by '{aggregation}' and compares by '{comparison}'")
    periods = criterion.get("failingPeriods") or {}
    return Condition(
        query=criterion["query"],
        aggregation=aggregation,
        column=criterion.get("metricMeasureColumn"),
        operator=comparison,
        threshold=float(criterion["threshold"]),
        periods=int(periods.get("numberOfEvaluationPeriods", 1)),
        failing=int(periods.get("minFailingPeriodsToAlert", 1)),
    )
