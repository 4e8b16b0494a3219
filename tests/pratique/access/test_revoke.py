"""Ending leases: a run's own, and those that other runs could not end. Nothing else is removed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from pratique.access.grant import close_access
from pratique.access.revoke import end_leases, sweep
from pratique.azure.firewall import record_lease
from pratique.azure.roles import Assignment, assignment_id, assignment_name, grant_role
from pratique.azure.rule_marks import marks
from pratique.azure.session import AzureSession
from pratique.config import Access
from pratique.errors import AccessNotRevoked
from pratique.lease import Lease, lease_id
from sandbox.scenario import Identity, Scenario
from tests.conftest import StartSandbox
from tests.pratique.azure.vaults import NAME
from tests.pratique.doors import HOME, OFFICER, OTHER, PROMPT, RULE, Door, Traces, door, import_certificate
from tests.waiting import HANGS, until

pytestmark = pytest.mark.usefixtures("quick")

SOMEBODY = "6d1f1c53-1c0e-4b8b-9c52-0f9f8c1d2e3a"
DELETE: dict[str, Any] = {"method": "DELETE", "path": "*/roleAssignments/*"}
PATCH: dict[str, Any] = {"method": "PATCH", "path": "*/vaults/*"}
ACTIVATION: dict[str, Any] = {"method": "PUT", "path": "*ScheduleRequests*"}
#: What a vault does that is not to be changed.
DENIED: dict[str, Any] = {"kind": "status", "status": 403, "times": None}


@pytest.fixture
async def vault(start_sandbox: StartSandbox) -> AsyncIterator[Door]:
    """A vault with rules, a tag and a role assignment of others."""
    async with door(start_sandbox, "192.0.2.0/24") as opened:
        opened.hold_role(opened.vault.id, principal=SOMEBODY)
        yield opened


async def expire(vault: Door, lease: Lease) -> Lease:
    """Let a lease's time be over, in its record and, where it made the assignment, there."""
    over = replace(lease, expires=datetime.now(UTC) - timedelta(minutes=1))
    vault.change(tags={**vault.document["tags"], over.tag_name: over.tag_value})
    for held in vault.roles:
        if lease.id in str(held.description):
            held.description = over.description
    return over


async def test_a_sweep(vault: Door) -> None:
    """A sweep ends expired leases of any owner, keeps the others, and reports both."""
    before = vault.traces
    over = datetime.now(UTC) - timedelta(minutes=1)
    dead = Lease(id=lease_id("dead", vault.vault.id), owner="dead", expires=over)
    await record_lease(vault.session, vault.vault.id, dead, OTHER)
    assert vault.traces.rules == before.rules | vault.leased(OTHER)
    async with vault.access("alive") as alive:
        swept = await sweep(vault.session, vault.vault.id)
        assert [lease.id for lease in swept.ended] == [dead.id]
        assert [lease.id for lease in swept.left] == [alive.id]
        assert vault.traces.rules == before.rules | vault.leased(HOME)
        await import_certificate(vault.session)
    assert vault.traces == before
    assert await sweep(vault.session, vault.vault.id) == replace(swept, ended=(), left=())


async def test_a_sweep_keeps_what_a_live_run_shares(vault: Door) -> None:
    """A rule and an assignment that a dead run created stay while a live run uses them, and are removed with it."""
    before = vault.traces
    dead = await vault.open("dead")
    async with vault.access("alive") as alive:
        await expire(vault, dead)
        swept = await sweep(vault.session, vault.vault.id)
        assert [lease.id for lease in swept.ended] == [dead.id]
        assert [lease.id for lease in swept.left] == [alive.id]
        assert vault.traces.rules == before.rules | vault.leased(HOME)
        assert alive.assignment in vault.traces.roles
        await import_certificate(vault.session)
    assert vault.traces == before


async def test_concurrent_sweeps(vault: Door) -> None:
    """Each may find leases that the others are ending; together they leave nothing."""
    before = vault.traces
    for name in ("one", "two", "three"):
        await expire(vault, await vault.open(name))
    await asyncio.gather(*[sweep(vault.session, vault.vault.id) for _ in range(5)])
    assert vault.traces == before


async def test_everything(vault: Door) -> None:
    """Sweeping everything shuts out live runs too; they open their access again, and leave nothing in the end."""
    before = vault.traces
    async with vault.access("alive") as alive:
        swept = await sweep(vault.session, vault.vault.id, everything=True)
        assert [lease.id for lease in swept.ended] == [alive.id]
        assert vault.traces == before
        await vault.use(alive)
    assert vault.traces == before


