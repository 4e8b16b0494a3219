"""Temporary access to a vault: opened as far as needed, for as long as needed, and gone afterwards."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from ipaddress import IPv4Address
from typing import Literal

import httpx
import pytest

from pratique.access.grant import Deadline, keep_open, temporary_vault_access, wait_until_open
from pratique.azure import pim
from pratique.azure import vault as vaults
from pratique.azure.firewall import erase_leases, record_lease
from pratique.azure.roles import assignment_id, revoke_role
from pratique.azure.session import AzureSession
from pratique.certificate.bundle import read_certificate
from pratique.config import Access
from pratique.errors import (
    AccessNotRevoked,
    ConfigurationError,
    NetworkDenied,
    NotYetEffective,
    PermissionDenied,
    PratiqueError,
    ScopeLocked,
    TransientError,
)
from pratique.lease import Lease, lease_id
from sandbox.core.locks import Level
from sandbox.scenario import Client, Identity, Scenario, Timings
from sandbox.services.authorization.schedules import Schedules
from sandbox.tenant import CLUSTER_GROUP, group_id
from tests.conftest import StartSandbox
from tests.pratique.azure.vaults import NAME
from tests.pratique.doors import HOME, PROMPT, RULE, Door, door, fresh_pem, import_certificate
from tests.waiting import UNTIL_A_JUMP, until

pytestmark = pytest.mark.usefixtures("quick")

NO_ROLE = Access(role="none")
INSIDE = Scenario(timings=PROMPT, client=Client(private_links=frozenset({"registry", "vault"})))
ADMINISTRATOR = Identity(roles=("Contributor", "User Access Administrator"))
PIM = Access(method="pim")


@pytest.fixture
async def vault(start_sandbox: StartSandbox) -> AsyncIterator[Door]:
    """Closed to everybody, and nobody holds a role on it."""
    async with door(start_sandbox) as opened:
        yield opened


# What is opened


async def test_both_halves(vault: Door) -> None:
    """The block finds role and rule effective; after it nothing is left of either."""
    before = vault.traces
    async with vault.access("run") as lease:
        during = vault.traces
        assert during.rules == vault.leased(HOME)
        assert during.roles == {lease.assignment}
        assert during.tags == {"team", lease.tag_name}
        await import_certificate(vault.session)
    assert vault.traces == before
    assert vault.versions == 1


async def test_access_that_takes_effect_late(start_sandbox: StartSandbox) -> None:
    """The vault is probed until both halves have arrived."""
    late = Scenario(timings=Timings(role_assignment=1500, firewall_rule=900))
    async with door(start_sandbox, scenario=late) as vault, vault.access("run"):
        await import_certificate(vault.session)


@pytest.mark.parametrize("rule", [RULE, "203.0.113.0/24"])
async def test_a_rule_that_was_there(start_sandbox: StartSandbox, rule: str) -> None:
    """It is used and stays, whether it is the address's own or a wider one."""
    async with door(start_sandbox, rule) as vault:
        async with vault.access("run", Access(network="rule")) as lease:
            assert lease.address is None
            assert vault.traces.rules == {rule}
            await import_certificate(vault.session)
        assert vault.traces.rules == {rule}
        assert vault.leases == []


@pytest.mark.parametrize("inherited", [False, True])
async def test_a_role_that_was_there(vault: Door, inherited: bool) -> None:
    """It is used and stays, whether it was given at the vault or above it."""
    scope = group_id(vault.sandbox.azure, CLUSTER_GROUP) if inherited else vault.vault.id
    held = vault.hold_role(scope)
    before = vault.traces
    async with vault.access("run"):
        assert vault.traces.roles == before.roles
        await import_certificate(vault.session)
    assert vault.traces == before
    assert held in vault.sandbox.azure.access.assignments()


