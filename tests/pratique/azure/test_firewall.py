"""A lease is recorded on the vault with its rule, and what was there before stays."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from ipaddress import IPv4Address
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pratique.azure.firewall import erase_leases, is_recorded, read_firewall, record_lease
from pratique.azure.network_rules import Firewall
from pratique.azure.rule_marks import RANGES, marks
from pratique.azure.session import AzureSession
from pratique.errors import Conflict, NetworkDenied, NotFound, OperationFailed, PermissionDenied, Unavailable
from pratique.lease import Lease, Records, lease_id
from sandbox.core.faults import ActiveFault
from sandbox.scenario import Identity, Scenario, Timings
from sandbox.tenant import CLUSTER_GROUP
from tests.conftest import RunningSandbox, StartSandbox
from tests.pratique.azure.vaults import NAME, make_vault
from tests.waiting import until

HOME = IPv4Address("203.0.113.10")
RULE = f"{HOME}/32"
OTHER = IPv4Address("198.51.100.7")
PATCH: dict[str, Any] = {"method": "PATCH", "path": "*/vaults/*"}

pytestmark = pytest.mark.usefixtures("quick")


#: Of the vault that the tests make in the walkthrough's tenant.
VAULT = (
    f"/subscriptions/{Identity().subscription_id}/resourceGroups/{CLUSTER_GROUP}/providers/Microsoft.KeyVault/"
    f"vaults/{NAME}"
)


def lease(name: str, address: IPv4Address | None = None) -> Lease:
    owner = f"run {name}"
    expires = datetime.now(UTC).replace(microsecond=0) + timedelta(minutes=30)
    return Lease(id=lease_id(owner, VAULT), owner=owner, expires=expires, address=address)


def leased(*addresses: IPv4Address, mark: int = 0) -> list[str]:
    """The rules that leases make for addresses: one for each, with its mark."""
    return [str(rule) for address in addresses for rule in (f"{address}/32", marks(VAULT, address)[mark])]


def records(wall: Firewall) -> set[str]:
    """The names of the leases' tags."""
    return {found.tag_name for found in wall.records.leases}


async def test_recorded_and_erased(session: AzureSession) -> None:
    """Rule and tag come together and go together; other rules and tags are as before."""
    vault = await make_vault(session, "198.51.100.0/24")
    before = await read_firewall(session, vault)
    mine = await record_lease(session, vault, lease("a"), HOME)
    assert mine.address == HOME
    during = await read_firewall(session, vault)
    assert set(during.ip_rules) == {"198.51.100.0/24", *leased(HOME)}
    assert during.records == Records((mine,), ())
    assert during.tags["team"] == "platform"
    assert is_recorded(during, mine)
    await erase_leases(session, vault, {mine.tag_name})
    assert await read_firewall(session, vault) == before


async def test_twice_is_like_once(session: AzureSession) -> None:
    """A second attempt changes nothing, and a renewed lease only its record."""
    vault = await make_vault(session)
    first = await record_lease(session, vault, lease("a"), HOME)
    assert await record_lease(session, vault, first, HOME) == first
    renewed = await record_lease(session, vault, replace(first, expires=first.expires + timedelta(minutes=5)), HOME)
    wall = await read_firewall(session, vault)
    assert (list(wall.ip_rules), wall.records.leases) == (leased(HOME), (renewed,))
    for _ in range(2):
        await erase_leases(session, vault, {first.tag_name})
    assert (await read_firewall(session, vault)).ip_rules == ()


@pytest.mark.parametrize("rule", [RULE, "203.0.113.0/24"])
async def test_a_rule_that_was_there_is_left_alone(session: AzureSession, rule: str) -> None:
    """It is not ours, whether it is as narrow or wider: the record names no address, and its end removes no rule."""
    vault = await make_vault(session, rule)
    mine = await record_lease(session, vault, lease("a"), HOME)
    assert mine.address is None
    assert is_recorded(await read_firewall(session, vault), mine)
    await erase_leases(session, vault, {mine.tag_name})
    after = await read_firewall(session, vault)
    assert (after.ip_rules, after.tags) == ((rule,), {"team": "platform"})


@pytest.mark.parametrize("order", ["ab", "ba"])
async def test_two_leases_share_an_address(session: AzureSession, order: str) -> None:
    """The rule goes with the last of them, whichever that is."""
    vault = await make_vault(session)
    tags = {name: (await record_lease(session, vault, lease(name), HOME)).tag_name for name in "ab"}
    await erase_leases(session, vault, {tags[order[0]]})
    assert list((await read_firewall(session, vault)).ip_rules) == leased(HOME)
    await erase_leases(session, vault, {tags[order[1]]})
    assert (await read_firewall(session, vault)).ip_rules == ()