async def _made(vault: Door, expires: datetime) -> Lease:
    """An assignment whose run died before the lease was recorded."""
    caller = await vault.session.caller()
    lease = Lease(
        id=lease_id("dead", vault.vault.id),
        owner="dead",
        expires=expires,
        assignment=assignment_name(vault.vault.id, OFFICER, caller.object_id),
    )
    await grant_role(
        vault.session, vault.vault.id, OFFICER, caller, name=lease.assignment, description=lease.description
    )
    return lease


async def test_an_assignment_without_a_record(vault: Door) -> None:
    """Its description serves as the record, so that it is revoked when the lease has expired."""
    before = vault.traces
    lease = await _made(vault, datetime.now(UTC) - timedelta(minutes=1))
    assert [one.id for one in (await sweep(vault.session, vault.vault.id)).ended] == [lease.id]
    assert vault.traces == before


async def test_an_assignment_that_is_just_being_recorded(vault: Door) -> None:
    """It looks like a dead run's: a sweep keeps it until the lease expires, unless it sweeps everything."""
    before = vault.traces
    lease = await _made(vault, datetime.now(UTC) + timedelta(minutes=5))
    swept = await sweep(vault.session, vault.vault.id)
    assert ([one.id for one in swept.ended], [one.id for one in swept.left]) == ([], [lease.id])
    assert len(vault.traces.roles) == len(before.roles) + 1
    await vault.sweep_all()
    assert vault.traces == before


async def test_an_assignment_whose_maker_is_gone(vault: Door) -> None:
    """It is revoked with the last lease that names it, although its description has another lease's record."""
    before = vault.traces
    await vault.open("first")
    await vault.open("second")
    for owner in ("first", "second"):
        assert len(vault.traces.roles) == len(before.roles) + 1
        assert [one.owner for one in await close_access(vault.session, vault.vault, owner)][-1] == owner
    assert vault.traces == before


async def test_a_list_that_lags(vault: Door, monkeypatch: pytest.MonkeyPatch) -> None:
    """An assignment that the list does not show yet is revoked by its name, and read back by its name."""

    async def empty(session: AzureSession, scope: str) -> list[Assignment]:
        return []

    before = vault.traces
    await vault.open("run")
    monkeypatch.setattr("pratique.azure.roles.list_assignments", empty)
    await close_access(vault.session, vault.vault, "run")
    assert vault.traces == before


async def test_nothing_of_others(vault: Door) -> None:
    """Rules, tags and assignments that no lease created are kept when everything is swept."""
    vault.change(tags={"team": "platform", "pratique": "no lease", "lease": "no prefix"})
    before = vault.traces
    await vault.sweep_all()
    assert vault.traces == before


@pytest.mark.parametrize("kind", ["status", "reset-before", "reset-after"])
@pytest.mark.parametrize(
    "request_", [DELETE, PATCH, {"method": "GET", "path": "*/vaults/*"}], ids=lambda r: r["method"]
)
async def test_a_request_that_fails_once(vault: Door, request_: dict[str, Any], kind: str) -> None:
    """The access is revoked whichever request fails, and whether or not it was applied."""
    before = vault.traces
    await vault.open("run")
    standing = vault.sandbox.azure.faults.add(kind=kind, **request_)
    await close_access(vault.session, vault.vault, "run")
    assert standing.hits == 1
    assert vault.traces == before


@pytest.mark.parametrize("retry_after", ["3600", "1e999", "Wed, 01 Jan 2098 00:00:00 GMT"])
@pytest.mark.parametrize(
    "request_", [DELETE, PATCH, {"method": "GET", "path": "*/vaults/*"}], ids=lambda r: r["method"]
)
async def test_a_service_that_asks_to_wait(
    vault: Door, monkeypatch: pytest.MonkeyPatch, request_: dict[str, Any], retry_after: str
) -> None:
    """However long it asks for, cleanup waits for seconds, and access is gone."""
    monkeypatch.setattr("pratique.azure.transport.BRIEF_SECONDS", 0)
    before = vault.traces
    await vault.open("run")
    asked = vault.sandbox.azure.faults.add(kind="status", status=429, retry_after=retry_after, times=2, **request_)
    async with asyncio.timeout(HANGS):
        await close_access(vault.session, vault.vault, "run")
    assert asked.hits
    assert vault.traces == before


@pytest.mark.parametrize(
    "request_", [PATCH, {"method": "GET", "path": "*/vaults/kv-ingress"}], ids=lambda r: r["method"]
)
async def test_the_role_does_not_wait_for_the_rule(
    vault: Door, monkeypatch: pytest.MonkeyPatch, request_: dict[str, Any]
) -> None:
    """While a request for the vault gets no answer, the role is revoked."""
    before = vault.traces
    await vault.open("run")
    vault.sandbox.azure.faults.add(kind="timeout", times=None, **request_)
    if request_["method"] == "GET":
        monkeypatch.setattr("pratique.access.standing.READ_SECONDS", 0.5)
    closing = asyncio.create_task(close_access(vault.session, vault.vault, "run"))
    await until(lambda: vault.traces.roles == before.roles)
    assert vault.traces.rules != before.rules
    closing.cancel()
    await asyncio.gather(closing, return_exceptions=True)
    vault.sandbox.azure.faults.clear()
    await vault.sweep_all()
    assert vault.traces == before


