"""Evaluates one rule on its schedule.

What a rule sees is measured on Azure's clock, like every duration: a window of ten minutes is ten seconds at speed 60,
by when things happened, and so is ``ago(10m)`` in its query. Data that comes late makes Azure Monitor evaluate the
window again in which it belongs, up to :data:`LATE` ("Troubleshoot log search alerts"); when exactly is not documented:
here, at the next evaluation.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import timedelta

from sandbox.azure import Azure
from sandbox.services.alerts.rules import Condition, Rule
from sandbox.services.loganalytics.engine import run
from sandbox.services.loganalytics.state import Logs
from sandbox.services.loganalytics.tables import Record

#: Azure seconds after which late data is no longer waited for.
LATE = 1800.0


class Watch:
    """The evaluations of one rule since it was made or changed.

    :param report: hears of each evaluation: for when it was due in Azure seconds, and whether the rule's conditions are
        met or what was wrong with it
    """

    def __init__(self, azure: Azure, rule: Rule, report: Callable[[float, bool | Exception], None]) -> None:
        self._azure = azure
        self._rule = rule
        self._report = report
        self._started = azure.clock.elapsed()
        self._origin = azure.clock.now() - timedelta(seconds=self._started)
        self._of_nothing: dict[Condition, bool] = {}

    async def run(self) -> None:
        """Go on for ever. After a jump of the clock the evaluations that were due meanwhile are made up for."""
        due = self._started + self._rule.frequency
        while True:
            await self._azure.clock.sleep_until(due)
            try:
                met = await self._met(due)
            except Exception as error:  # Whatever the query does wrong is the rule's failure, not the sandbox's.
                self._report(due, error)
            else:
                self._report(due, met)
            due += self._rule.frequency

    async def _met(self, due: float) -> bool:
        rule, since = self._rule, due - LATE - self._rule.lookback
        logs = self._azure.state(Logs)
        records = {record: None for scope in rule.scopes for record in logs.records(scope, since=since, as_of=due)}
        ends = [due, *self._ends_with_late_data(due, list(records))]
        for end in ends:
            met = [await self._violated(condition, list(records), end, due) for condition in rule.conditions]
            if all(met):
                return True
        return False

    def _ends_with_late_data(self, due: float, records: list[Record]) -> list[float]:
        """Ends of earlier windows into which something came since the last evaluation."""
        rule, ends, end = self._rule, list[float](), due - self._rule.frequency
        fresh = [record for record in records if record.arrives > end]
        while end > self._started and due - end <= LATE:
            if any(end - rule.lookback <= record.happened < end for record in fresh):
                ends.append(end)
            end -= rule.frequency
        return ends

    async def _violated(self, condition: Condition, records: list[Record], end: float, due: float) -> bool:
        failing = 0
        for period in range(condition.periods):
            last = end - period * self._rule.window
            seen = [record for record in records if last - self._rule.window <= record.happened < last]
            failing += await self._answer(condition, seen, due)
        return failing >= condition.failing

    async def _answer(self, condition: Condition, records: list[Record], due: float) -> bool:
        if not records and condition in self._of_nothing:
            return self._of_nothing[condition]
        now = self._origin + timedelta(seconds=due)
        async with self._azure.state(Logs).turn:
            result = await asyncio.to_thread(run, condition.query, records, now, self._origin)
        violated = condition.violated([name for name, _ in result.columns], result.rows)
        if not records:
            self._of_nothing[condition] = violated
        return violated
