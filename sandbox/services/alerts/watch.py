"""Evaluates one rule on its schedule.

All times are on Azure's clock, like every duration: at speed 60, a window of ten minutes covers the records of ten
real seconds, and so does ``ago(10m)`` in the query. When data arrives late, Azure Monitor evaluates the window in
which it belongs again, up to :data:`LATE` ("Troubleshoot log search alerts"). When exactly is not documented: here, at
the next evaluation.
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

#: Azure seconds after which late data is ignored.
LATE = 1800.0


class Watch:
    """The evaluations of one rule since it was created or changed.

    :param report: receives each evaluation: the Azure seconds at which it was due, and whether the rule's conditions
        are met or why it could not be evaluated
    """

    def __init__(self, azure: Azure, rule: Rule, report: Callable[[float, bool | Exception], None]) -> None:
        self._azure = azure
        self._rule = rule
        self._report = report
        self._started = azure.clock.elapsed()
        self._origin = azure.clock.now() - timedelta(seconds=self._started)
        self._of_nothing: dict[Condition, bool] = {}

    async def run(self) -> None:
        """Run forever. After a jump of the clock, run the missed evaluations."""
        due = self._started + self._rule.frequency
        while True:
            await self._azure.clock.sleep_until(due)
            try:
                met = await self._met(due)
            except Exception as error:  # an error in the query is the rule's failure, not the sandbox's
                self._report(due, error)
            else:
                self._report(due, met)
            due += self._rule.frequency

    async def _met(self, due: float) -> bool:
        rule, since = self._rule, due - LATE - self._rule.lookback
        logs = self._azure.state(Logs)
        visible = [record for scope in rule.scopes for record in logs.records(scope, since=since, as_of=due)]
        records = {
            record: None
            for record in visible
            if any(record.table.name.lower() in condition.query.lower() for condition in rule.conditions)
        }
        ends = [due, *self._ends_with_late_data(due, list(records))]
        for end in ends:
            met = [await self._violated(condition, list(records), end, due) for condition in rule.conditions]
            if all(met):
                return True
        return False

    def _ends_with_late_data(self, due: float, records: list[Record]) -> list[float]:
        """Ends of earlier windows that received data since the last evaluation."""
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
            in_window = [record for record in records if last - self._rule.window <= record.happened < last]
            failing += await self._answer(condition, in_window, due)
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
