"""A vault's firewall and its lease tags: opens the firewall for an address under a lease, and closes it again.

::

    recorded = await record_lease(session, vault_id, lease, address)
    ...
    await erase_leases(session, vault_id, {lease.tag_name})

One PATCH writes the rule, its mark (:mod:`.rule_marks`) and the tag that names its owner. A PATCH replaces whole lists
and all tags, and supports no ETag, so of two concurrent writers the slower one wins: every change is read back, and
made again if it was lost. One loss is unavoidable: a rule that another writer adds between the GET and the PATCH here.

Tags decide which leases need a rule, and the mark decides whether leases made it: a rule without its mark stays.

Facts: Microsoft.KeyVault/vaults REST API; Key Vault network security.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Collection
from dataclasses import dataclass, replace
from ipaddress import IPv4Address
from typing import TYPE_CHECKING, Any

from pratique.azure.faults import azure_faults
from pratique.azure.network_rules import Firewall
from pratique.azure.resource_ids import ResourceId
from pratique.azure.rule_marks import RANGES, marks
from pratique.azure.session import AzureSession
from pratique.errors import Conflict, NetworkDenied, OperationFailed, PratiqueError, Throttled, Unavailable
from pratique.lease import Lease, is_record

if TYPE_CHECKING:
    from azure.mgmt.keyvault import models

LONGEST_TAG = 256  # characters; Azure's limit for a tag's value
ATTEMPTS = 20  # enough for as many concurrent writers
MAX_REFUSALS = 3  # consecutive refusals before a refusal counts as final
SETTLE_SECONDS = 3.0  # longer than another writer takes from its GET to the end of its PATCH


@dataclass(frozen=True)
class _Change:
    """The complete lists to write."""

    rules: tuple[str, ...]
    tags: dict[str, str]


async def read_firewall(session: AzureSession, vault_id: str) -> Firewall:
    """Read a vault's network rules and tags."""
    return Firewall.of(vault_id, await _get(session, vault_id))


async def record_lease(session: AzureSession, vault_id: str, lease: Lease, address: IPv4Address | None) -> Lease:
    """Write the lease's tag and, in the same PATCH, a rule for the address.

    No rule is added if a rule that no lease has added already lets the address in. Another writer may still undo the
    record after it was read back here, so check it again before you rely on it (:func:`is_recorded`).

    :param address: address to let in; ``None`` for a lease without a rule
    :returns: the lease as recorded: with the address if leases added the rule
    :raises NetworkDenied: when the vault accepts no public traffic at all
    :raises Conflict: when other writers keep undoing the change
    """
    attempted, mark = "record the lease on the vault", 0

    def plan(current: Firewall) -> _Change | None:
        if address is not None:
            require_effective_rules(current, attempted)
        record = _as_recorded(current, lease, address)
        if is_recorded(current, record):
            return None
        if len(record.tag_value) > LONGEST_TAG:
            raise ValueError(f"the lease's record is too long for a tag: {len(record.tag_value)} characters")
        rules = current.ip_rules
        if record.address and current.rule_for(record.address) is None:
            rules += (f"{record.address}/32", str(marks(vault_id, record.address)[mark]))
        others = {name: value for name, value in current.tags.items() if name.lower() != lease.tag_name}
        return _Change(rules, {**others, lease.tag_name: record.tag_value})

    while True:
        try:
            return _as_recorded(await _converge(session, vault_id, attempted, plan), lease, address)
        except OperationFailed as refused:
            refuses_mark = address is not None and str(marks(vault_id, address)[mark]) in refused.observed
            mark += 1
            if not refuses_mark or mark == len(RANGES):
                raise


def require_effective_rules(current: Firewall, attempted: str) -> None:
    """:raises NetworkDenied: when the vault's firewall rules have no effect"""
    if current.ignores_rules:
        observed = f"publicNetworkAccess is {current.public_network_access}, so firewall rules have no effect."
        remedy = "Run the worker inside the network, with a private link to the vault"
        if current.public_network_access.lower() != "disabled":
            remedy += ", or let its address in by an access rule of the vault's network security perimeter"
        raise NetworkDenied(attempted, current.vault_id, observed, f"{remedy}.")


def is_recorded(current: Firewall, lease: Lease) -> bool:
    """Whether the vault has the lease's tag, and its rule if it has one."""
    lets_in = lease.address is None or current.default_action == "Allow" or current.rule_for(lease.address) is not None
    return lets_in and current.tags.get(lease.tag_name) == lease.tag_value


