"""Whoever may write tags can neither have something removed that leases did not make, nor keep anything open for good.

Everything in a tag is untrusted: it selects among what the rules' marks, the assignments' GUIDs and descriptions, and
the activations' justifications prove to be this project's.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest

from pratique.access.grant import close_access
from pratique.access.revoke import SweepResult, sweep
from pratique.azure import pim
from pratique.azure.roles import assignment_name
from pratique.config import Access
from pratique.errors import AccessNotRevoked
from pratique.lease import TAG_PREFIX, Lease, lease_id
from sandbox.scenario import Identity, Scenario
from sandbox.services.authorization.schedules import Schedules
from tests.conftest import StartSandbox
from tests.pratique.doors import HOME, OFFICER, OTHER, PROMPT, Door, door

pytestmark = pytest.mark.usefixtures("quick")

SOMEBODY = "6d1f1c53-1c0e-4b8b-9c52-0f9f8c1d2e3a"
ADMINISTRATOR = Identity(roles=("Contributor", "User Access Administrator"))
#: What the sweep would send a DELETE to if it took them for a name.
PATHS = (
    "../../../../Microsoft.ContainerRegistry/registries/acr",
    "../../..?x=",
    "%2e%2e/%2e%2e",
    "x/../../../roleAssignments/y",
    "pim:../0f8fad5b-d9cb-469f-a165-70867728950e",
    "*",
    "",
)


@pytest.fixture
async def vault(start_sandbox: StartSandbox) -> AsyncIterator[Door]:
    """With a permanent rule for one address, and permanent assignments to the pipeline and to somebody else."""
    async with door(start_sandbox, f"{OTHER}/32", "192.0.2.0/24") as opened:
        opened.hold_role(opened.vault.id, principal=SOMEBODY)
        yield opened


def forge(vault: Door, owner: str = "forged", *, minutes: float = -1, name: str = "", **fields: Any) -> str:
    """Write a record that looks like a lease's, as everybody can who may write tags; the tag's name."""
    expires = (datetime.now(UTC) + timedelta(minutes=minutes)).isoformat(timespec="seconds")
    record = {"owner": owner, "address": "", "assignment": "", "expires": expires, **fields}
    name = name or TAG_PREFIX + lease_id(owner, vault.vault.id)
    vault.change(tags={**vault.document["tags"], name: json.dumps(record)})
    return name


def deletions(vault: Door) -> list[str]:
    return [request.path for request in vault.sandbox.azure.requests.since(0) if request.method == "DELETE"]


async def swept(vault: Door, *, everything: bool = False) -> SweepResult:
    return await sweep(vault.session, vault.vault.id, everything=everything)


async def test_a_permanent_rule(vault: Door) -> None:
    """A well-formed, expired record names it: the rule and the record stay, and the error says that a person judges."""
    name, before = forge(vault, address=str(OTHER)), vault.traces
    found = await swept(vault)
    assert found.ended == ()
    with pytest.raises(AccessNotRevoked) as doubted:
        found.require_proof()
    assert name in doubted.value.observed
    assert f"az keyvault network-rule remove -n kv-ingress --ip-address {OTHER}" in doubted.value.remedy
    assert "az monitor activity-log list" in doubted.value.remedy
    assert vault.traces == replace(before, tags=before.tags | {name})


async def test_a_permanent_assignment(vault: Door) -> None:
    """Its GUID does not follow from what it grants, so no record makes it a lease's; nor does a copied description."""
    (held,) = vault.roles
    name, before = forge(vault, assignment=held.name), vault.traces
    for description in (None, "For good.", _lease(vault, held.name).description):
        held.description = description
        found = await swept(vault)
        assert found.ended == ()
        with pytest.raises(AccessNotRevoked, match=held.name):
            found.require_proof()
    assert vault.traces == replace(before, tags=before.tags | {name})
    assert deletions(vault) == []


