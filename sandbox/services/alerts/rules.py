"""Log search alert rules, as templates deploy them.

Source: Microsoft.Insights/scheduledQueryRules 2022-06-15; "Overview of Azure Monitor alerts" for when a stateful alert
resolves.
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
    """The rule uses a feature of Azure Monitor that the sandbox does not support."""


@dataclass(frozen=True, kw_only=True)
class Condition:
    """One condition of a rule.

    :ivar aggregation: ``Count`` of the query's rows, or an aggregate of the measured column
    :ivar periods: number of windows to evaluate, of which at least ``failing`` must violate the condition
    """

    query: str
    aggregation: str
    column: str | None
    operator: str
    threshold: float
    periods: int
    failing: int

    def violated(self, columns: list[str], rows: list[list[Any]]) -> bool:
        """Whether a query's result violates the condition. Without values there is nothing to compare.

        :raises KeyError: when the result lacks the measured column
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


@dataclass(frozen=True, kw_only=True)
class Rule:
    """What is evaluated, how often, and who is notified.

    :ivar scopes: ids of workspaces, resources or groups whose records the query sees
    :ivar frequency: Azure seconds between evaluations
    :ivar window: Azure seconds that one evaluation looks back
    :ivar stateful: fires once and resolves by itself, instead of firing at every evaluation that violates the condition
    :ivar mute: Azure seconds for which a stateless rule sends no further notifications
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
        :raises ValueError: when a value is invalid
        :raises KeyError: when a value is missing
        """
        properties = document["properties"]
        if document.get("kind") not in (None, "LogAlert") or properties.get("overrideQueryTimeRange"):
            raise RuleNotSupported("the sandbox supports only rules of kind LogAlert without overrideQueryTimeRange")
        return cls(
            id=document["id"],
            name=document["name"],
            description=properties.get("description") or "",
            severity=int(properties["severity"]),
            scopes=tuple(properties["scopes"]),
            frequency=seconds(properties["evaluationFrequency"]),
            window=seconds(properties["windowSize"]),
            conditions=tuple(_condition(criterion) for criterion in properties["criteria"]["allOf"]),
            stateful=properties.get("autoMitigate") is not False,
            mute=seconds(properties["muteActionsDuration"]) if properties.get("muteActionsDuration") else 0.0,
            action_groups=tuple((properties.get("actions") or {}).get("actionGroups") or ()),
        )

    @property
    def lookback(self) -> float:
        """Azure seconds that all periods of all conditions cover."""
        return self.window * max(condition.periods for condition in self.conditions)

    @property
    def healthy_evaluations(self) -> int:
        """Number of consecutive evaluations without a violation after which a stateful alert resolves."""
        if self.frequency < 5 * MINUTE:
            return max(1, round(10 * MINUTE / self.frequency))
        if self.frequency <= 15 * MINUTE:
            return 3
        return 2 if self.frequency <= 11 * HOUR else 1


def _condition(criterion: Mapping[str, Any]) -> Condition:
    if criterion.get("dimensions") or criterion.get("resourceIdColumn"):
        raise RuleNotSupported("the sandbox does not support splitting alerts by dimensions or by a resource id column")
    aggregation, comparison = criterion["timeAggregation"], criterion["operator"]
    if comparison not in _OPERATORS or aggregation not in ("Count", *_AGGREGATIONS):
        raise ValueError(f"unknown aggregation '{aggregation}' or comparison '{comparison}'")
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
