"""Leases: records of temporary access."""

from __future__ import annotations

from datetime import UTC, datetime
from ipaddress import IPv4Address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pratique.azure import pim
from pratique.lease import Lease, from_description, from_tags, lease_id

VAULT = "/subscriptions/s/resourceGroups/g/providers/Microsoft.KeyVault/vaults/kv"
ASSIGNMENT = "0b3c8a52-6f0d-5c4b-8f0e-52a5f1b7d9c3"


@given(
    st.from_regex(r"[a-z0-9/-]{1,60}", fullmatch=True),
    st.one_of(st.none(), st.ip_addresses(v=4)),
    st.sampled_from(["", ASSIGNMENT, pim.ACTIVATION_PREFIX + ASSIGNMENT]),
    st.datetimes(min_value=datetime(2020, 1, 1), max_value=datetime(2100, 1, 1)),
)
def test_a_lease_reads_back_from_both_places(
    owner: str, address: IPv4Address | None, assignment: str, expires: datetime
) -> None:
    """The tag and the description contain the whole record, and the tag fits Azure's 256 characters."""
    until = expires.replace(microsecond=0, tzinfo=UTC)
    lease = Lease(id=lease_id(owner, VAULT), owner=owner, expires=until, address=address, assignment=assignment)
    assert from_tags({"env": "prod", lease.tag_name: lease.tag_value}) == [lease]
    assert from_description(lease.description) == lease
    assert len(lease.tag_value) <= 256


@pytest.mark.parametrize(
    "value",
    [
        "",
        "{}",
        "nonsense",
        '{"owner":"x","address":"::1","assignment":"","expires":"2099-01-01T00:00:00+00:00"}',
        '{"owner":"x","address":"","assignment":"","expires":"tomorrow"}',
        "[]",
        "3",
    ],
)
def test_a_damaged_record_counts_as_expired(value: str) -> None:
    """An unreadable record counts as expired, so that a sweep removes it."""
    (lease,) = from_tags({"pratique-lease-0123": value})
    assert lease.id == "0123"
    assert lease.expired(datetime.now(UTC))


def test_foreign_assignments_are_not_leases() -> None:
    """Only descriptions that a lease wrote are leases; a damaged one of these counts as expired."""
    assert from_description(None) is None
    assert from_description("Granted for the pipeline, see ticket 4711") is None
    damaged = from_description(Lease(id="0123", owner="x", expires=datetime.now(UTC)).description[:-10])
    assert damaged is not None
    assert damaged.expired(datetime.now(UTC))


def test_the_same_run_has_the_same_lease_at_a_vault() -> None:
    """A repeated attempt gets the same lease; another run or another vault gets a different one."""
    assert lease_id("flow-run/1", VAULT) == lease_id("flow-run/1", VAULT.upper())
    assert len({lease_id("flow-run/1", VAULT), lease_id("flow-run/2", VAULT), lease_id("flow-run/1", VAULT + "2")}) == 3


def test_a_renewed_lease_has_another_activation() -> None:
    """Azure accepts a request's GUID only once; it depends only on the lease's ID and its expiry."""
    until = datetime(2026, 11, 23, 12, tzinfo=UTC)
    first, again = (pim.activation_name(Lease(id="0123", owner=owner, expires=until)) for owner in ("x", "y"))
    assert first == again
    assert first.startswith(pim.ACTIVATION_PREFIX)
    assert pim.activation_name(Lease(id="0123", owner="x", expires=until.replace(hour=13))) != first
