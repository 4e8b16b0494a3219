"""Leases that a deployment has removed are put back while they are held; nothing of anybody else's is."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from pratique.access.grant import close_access
from pratique.access.restore import restore_leases
from pratique.azure.firewall import read_firewall, record_lease
from pratique.config import Access
from pratique.errors import Unavailable
from pratique.lease import Lease, lease_id
from sandbox.scenario import Identity, Scenario
from tests.conftest import StartSandbox
from tests.pratique.doors import HOME, OTHER, PROMPT, Door, door

pytestmark = pytest.mark.usefixtures("quick")

PIM = Access(method="pim")


@pytest.fixture
async def vault(start_sandbox: StartSandbox) -> AsyncIterator[Door]:
    """Closed to everybody but for a rule and a tag of others."""
    async with door(start_sandbox, f"{OTHER}/32") as opened:
        yield opened


def deploy(vault: Door) -> None:
    """What a template does that knows neither the rules nor the tags."""
    acls = vault.document["properties"]["networkAcls"]
    vault.change(tags={}, networkAcls={**acls, "ipRules": []})


@pytest.mark.parametrize("access", [Access(), PIM], ids=["assignment", "activation"])
async def test_a_lease_is_put_back(start_sandbox: StartSandbox, access: Access) -> None:
    """Rule, mark and record as before; the rule and the tag of others are left to whoever allowed the deployment."""
    scenario = Scenario(identity=Identity(roles=("Contributor", "User Access Administrator")), timings=PROMPT)
    async with door(start_sandbox, f"{OTHER}/32", scenario=scenario) as vault:
        await vault.open("run", access)
        (lease,) = vault.leases
        before = await read_firewall(vault.session, vault.vault.id)
        deploy(vault)
        restored = await restore_leases(vault.session, before)
        assert (restored.leases, restored.left) == ((lease,), ())
        assert vault.traces.rules == vault.leased(HOME)
        assert vault.leases == [lease]
        assert "team" not in vault.document["tags"]
        again = await restore_leases(vault.session, before)
        assert (again.leases, again.left) == ((), ())
        await close_access(vault.session, vault.vault, "run")
        assert vault.traces.rules == vault.traces.tags == frozenset()


async def test_a_lease_that_has_ended_is_not_revived(vault: Door) -> None:
    """Its role has gone with it: that it is missing is its own doing."""
    await vault.open("run")
    before = await read_firewall(vault.session, vault.vault.id)
    deploy(vault)
    await close_access(vault.session, vault.vault, "run")
    restored = await restore_leases(vault.session, before)
    assert restored.leases == ()
    assert "may have ended" in restored.left[0]
    assert vault.traces.rules == vault.traces.tags == vault.traces.roles == frozenset()


async def test_a_lease_that_nothing_shows_to_be_held(vault: Door) -> None:
    """Without a role of its own it may have ended. Its run finds itself shut out, and opens its access again."""
    vault.hold_role(vault.vault.id)
    lease = await vault.open("run", Access(role="none"))
    before = await read_firewall(vault.session, vault.vault.id)
    deploy(vault)
    assert (await restore_leases(vault.session, before)).leases == ()
    await vault.use(lease, access=Access(role="none"))
    assert vault.versions == 1


async def test_a_record_that_was_renewed_stays(vault: Door) -> None:
    """Its run was faster."""
    await vault.open("run")
    (lease,) = vault.leases
    before = await read_firewall(vault.session, vault.vault.id)
    deploy(vault)
    renewed = replace(lease, expires=lease.expires + timedelta(minutes=5))
    await record_lease(vault.session, vault.vault.id, renewed, HOME)
    assert (await restore_leases(vault.session, before)).leases == ()
    assert vault.leases == [renewed]


async def test_nothing_of_others_is_put_back(vault: Door) -> None:
    """Not a record that is no lease, not a lease whose time is over, and no rule without its mark."""
    over = datetime.now(UTC) - timedelta(minutes=1)
    dead = Lease(id=lease_id("dead", vault.vault.id), owner="dead", expires=over)
    claim = Lease(id=lease_id("claim", vault.vault.id), owner="claim", expires=over + timedelta(hours=1), address=OTHER)
    tags = {lease.tag_name: lease.tag_value for lease in (dead, claim)} | {"pratique-lease-0": "nonsense"}
    vault.change(tags=tags)
    before = await read_firewall(vault.session, vault.vault.id)
    deploy(vault)
    restored = await restore_leases(vault.session, before)
    assert (restored.leases, len(restored.left)) == ((), 1)
    assert vault.traces.rules == vault.traces.tags == frozenset()


async def test_a_vault_that_cannot_be_read(vault: Door) -> None:
    """It is an error that says what happens instead."""
    await vault.open("run")
    before = await read_firewall(vault.session, vault.vault.id)
    vault.sandbox.azure.faults.add(kind="status", status=403, method="GET", path="*/vaults/*", times=None)
    with pytest.raises(Unavailable, match="open their access again"):
        await restore_leases(vault.session, before)
