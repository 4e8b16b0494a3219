"""Ends leases on a vault, a run's own or those that other runs could not end, and reads back that they are gone.

::

    swept = await sweep(session, vault_id)
    print(f"{len(swept.ended)} ended, {len(swept.left)} left")
    swept.require_proof()

Tags and descriptions select what to end, and others can write tags. So nothing is removed that this project cannot have
made: only rules with their mark, role assignments whose GUID and description are a lease's, and activations whose GUID
follows from their justification. What a record claims beyond that stays, and is reported.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Coroutine, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from ipaddress import IPv4Address
from typing import Any

from pratique.access.doubts import Doubt, of_record, of_role, unproven
from pratique.access.requirements import unlock_command
from pratique.access.standing import Standing, look
from pratique.azure import pim, roles
from pratique.azure.firewall import erase_leases
from pratique.azure.locks import read_locks
from pratique.azure.resource_ids import ResourceId
from pratique.azure.session import AzureSession
from pratique.azure.transport import brief_waits
from pratique.errors import AccessNotRevoked, PratiqueError, ScopeLocked, Unavailable
from pratique.lease import Lease, UnusableRecord

LeaseFilter = Callable[[Lease], bool]

PAUSES = (0.0, 0.5, 1.0, 2.0, 2.0)  # seconds before each attempt


@dataclass(frozen=True, kw_only=True)
class SweepResult:
    """What a sweep did.

    :ivar ended: leases whose access is gone
    :ivar left: leases that are still valid
    :ivar unusable: records that are no leases, and of which nothing was done
    :ivar doubts: what stands and could not be proven to be a lease's
    """

    vault_id: str = ""
    ended: tuple[Lease, ...] = ()
    left: tuple[Lease, ...] = ()
    unusable: tuple[UnusableRecord, ...] = ()
    doubts: tuple[Doubt, ...] = ()

    def require_proof(self) -> None:
        """:raises AccessNotRevoked: when something stands that only a person can judge"""
        if self.doubts:
            raise unproven(self.vault_id, self.doubts)


async def sweep(session: AzureSession, vault_id: str, *, everything: bool = False) -> SweepResult:
    """End all expired leases. Safe while runs are using the vault, and while another sweep runs.

    :param everything: also end leases that have not expired: their runs are shut out and open their access again
    :raises AccessNotRevoked: when access may still be open after several attempts
    """
    at = datetime.now(UTC)
    done = await _end(session, vault_id, lambda lease: everything or lease.expired(at))
    left = tuple(lease for lease in done.standing.all_leases if not done.which(lease))
    return SweepResult(
        vault_id=vault_id,
        ended=tuple(done.ended),
        left=left,
        unusable=tuple(done.unusable.values()),
        doubts=tuple(done.doubts()),
    )


async def end_leases(
    session: AzureSession, vault_id: str, *, which: LeaseFilter, tag_names: Collection[str] = ()
) -> list[Lease]:
    """End every lease on the vault that ``which`` selects. A shared rule or role stays while another lease needs it.

    :param tag_names: records that are erased even if they are missing now, as another writer may put them back, or if
        they are damaged; without them, all unusable records are reported
    :returns: the leases that were ended
    :raises AccessNotRevoked: when access may still be open after several attempts, or only a person can judge what is
    """
    done = await _end(session, vault_id, which, tag_names)
    if doubts := tuple(done.doubts()):
        raise unproven(vault_id, doubts)
    return done.ended


async def _end(
    session: AzureSession, vault_id: str, which: LeaseFilter, tag_names: Collection[str] = ()
) -> _Revocation:
    revocation = _Revocation(session=session, vault_id=vault_id, which=which, tag_names=frozenset(tag_names))
    failure: PratiqueError | None = None
    with brief_waits():
        for pause in PAUSES:
            await asyncio.sleep(pause)
            try:
                await revocation.attempt()
            except PratiqueError as error:
                failure = error
            else:
                return revocation
        raise _not_revoked(revocation, failure, await _unlock_commands(session, vault_id, failure))


@dataclass(kw_only=True)
class _Revocation:
    """Repeated attempts to end the same leases.

    :ivar selected: the selected leases seen so far
    :ivar assignments: names of the assignments and activations to revoke
    :ivar unusable: the unusable records seen so far, by name
    """

    session: AzureSession
    vault_id: str
    which: LeaseFilter
    tag_names: frozenset[str]
    standing: Standing = field(default_factory=Standing)
    selected: dict[str, Lease] = field(default_factory=dict)
    assignments: set[str] = field(default_factory=set)
    unusable: dict[str, UnusableRecord] = field(default_factory=dict)
    _revoked: set[str] = field(default_factory=set)
    _role_doubts: dict[str, Doubt] = field(default_factory=dict)

    @property
    def ended(self) -> list[Lease]:
        """The selected leases whose record is gone, and of whose role is no doubt."""
        open_ = {lease.id for lease in self.records}
        selected = self.selected.values()
        return [lease for lease in selected if lease.id not in open_ and lease.assignment not in self._role_doubts]

    @property
    def records(self) -> list[Lease]:
        """The selected leases that had a record at the last reading."""
        return [lease for lease in self.standing.leases if self.which(lease)]

    @property
    def addresses(self) -> set[IPv4Address]:
        """The addresses whose rules no other lease needs."""
        firewall = self.standing.firewall
        needed = {lease.address for lease in self.standing.leases if not self.which(lease)}
        return set(firewall.leased - needed) if firewall else set()

    async def attempt(self) -> None:
        """Revoke, and read back. Each record and role is tried even if another one fails.

        :raises PratiqueError: when access may still be open
        """
        failures = await self._look()
        tag_names = self.tag_names | {lease.tag_name for lease in self.records}
        erases = self.standing.firewall is not None and bool(tag_names or self.addresses)
        evidence = {lease.tag_name for lease in self.records if lease.assignment in self.standing.foreign}
        # An assignment's description names its lease, but only the tag names an activation: so the tag goes after it.
        activations = [name for name in self.assignments if name.startswith(pim.ACTIVATION_PREFIX)]
        failures += await _failures(*map(self._revoke, activations))
        evidence |= {lease.tag_name for lease in self.records if lease.assignment in self.assignments & {*activations}}
        work = [erase_leases(self.session, self.vault_id, tag_names, evidence=evidence)] if erases else []
        failures += await _failures(*work, *map(self._revoke, self.assignments - {*activations}))
        if erases:
            # Of two runs that share an assignment and end at the same time, each waits until its own record is gone:
            # at least one now finds itself to be the last.
            failures += await self._look()
            failures += await _failures(self._revoke_all())
        if failures:
            raise next((failure for failure in failures if isinstance(failure, ScopeLocked)), failures[0])

    def doubts(self) -> Iterator[Doubt]:
        """What stands because nothing proves that leases made it; after a successful attempt."""
        yield from self._role_doubts.values()
        records: list[Lease | UnusableRecord] = [*self.records, *self.unusable.values()]
        for record in records:
            yield from of_record(record, self.standing)

    async def _look(self) -> list[BaseException]:
        """Find out what to remove. If one half cannot be read, go by the other."""
        self.standing, failures = await look(self.session, self.vault_id)
        self.selected |= {lease.id: lease for lease in self.records}
        created = {name: lease for name, lease in self.standing.creators.items() if self.which(lease)}
        self.selected |= {lease.id: self.selected.get(lease.id, lease) for lease in created.values()}
        named = {lease.assignment for lease in self.selected.values()} if self.standing.firewall else set()
        needed = {lease.assignment for lease in self.standing.leases if not self.which(lease)}
        self.assignments = (named | created.keys()) - needed - self._revoked - {""}
        for record in self.standing.unusable:
            if not self.tag_names or record.name.lower() in self.tag_names:
                self.unusable.setdefault(record.name, record)
        return failures

    async def _revoke_all(self) -> None:
        if failures := await _failures(*map(self._revoke, tuple(self.assignments))):
            raise failures[0]

    async def _revoke(self, name: str) -> None:
        """Revoke by name, because the list of assignments lags behind both grants and revocations."""
        if name.startswith(pim.ACTIVATION_PREFIX):
            proven = await pim.deactivate(self.session, self.vault_id, name)
        else:
            proven = await self._delete(roles.assignment_id(self.vault_id, name))
        if not proven:
            self._role_doubts[name] = of_role(self.vault_id, name)
        self._revoked.add(name)
        self.assignments.discard(name)

    async def _delete(self, assignment_id: str) -> bool:
        """Delete an assignment, and read back that it is gone. Returns False for one that no lease made: it stays."""
        found = await roles.read_assignment(self.session, assignment_id)
        if found is None:
            return True
        if not self.standing.is_of_a_lease(found):
            return False
        failure: PratiqueError | None = None
        try:
            await roles.revoke_role(self.session, assignment_id)
        except PratiqueError as error:
            failure = error
        if await roles.read_assignment(self.session, assignment_id) is not None:
            raise failure or Unavailable("revoke the role", assignment_id, "The assignment still exists.", "Run again.")
        return True


async def _failures(*work: Coroutine[Any, Any, None]) -> list[BaseException]:
    outcomes = await asyncio.gather(*work, return_exceptions=True)
    return [outcome for outcome in outcomes if outcome is not None]


async def _unlock_commands(session: AzureSession, vault_id: str, failure: PratiqueError | None) -> list[str]:
    """The commands that have to come first, if a management lock stopped the revocation."""
    if not isinstance(failure, ScopeLocked):
        return []
    try:
        return [unlock_command(lock) for lock in await read_locks(session, vault_id)]
    except PratiqueError:
        return [f"az lock list --resource-group {ResourceId.parse(vault_id).group}"]


def _not_revoked(
    revocation: _Revocation, failure: PratiqueError | None, unlock_commands: list[str]
) -> AccessNotRevoked:
    """The error with the commands that revoke by hand what no other lease needs."""
    vault_id, vault = revocation.vault_id, revocation.vault_id.rsplit("/", 1)[-1]
    assignments = sorted(name for name in revocation.assignments if not name.startswith(pim.ACTIVATION_PREFIX))
    commands = [f"az role assignment delete --ids {roles.assignment_id(vault_id, name)}" for name in assignments]
    if (firewall := revocation.standing.firewall) is not None:
        rules = [rule for address in sorted(revocation.addresses) for rule in firewall.rules_of(address)]
        commands += [f"az keyvault network-rule remove -n {vault} --ip-address {rule}" for rule in rules]
        # Without its record, no sweep would find an activation.
        unended = {name for name in revocation.assignments if name.startswith(pim.ACTIVATION_PREFIX)}
        tags = sorted(lease.tag_name for lease in revocation.records if lease.assignment not in unended)
        commands += [f"az keyvault update -n {vault} --remove tags.{tag}" for tag in tags]
    # Nothing could be read, or only an activation is left, which Azure ends by itself.
    commands = commands or [
        f"az keyvault show -n {vault} --query '[tags, properties.networkAcls.ipRules]'",
        f"az role assignment list --scope {vault_id}",
    ]
    observed = failure.observed if failure else "It still exists."
    return AccessNotRevoked(
        "revoke the temporary access",
        vault,
        f"It is still open, or may be, after {len(PAUSES)} attempts: {observed}",
        f"ACT NOW: {'; '.join((*unlock_commands, *commands))}",
    )