async def test_role_only(start_sandbox: StartSandbox) -> None:
    """Behind a private link no rule is made, and nobody is asked for an address."""
    async with door(start_sandbox, scenario=INSIDE, publicNetworkAccess="Disabled") as vault:
        async with vault.access("run", Access(address_services=("https://nobody.invalid",))) as lease:
            assert lease.address is None
            assert vault.traces.rules == frozenset()
            await import_certificate(vault.session)
        assert vault.traces.roles == frozenset()


async def test_network_only(vault: Door) -> None:
    """With ``role: none`` no role is given."""
    held = vault.hold_role(vault.vault.id)
    async with vault.access("run", Access(role="none")) as lease:
        assert lease.assignment == ""
        assert vault.traces.roles == {held.name}
        await import_certificate(vault.session)
    assert vault.traces.roles == {held.name}


async def test_a_given_address(vault: Door) -> None:
    """It is let in, and no service is asked."""
    access = Access(address=HOME, address_services=("https://nobody.invalid",))
    async with vault.access("run", access) as lease:
        assert lease.address == HOME


async def test_an_open_vault_stays_open(start_sandbox: StartSandbox) -> None:
    """Where everybody is let in there is nothing to open."""
    acls = {"bypass": "AzureServices", "defaultAction": "Allow"}
    async with door(start_sandbox, networkAcls=acls) as vault, vault.access("run", Access(network="rule")) as lease:
        assert lease.address is None
        assert vault.document["properties"]["networkAcls"]["defaultAction"] == "Allow"


# What cannot be opened


async def test_network_none_from_outside(vault: Door) -> None:
    """``network: none`` is kept: the error says so at once, and nothing was opened."""
    before = vault.traces
    with pytest.raises(NetworkDenied, match=r"access\.network is 'none'"):
        async with vault.access("run", Access(network="none")):
            pytest.fail("not reached")
    assert vault.traces == before
    assert vault.requests("PUT", "roleAssignments") == 0


async def test_role_none_without_the_role(vault: Door) -> None:
    """Waiting would not help: the error says at once what would."""
    with pytest.raises(PermissionDenied, match=r"access\.role is 'none'"):
        async with vault.access("run", Access(role="none")):
            pytest.fail("not reached")
    assert vault.traces.rules == frozenset()


async def test_a_private_vault_from_outside(start_sandbox: StartSandbox) -> None:
    """No rule helps: the half that stands is taken back, and the error names the private link."""
    async with door(start_sandbox, publicNetworkAccess="Disabled") as vault:
        with pytest.raises(NetworkDenied, match="private link"):
            async with vault.access("run"):
                pytest.fail("not reached")
        assert vault.traces.roles == frozenset()
        assert vault.leases == []


async def test_without_the_right_to_grant(start_sandbox: StartSandbox) -> None:
    """The other half was made meanwhile; it is taken back."""
    async with door(
        start_sandbox, scenario=Scenario(timings=PROMPT, identity=Identity(roles=("Contributor",)))
    ) as vault:
        with pytest.raises(PermissionDenied, match="roleAssignments/write"):
            async with vault.access("run"):
                pytest.fail("not reached")
        assert vault.traces == replace(vault.traces, rules=frozenset(), tags=frozenset({"team"}), roles=frozenset())


@pytest.mark.parametrize(
    ("late", "error"),
    [
        (Timings(role_assignment=10**9, firewall_rule=0), PermissionDenied),
        (Timings(role_assignment=0, firewall_rule=10**9), NetworkDenied),
    ],
    ids=["role", "rule"],
)
async def test_access_that_never_arrives(
    start_sandbox: StartSandbox, late: Timings, error: type[PratiqueError]
) -> None:
    """There is a deadline, the vault's own words are told, and everything is taken back. No retry waits once more."""
    async with door(start_sandbox, scenario=Scenario(timings=late)) as vault:
        with pytest.raises(error, match=r"after 0\.001 minutes: 403 ForbiddenBy") as refused:
            async with vault.access("run", Access(opening_minutes=0.001)):
                pytest.fail("not reached")
        assert not isinstance(refused.value, TransientError)
        assert vault.traces.roles == frozenset()


