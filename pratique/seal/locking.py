"""Carries out a plan: records it, sets and lifts locks, and reads back what the registry made of it.

The record of a lock is written before the lock is set, that of an unlocked image after it is unlocked. So a run that is
killed leaves no lock that the next one would take for somebody else's.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection, Sequence
from dataclasses import dataclass, replace
from typing import TypeAlias

from pratique.clock import Clock
from pratique.errors import (
    AuthenticationFailed,
    Conflict,
    NetworkDenied,
    PermissionDenied,
    PratiqueError,
    Throttled,
    TransientError,
)
from pratique.oci.client import OciClient
from pratique.oci.locks import Part, lock, read_content, unlock
from pratique.records import seals as seal_file
from pratique.records.branch import RecordsBranch
from pratique.records.seals import SealAction, SealRecord, Seals
from pratique.seal.plan import SealPlan, plan_seal
from pratique.seal.survey import Survey

_AT_ONCE = 8
#: Seconds before what failed for the moment is tried again.
_PAUSES = (2.0, 10.0, 30.0)
_LONGEST_PAUSE = 60.0  # seconds, whatever the registry asks for
#: What will fail for the other tags and manifests of the repository as well.
_FOR_ALL = (AuthenticationFailed, NetworkDenied, PermissionDenied)
_OTHERWISE = "The registry accepted the change, and shows it otherwise afterwards."
_OTHERWISE_STEP = (
    "Run again: replicas of a registry have undone each other's locks (Azure/acr#592). If it stays so, find out who "
    "else changes the attributes."
)

#: Why tags and manifests could not be locked or unlocked.
Failures: TypeAlias = dict[Part, PratiqueError]
Change: TypeAlias = Callable[[OciClient, str, Part], Awaitable[None]]


@dataclass(frozen=True)
class FailedPart:
    """A tag or manifest that could not be locked or unlocked.

    :ivar observed: what came back
    :ivar remedy: the next step
    """

    part: Part
    observed: str
    remedy: str


@dataclass(frozen=True, kw_only=True)
class SealOutcome:
    """What a run has done.

    :ivar locked: what was not locked, and is now
    :ivar unlocked: what was locked, and is no longer
    """

    action: SealAction
    survey: Survey
    plan: SealPlan
    locked: tuple[Part, ...]
    unlocked: tuple[Part, ...]
    failed: tuple[FailedPart, ...]

    @property
    def changed(self) -> bool:
        """Whether anything in the registry was changed."""
        return bool(self.locked or self.unlocked)


@dataclass(frozen=True, kw_only=True)
class Sealer:
    """Locks and unlocks.

    :ivar days: after which what nothing needs is unlocked
    """

    client: OciClient
    records: RecordsBranch
    clock: Clock
    days: int

    async def seal(self, survey: Survey, action: SealAction) -> SealOutcome:
        """Lock what is on record, and unlock what is retired.

        What fails for one tag or manifest is in the outcome, and keeps nothing else from being locked.

        :raises PratiqueError: when the records cannot be read or written
        """
        plan = await self._record_plan(survey, action)
        failed = await self._change(survey.registry, plan.lock, lock)
        failed |= await self._change(survey.registry, plan.unlock, unlock)
        failed |= await self._read_back(survey.registry, plan, failed)
        await self._record_outcome(survey.registry, plan, failed, action)
        return SealOutcome(
            action=action,
            survey=survey,
            plan=plan,
            locked=tuple(part for part in plan.lock if part not in failed),
            unlocked=tuple(part for part in plan.unlock if part not in failed),
            failed=tuple(FailedPart(part, failed[part].observed, failed[part].remedy) for part in sorted(failed)),
        )

    async def _record_plan(self, survey: Survey, action: SealAction) -> SealPlan:
        """Plan on the records as they are when they are written."""
        plans: list[SealPlan] = []

        def rewrite(text: str | None) -> str | None:
            before = Seals.parse(text)
            plan = plan_seal(
                survey.registry, survey.contents, survey.recorded, survey.needs, before, days=self.days, action=action
            )
            plans.append(plan)
            after = before.with_changes(plan.records, plan.gone)
            return text if after == before else after.text()

        message = f"Record what is sealed in live/ of {survey.registry}."
        await self.records.write({seal_file.FILE: rewrite}, message, run=action.run)
        return plans[-1]

    async def _record_outcome(self, registry: str, plan: SealPlan, failed: Failures, action: SealAction) -> None:
        """Record what was unlocked, and take off the record what could not be locked."""
        kept_locked = {standing.image.key for standing in plan.images if failed.keys() & {*standing.image.parts}}
        unsealed = [record for record in plan.unsealed if record.key not in kept_locked]
        missed = failed.keys() & {*plan.lock}

        def rewrite(text: str | None) -> str | None:
            before = Seals.parse(text)
            here = (record for record in before.records if record.registry == registry)
            after = before.with_changes(_without(record, missed) for record in here).with_changes(unsealed)
            return text if after == before else after.text()

        if unsealed or missed:
            message = f"Record what is unlocked in live/ of {registry}."
            await self.records.write({seal_file.FILE: rewrite}, message, run=action.run)

    async def _change(self, registry: str, parts: Sequence[Part], change: Change) -> Failures:
        """Set or lift locks; what fails for the moment is tried again after a pause."""
        failed = await self._change_once(registry, parts, change)
        for pause in _PAUSES:
            passing = {part: error for part, error in failed.items() if isinstance(error, TransientError)}
            if not passing:
                break
            asked = [error.retry_after or 0.0 for error in passing.values() if isinstance(error, Throttled)]
            await self.clock.sleep(min(max(pause, *asked, 0.0), _LONGEST_PAUSE))
            lasting = {part: error for part, error in failed.items() if part not in passing}
            failed = lasting | await self._change_once(registry, list(passing), change)
        return failed

    async def _change_once(self, registry: str, parts: Sequence[Part], change: Change) -> Failures:
        limit, failed = asyncio.Semaphore(_AT_ONCE), dict[Part, PratiqueError]()

        async def work(of_repository: Sequence[Part]) -> None:
            async with limit:
                for number, part in enumerate(of_repository):
                    try:
                        await change(self.client, registry, part)
                    except _FOR_ALL as error:
                        failed.update(dict.fromkeys(of_repository[number:], error))
                        return
                    except PratiqueError as error:
                        failed[part] = error

        await asyncio.gather(*map(work, _by_repository(parts).values()))
        return failed

    async def _read_back(self, registry: str, plan: SealPlan, failed: Failures) -> Failures:
        """What the registry shows otherwise than it was changed. Replicas may take some seconds to agree."""
        left = [part for part in (*plan.lock, *plan.unlock) if part not in failed]
        wanted, wrong = {*plan.lock}, dict[Part, PratiqueError]()
        for pause in (0.0, *_PAUSES[:2]):
            if pause:
                await self.clock.sleep(pause)
            wrong = await self._not_as_wanted(registry, left, wanted)
            left = list(wrong)
            if not left:
                break
        return wrong

    async def _not_as_wanted(self, registry: str, parts: Sequence[Part], locked: Collection[Part]) -> Failures:
        limit, wrong = asyncio.Semaphore(_AT_ONCE), dict[Part, PratiqueError]()

        async def look(repository: str, of_repository: Sequence[Part]) -> None:
            async with limit:
                try:
                    content = await read_content(self.client, registry, repository)
                except PratiqueError as error:
                    wrong.update(dict.fromkeys(of_repository, error))
                    return
            for part in of_repository:
                if content.is_locked(part) is not (part in locked):
                    wrong[part] = Conflict("keep the lock", str(part), _OTHERWISE, _OTHERWISE_STEP)

        await asyncio.gather(*(look(*item) for item in _by_repository(parts).items()))
        return wrong


def _by_repository(parts: Sequence[Part]) -> dict[str, list[Part]]:
    found: dict[str, list[Part]] = {}
    for part in parts:
        found.setdefault(part.repository, []).append(part)
    return found


def _without(record: SealRecord, missed: Collection[Part]) -> SealRecord:
    return replace(record, parts=tuple(name for name in record.parts if Part(record.repository, name) not in missed))
