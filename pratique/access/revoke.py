"""Ends leases on a vault, a run's own or those that other runs could not end, and reads back that they are gone.

::

    result = await sweep(session, vault_id)
    print(f"{len(result.ended)} ended, {len(result.left)} left")
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from datetime import UTC, datetime

from pratique.access.requirements import unlock_command
from pratique.azure import pim, roles
from pratique.azure.firewall import erase_leases, read_firewall
from pratique.azure.locks import read_locks
from pratique.azure.resource_ids import ResourceId
from pratique.azure.session import AzureSession
from pratique.errors import AccessNotRevoked, PratiqueError, ScopeLocked, Unavailable
from pratique.lease import Lease, from_description, from_tags

LeaseFilter = Callable[[Lease], bool]

PAUSES = (0.0, 0.5, 1.0, 2.0, 2.0)  # seconds before each attempt


@dataclass(frozen=True)
class TemporaryAccess:
    """The leases of a vault, and the role assignments that they have created.

    :ivar leases: leases recorded in the vault's tags
    :ivar creators: for each role assignment by name, the lease that created it
    """

    leases: tuple[Lease, ...]
    creators: dict[str, Lease]

    @property
    def all(self) -> tuple[Lease, ...]:
        """Every lease: those in the vault's tags, and creators of assignments that none of these names."""
        named = {lease.assignment for lease in self.leases}
        unnamed = {creator.id: creator for name, creator in self.creators.items() if name not in named}
        return tuple((unnamed | {lease.id: lease for lease in self.leases}).values())


@dataclass(frozen=True)
class SweepResult:
    """The leases that a sweep ended and left.

    :ivar left: leases that are still valid
    """

    ended: tuple[Lease, ...]
    left: tuple[Lease, ...]


async def read_access(session: AzureSession, vault_id: str) -> TemporaryAccess:
    """Read the vault's leases and the role assignments that they have created."""
    assignments, firewall = await asyncio.gather(
        roles.list_assignments(session, vault_id), read_firewall(session, vault_id)
    )
    leases = {assignment.name.lower(): from_description(assignment.description) for assignment in assignments}
    creators = {name: lease for name, lease in leases.items() if lease is not None}
    return TemporaryAccess(tuple(from_tags(firewall.lease_tags)), creators)


async def sweep(session: AzureSession, vault_id: str, *, everything: bool = False) -> SweepResult:
    """End all expired leases. Safe while runs are using the vault, and while another sweep runs.

    :param everything: also end leases that have not expired: their runs are shut out and open their access again
    :raises AccessNotRevoked: when access may still be open after several attempts
    """
    at = datetime.now(UTC)
    ended = await end_leases(session, vault_id, which=lambda lease: everything or lease.expired(at))
    return SweepResult(tuple(ended), (await read_access(session, vault_id)).all)


async def end_leases(
    session: AzureSession, vault_id: str, *, which: LeaseFilter, tag_names: Collection[str] = ()
) -> list[Lease]:
    """End every lease on the vault that ``which`` selects. A shared rule or role stays while another lease needs it.

    Records are removed first, so that of two runs that share an assignment and end at the same time, at least one finds
    itself to be the last. Rules and assignments without a lease are never touched.

    :param tag_names: records that are erased even if they are missing now: another writer may put them back
    :returns: the leases that were ended
    :raises AccessNotRevoked: when access may still be open after several attempts
    """
    revocation = _Revocation(session=session, vault_id=vault_id, which=which, tag_names=frozenset(tag_names))
    failure: PratiqueError | None = None
    for pause in PAUSES:
        await asyncio.sleep(pause)
        try:
            await revocation.attempt()
        except PratiqueError as error:
            failure = error
        else:
            return list(revocation.ended.values())
    raise _not_revoked(revocation, failure, await _unlock_commands(session, vault_id, failure))


@dataclass(kw_only=True)
class _Revocation:
    """Repeated attempts to end the same leases.

    :ivar ended: the selected leases seen so far
    :ivar records: those of them whose records existed at the last reading
    :ivar rules: addresses whose rules are removed with these
    :ivar assignments: names of the assignments to revoke
    """

    session: AzureSession
    vault_id: str
    which: LeaseFilter
    tag_names: frozenset[str]
    ended: dict[str, Lease] = field(default_factory=dict)
    records: list[Lease] = field(default_factory=list)
    rules: set[str] = field(default_factory=set)
    assignments: set[str] = field(default_factory=set)
    _revoked: set[str] = field(default_factory=set)

    async def attempt(self) -> None:
        """Revoke, and read back. Records and assignments are each tried even if the other fails.

        :raises PratiqueError: when access may still be open
        """
        failures: list[BaseException] = []
        await self._read()
        if tag_names := self.tag_names | {lease.tag_name for lease in self.records}:
            try:
                await erase_leases(self.session, self.vault_id, tag_names)
            except PratiqueError as error:
                failures.append(error)
            # A run that shares an assignment and ends now has removed its record by now, or sees that this one is gone.
            await self._read()
        outcomes = await asyncio.gather(*map(self._revoke, tuple(self.assignments)), return_exceptions=True)
        failures += [outcome for outcome in outcomes if isinstance(outcome, BaseException)]
        if failures:
            raise next((failure for failure in failures if isinstance(failure, ScopeLocked)), failures[0])

    async def _read(self) -> None:
        """Find out what to remove."""
        access = await read_access(self.session, self.vault_id)
        self.records = [lease for lease in access.leases if self.which(lease)]
        others = [lease for lease in access.leases if not self.which(lease)]
        created = {name: creator for name, creator in access.creators.items() if self.which(creator)}
        self.ended |= {lease.id: lease for lease in (*created.values(), *self.records)}
        addresses = {lease.address for lease in self.records} - {lease.address for lease in others}
        self.rules = {str(address) for address in addresses if address is not None}
        named = {lease.assignment for lease in self.ended.values()} | created.keys()
        self.assignments = named - {lease.assignment for lease in others} - self._revoked - {""}

    async def _revoke(self, name: str) -> None:
        """Revoke by name, because the list of assignments lags behind both grants and revocations."""
        if name.startswith(pim.ACTIVATION_PREFIX):
            await pim.deactivate(self.session, self.vault_id, name)
        else:
            assignment = roles.assignment_id(self.vault_id, name)
            failure: PratiqueError | None = None
            try:
                await roles.revoke_role(self.session, assignment)
            except PratiqueError as error:
                failure = error
            if await roles.role_exists(self.session, assignment):
                present = Unavailable("revoke the role", assignment, "The assignment still exists.", "Run again.")
                raise failure or present
        self._revoked.add(name)
        self.assignments.discard(name)


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
    tags = sorted(lease.tag_name for lease in revocation.records)
    commands = [f"az role assignment delete --ids {roles.assignment_id(vault_id, name)}" for name in assignments]
    commands += [f"az keyvault network-rule remove -n {vault} --ip-address {rule}" for rule in sorted(revocation.rules)]
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
