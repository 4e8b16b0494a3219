"""The verdicts on a run's releases, for as long as the run uses them.

A verdict says what the sources said when they were asked. A promotion may wait for hours behind others, and the
manifests for the slowest release, so a verdict that is older than the policy's ``maximum_verdict_age`` is renewed
before it is used; so is one that rests on a break-glass entry which has ended. After a person's answer it always is::

    verdict = StandingVerdict(report, ask_again, clock)
    await verdict.approve(approval)
    await verdict.renew()
    verdict.require("Nothing was pushed.")
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta

from pratique.clock import Clock
from pratique.gate.approval import Approval
from pratique.gate.break_glass import ends
from pratique.gate.evidence import CLOCKS_DIFFER
from pratique.gate.report import require_passed
from pratique.gate.wait import GateReport


class StandingVerdict:
    """The verdict on one release.

    :param report: of the release's gate
    :param ask_again: runs the same gate again, under the same rules
    :ivar report: the latest one
    """

    def __init__(self, report: GateReport, ask_again: Callable[[], Awaitable[GateReport]], clock: Clock) -> None:
        self.report = report
        self._ask_again = ask_again
        self._clock = clock
        self._approval: Approval | None = None
        self._renewal = asyncio.Lock()
        self._renewals = 0
        self._ending: tuple[GateReport, datetime | None] | None = None

    async def approve(self, approval: Approval) -> GateReport:
        """Apply a person's answer. An approval applies to what the sources say after it was given.

        :raises PratiqueError: when a source cannot be asked at all
        """
        async with self._renewal:
            self._approval = approval
            if approval.approved:
                await self._ask()
            else:
                self.report = self.report.with_approval(approval, self._clock.now())
            return self.report

    async def renew(self) -> bool:
        """Ask the sources again if the verdict is too old.

        Those who ask at the same time share the answer, also when the sources took longer than a verdict counts.

        :return: whether the sources were asked
        :raises PratiqueError: when a source cannot be asked at all
        """
        before = self._renewals + self._renewal.locked()  # what runs already may have asked too early
        async with self._renewal:
            if self._current or self._renewals > before:
                return False
            await self._ask()
            return True

    def require(self, consequence: str) -> None:
        """Require that the release passes.

        :param consequence: what was not done, as a sentence for the error
        :raises GateBlocked: unless it passes
        """
        require_passed(self.report, consequence)

    @property
    def digests(self) -> frozenset[str]:
        """The digests of the release's images."""
        return frozenset(verdict.image.digest for verdict in self.report.verdicts)

    @property
    def _current(self) -> bool:
        now, end = self._clock.now(), self._end
        if end is not None and now >= end:
            return False
        age = now - self.report.at
        return -CLOCKS_DIFFER <= age <= timedelta(minutes=self.report.rules.policy.maximum_verdict_age)

    @property
    def _end(self) -> datetime | None:
        """When the verdict ends that rests on break glass. Each promotion asks, so it is found once for each report."""
        if self._ending is None or self._ending[0] is not self.report:
            self._ending = self.report, ends(self.report)
        return self._ending[1]

    async def _ask(self) -> None:
        report = await self._ask_again()
        self.report = report.with_approval(self._approval, self._clock.now()) if self._approval else report
        self._renewals += 1
