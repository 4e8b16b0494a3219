"""Ends leases on a vault, one's own or those that others could not end, and proves by reading that they are gone.

::

    swept = await sweep(session, vault_id)
    print(f"{len(swept.ended)} ended, {len(swept.left)} go on")
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime

from pratique.azure import firewall as firewalls
from pratique.azure import pim, roles
from pratique.azure.session import AzureSession
from pratique.errors import AccessNotRevoked, PratiqueError, Unavailable
from pratique.lease import Lease, from_description, from_tags

Picks = Callable[[Lease], bool]

PAUSES = (0.0, 0.5, 1.0, 2.0, 2.0)  # seconds before each attempt


@dataclass(frozen=True)
class Standing:
    """What leases have left on a vault.

    :ivar leases: recorded on the vault
    :ivar makers: the leases that made role assignments, by the assignments' names
    """

    leases: tuple[Lease, ...]
    makers: dict[str, Lease]

    @property
    def all(self) -> tuple[Lease, ...]:
        """Every lease that goes on: those on record, and makers of assignments that none of these names."""
        named = {lease.assignment for lease in self.leases}
        unnamed = {maker.id: maker for name, maker in self.makers.items() if name not in named}
        return tuple((unnamed | {lease.id: lease for lease in self.leases}).values())


@dataclass(frozen=True)
class Swept:
    """What a sweep did and saw.

    :ivar left: leases that go on
    """

    ended: tuple[Lease, ...]
    left: tuple[Lease, ...]


async def read_access(session: AzureSession, vault_id: str) -> Standing:
    """Read what leases have left on the vault."""
    assignments, vault = await asyncio.gather(
        roles.list_assignments(session, vault_id), firewalls.firewall(session, vault_id)
    )
    made = {found.name.lower(): from_description(found.description) for found in assignments}
    return Standing(
        tuple(from_tags(vault.lease_tags)), {name: maker for name, maker in made.items() if maker is not None}
    )


async def sweep(session: AzureSession, vault_id: str, *, everything: bool = False) -> Swept:
    """End the leases whose time is over, whoever took them; safe beside live runs and beside itself.

    :param everything: end those too whose time is not over: their runs are shut out, and open their access again
    :raises AccessNotRevoked: when something still stands after several attempts
    """
    now = datetime.now(UTC)
    ended = await end_leases(session, vault_id, which=lambda lease: everything or lease.expired(now))
    return Swept(tuple(ended), (await read_access(session, vault_id)).all)


async def end_leases(session: AzureSession, vault_id: str, *, which: Picks) -> list[Lease]:
    """End every lease on the vault that ``which`` picks, with what it shares as far as no other lease needs it.

    Records go first: of two runs that end at once and share an assignment, at least one then sees itself as the last.
    Whatever carries no lease of ours is never touched.

    :returns: the leases that were ended
    :raises AccessNotRevoked: when something still stands after several attempts
    """
    ending = _Ending(session, vault_id, which)
    failure: PratiqueError | None = None
    for pause in PAUSES:
        await asyncio.sleep(pause)
        try:
            await ending.attempt()
        except PratiqueError as error:
            failure = error
        else:
            return list(ending.ended.values())
    raise _not_revoked(ending, failure)


@dataclass
class _Ending:
    """One attempt after another to end the same leases.

    :ivar ended: the leases that were seen so far, and are to go
    :ivar records: those of them whose records stood when last seen
    :ivar rules: addresses whose rules are to go with these
    :ivar doomed: names of assignments to go
    """

    session: AzureSession
    vault_id: str
    which: Picks
    ended: dict[str, Lease] = field(default_factory=dict)
    records: list[Lease] = field(default_factory=list)
    rules: set[str] = field(default_factory=set)
    doomed: set[str] = field(default_factory=set)
    _gone: set[str] = field(default_factory=set)

    async def attempt(self) -> None:
        """Take back, and read back; each half is tried even when the other fails.

        :raises PratiqueError: when something may still stand
        """
        failures: list[BaseException] = []
        await self._look()
        if self.records:
            try:
                await firewalls.erase_leases(self.session, self.vault_id, {lease.tag_name for lease in self.records})
            except PratiqueError as error:
                failures.append(error)
            # Whoever ends at the same time, and shares an assignment, has erased its record by now, or sees ours gone.
            await self._look()
        outcomes = await asyncio.gather(*map(self._revoke, tuple(self.doomed)), return_exceptions=True)
        failures += [outcome for outcome in outcomes if isinstance(outcome, BaseException)]
        if failures:
            raise failures[0]

    async def _look(self) -> None:
        """Find out what is to go."""
        now = await read_access(self.session, self.vault_id)
        self.records = [lease for lease in now.leases if self.which(lease)]
        others = [lease for lease in now.leases if not self.which(lease)]
        made = {name: maker for name, maker in now.makers.items() if self.which(maker)}
        self.ended |= {lease.id: lease for lease in (*made.values(), *self.records)}
        addresses = {lease.address for lease in self.records} - {lease.address for lease in others}
        self.rules = {str(address) for address in addresses if address is not None}
        named = {lease.assignment for lease in self.ended.values()} | made.keys()
        self.doomed = named - {lease.assignment for lease in others} - self._gone - {""}

    async def _revoke(self, name: str) -> None:
        """By name, not by what a list shows: a list lags behind both grants and revocations."""
        if name.startswith(pim.BY_ITSELF):
            await pim.deactivate(self.session, self.vault_id, name)
        else:
            assignment = roles.assignment_id(self.vault_id, name)
            failure: PratiqueError | None = None
            try:
                await roles.revoke_role(self.session, assignment)
            except PratiqueError as error:
                failure = error
            if await roles.role_exists(self.session, assignment):
                present = Unavailable("revoke the role", assignment, "It is read back as present.", "Run again.")
                raise failure or present
        self._gone.add(name)
        self.doomed.discard(name)


def _not_revoked(ending: _Ending, failure: PratiqueError | None) -> AccessNotRevoked:
    """With what finishes the job by hand: only what no other lease needs."""
    vault = ending.vault_id.rsplit("/", 1)[-1]
    roles_left = sorted(name for name in ending.doomed if not name.startswith(pim.BY_ITSELF))
    tags = sorted(lease.tag_name for lease in ending.records)
    commands = [f"az role assignment delete --ids {roles.assignment_id(ending.vault_id, name)}" for name in roles_left]
    commands += [f"az keyvault network-rule remove -n {vault} --ip-address {rule}" for rule in sorted(ending.rules)]
    commands += [f"az keyvault update -n {vault} --remove tags.{tag}" for tag in tags]
    # Nothing could be read, or what is left ends by itself.
    commands = commands or [
        f"az keyvault show -n {vault} --query '[tags, properties.networkAcls.ipRules]'",
        f"az role assignment list --scope {ending.vault_id}",
    ]
    observed = failure.observed if failure else "It is read back as present."
    return AccessNotRevoked(
        "take the temporary access back",
        vault,
        f"It still stands, or may stand, after {len(PAUSES)} attempts: {observed}",
        f"ACT NOW: {'; '.join(commands)}",
    )