async def test_one_deadline(vault: Door) -> None:
    """All who wait have the same, and it never comes after the first lease has expired."""
    minutes = [Deadline.start(Access(opening_minutes=o, lease_minutes=le)).minutes for o, le in ((15, 30), (60, 5))]
    assert minutes == [15, 5]
    over = replace(Deadline.start(Access()), at=0.0)
    lease = Lease(id=lease_id("run", vault.vault.id), owner="run", expires=datetime.now(UTC))
    with pytest.raises(NetworkDenied, match="after 15 minutes"):
        await wait_until_open(vault.session, vault.http, vault.vault, Access(), lease, over)
    refused = [request for request in vault.sandbox.azure.requests.since(0) if request.status == 403]
    assert len(refused) == 1


POLICY = {"certificates": ["get", "list", "import", "recover"]}


async def test_a_vault_with_access_policies(start_sandbox: StartSandbox) -> None:
    """A role has no effect there: refused at once, with the settings. With a policy and without a role it is used."""
    async with door(start_sandbox, enableRbacAuthorization=False) as vault:
        before = vault.traces
        with pytest.raises(PermissionDenied, match="access policies") as refused:
            async with vault.access("run"):
                pytest.fail("not reached")
        assert "--enable-rbac-authorization true" in refused.value.remedy
        assert "'none' for access.role" in refused.value.remedy
        assert (vault.traces, vault.requests("PUT", "roleAssignments")) == (before, 0)
        caller = await vault.session.caller()
        with pytest.raises(PermissionDenied, match="AccessDenied") as refused:
            async with vault.access("run", NO_ROLE):
                pytest.fail("not reached")
        assert "access policy" in refused.value.remedy
        vault.change(accessPolicies=[{"objectId": caller.object_id, "permissions": POLICY}])
        async with vault.access("run", NO_ROLE) as lease:
            assert lease.assignment == ""
            await import_certificate(vault.session)
        assert vault.traces == before


async def test_an_access_policy_that_lacks_import(start_sandbox: StartSandbox) -> None:
    """Waiting does not help: the import is refused at once."""
    async with door(start_sandbox, enableRbacAuthorization=False) as vault:
        caller = await vault.session.caller()
        vault.change(accessPolicies=[{"objectId": caller.object_id, "permissions": {"certificates": ["List", "Get"]}}])
        bundle = read_certificate(
            fresh_pem(), subject="*.aks-ingress.contoso.com", source="file:ingress.pem", at=datetime.now(UTC)
        )
        async with vault.access("run", NO_ROLE):
            with pytest.raises(PermissionDenied, match="ForbiddenByPolicy"):
                await vaults.import_certificate(vault.session, NAME, "ingress", bundle, fresh_access=True)


@pytest.mark.parametrize("setting", ["Disabled", "SecuredByPerimeter", "securedByPerimeter"])
@pytest.mark.parametrize("network", ["auto", "rule", "none"])
async def test_rules_without_effect(
    start_sandbox: StartSandbox, setting: str, network: Literal["auto", "rule", "none"]
) -> None:
    """Refused at once, before a role is granted: the error names the setting and what lets the worker in."""
    async with door(start_sandbox, publicNetworkAccess=setting) as vault:
        before = vault.traces
        with pytest.raises(NetworkDenied, match=f"publicNetworkAccess is {setting}") as refused:
            async with vault.access("run", Access(network=network)):
                pytest.fail("not reached")
        assert "private link" in refused.value.remedy
        assert ("perimeter" in refused.value.remedy) == (setting != "Disabled")
        assert (vault.traces, vault.requests("PUT", "roleAssignments")) == (before, 0)


