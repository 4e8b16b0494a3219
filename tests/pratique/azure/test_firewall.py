"""One address is let in under a lease, and what was there before stays."""

from __future__ import annotations

import asyncio
import json
from ipaddress import IPv4Address

import pytest

from pratique.azure.firewall import Firewall, Opening, close_firewall, firewall, open_firewall
from pratique.azure.session import AzureSession
from pratique.errors import NetworkDenied, NotFound
from tests.pratique.azure.vaults import make_vault

HOME = IPv4Address("203.0.113.10")
RULE = f"{HOME}/32"


def lease(name: str, address: IPv4Address = HOME) -> tuple[str, str]:
    return f"pratique-lease-{name}", json.dumps({"address": str(address), "owner": name})


async def test_opened_and_closed_again(session: AzureSession) -> None:
    """Rule and tag come together and go together; other rules and tags are as before."""
    vault = await make_vault(session, "198.51.100.0/24")
    before = await firewall(session, vault)
    assert await open_firewall(session, vault, HOME, lease("a")) == Opening(RULE, True)
    during = await firewall(session, vault)
    assert set(during.ip_rules) == {"198.51.100.0/24", RULE}
    assert during.lease_tags == dict([lease("a")])
    assert during.tags["team"] == "platform"
    await close_firewall(session, vault, HOME, "pratique-lease-a")
    assert await firewall(session, vault) == before


async def test_opening_and_closing_twice_is_like_once(session: AzureSession) -> None:
    """A second attempt after a lost answer changes nothing."""
    vault = await make_vault(session)
    for _ in range(2):
        assert await open_firewall(session, vault, HOME, lease("a")) == Opening(RULE, True)
    assert (await firewall(session, vault)).ip_rules == (RULE,)
    for _ in range(2):
        await close_firewall(session, vault, HOME, "pratique-lease-a")
    assert (await firewall(session, vault)).ip_rules == ()


@pytest.mark.parametrize("rule", [RULE, "203.0.113.0/24"])
async def test_a_rule_that_was_there_is_left_alone(session: AzureSession, rule: str) -> None:
    """It is not ours, whether it is as narrow or wider: no tag is written, and closing removes nothing."""
    vault = await make_vault(session, rule)
    assert await open_firewall(session, vault, HOME, lease("a")) == Opening(rule, False)
    assert (await firewall(session, vault)).lease_tags == {}
    await close_firewall(session, vault, HOME, "pratique-lease-a")
    assert (await firewall(session, vault)).ip_rules == (rule,)


async def test_two_leases_share_an_address(session: AzureSession, monkeypatch: pytest.MonkeyPatch) -> None:
    """The rule goes with the last of them."""
    monkeypatch.setattr("pratique.azure.firewall.SETTLE_SECONDS", 0)
    vault = await make_vault(session)
    for name in ("a", "b"):
        assert await open_firewall(session, vault, HOME, lease(name)) == Opening(RULE, True)
    await close_firewall(session, vault, HOME, "pratique-lease-a")
    assert (await firewall(session, vault)).ip_rules == (RULE,)
    await close_firewall(session, vault, HOME, "pratique-lease-b")
    assert (await firewall(session, vault)).ip_rules == ()


async def test_a_lease_without_an_address_takes_no_rule_along(session: AzureSession) -> None:
    """Its tag goes and every rule stays."""
    vault = await make_vault(session)
    await open_firewall(session, vault, HOME, lease("a"))
    await close_firewall(session, vault, None, "pratique-lease-a")
    after = await firewall(session, vault)
    assert (after.ip_rules, after.lease_tags) == ((RULE,), {})


async def test_writers_at_once_lose_nothing(session: AzureSession, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each reads back what it wrote, and writes again when another one's PATCH has undone it."""
    monkeypatch.setattr("pratique.azure.firewall.SETTLE_SECONDS", 0.3)
    vault = await make_vault(session)
    addresses = [IPv4Address(f"198.51.100.{number}") for number in range(3)]
    opened = [
        open_firewall(session, vault, address, lease(str(number), address)) for number, address in enumerate(addresses)
    ]
    await asyncio.gather(*opened)
    assert set((await firewall(session, vault)).ip_rules) == {f"{address}/32" for address in addresses}
    closed = [close_firewall(session, vault, a, f"pratique-lease-{number}") for number, a in enumerate(addresses)]
    await asyncio.gather(*closed)
    after = await firewall(session, vault)
    assert (after.ip_rules, after.lease_tags) == ((), {})


async def test_a_private_vault_is_not_opened(session: AzureSession) -> None:
    """No rule helps where public access is off, and the message says what does."""
    vault = await make_vault(session, publicNetworkAccess="Disabled")
    with pytest.raises(NetworkDenied, match="private link"):
        await open_firewall(session, vault, HOME, lease("a"))


async def test_an_open_vault_needs_no_rule(session: AzureSession) -> None:
    """Nothing is written where everybody is let in."""
    vault = await make_vault(session, networkAcls={"bypass": "AzureServices", "defaultAction": "Allow"})
    assert await open_firewall(session, vault, HOME, lease("a")) == Opening("", False)
    assert (await firewall(session, vault)).lease_tags == {}


async def test_no_vault(session: AzureSession) -> None:
    """A vault that is gone is told as such."""
    vault = await make_vault(session)
    with pytest.raises(NotFound):
        await firewall(session, f"{vault}-gone")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("mine", json.dumps({"address": str(HOME)})),
        ("pratique-lease-a", json.dumps({"address": "198.51.100.1"})),
        ("pratique-lease-a", json.dumps({"address": str(HOME), "owner": "x" * 256})),
        ("pratique-lease-a", "no JSON"),
    ],
)
async def test_what_is_no_lease_tag(session: AzureSession, name: str, value: str) -> None:
    """A tag that nobody could read back as the lease of this address is not written."""
    with pytest.raises(ValueError, match="not a lease tag"):
        await open_firewall(session, "/irrelevant", HOME, (name, value))


def test_the_narrowest_rule_answers_for_an_address() -> None:
    """An address's own rule comes before a network around it."""
    wall = Firewall(("203.0.113.0/24", str(HOME), "198.51.100.1/32"), {}, "Deny", "Enabled")
    assert wall.rule_for(HOME) == str(HOME)
    assert wall.rule_for(IPv4Address("203.0.113.11")) == "203.0.113.0/24"
    assert wall.rule_for(IPv4Address("192.0.2.1")) is None
