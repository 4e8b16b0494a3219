"""Puts back leases that a deployment has removed from a vault, because its template does not know their rules and tags.

::

    before = await read_firewall(session, vault_id)
    ...                                     # a PUT of the vault
    restored = await restore_leases(session, before)

Only leases are put back, never a record, rule or tag of anybody else, and only while what they opened beside the
firewall still stands: their role assignment or activation. A lease without one may have ended during the deployment:
its run opens its access again if it still needs it (:func:`pratique.access.grant.keep_open`).
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from datetime import UTC, datetime

from pratique.access.standing import Standing, look
from pratique.azure import pim
from pratique.azure.firewall import record_lease
from pratique.azure.network_rules import Firewall
from pratique.azure.session import AzureSession
from pratique.errors import PratiqueError, Unavailable
from pratique.lease import Lease


@dataclass(frozen=True)
class Restored:
    """What was put back.

    :ivar leases: put back, each as recorded
    :ivar left: leases that are gone and were not put back, each with the reason
    """

    leases: tuple[Lease, ...] = ()
    left: tuple[str, ...] = ()


async def restore_leases(session: AzureSession, before: Firewall) -> Restored:
    """Put back the leases that the vault has lost since it was read, with their rules.

    :param before: the vault's rules and tags before the deployment
    :raises Unavailable: when the vault or its role assignments cannot be read
    """
    at = datetime.now(UTC)
    known = [lease for lease in before.records.leases if not lease.expired(at)]
    if not known:
        return Restored()
    standing, failures = await look(session, before.vault_id)
    if standing.firewall is None or standing.assignments is None:
        raise Unavailable(
            "put back the leases",
            before.vault_id,
            f"{'; '.join(map(str, failures))}.",
            "Nothing: runs open their access again.",
        )
    present = {lease.id for lease in standing.leases}
    lost = [lease for lease in known if lease.id not in present or _lacks_rule(lease, before, standing.firewall)]
    outcomes = await asyncio.gather(*(_restore(session, lease, before, standing) for lease in lost))
    return Restored(
        tuple(outcome for outcome in outcomes if isinstance(outcome, Lease)),
        tuple(outcome for outcome in outcomes if isinstance(outcome, str)),
    )


def _lacks_rule(lease: Lease, before: Firewall, current: Firewall) -> bool:
    """Whether the rule that leases have made for it is gone."""
    return lease.address in before.leased and lease.address not in current.leased


async def _restore(session: AzureSession, lease: Lease, before: Firewall, standing: Standing) -> Lease | str:
    """The lease as put back, or why it was not."""
    if not await _is_held(session, lease, standing):
        return f"{lease}: it may have ended during the deployment"
    address = lease.address if lease.address in before.leased else None
    try:
        return await record_lease(session, before.vault_id, lease, address)
    except PratiqueError as error:
        return f"{lease}: {error}"


async def _is_held(session: AzureSession, lease: Lease, standing: Standing) -> bool:
    """Whether the role that the lease has given is still there."""
    if lease.assignment.startswith(pim.ACTIVATION_PREFIX):
        return await pim.lasts(session, standing.vault_id, lease.assignment)
    return lease.assignment in standing.creators