@pytest.mark.parametrize("code", ["ForbiddenByNsp", "NotKnownYet"])
async def test_a_perimeter_s_refusal_in_other_forms(start_sandbox: StartSandbox, code: str) -> None:
    """The code of a perimeter's 403 is not documented: the vault's setting decides, and a known code without it."""
    setting = "Enabled" if code == "ForbiddenByNsp" else "SecuredByPerimeter"
    async with door(start_sandbox, scenario=INSIDE, publicNetworkAccess=setting) as vault:
        vault.sandbox.azure.faults.add(kind="status", status=403, code=code, host="*.vault.azure.net", times=None)
        with pytest.raises(NetworkDenied, match=f"{code}|{setting}") as refused:
            async with vault.access("run"):
                pytest.fail("not reached")
        assert "private link" in refused.value.remedy
        assert vault.traces.roles == frozenset()


async def test_inside_a_perimeter(start_sandbox: StartSandbox) -> None:
    """Over a private link the vault is used without a rule."""
    async with door(start_sandbox, scenario=INSIDE, publicNetworkAccess="SecuredByPerimeter") as vault:
        async with vault.access("run") as lease:
            assert lease.address is None
            await import_certificate(vault.session)
        assert vault.traces.roles == frozenset()


async def test_the_vault_sees_another_address(start_sandbox: StartSandbox) -> None:
    """Behind NAT or a proxy: the vault's 403 names what it sees, so no rule for the wrong address is made."""
    elsewhere = Scenario(timings=PROMPT, clients={"proxy": Client(address="198.51.100.20")})
    async with door(start_sandbox, scenario=elsewhere) as vault:
        through = vault.sandbox.proxy.replace("://", "://proxy:x@")
        async with httpx.AsyncClient(proxy=through) as http:
            with pytest.raises(NetworkDenied) as told:
                async with temporary_vault_access(vault.session, http, vault.vault, Access(), owner="run"):
                    pytest.fail("not reached")
        assert "The vault sees 203.0.113.10, but the address to be let in is 198.51.100.20" in told.value.observed
        assert "access.address" in told.value.remedy
        assert vault.requests("PATCH", "/vaults/") == 0
        elsewhere_address = IPv4Address("198.51.100.20")
        mine = Lease(id=lease_id("run", vault.vault.id), owner="run", expires=datetime.now(UTC) + timedelta(minutes=5))
        mine = await record_lease(vault.session, vault.vault.id, mine, elsewhere_address)
        with pytest.raises(NetworkDenied, match="NAT"):
            await wait_until_open(vault.session, vault.http, vault.vault, Access(), mine)


async def test_a_service_that_is_down(vault: Door) -> None:
    """The others are enough."""
    services = ("https://ifconfig.io/ip", "https://nobody.invalid")
    async with vault.access("run", Access(address_services=services)) as lease:
        assert lease.address == HOME


async def test_a_private_address(start_sandbox: StartSandbox) -> None:
    """Behind carrier-grade NAT the services' answer opens nothing."""
    carrier = Scenario(timings=PROMPT, client=Client(address="100.64.0.9"))
    async with door(start_sandbox, scenario=carrier) as vault:
        with pytest.raises(ConfigurationError, match="not a public address"):
            async with vault.access("run"):
                pytest.fail("not reached")
        assert vault.leases == []


# Locks


@pytest.mark.parametrize("kind", ["vault", "group", "subscription"])
@pytest.mark.parametrize("level", ["CanNotDelete", "ReadOnly"])
@pytest.mark.parametrize("method", ["assignment", "pim"])
async def test_a_lock(
    start_sandbox: StartSandbox, kind: str, level: Level, method: Literal["assignment", "pim"]
) -> None:
    """Access that could not be revoked is not granted: the error names the lock, and nothing was written."""
    async with door(start_sandbox, scenario=Scenario(timings=PROMPT, identity=ADMINISTRATOR)) as vault:
        lock, before = vault.lock(kind, level), vault.traces
        with pytest.raises(ScopeLocked) as refused:
            async with vault.access("run", Access(method=method)):
                pytest.fail("not reached")
        assert f"{level} lock keep on {lock.scope}" in refused.value.observed
        assert f"az lock delete --ids {lock.id}" in refused.value.remedy
        assert ("access.role to 'none'" in refused.value.remedy) == (level == "CanNotDelete")
        assert vault.traces == before
        assert vault.requests("PUT", "Authorization") + vault.requests("PATCH", "") == 0