async def erase_leases(
    session: AzureSession, vault_id: str, tag_names: Collection[str], *, evidence: Collection[str] = ()
) -> None:
    """Remove the leases' tags, and all rules of leases that no other lease needs.

    A rule without a mark is kept, because no lease made it; so is a tag that claims the opposite. Another writer that
    read the vault earlier may write the tags back, even tags that were missing for a moment because a third writer had
    not seen them, so the removal counts only if it lasts for a while.

    :param evidence: tags of these leases that are kept, too, because somebody has to look at what they claim
    :raises Conflict: when other writers keep undoing the change
    """
    ended = {name.lower() for name in tag_names}

    def plan(current: Firewall) -> _Change | None:
        claims = {lease.tag_name for lease in current.records.leases if lease.address in current.alone - current.leased}
        erased = ended - claims - set(evidence)
        kept = {name: value for name, value in current.tags.items() if not (is_record(name) and name.lower() in erased)}
        needed = {lease.address for lease in current.records.leases if lease.tag_name not in ended}
        unneeded = {rule for address in current.leased - needed for rule in current.rules_of(address)}
        needed_rules = {rule for address in current.leased & needed for rule in current.rules_of(address)}
        rules = tuple(rule for rule in current.ip_rules if rule not in unneeded - needed_rules)
        return None if len(kept) == len(current.tags) and rules == current.ip_rules else _Change(rules, kept)

    await _converge(session, vault_id, "remove the lease from the vault", plan, lasting=True)


def _as_recorded(current: Firewall, lease: Lease, address: IPv4Address | None) -> Lease:
    """The lease with the address only if leases made its rule, or have to make it.

    A rule that this lease has made and that lost its mark stays its own: its end reports what it cannot prove.
    """
    if address is None or current.default_action == "Allow":
        return replace(lease, address=None)
    lost_mark = lease.address == address and address in current.alone
    lease_rule = current.rule_for(address) is None or address in current.leased or lost_mark
    return replace(lease, address=address if lease_rule else None)


async def _converge(
    session: AzureSession,
    vault_id: str,
    attempted: str,
    plan: Callable[[Firewall], _Change | None],
    *,
    lasting: bool = False,
) -> Firewall:
    """Write the changes that the plan returns until it returns none.

    :param lasting: whether the plan must still return none some seconds later, also when nothing had to be written
    """
    written, refused, settling = 0, 0, False
    while True:
        vault = await _get(session, vault_id)
        current = Firewall.of(vault_id, vault)
        change = plan(current)
        if change is None:
            if settling or not lasting:
                return current
            settling = True
            await _settle()
            continue
        if written == ATTEMPTS:
            raise _undone(attempted, vault_id)
        refusal = await _patch(session, vault_id, vault, change)
        refused = refused + 1 if refusal is not None else 0
        if refusal is not None and refused == MAX_REFUSALS:
            raise refusal
        written, settling = written + 1, False
        if written > 1:  # undone or refused before: a random pause keeps the writers from colliding again
            await asyncio.sleep(random.uniform(0, SETTLE_SECONDS / 3))  # noqa: S311  # no secret


async def _settle() -> None:
    """Wait until every writer that has read the vault earlier has written it."""
    await asyncio.sleep(SETTLE_SECONDS)


async def _get(session: AzureSession, vault_id: str) -> models.Vault:
    at = ResourceId.parse(vault_id)
    with azure_faults("read the vault", vault_id):
        return await session.vaults.vaults.get(at.group, at.name)


async def _patch(session: AzureSession, vault_id: str, vault: models.Vault, change: _Change) -> PratiqueError | None:
    """Write the complete lists once: a retry by the SDK would write values that are out of date.

    :returns: an error that another attempt may avoid: the answer was lost, or another writer interfered
    """
    from azure.mgmt.keyvault import models

    at = ResourceId.parse(vault_id)
    body: dict[str, Any] = {"tags": change.tags}
    if (acls := vault.properties.network_acls) is not None:
        # Always write both: tags alone, if out of date, would separate a rule from the tag that names its owner.
        rules = [{"value": rule} for rule in change.rules]
        body["properties"] = {"networkAcls": {**acls.as_dict(), "ipRules": rules}}
    try:
        with azure_faults("change the vault's firewall", vault_id):
            await session.vaults.vaults.update(at.group, at.name, models.VaultPatchParameters(body), retry_total=0)
    except Throttled as throttled:
        await asyncio.sleep(1 if throttled.retry_after is None else throttled.retry_after)
        return throttled
    except (Unavailable, Conflict) as refusal:
        return refusal
    return None


def _undone(attempted: str, vault_id: str) -> PratiqueError:
    return Conflict(
        attempted,
        vault_id,
        f"Other writers undid the change {ATTEMPTS} times.",
        "Find out who else changes the vault's network rules: az monitor activity-log list --resource-id <vault>",
    )
