"""What leases hold on a vault, as its tags, its rules and its role assignments show it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TypeVar

from pratique.azure import roles
from pratique.azure.firewall import read_firewall
from pratique.azure.network_rules import Firewall
from pratique.azure.roles import Assignment
from pratique.azure.session import AzureSession
from pratique.errors import Unavailable
from pratique.lease import Lease, UnusableRecord, read_description

T = TypeVar("T")

#: After this time a half counts as one that cannot be read.
READ_SECONDS = 10.0


@dataclass(frozen=True)
class Standing:
    """A reading of a vault. A half that could not be read is ``None``, and holds nothing.

    :ivar assignments: the role assignments at the vault
    """

    vault_id: str = ""
    firewall: Firewall | None = None
    assignments: tuple[Assignment, ...] | None = None

    @property
    def leases(self) -> tuple[Lease, ...]:
        """The leases that are recorded in the vault's tags."""
        return self.firewall.records.leases if self.firewall else ()

    @cached_property
    def creators(self) -> dict[str, Lease]:
        """For each role assignment that a lease created, by name, that lease."""
        found = {assignment.name.lower(): self._creator(assignment) for assignment in self.assignments or ()}
        return {name: lease for name, lease in found.items() if isinstance(lease, Lease)}

    @property
    def foreign(self) -> set[str]:
        """The names of the role assignments that no lease created."""
        return {assignment.name.lower() for assignment in self.assignments or ()} - self.creators.keys()

    @cached_property
    def unusable(self) -> tuple[UnusableRecord, ...]:
        """Records that are no leases, in tags and in descriptions."""
        described = [self._creator(assignment) for assignment in self.assignments or ()]
        tags = self.firewall.records.unusable if self.firewall else ()
        return (*tags, *(record for record in described if isinstance(record, UnusableRecord)))

    @property
    def all_leases(self) -> tuple[Lease, ...]:
        """Every lease: those in the vault's tags, and creators of assignments that none of these names."""
        named = {lease.assignment for lease in self.leases}
        unnamed = {creator.id: creator for name, creator in self.creators.items() if name not in named}
        return tuple((unnamed | {lease.id: lease for lease in self.leases}).values())

    def is_of_a_lease(self, assignment: Assignment) -> bool:
        """Whether a lease created the assignment: its GUID is derived, and its description is a lease's record."""
        return isinstance(self._creator(assignment), Lease)

    def _creator(self, assignment: Assignment) -> Lease | UnusableRecord | None:
        record = read_description(assignment.name, assignment.description, self.vault_id)
        if isinstance(record, UnusableRecord):
            return replace(record, assignment=assignment.name.lower())
        if record is not None and not roles.is_temporary(assignment):
            reason = "it describes an assignment that no lease made"
            return UnusableRecord(name=assignment.name, reason=reason, assignment=assignment.name.lower())
        return record


async def look(session: AzureSession, vault_id: str) -> tuple[Standing, list[BaseException]]:
    """Read both halves, and return why one could not be read. Neither waits long for the other."""
    firewall, assignments = await asyncio.gather(
        _in_time(read_firewall(session, vault_id), vault_id),
        _in_time(roles.list_assignments(session, vault_id), vault_id),
        return_exceptions=True,
    )
    standing = Standing(
        vault_id,
        None if isinstance(firewall, BaseException) else firewall,
        None if isinstance(assignments, BaseException) else tuple(assignments),
    )
    return standing, [half for half in (firewall, assignments) if isinstance(half, BaseException)]


async def _in_time(reading: Awaitable[T], vault_id: str) -> T:
    try:
        async with asyncio.timeout(READ_SECONDS):
            return await reading
    except TimeoutError:
        observed = f"There was no answer within {READ_SECONDS:g} seconds."
        raise Unavailable("read what leases hold", vault_id, observed, "Run again.") from None