@pytest.mark.parametrize(
    ("settings", "inherited"), [(Access(), False), (Access(), True), (Access(method="pim"), False), (NO_ROLE, False)]
)
async def test_a_lock_that_does_no_harm(start_sandbox: StartSandbox, settings: Access, inherited: bool) -> None:
    """A rule can be removed under a lock against deletion, so only a temporary role is refused."""
    async with door(start_sandbox, scenario=Scenario(timings=PROMPT, identity=ADMINISTRATOR)) as vault:
        vault.hold_role(group_id(vault.sandbox.azure, CLUSTER_GROUP) if inherited else vault.vault.id)
        vault.lock("group", "CanNotDelete")
        before = vault.traces
        async with vault.access("run", settings):
            await import_certificate(vault.session)
        assert vault.traces == before


async def test_a_lock_while_another_lease_holds_the_role(vault: Door) -> None:
    """A role that leases share is temporary, too: a second one would prolong what cannot be taken away."""
    first = await vault.open("first")
    lock = vault.lock("vault", "CanNotDelete")
    with pytest.raises(ScopeLocked):
        async with vault.access("second"):
            pytest.fail("not reached")
    assert [lease.id for lease in vault.leases] == [first.id]
    vault.sandbox.azure.locks.delete(lock.id)
    await vault.sweep_all()
    assert vault.traces.roles == frozenset()


async def test_locks_that_may_not_be_read(start_sandbox: StartSandbox) -> None:
    """Without that right nobody knows, so nothing is opened; the error names the action."""
    unable = Scenario(timings=PROMPT, identity=Identity(subscription_roles=()))
    async with door(start_sandbox, scenario=unable) as vault:
        before = vault.traces
        with pytest.raises(PermissionDenied, match=r"Microsoft\.Authorization/locks/read"):
            async with vault.access("run"):
                pytest.fail("not reached")
        assert vault.traces == before


# How the block ends


class Boom(Exception):
    """Of the block's own."""


async def test_an_exception_in_the_block(vault: Door) -> None:
    """It comes out as it is, and the access is gone."""
    before = vault.traces
    with pytest.raises(Boom):
        async with vault.access("run"):
            raise Boom
    assert vault.traces == before


async def test_a_timeout_around_the_block(vault: Door) -> None:
    """It ends the block and not the revocation, and is told as a timeout."""
    before = vault.traces

    async def run() -> None:
        async with asyncio.timeout(None) as limit, vault.access("run"):
            limit.reschedule(asyncio.get_running_loop().time())
            await asyncio.Event().wait()

    with pytest.raises(TimeoutError):
        await run()
    assert vault.traces == before


async def _run(vault: Door, inside: asyncio.Event) -> None:
    async with vault.access("run"):
        inside.set()
        await asyncio.Event().wait()


async def test_a_cancellation_in_the_block(vault: Door) -> None:
    """The revocation comes first, then the cancellation goes on."""
    before, inside = vault.traces, asyncio.Event()
    run = asyncio.create_task(_run(vault, inside))
    await inside.wait()
    run.cancel()
    with pytest.raises(asyncio.CancelledError):
        await run
    assert vault.traces == before


