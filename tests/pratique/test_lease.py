"""Leases: records of temporary access, and records that others wrote."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from ipaddress import IPv4Address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pratique.azure import pim
from pratique.lease import Lease, Records, UnusableRecord, lease_id, read_description, read_tags

VAULT = "/subscriptions/s/resourceGroups/g/providers/Microsoft.KeyVault/vaults/kv"
ASSIGNMENT = "0b3c8a52-6f0d-5c4b-8f0e-52a5f1b7d9c3"
MINE = f"pratique-lease-{lease_id('x', VAULT)}"


def record(**changes: object) -> str:
    """The text of a lease's record of the owner x, with changes."""
    fields = {"owner": "x", "address": "", "assignment": "", "expires": "2020-01-01T00:00:00+00:00"}
    return json.dumps(fields | changes)


@given(
    st.from_regex(r"[a-z0-9/-]{1,60}", fullmatch=True),
    st.one_of(st.none(), st.ip_addresses(v=4)),
    st.sampled_from(["", ASSIGNMENT, pim.ACTIVATION_PREFIX + ASSIGNMENT]),
    st.timedeltas(min_value=timedelta(days=-9999), max_value=timedelta(minutes=240)),
)
def test_a_lease_reads_back_from_both_places(
    owner: str, address: IPv4Address | None, assignment: str, life: timedelta
) -> None:
    """The tag and the description contain the whole record, and the tag fits Azure's 256 characters."""
    until = (datetime.now(UTC) + life).replace(microsecond=0)
    lease = Lease(id=lease_id(owner, VAULT), owner=owner, expires=until, address=address, assignment=assignment)
    assert read_tags({"env": "prod", lease.tag_name: lease.tag_value}, VAULT) == Records((lease,), ())
    assert read_description(ASSIGNMENT, lease.description, VAULT) == lease
    assert len(lease.tag_value) <= 256


PATH = "../../../../Microsoft.ContainerRegistry/registries/acr"


@pytest.mark.parametrize(
    "value",
    [
        "",
        "{}",
        "nonsense",
        "[]",
        "3",
        "[" * 256,
        record()[:-3],
        record(more="x"),
        record(address=None),
        record(owner=["x"]),
        record(owner="y"),
        record(owner="\ud800"),
        record(owner="x\nrevoked everything"),
        record(address="::1"),
        record(address="10.0.0.0/8"),
        record(address="010.0.0.1"),
        record(assignment=PATH),
        record(assignment=f"{ASSIGNMENT}/../{ASSIGNMENT}"),
        record(assignment=f"pim:{PATH}"),
        record(assignment=ASSIGNMENT.upper()),
        record(expires="tomorrow"),
        record(expires="2020-01-01T00:00:00"),
        record(expires="0001-01-01T00:00:00+14:00"),
        record(expires="2999-01-01T00:00:00+00:00"),
        pytest.param(record(expires=(datetime.now(UTC) + timedelta(hours=5)).isoformat()), id="too long"),
    ],
)
def test_a_record_that_is_none_of_ours(value: str) -> None:
    """It is no lease: it holds nothing, ends nothing, and says why. Nor is it in a description."""
    (unusable,) = read_tags({MINE: value}, VAULT).unusable
    assert (unusable.name, bool(unusable.reason)) == (MINE, True)
    assert read_tags({MINE: value}, VAULT).leases == ()
    lease = Lease(id=lease_id("x", VAULT), owner="x", expires=datetime.now(UTC))
    prefix = lease.description.partition("{")[0]
    assert isinstance(read_description(ASSIGNMENT, prefix + value, VAULT), UnusableRecord)


def test_what_an_unusable_record_names_is_told() -> None:
    """As far as it can be read, so that somebody can look; a path is not repeated."""
    named = record(address="203.0.113.10", assignment=ASSIGNMENT, expires="?")
    (unusable,) = read_tags({MINE: named}, VAULT).unusable
    assert (unusable.address, unusable.assignment) == (IPv4Address("203.0.113.10"), ASSIGNMENT)
    (unusable,) = read_tags({MINE: record(assignment=PATH)}, VAULT).unusable
    assert unusable.assignment == ""


@pytest.mark.parametrize("vault", [VAULT, VAULT + "2"])
def test_a_name_follows_from_owner_and_vault(vault: str) -> None:
    """A record under another name, or of another vault, was copied. Azure ignores the letter case of names."""
    names = (MINE, MINE.title(), f"{MINE}0", "pratique-lease-")
    counted = [bool(read_tags({name: record()}, vault).leases) for name in names]
    assert counted == ([True, True, False, False] if vault == VAULT else [False] * 4)


@given(st.text(max_size=80), st.text(max_size=256))
def test_any_text_is_read(name: str, value: str) -> None:
    """Whatever others write, reading raises nothing, and what it says is one printable line."""
    records = read_tags({f"pratique-lease-{name}": value}, VAULT)
    assert records.leases == ()
    assert all(str(unusable).isprintable() for unusable in records.unusable)


def test_foreign_assignments_are_not_leases() -> None:
    """Only descriptions that begin as a lease's are records."""
    assert read_description(ASSIGNMENT, None, VAULT) is None
    assert read_description(ASSIGNMENT, "Granted for the pipeline, see ticket 4711", VAULT) is None


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
