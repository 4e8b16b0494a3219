"""Acts on a rescan: records the cases, blocks and allows pulls, and proposes other images.

Each reaction follows from the condition of a case, and is undone when the condition ends. A pull block is on record
from before it is made until after it is undone, so that the next rescan knows it for Pratique's own. Rescans of several
clusters may run at once, on servers that know nothing of each other: what one of them has blocked and another one has
allowed is allowed in the end.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime

import httpx

from pratique.config import Bootstrap
from pratique.errors import NotFound
from pratique.git.checkout import Repository
from pratique.git.forges.remote import forge_of
from pratique.oci.client import OciClient
from pratique.records import cases as records
from pratique.records import promotions as promotion_file
from pratique.records.branch import RecordsBranch
from pratique.records.cases import REACTED_TO, Case, Cases
from pratique.records.promotions import Promotions
from pratique.replicas import Replication
from pratique.rescan.assessment import ImageAssessment
from pratique.rescan.cases import CaseChange, RescanOutcome, update_cases, with_pulls_allowed
from pratique.rescan.inventory import Inventory
from pratique.rescan.proposals import (
    Replacements,
    below_live,
    branch_name,
    find_replacements,
    open_pull_request,
    propose,
    with_proposal,
    withdraw,
)
from pratique.rescan.pull_block import set_pulls
from pratique.rescan.report import Rescan

_PULLS_AT_ONCE = 8


async def record_cases(
    branch: RecordsBranch,
    config: Bootstrap,
    inventory: Inventory,
    assessments: Sequence[ImageAssessment],
    *,
    at: datetime,
    run: str,
) -> RescanOutcome:
    """Update the cases on record with a rescan's assessments, and the records of images that came in by break glass.

    :param run: id of the flow run, for the commit's trailer
    """
    outcomes: list[RescanOutcome] = []
    verdicts = {
        assessment.image.key: str(assessment.state)
        for assessment in assessments
        if assessment.image.break_glass and assessment.proven
    }

    def rewrite(text: str | None) -> str | None:
        before, window = Cases.parse(text), config.gate.policy.maximum_age
        outcomes.append(update_cases(before, inventory, assessments, config.scanning, window=window, at=at))
        return text if outcomes[-1].cases == before else outcomes[-1].cases.text()

    def judged(text: str | None) -> str | None:
        return Promotions.parse(text).with_verdicts(verdicts, at).text() if verdicts else text

    files = {records.FILE: rewrite, promotion_file.FILE: judged}
    await branch.write(files, f"Update the cases of live/ of {inventory.registry}.", run=run)
    return outcomes[-1]


@dataclass(frozen=True, kw_only=True)
class Reactions:
    """Carries out what the configuration says about bad images.

    :ivar manifests: the branch that proposals start from
    :ivar token: for the API of the repository's forge
    :ivar run: id of the flow run, for the commits' trailers
    :ivar replication: finds the registry's replicas that have to serve what is proposed
    """

    config: Bootstrap
    client: OciClient
    http: httpx.AsyncClient
    manifests: Repository
    records: RecordsBranch
    token: str | None
    run: str
    replication: Callable[[], Awaitable[Replication]]

    async def apply(self, rescan: Rescan) -> tuple[Rescan, list[str]]:
        """Carry out the reactions, and undo those that no longer apply.

        :return: the rescan with the new cases and changes, and sentences for the run's log
        :raises PratiqueError: when a registry, the repository or the forge refuses
        """
        outcome = rescan.outcome
        notes = await self._set_pulls(outcome.to_block, allow=False) + await self._set_pulls(
            outcome.to_allow, allow=True
        )
        replacements, proposal, more_notes = await self._propose(rescan)
        outcome = await self._record(rescan, replacements, proposal)
        await self._confirm_pulls(rescan.outcome)
        return replace(rescan, outcome=outcome), notes + more_notes

    async def _set_pulls(self, cases: Sequence[Case], *, allow: bool) -> list[str]:
        limit = asyncio.Semaphore(_PULLS_AT_ONCE)

        async def change(case: Case) -> str:
            async with limit:
                await set_pulls(self.client, case.reference, allowed=allow)
            state = "allowed again" if allow else "BLOCKED: pods that need it will not start on nodes that lack it"
            return f"Pulls of {case.name} are {state}"

        return await asyncio.gather(*map(change, cases))

    async def _confirm_pulls(self, outcome: RescanOutcome) -> None:
        """Allow the pulls of what is no longer on record as blocked.

        Another rescan may have decided the opposite in between. Of two that change an image at once, the one that
        changed it last reads here what the other one has recorded.
        """
        changed = {case.key: case for case in (*outcome.to_block, *outcome.to_allow)}
        if not changed:
            return
        on_record = (await self.records.cases()).by_key
        for key, case in changed.items():
            if key not in on_record or on_record[key].blocked_since is None:
                with suppress(NotFound):  # the image was deleted meanwhile
                    await set_pulls(self.client, case.reference, allowed=True)

    async def _propose(self, rescan: Rescan) -> tuple[Replacements, str | None, list[str]]:
        """Propose other images, and withdraw proposals that are no longer needed.

        :return: the replacements, the branch and commit that propose them, and sentences for the run's log
        """
        cases, target = rescan.cases, self.config.manifests
        replacements, notes = self._replacements(rescan)
        open_proposals = {known for case in cases if (known := case.proposal(rescan.inventory.cluster))}
        name = branch_name(replacements, self.manifests) if replacements else ""
        proposal = next((known for known in open_proposals if known.startswith(f"{name}@")), None)
        if replacements and proposal is None:
            proposal = await propose(
                self.manifests,
                rescan.inventory.registry,
                replacements,
                client=self.client,
                author=self.records.author,
                pin=target.pin,
                run=self.run,
                replication=self.replication,
            )
            if proposal and target.deliver == "pull-request":
                pull_request = await open_pull_request(
                    forge_of(target.remote, self.token or "", self.http), self.manifests, replacements
                )
                notes.append(f"Proposal {name}: merge {pull_request.url}")
        for known in sorted(open_proposals - {proposal}):
            removed = await withdraw(self.manifests, known)
            notes.append(
                f"Proposal {known} {'is withdrawn' if removed else 'is kept: somebody else has committed to it'}"
            )
        return replacements, proposal, notes

    def _replacements(self, rescan: Rescan) -> tuple[Replacements, list[str]]:
        if "propose" not in self.config.scanning.reactions:
            return {}, []
        several = self.config.catalogue.several
        left = [case for case in rescan.cases if case.condition in REACTED_TO and below_live(case) in several]
        notes = [f"Nothing is proposed for {case.name}: the catalogue has several versions of it" for case in left]
        return find_replacements(rescan.cases, rescan.assessments, several), notes

    async def _record(self, rescan: Rescan, replacements: Replacements, proposal: str | None) -> RescanOutcome:
        outcome, registry, cluster = rescan.outcome, rescan.inventory.registry, rescan.inventory.cluster

        def rewrite(cases: Cases) -> Cases:
            allowed = with_pulls_allowed(cases, outcome.to_allow)
            return with_proposal(allowed, replacements, proposal, registry, cluster)

        after = rewrite(outcome.cases)
        if after == outcome.cases:
            return outcome
        await self.records.write(
            {records.FILE: lambda text: rewrite(Cases.parse(text)).text()},
            f"Record the reactions to live/ of {registry}.",
            run=self.run,
        )
        before = {case.key: case.proposal(cluster) for case in outcome.cases.cases}
        changes = tuple(
            CaseChange("proposed", case, case.open, f"on branch {new}")
            for case in after.cases
            if (new := case.proposal(cluster)) and new != before[case.key]
        )
        return replace(outcome, cases=after, changes=(*outcome.changes, *changes))