async def test_cancelled_again_while_revoking(vault: Door) -> None:
    """Whoever cancels twice waits for the revocation all the same."""
    before, inside = vault.traces, asyncio.Event()
    held = vault.sandbox.azure.faults.add(kind="slow", seconds=600, method="PATCH", nth=2)
    run = asyncio.create_task(_run(vault, inside))
    await inside.wait()
    run.cancel()
    await until(lambda: held.hits > 0)
    for _ in range(3):
        run.cancel()
        await asyncio.sleep(0)
    assert not run.done()
    await vault.jump(600)
    with pytest.raises(asyncio.CancelledError):
        await run
    assert vault.traces == before


@pytest.mark.parametrize("half", ["*/roleAssignments/*", "*/vaults/*"])
async def test_cancelled_while_opening(vault: Door, half: str) -> None:
    """A request that is under way comes to its end first: it would grant after the revocation has looked."""
    before = vault.traces
    method = "PUT" if "role" in half else "PATCH"
    held = vault.sandbox.azure.faults.add(kind="slow", seconds=900, method=method, path=half)
    run = asyncio.create_task(_run(vault, asyncio.Event()))
    await until(lambda: held.hits > 0)
    run.cancel()
    await vault.jump(900)
    with pytest.raises(asyncio.CancelledError):
        await run
    assert vault.requests(method, half.strip("*/")) >= 1
    assert vault.traces == before


async def test_cancelled_while_opening_hangs(vault: Door, monkeypatch: pytest.MonkeyPatch) -> None:
    """A request that never ends is not waited for for ever."""
    monkeypatch.setattr("pratique.access.grant.FINISH_SECONDS", 0.1)
    before = vault.traces
    held = vault.sandbox.azure.faults.add(kind="timeout", method="PUT", path="*/roleAssignments/*")
    run = asyncio.create_task(_run(vault, asyncio.Event()))
    await until(lambda: held.hits > 0 and bool(vault.leases))
    run.cancel()
    with pytest.raises(asyncio.CancelledError):
        await run
    assert vault.traces == before


async def test_an_answer_to_a_grant_that_was_lost(vault: Door) -> None:
    """What was applied although nobody heard of it is used, and revoked like everything else."""
    before = vault.traces
    for method in ("PUT", "PATCH"):
        vault.sandbox.azure.faults.add(kind="reset-after", method=method)
    async with vault.access("run"):
        await import_certificate(vault.session)
    assert vault.traces == before


async def test_access_that_cannot_be_taken_back(vault: Door) -> None:
    """The loudest error: it replaces the block's own, names everything by hand, and the half that can go is gone."""

    async def lock_and_fail() -> None:
        vault.lock("vault", "CanNotDelete")
        raise Boom

    with pytest.raises(AccessNotRevoked) as told:
        async with vault.access("run") as lease:
            await lock_and_fail()
    assert isinstance(told.value.__context__, Boom)
    assert told.value.remedy.startswith("ACT NOW: ")
    assert f"az role assignment delete --ids {assignment_id(vault.vault.id, lease.assignment)}" in told.value.remedy
    assert vault.traces.rules == frozenset()
    assert vault.leases == []


async def test_cancelled_and_not_taken_back(vault: Door) -> None:
    """Even a cancellation does not hide it."""
    inside = asyncio.Event()
    run = asyncio.create_task(_run(vault, inside))
    await inside.wait()
    vault.lock("vault", "CanNotDelete")
    run.cancel()
    with pytest.raises(AccessNotRevoked):
        await run


# Several at once


@pytest.mark.parametrize("first", [0, 1])
async def test_two_overlapping_leases(vault: Door, first: int) -> None:
    """On one address and one principal: rule and assignment go with the last, in either order."""
    before, stacks = vault.traces, (AsyncExitStack(), AsyncExitStack())
    leases = [await stack.enter_async_context(vault.access(f"run {n}")) for n, stack in enumerate(stacks)]
    assert {lease.address for lease in leases} == {HOME}
    assert len({lease.assignment for lease in leases}) == 1
    await stacks[first].aclose()
    during = vault.traces
    assert during.rules == vault.leased(HOME)
    assert during.roles == {leases[0].assignment}
    await import_certificate(vault.session)
    await stacks[1 - first].aclose()
    assert vault.traces == before