@pytest.mark.parametrize("path", PATHS)
async def test_a_path(vault: Door, path: str) -> None:
    """A record that names no GUID sends no request anywhere; it is reported, and never as ended."""
    name, before = forge(vault, assignment=path), vault.traces
    found = await swept(vault)
    assert deletions(vault) == []
    assert vault.requests("GET", "roleAssignments/") == 0
    if path:
        assert [record.name for record in found.unusable] == [name]
        assert (found.ended, vault.traces.tags) == ((), before.tags)
    found.require_proof()


@pytest.mark.parametrize(
    "forgery",
    [
        {"expires": "never"},
        {"minutes": 60 * 24},
        {"name": f"{TAG_PREFIX}0123456789ab"},
        {"owner": "two\nlines"},
        {"address": "198.51.100.0/24"},
    ],
    ids=str,
)
async def test_an_unusable_record_of_something_that_stands(vault: Door, forgery: dict[str, Any]) -> None:
    """It is damaged, or no lease lives that long: what it names stands, and somebody has to look."""
    (held,) = vault.roles
    forge(vault, **{"address": str(OTHER), "assignment": held.name, **forgery})
    before = vault.traces
    found = await swept(vault, everything=True)
    assert (found.ended, len(found.unusable), vault.traces) == ((), 1, before)
    with pytest.raises(AccessNotRevoked, match=held.name):
        found.require_proof()


async def test_an_unusable_record_of_nothing(vault: Door) -> None:
    """It is reported, and is no error; a name that would run in a shell is in no command."""
    vault.change(tags={"team": "platform", f"{TAG_PREFIX}0123": "nonsense"})
    before = vault.traces
    found = await swept(vault, everything=True)
    assert [str(record) for record in found.unusable] == [f"{TAG_PREFIX}0123: it is damaged"]
    assert (found.ended, vault.traces) == ((), before)
    found.require_proof()
    forge(vault, name=f"{TAG_PREFIX}$(reboot)", address=str(OTHER))
    with pytest.raises(AccessNotRevoked) as doubted:
        (await swept(vault)).require_proof()
    assert "reboot" not in doubted.value.remedy


async def test_a_forged_record_keeps_nothing_for_good(vault: Door) -> None:
    """A record that never expires holds neither rule nor role of a run that ends; the run ends as always."""
    before = vault.traces
    async with vault.access("run") as lease:
        forge(vault, address=str(HOME), assignment=lease.assignment, minutes=60 * 24 * 365)
        forge(vault, name=f"{TAG_PREFIX}0123", address=str(HOME), assignment=lease.assignment, minutes=30)
    assert (vault.traces.rules, vault.traces.roles) == (before.rules, before.roles)


@pytest.mark.parametrize("value", ["", "nonsense", "permanent"])
async def test_the_run_s_own_record_is_changed(vault: Door, value: str) -> None:
    """Its rule and its role are found without the record, which goes by its name; what it claims now stays."""
    before = vault.traces
    lease = await vault.open("run")
    changed = replace(lease, address=OTHER).tag_value if value == "permanent" else value
    vault.change(tags={**vault.document["tags"], lease.tag_name: changed})
    if value == "permanent":
        with pytest.raises(AccessNotRevoked, match=str(OTHER)):
            await close_access(vault.session, vault.vault, "run")
    else:
        await close_access(vault.session, vault.vault, "run")
        assert vault.traces.tags == before.tags
    assert (vault.traces.rules, vault.traces.roles) == (before.rules, before.roles)


async def test_tags_that_are_stripped_while_a_run_is_killed(vault: Door) -> None:
    """The rule's mark and the assignment's description remain: the sweep finds both."""
    before = vault.traces
    await vault.open("killed", Access(lease_minutes=5))
    vault.change(tags={"team": "platform"})
    await swept(vault)
    assert vault.traces.rules == before.rules
    await swept(vault, everything=True)
    assert vault.traces == before