async def test_leases_erased_together(session: AzureSession) -> None:
    """One PATCH ends several, with the rules that none but them needed."""
    vault = await make_vault(session)
    addresses = {"a": HOME, "b": HOME, "c": OTHER, "d": OTHER}
    tags = {name: (await record_lease(session, vault, lease(name), a)).tag_name for name, a in addresses.items()}
    await erase_leases(session, vault, {tags["a"], tags["b"], tags["c"]})
    after = await read_firewall(session, vault)
    assert (list(after.ip_rules), records(after)) == (leased(OTHER), {tags["d"]})


async def test_a_lease_without_a_rule(session: AzureSession) -> None:
    """Its tag comes and goes; no rule does."""
    vault = await make_vault(session, RULE)
    mine = await record_lease(session, vault, lease("a"), None)
    assert records(await read_firewall(session, vault)) == {mine.tag_name}
    await erase_leases(session, vault, {mine.tag_name})
    after = await read_firewall(session, vault)
    assert (after.ip_rules, after.tags) == ((RULE,), {"team": "platform"})


async def test_only_what_was_named_is_erased(session: AzureSession) -> None:
    """A tag that is no lease's stays, even when somebody asks for it."""
    vault = await make_vault(session)
    await erase_leases(session, vault, {"team", "pratique-lease-absent"})
    assert (await read_firewall(session, vault)).tags == {"team": "platform"}


async def test_writers_at_once_lose_nothing(session: AzureSession) -> None:
    """Each erasure reads back what it wrote, and writes again when another one's PATCH has undone it."""
    vault = await make_vault(session, "192.0.2.1/32")
    addresses = [IPv4Address(f"198.51.100.{number}") for number in range(4)]
    leases = [await record_lease(session, vault, lease(str(number)), a) for number, a in enumerate(addresses)]
    await asyncio.gather(*[erase_leases(session, vault, {one.tag_name}) for one in leases])
    after = await read_firewall(session, vault)
    assert (after.ip_rules, after.tags) == (("192.0.2.1/32",), {"team": "platform"})


class Interleaved:
    """A first writer whose PATCH is held up between its GET and its effect, until the clock jumps."""

    def __init__(self, start_sandbox: StartSandbox) -> None:
        self.sandbox: RunningSandbox = start_sandbox()

    def hold(self) -> ActiveFault:
        return self.sandbox.azure.faults.add(kind="slow", seconds=3600, **PATCH)

    async def release(self) -> None:
        await asyncio.to_thread(self.sandbox.control, "POST", "/clock", json={"jump": 3600})


async def test_a_record_that_was_overwritten_is_seen(start_sandbox: StartSandbox) -> None:
    """A writer that read before and writes after takes the record away, rule and tag together; it can be told."""
    between = Interleaved(start_sandbox)
    async with AzureSession.open() as session:
        vault = await make_vault(session)
        held = between.hold()
        slow = asyncio.create_task(record_lease(session, vault, lease("slow"), OTHER))
        await until(lambda: held.matched >= 1)
        mine = await record_lease(session, vault, lease("quick"), HOME)
        await between.release()
        theirs = await slow
        wall = await read_firewall(session, vault)
        assert is_recorded(wall, theirs)
        assert not is_recorded(wall, mine)
        assert RULE not in wall.ip_rules
        assert await record_lease(session, vault, mine, HOME) == mine
        wall = await read_firewall(session, vault)
        assert is_recorded(wall, mine)
        assert is_recorded(wall, theirs)


async def test_a_lease_that_comes_back_is_erased_again(start_sandbox: StartSandbox) -> None:
    """A slow writer writes an erased tag back with its own: the erasure waits for that, and repeats itself."""
    between = Interleaved(start_sandbox)
    async with AzureSession.open() as session:
        vault = await make_vault(session)
        mine = await record_lease(session, vault, lease("quick"), HOME)
        held = between.hold()
        slow = asyncio.create_task(record_lease(session, vault, lease("slow"), OTHER))
        await until(lambda: held.matched >= 1)
        erased = asyncio.create_task(erase_leases(session, vault, {mine.tag_name}))
        await until(lambda: held.matched >= 2)
        await between.release()
        theirs = await slow
        await erased
        after = await read_firewall(session, vault)
        assert (list(after.ip_rules), records(after)) == (leased(OTHER), {theirs.tag_name})