async def test_two_that_end_at_once(vault: Door) -> None:
    """At least one of them sees itself as the last."""
    before, both = vault.traces, asyncio.Barrier(2)

    async def run(owner: str) -> None:
        async with vault.access(owner):
            await both.wait()

    await asyncio.gather(run("one"), run("two"))
    assert vault.traces == before


async def test_the_same_owner_twice(vault: Door) -> None:
    """A repeated attempt renews its own lease."""
    first = await vault.open("run")
    async with vault.access("run") as again:
        assert (again.id, again.address, again.assignment) == (first.id, first.address, first.assignment)
        assert [lease.id for lease in vault.leases] == [first.id]
    assert vault.leases == []
    assert vault.traces.roles == frozenset()


async def test_taken_away_before_the_work(vault: Door) -> None:
    """Another run's end has taken role, rule and record: the import is refused, opens again, and is done."""
    before = vault.traces
    async with vault.access("run") as lease:
        await erase_leases(vault.session, vault.vault.id, {lease.tag_name})
        await revoke_role(vault.session, assignment_id(vault.vault.id, lease.assignment))
        with pytest.raises(NotYetEffective):
            await import_certificate(vault.session)
        await vault.use(lease)
        assert vault.traces.rules == vault.leased(HOME)
    assert vault.versions == 1
    assert vault.traces == before


async def test_taken_away_while_waiting(start_sandbox: StartSandbox) -> None:
    """Access that others have ended before it took effect is made again, and still revoked at the end."""
    late = Scenario(timings=Timings(role_assignment=UNTIL_A_JUMP, firewall_rule=UNTIL_A_JUMP))
    async with door(start_sandbox, scenario=late) as vault:
        before = vault.traces
        run = asyncio.create_task(_import(vault))
        for _ in range(2):  # opened, and opened again
            await until(lambda: bool(vault.leases) and bool(vault.roles))
            assert vault.versions == 0
            _take_away(vault)
        await until(lambda: bool(vault.leases) and bool(vault.roles))
        await vault.jump(UNTIL_A_JUMP)
        await run
        assert vault.versions == 1
        assert vault.traces == before


def _take_away(vault: Door) -> None:
    """End all access there and then, as somebody does who looks at no lease."""
    acls = {**vault.document["properties"]["networkAcls"], "ipRules": []}
    vault.change(networkAcls=acls, tags={"team": "platform"})
    for held in vault.roles:
        vault.sandbox.azure.access.unassign(held.id)


async def _import(vault: Door) -> None:
    async with vault.access("run") as lease:
        await vault.use(lease)


async def test_work_that_is_refused_for_good(vault: Door) -> None:
    """There is a deadline for that, too."""
    async with vault.access("run") as lease:

        async def work() -> None:
            raise NotYetEffective("import", "it", "Refused.", "Wait.")

        access = Access(opening_minutes=0.001)
        with pytest.raises(NetworkDenied, match=r"Refused\."):
            await keep_open(vault.session, vault.http, vault.vault, access, lease, work)


async def test_a_wide_rule_that_goes_meanwhile(start_sandbox: StartSandbox) -> None:
    """What somebody else's rule let in needs a rule of its own once that is gone."""
    async with door(start_sandbox, "203.0.113.0/24") as vault:
        async with vault.access("run") as lease:
            assert lease.address is None
            acls = {**vault.document["properties"]["networkAcls"], "ipRules": []}
            vault.change(networkAcls=acls)
            await vault.use(lease)
            assert vault.traces.rules == vault.leased(HOME)
        assert vault.traces.rules == frozenset()