async def test_a_rule_whose_mark_is_removed(vault: Door) -> None:
    """Nothing proves any more that it is the run's: it stays, and the run ends with the command."""
    lease = await vault.open("run")
    acls = vault.document["properties"]["networkAcls"]
    rules = [rule for rule in acls["ipRules"] if rule["value"] not in vault.leased(HOME) - {f"{HOME}/32"}]
    vault.change(networkAcls={**acls, "ipRules": rules})
    with pytest.raises(AccessNotRevoked, match="bears no lease's mark") as doubted:
        await close_access(vault.session, vault.vault, "run")
    assert f"tags.{lease.tag_name}" in doubted.value.remedy
    assert f"{HOME}/32" in vault.traces.rules


async def test_an_assignment_that_a_person_adopts(vault: Door) -> None:
    """A new description makes it that person's: nothing deletes it, and the record that names it is doubted."""
    lease = await vault.open("run")
    (made,) = (held for held in vault.roles if held.name == lease.assignment)
    made.description = "Kept on purpose, see ticket 4711."
    with pytest.raises(AccessNotRevoked, match=lease.assignment):
        await close_access(vault.session, vault.vault, "run")
    with pytest.raises(AccessNotRevoked, match=lease.assignment):
        (await swept(vault, everything=True)).require_proof()
    vault.change(tags={"team": "platform"})
    (await swept(vault, everything=True)).require_proof()
    assert lease.assignment in vault.traces.roles


async def test_a_damaged_description(vault: Door) -> None:
    """The assignment stands, and may be a lease's: somebody has to look."""
    lease = await vault.open("run")
    (made,) = (held for held in vault.roles if held.name == lease.assignment)
    made.description = lease.description[:-5]
    found = await swept(vault, everything=True)
    assert [record.assignment for record in found.unusable] == [lease.assignment]
    with pytest.raises(AccessNotRevoked, match=lease.assignment):
        found.require_proof()


async def test_an_activation_of_somebody_else(start_sandbox: StartSandbox) -> None:
    """A record that names its request does not end it, and no other lease shares it."""
    async with door(start_sandbox, scenario=Scenario(timings=PROMPT, identity=ADMINISTRATOR)) as vault:
        caller, until = await vault.session.caller(), datetime.now(UTC) + timedelta(minutes=30)
        theirs = Lease(id="0123456789ab", owner="them", expires=until, assignment=f"pim:{uuid4()}")
        await pim.activate(vault.session, vault.vault.id, OFFICER, caller, theirs, minutes=60)
        (held,) = vault.roles
        await vault.jump(600)
        forge(vault, assignment=theirs.assignment, minutes=10)
        async with vault.access("run", Access(method="pim")) as lease:
            assert lease.assignment == ""
        with pytest.raises(AccessNotRevoked, match=theirs.assignment):
            (await swept(vault, everything=True)).require_proof()
        assert vault.roles == [held]
        assert len(vault.sandbox.azure.state(Schedules).requests) == 1


def _lease(vault: Door, assignment: str) -> Lease:
    over = datetime.now(UTC) - timedelta(minutes=1)
    return Lease(id=lease_id("x", vault.vault.id), owner="x", expires=over, assignment=assignment)


async def test_a_name_that_is_derived_for_somebody_else(vault: Door) -> None:
    """A GUID proves what it grants: the same name at another principal's assignment is nobody's lease."""
    derived = assignment_name(vault.vault.id, OFFICER, vault.sandbox.azure.scenario.identity.object_id)
    other = vault.sandbox.azure.access.assign(
        role=OFFICER, principal_id=str(uuid4()), scope=vault.vault.id, name=derived, at_once=True
    )
    other.description = _lease(vault, derived).description
    forge(vault, assignment=derived)
    with pytest.raises(AccessNotRevoked, match=derived):
        (await swept(vault)).require_proof()
    assert derived in vault.traces.roles