async def test_the_rule_does_not_wait_for_the_role(vault: Door, monkeypatch: pytest.MonkeyPatch) -> None:
    """While the assignments cannot be listed, rule and record go, and the role by the name in the record."""
    before = vault.traces
    await vault.open("run")
    vault.sandbox.azure.faults.add(kind="timeout", times=None, method="GET", path="*/roleAssignments")
    monkeypatch.setattr("pratique.access.standing.READ_SECONDS", 0.5)
    closing = asyncio.create_task(close_access(vault.session, vault.vault, "run"))
    await until(lambda: vault.traces == before)
    closing.cancel()
    await asyncio.gather(closing, return_exceptions=True)


async def _fails(vault: Door) -> AccessNotRevoked:
    with pytest.raises(AccessNotRevoked) as told:
        await close_access(vault.session, vault.vault, "run")
    return told.value


@pytest.mark.parametrize("kind", ["vault", "group", "subscription"])
async def test_a_lock_against_deletion_that_appears_later(vault: Door, kind: str) -> None:
    """The rule is removed, the error has the commands for the lock and then the role, and a later sweep revokes it."""
    before = vault.traces
    lease = await vault.open("run")
    lock = vault.lock(kind, "CanNotDelete")
    error = await _fails(vault)
    assert "ScopeLocked" in error.observed
    assert lock.scope in error.observed
    role = f"az role assignment delete --ids {assignment_id(vault.vault.id, lease.assignment)}"
    assert error.remedy == f"ACT NOW: az lock delete --ids {lock.id}; {role}"
    assert (vault.traces.rules, vault.traces.tags) == (before.rules, before.tags)
    vault.sandbox.azure.locks.delete(lock.id)
    await expire(vault, lease)
    await sweep(vault.session, vault.vault.id)
    assert vault.traces == before


async def test_a_lock_against_changes_that_appears_later(vault: Door) -> None:
    """Nothing goes: the lock comes first among the commands, and once it is gone a sweep ends everything."""
    before = vault.traces
    lease = await vault.open("run")
    lock = vault.lock("vault", "ReadOnly")
    error = await _fails(vault)
    role = f"az role assignment delete --ids {assignment_id(vault.vault.id, lease.assignment)}"
    assert error.remedy.startswith(f"ACT NOW: az lock delete --ids {lock.id}; {role}; az keyvault network-rule remove")
    vault.sandbox.azure.locks.delete(lock.id)
    await vault.sweep_all()
    assert vault.traces == before


async def test_a_lock_that_cannot_be_named(vault: Door) -> None:
    """Where locks cannot be read, the command that lists them comes first."""
    await vault.open("run")
    vault.lock("vault", "CanNotDelete")
    vault.sandbox.azure.faults.add(**DENIED, path="*/locks")
    assert "ACT NOW: az lock list --resource-group rg-" in (await _fails(vault)).remedy


async def test_the_rule_cannot_be_removed(vault: Door) -> None:
    """The role is revoked anyway, the error names rule and tag, and the next sweep removes them."""
    before = vault.traces
    lease = await vault.open("run")
    vault.sandbox.azure.faults.add(**DENIED, **PATCH)
    error = await _fails(vault)
    rule, mark = (f"az keyvault network-rule remove -n {NAME} --ip-address {each}" for each in _leased(vault))
    assert error.remedy == f"ACT NOW: {rule}; {mark}; az keyvault update -n {NAME} --remove tags.{lease.tag_name}"
    assert vault.traces.roles == before.roles
    vault.sandbox.azure.faults.clear()
    await vault.sweep_all()
    assert vault.traces == before


def _leased(vault: Door) -> tuple[str, str]:
    """The rule for this worker, and its mark."""
    return RULE, str(marks(vault.vault.id, HOME)[0])


async def test_the_commands_spare_shared_access(vault: Door) -> None:
    """No command removes a rule or a role that a live run shares."""
    lease = await vault.open("run")
    async with vault.access("alive"):
        vault.sandbox.azure.faults.add(**DENIED, **PATCH)
        error = await _fails(vault)
        vault.sandbox.azure.faults.clear()
    assert error.remedy == f"ACT NOW: az keyvault update -n {NAME} --remove tags.{lease.tag_name}"


async def test_a_vault_that_cannot_be_read(vault: Door) -> None:
    """If nothing can be read, the commands show what exists."""
    await vault.open("run")
    vault.sandbox.azure.faults.add(kind="status", status=403, method="GET", path="*/vaults/*", times=None)
    error = await _fails(vault)
    assert f"az keyvault show -n {NAME}" in error.remedy
    assert f"az role assignment list --scope {vault.vault.id}" in error.remedy