@pytest.mark.parametrize(
    "fault",
    [
        {"kind": "reset-after"},
        {"kind": "reset-before"},
        {"kind": "status", "status": 503, "times": 2},
        {"kind": "status", "status": 409},
        {"kind": "status", "status": 429, "retry_after": 0},
    ],
    ids=lambda fault: str(fault.get("status", fault["kind"])),
)
async def test_a_patch_that_fails_is_made_again(
    session: AzureSession, sandbox: RunningSandbox, fault: dict[str, Any]
) -> None:
    """From a fresh reading, never by repeating the old request; an answer that is lost is no failure."""
    vault = await make_vault(session)
    standing = sandbox.azure.faults.add(**fault, **PATCH)
    mine = await record_lease(session, vault, lease("a"), HOME)
    assert standing.hits
    assert is_recorded(await read_firewall(session, vault), mine)


async def test_a_vault_that_keeps_refusing(session: AzureSession, sandbox: RunningSandbox) -> None:
    """After a few refusals in a row Azure's own words are the error."""
    vault = await make_vault(session)
    sandbox.azure.faults.add(kind="status", status=503, times=None, **PATCH)
    with pytest.raises(Unavailable, match="503"):
        await record_lease(session, vault, lease("a"), HOME)


async def test_somebody_who_keeps_undoing(
    session: AzureSession, sandbox: RunningSandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A change that never stays is a conflict, which says where to look for the other writer."""
    monkeypatch.setattr("pratique.azure.firewall.ATTEMPTS", 2)
    vault = await make_vault(session)
    change = sandbox.azure.resources.put

    def undo(document: dict[str, Any]) -> dict[str, Any]:
        return change({**document, "tags": {"team": "platform"}})

    monkeypatch.setattr(sandbox.azure.resources, "put", undo)
    with pytest.raises(Conflict, match="az monitor activity-log"):
        await record_lease(session, vault, lease("a"), HOME)


async def test_without_the_right_to_write(start_sandbox: StartSandbox) -> None:
    """The remedy names the action."""
    sandbox = start_sandbox(
        Scenario(identity=Identity(roles=("Contributor", "Reader")), timings=Timings(role_assignment=0))
    )
    async with AzureSession.open() as session:
        vault = await make_vault(session)
        contributor = sandbox.azure.access.role("Contributor")
        for held in sandbox.azure.access.assignments():
            if contributor is not None and held.role_guid == contributor.guid:
                sandbox.azure.access.unassign(held.id)
        with pytest.raises(PermissionDenied) as refused:
            await record_lease(session, vault, lease("a"), HOME)
    assert "Microsoft.KeyVault/vaults/write" in refused.value.remedy


async def test_a_private_vault_is_not_opened(session: AzureSession) -> None:
    """No rule helps where public access is off, and the message says what does; a lease without a rule is recorded."""
    vault = await make_vault(session, publicNetworkAccess="Disabled")
    with pytest.raises(NetworkDenied, match="private link"):
        await record_lease(session, vault, lease("a"), HOME)
    await record_lease(session, vault, lease("a"), None)
    assert len(records(await read_firewall(session, vault))) == 1


@pytest.mark.parametrize("acls", [{"bypass": "AzureServices", "defaultAction": "Allow"}, None])
async def test_an_open_vault_stays_open(session: AzureSession, acls: dict[str, str] | None) -> None:
    """Where everybody is let in there is no rule, and the record closes nothing."""
    vault = await make_vault(session, networkAcls=acls)
    mine = await record_lease(session, vault, lease("a"), HOME)
    wall = await read_firewall(session, vault)
    assert (mine.address, wall.ip_rules, wall.default_action) == (None, (), "Allow")
    assert records(wall) == {mine.tag_name}


async def test_networks_and_bypass_stay(session: AzureSession) -> None:
    """The PATCH carries along what else stands in the vault's network rules."""
    subnet = f"/subscriptions/{session.subscription_id}/resourceGroups/g/providers/x/subnets/y"
    acls = {"bypass": "None", "defaultAction": "Deny", "virtualNetworkRules": [{"id": subnet}]}
    vault = await make_vault(session, networkAcls=acls)
    await record_lease(session, vault, lease("a"), HOME)
    found = (await session.vaults.vaults.get(CLUSTER_GROUP, NAME)).properties.network_acls
    assert found is not None
    assert found.bypass == "None"
    assert [rule.id for rule in found.virtual_network_rules or ()] == [subnet]


async def test_a_rule_without_a_mark_stays(session: AzureSession) -> None:
    """Whatever a tag claims: it is not a lease's, and the tag stays beside it for somebody to look at."""
    vault = await make_vault(session, RULE, f"{OTHER}/32")
    claims, honest = (
        lease("claims", HOME),
        await record_lease(session, vault, lease("honest"), IPv4Address("192.0.2.9")),
    )
    tags = {"team": "platform", claims.tag_name: claims.tag_value, honest.tag_name: honest.tag_value}
    await session.vaults.vaults.update(CLUSTER_GROUP, NAME, {"tags": tags})
    await erase_leases(session, vault, {claims.tag_name, honest.tag_name})
    after = await read_firewall(session, vault)
    assert (after.ip_rules, records(after)) == ((RULE, f"{OTHER}/32"), {claims.tag_name})


async def test_rules_whose_records_are_gone(session: AzureSession) -> None:
    """The mark says that they are leases', so they go with whatever ends next; those that a lease needs stay."""
    vault = await make_vault(session, "192.0.2.0/24")
    for name, address in (("lost", HOME), ("kept", OTHER)):
        kept = await record_lease(session, vault, lease(name), address)
    await session.vaults.vaults.update(CLUSTER_GROUP, NAME, {"tags": {kept.tag_name: kept.tag_value}})
    await erase_leases(session, vault, ())
    after = await read_firewall(session, vault)
    assert list(after.ip_rules) == ["192.0.2.0/24", *leased(OTHER)]
    assert after.leased == frozenset({OTHER})


async def test_a_vault_that_refuses_the_mark(session: AzureSession, sandbox: RunningSandbox) -> None:
    """The next range is tried, and what that mark stands for is removed as well; other refusals are errors."""
    vault = await make_vault(session)
    refused = f"{marks(VAULT, HOME)[0]} belongs to forbidden range {RANGES[0]}"
    sandbox.azure.faults.add(kind="status", status=400, message=refused, **PATCH)
    mine = await record_lease(session, vault, lease("a"), HOME)
    wall = await read_firewall(session, vault)
    assert list(wall.ip_rules) == leased(HOME, mark=1)
    assert wall.leased == frozenset({HOME})
    await erase_leases(session, vault, {mine.tag_name})
    assert (await read_firewall(session, vault)).ip_rules == ()
    sandbox.azure.faults.add(kind="status", status=400, message="No.", **PATCH)
    with pytest.raises(OperationFailed, match="No"):
        await record_lease(session, vault, lease("a"), HOME)


@given(st.ip_addresses(v=4), st.ip_addresses(v=4))
def test_marks_differ_by_address_and_vault(one: IPv4Address, other: IPv4Address) -> None:
    """They are single addresses out of ranges that nothing on the Internet has, and never the address itself."""
    assert all(mark.subnet_of(within) for mark, within in zip(marks(VAULT, one), RANGES, strict=True))
    assert marks(VAULT, one) == marks(VAULT.upper(), one)
    assert one == other or marks(VAULT, one) != marks(VAULT, other)
    assert marks(VAULT, one) != marks(f"{VAULT}2", one)


async def test_no_vault(session: AzureSession) -> None:
    """A vault that is gone is told as such."""
    vault = await make_vault(session)
    with pytest.raises(NotFound):
        await read_firewall(session, f"{vault}-gone")


async def test_a_record_too_long_for_a_tag(session: AzureSession) -> None:
    """Azure would refuse it: nothing is written."""
    vault = await make_vault(session)
    with pytest.raises(ValueError, match="too long"):
        await record_lease(session, vault, replace(lease("a"), owner="x" * 256), HOME)


def test_the_narrowest_rule_answers_for_an_address() -> None:
    """An address's own rule comes before a network around it."""
    rules = ("203.0.113.0/24", str(HOME), "198.51.100.1/32")
    wall = Firewall(vault_id=VAULT, ip_rules=rules, tags={}, default_action="Deny", public_network_access="enabled")
    assert wall.rule_for(HOME) == str(HOME)
    assert wall.rule_for(IPv4Address("203.0.113.11")) == "203.0.113.0/24"
    assert wall.rule_for(IPv4Address("192.0.2.1")) is None
