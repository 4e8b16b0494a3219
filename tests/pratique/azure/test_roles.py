"""Roles are granted once and revoked by whoever granted them."""

from __future__ import annotations

from uuid import uuid4

import pytest

from pratique.azure.roles import (
    Grant,
    assignment_name,
    find_assignment,
    grant_role,
    is_temporary,
    list_assignments,
    read_assignment,
    revoke_role,
)
from pratique.azure.session import AzureSession
from pratique.config import CERTIFICATES_OFFICER
from pratique.errors import PermissionDenied
from sandbox.scenario import Identity, Scenario
from sandbox.tenant import CLUSTER_GROUP, SPOKE_GROUP, group_id
from tests.conftest import RunningSandbox, StartSandbox
from tests.pratique.azure.vaults import make_vault

IMPORTER = "577a9874-89fd-4f24-9dbd-b5034d0ad23a"


async def test_granted_listed_and_revoked(session: AzureSession) -> None:
    """Granting twice under one name is one assignment; revoking twice is no error; reading back proves it gone."""
    vault, me = await make_vault(session), await session.caller()
    name = assignment_name(vault, CERTIFICATES_OFFICER, me.object_id)
    first = await grant_role(session, vault, CERTIFICATES_OFFICER, me, name=name, description="why")
    again = await grant_role(session, vault, CERTIFICATES_OFFICER, me, name=name, description="why")
    assert first == again == Grant(first.assignment_id, True)
    (listed,) = await list_assignments(session, vault)
    assert (listed.id, listed.name, listed.description) == (first.assignment_id, name, "why")
    assert await read_assignment(session, first.assignment_id) == listed
    assert is_temporary(listed)
    for _ in range(2):
        await revoke_role(session, first.assignment_id)
    assert await read_assignment(session, first.assignment_id) is None
    assert await list_assignments(session, vault) == []


async def test_a_role_that_is_held_already_is_not_ours(session: AzureSession) -> None:
    """Its id is told, and that somebody else made it."""
    vault, me = await make_vault(session), await session.caller()
    theirs = str(uuid4())
    standing = await grant_role(session, vault, CERTIFICATES_OFFICER, me, name=theirs, description="for good")
    mine = assignment_name(vault, CERTIFICATES_OFFICER, me.object_id)
    grant = await grant_role(session, vault, CERTIFICATES_OFFICER, me, name=mine, description="for now")
    assert grant == Grant(standing.assignment_id, False)
    (listed,) = await list_assignments(session, vault)
    assert not is_temporary(listed)


async def test_a_role_above_counts_and_one_elsewhere_does_not(session: AzureSession, sandbox: RunningSandbox) -> None:
    """A role on the group covers the vault in it; the vault's own role does not cover the group."""
    vault, me = await make_vault(session), await session.caller()
    group, spoke = group_id(sandbox.azure, CLUSTER_GROUP), group_id(sandbox.azure, SPOKE_GROUP)
    assert await find_assignment(session, vault, IMPORTER, me.object_id) is not None
    assert await find_assignment(session, spoke, IMPORTER, me.object_id) is None
    name = assignment_name(vault, CERTIFICATES_OFFICER, me.object_id)
    made = await grant_role(session, vault, CERTIFICATES_OFFICER, me, name=name, description="why")
    assert await find_assignment(session, vault, CERTIFICATES_OFFICER, me.object_id) == made.assignment_id
    assert await find_assignment(session, group, CERTIFICATES_OFFICER, me.object_id) is None


async def test_without_the_right_to_grant(start_sandbox: StartSandbox) -> None:
    """The remedy names the action and where it is missing."""
    start_sandbox(Scenario(identity=Identity(roles=("Contributor",))))
    async with AzureSession.open() as session:
        vault, me = await make_vault(session), await session.caller()
        name = assignment_name(vault, CERTIFICATES_OFFICER, me.object_id)
        with pytest.raises(PermissionDenied) as refused:
            await grant_role(session, vault, CERTIFICATES_OFFICER, me, name=name, description="why")
    assert "Microsoft.Authorization/roleAssignments/write" in refused.value.remedy
    assert vault.lower() in refused.value.remedy.lower()


def test_names_are_deterministic() -> None:
    """The same for the same arguments, whatever their case; another for another scope, role or principal."""
    name = assignment_name("/subscriptions/S", "r", "p")
    assert name == assignment_name("/SUBSCRIPTIONS/s", "R", "P")
    others = [("/subscriptions/T", "r", "p"), ("/subscriptions/S", "q", "p"), ("/subscriptions/S", "r", "q")]
    assert len({name, *(assignment_name(*other) for other in others)}) == 4