async def test_a_record_that_somebody_strips(vault: Door) -> None:
    """Tags that are set anew lose the record; the run remembers that the rule is its own, and takes it back."""
    async with vault.access("run") as lease:
        vault.change(tags={"team": "platform"})
        lease = await wait_until_open(vault.session, vault.http, vault.vault, Access(), lease)
        assert lease.address == HOME
        assert [one.id for one in vault.leases] == [lease.id]
    assert vault.traces.rules == frozenset()


async def test_twenty_at_once(start_sandbox: StartSandbox) -> None:
    """Each imports its certificate; nothing is left, and nothing of others is gone."""
    theirs = ("198.51.100.0/24", "192.0.2.7/32")
    late = Scenario(timings=Timings(role_assignment=600, firewall_rule=300))
    async with door(start_sandbox, *theirs, scenario=late) as vault:
        vault.hold_role(vault.vault.id, principal="6d1f1c53-1c0e-4b8b-9c52-0f9f8c1d2e3a")
        before = vault.traces

        async def run(number: int) -> None:
            async with AzureSession.open() as session:
                mine = replace(vault, session=session)
                async with mine.access(f"flow-run/{number}") as lease:
                    await mine.use(lease, f"ingress-{number}")

        await asyncio.gather(*[run(number) for number in range(20)])
        assert vault.versions == 20
        assert vault.traces == before


# Privileged Identity Management


@pytest.fixture
async def managed(start_sandbox: StartSandbox) -> AsyncIterator[Door]:
    """A vault whose roles are given for a time."""
    async with door(start_sandbox, scenario=Scenario(timings=PROMPT, identity=ADMINISTRATOR)) as opened:
        yield opened


async def test_an_activation(managed: Door) -> None:
    """It is named by the lease, used, and ended with the block before Azure would."""
    before = managed.traces
    async with managed.access("run", PIM) as lease:
        assert lease.assignment == pim.activation_name(lease)
        assert len(managed.roles) == 1
        await import_certificate(managed.session)
    assert managed.traces == before


async def test_an_activation_when_we_vanish(managed: Door) -> None:
    """Azure ends the role, without a sweep."""
    await managed.open("run", Access(method="pim", lease_minutes=5))
    assert len(managed.roles) == 1
    await managed.jump(300)
    await until(lambda: not managed.roles)


@pytest.mark.parametrize("first", [0, 1])
async def test_two_leases_on_one_activation(managed: Door, first: int) -> None:
    """The second finds the first one's request, and the activation goes with the last of them."""
    before, stacks = managed.traces, (AsyncExitStack(), AsyncExitStack())
    leases = [await stack.enter_async_context(managed.access(f"run {n}", PIM)) for n, stack in enumerate(stacks)]
    assert leases[0].assignment == leases[1].assignment
    await stacks[first].aclose()
    assert len(managed.roles) == 1
    await stacks[1 - first].aclose()
    assert managed.traces == before


async def test_two_that_activate_at_once(managed: Door) -> None:
    """Whoever comes second finds a conflict, and goes by the other one's request."""
    before = managed.traces
    both = asyncio.Barrier(2)

    async def run(owner: str) -> None:
        async with managed.access(owner, PIM):
            await both.wait()
            await import_certificate(managed.session)
            await both.wait()

    held = managed.sandbox.azure.faults.add(kind="slow", seconds=30, method="PUT", path="*ScheduleRequests*", times=2)
    runs = [asyncio.create_task(run(owner)) for owner in ("one", "two")]
    await until(lambda: held.hits == 2)
    await managed.jump(30)
    await asyncio.gather(*runs)
    assert managed.traces == before


async def test_a_role_that_was_active_already(managed: Door) -> None:
    """Held for good, or activated by somebody: no request is made, and nothing is ended."""
    managed.hold_role(managed.vault.id)
    before = managed.traces
    async with managed.access("run", PIM) as lease:
        assert lease.assignment == ""
    assert managed.traces == before
    assert managed.sandbox.azure.state(Schedules).requests == {}