async def test_a_worker_without_the_right_to_revoke_and_without_a_lease(start_sandbox: StartSandbox) -> None:
    """A missing right is no error when there is nothing to revoke."""
    reader = Scenario(timings=PROMPT, identity=Identity(roles=("Contributor",)))
    async with door(start_sandbox, scenario=reader) as vault:
        lease = Lease(id=lease_id("run", vault.vault.id), owner="run", expires=datetime.now(UTC), assignment=SOMEBODY)
        await record_lease(vault.session, vault.vault.id, lease, HOME)
        await close_access(vault.session, vault.vault, "run")
        assert vault.traces == Traces(frozenset(), frozenset({"team"}), frozenset())


@pytest.fixture
async def managed(start_sandbox: StartSandbox) -> AsyncIterator[Door]:
    """A vault whose roles are time-limited."""
    administrator = Scenario(timings=PROMPT, identity=Identity(roles=("Contributor", "User Access Administrator")))
    async with door(start_sandbox, scenario=administrator) as opened:
        yield opened


async def test_an_activation_of_a_dead_run(managed: Door) -> None:
    """It is ended through its request, which the lease's record names."""
    before = managed.traces
    await managed.open("run", Access(method="pim"))
    managed.sandbox.azure.faults.add(kind="reset-after", **ACTIVATION)
    await managed.sweep_all()
    assert managed.traces == before


async def test_an_activation_that_cannot_be_ended(managed: Door) -> None:
    """An error reports it, although Azure will end it by itself; its record stays, so a later sweep finds it."""
    before = managed.traces
    lease = await managed.open("run", Access(method="pim"))
    managed.sandbox.azure.faults.add(kind="status", status=403, times=None, **ACTIVATION)
    with pytest.raises(AccessNotRevoked, match="403") as failed:
        await managed.sweep_all()
    assert lease.tag_name not in failed.value.remedy
    assert managed.traces.rules == before.rules
    managed.sandbox.azure.faults.clear()
    await managed.jump(600)  # in its first minutes nothing ends an activation
    await managed.sweep_all()
    assert managed.traces == before


async def test_an_activation_under_a_lock(managed: Door) -> None:
    """Azure does not end it: each sweep says so, and that the lock goes first; without the lock, one sweep ends it."""
    before = managed.traces
    await managed.open("run", Access(method="pim"))
    await managed.jump(600)  # in its first minutes nothing ends an activation
    lock = managed.lock("vault", "CanNotDelete")
    for _ in range(2):
        with pytest.raises(AccessNotRevoked, match="FailedAsResourceIsLocked") as failed:
            await managed.sweep_all()
        assert f"ACT NOW: az lock delete --ids {lock.id}" in failed.value.remedy
        assert managed.roles != []
    managed.sandbox.azure.locks.delete(lock.id)
    await managed.sweep_all()
    assert managed.traces == before


async def test_a_record_that_comes_back(vault: Door) -> None:
    """Closing waits for a writer that puts back a record which another writer had dropped."""
    mine = await vault.open("run")
    held = vault.sandbox.azure.faults.add(kind="slow", seconds=60, **PATCH)
    later = datetime.now(UTC) + timedelta(minutes=5)
    theirs = Lease(id=lease_id("other", vault.vault.id), owner="other", expires=later)
    writing = asyncio.create_task(record_lease(vault.session, vault.vault.id, theirs, OTHER))
    await until(lambda: held.hits > 0)
    vault.change(tags={"team": "platform"})

    def looks() -> int:
        answered = [one for one in vault.sandbox.azure.requests.since(0) if one.method == "GET" and one.status == 200]
        return sum(one.path.endswith(f"/vaults/{NAME}") for one in answered)

    before = looks()
    closing = asyncio.create_task(close_access(vault.session, vault.vault, "run"))
    await until(lambda: closing.done() or looks() >= before + 2)
    await vault.jump(60)
    await asyncio.gather(writing, closing)
    assert [lease.id for lease in vault.leases] == [theirs.id]
    assert vault.traces.rules == {"192.0.2.0/24", *vault.leased(OTHER)}
    assert mine.assignment not in vault.traces.roles


async def test_only_the_selected_leases(vault: Door) -> None:
    """A single lease can be ended."""
    before = vault.traces
    one, two = await vault.open("one"), await vault.open("two")
    ended = await end_leases(vault.session, vault.vault.id, which=lambda lease: lease.id == two.id)
    assert [lease.id for lease in ended] == [two.id]
    assert [lease.id for lease in vault.leases] == [one.id]
    await vault.sweep_all()
    assert vault.traces == before
