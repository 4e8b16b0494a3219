"""Role assignments as the management SDK makes, lists and deletes them."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator

import pytest
from azure.core.exceptions import HttpResponseError, ResourceExistsError, ResourceNotFoundError
from azure.identity.aio import EnvironmentCredential
from azure.mgmt.authorization.aio import AuthorizationManagementClient
from azure.mgmt.authorization.v2022_04_01.models import RoleAssignmentCreateParameters

from sandbox.core.rbac import Principal
from sandbox.tenant import CLUSTER_GROUP, SPOKE_GROUP, group_id
from tests.conftest import RunningSandbox, StartSandbox

READER = "acdd72a7-3385-48ef-bd42-f606fba81ae7"
SECRETS_USER = "4633458b-17de-408a-b874-0445c86b69e6"
SOMEBODY = Principal("6d1f1c53-1c0e-4b8b-9c52-0f9f8c1d2e3a", "User", "somebody@contoso.example")


@pytest.fixture
async def client(sandbox: RunningSandbox) -> AsyncIterator[AuthorizationManagementClient]:
    """The SDK as the pipeline's identity, with somebody else in the directory."""
    sandbox.azure.access.add_principal(SOMEBODY)
    async with (
        EnvironmentCredential() as credential,
        AuthorizationManagementClient(credential, sandbox.azure.subscription_id) as client,
    ):
        yield client


def _scope(sandbox: RunningSandbox) -> str:
    return group_id(sandbox.azure, CLUSTER_GROUP)


def _grant(
    sandbox: RunningSandbox, role: str = READER, principal: str = SOMEBODY.object_id, kind: str | None = "User"
) -> RoleAssignmentCreateParameters:
    definition = (
        f"/subscriptions/{sandbox.azure.subscription_id}/providers/Microsoft.Authorization/roleDefinitions/{role}"
    )
    return RoleAssignmentCreateParameters(
        role_definition_id=definition,
        principal_id=principal,
        principal_type=kind,  # type: ignore[arg-type]  # the service, unlike the SDK's annotation, takes none as well
        description="why",
    )


async def test_the_same_grant_again_is_the_same_assignment(
    client: AuthorizationManagementClient, sandbox: RunningSandbox
) -> None:
    """A deterministic name makes the PUT idempotent: the first creation date stays."""
    name, scope = str(uuid.uuid4()), _scope(sandbox)
    first = await client.role_assignments.create(scope, name, _grant(sandbox))
    again = await client.role_assignments.create(scope, name, _grant(sandbox))
    assert (again.id, again.created_on) == (first.id, first.created_on)
    assert (first.scope, first.principal_id, first.description) == (scope, SOMEBODY.object_id, "why")
    assert first.created_by == sandbox.azure.scenario.identity.object_id


async def test_another_grant_under_the_same_name_is_refused(
    client: AuthorizationManagementClient, sandbox: RunningSandbox
) -> None:
    """RoleAssignmentUpdateNotPermitted: delete first."""
    name, scope = str(uuid.uuid4()), _scope(sandbox)
    await client.role_assignments.create(scope, name, _grant(sandbox))
    with pytest.raises(HttpResponseError) as refused:
        await client.role_assignments.create(scope, name, _grant(sandbox, SECRETS_USER))
    assert refused.value.status_code == 400
    assert refused.value.error is not None
    assert refused.value.error.code == "RoleAssignmentUpdateNotPermitted"


async def test_the_same_grant_under_another_name_names_the_existing_one(
    client: AuthorizationManagementClient, sandbox: RunningSandbox
) -> None:
    """RoleAssignmentExists tells the existing name without its hyphens."""
    name, scope = str(uuid.uuid4()), _scope(sandbox)
    await client.role_assignments.create(scope, name, _grant(sandbox))
    with pytest.raises(ResourceExistsError, match=name.replace("-", "")):
        await client.role_assignments.create(scope, str(uuid.uuid4()), _grant(sandbox))


@pytest.mark.parametrize(
    ("kind", "principal", "code"),
    [
        (None, "99999999-0000-4000-8000-000000000000", "PrincipalNotFound"),
        ("ServicePrincipal", SOMEBODY.object_id, "UnmatchedPrincipalType"),
    ],
)
async def test_the_principal_is_looked_up(
    client: AuthorizationManagementClient, sandbox: RunningSandbox, kind: str | None, principal: str, code: str
) -> None:
    """Unknown principals, and types that disagree with the directory, are refused."""
    with pytest.raises(HttpResponseError, match=code):
        await client.role_assignments.create(
            _scope(sandbox), str(uuid.uuid4()), _grant(sandbox, principal=principal, kind=kind)
        )


async def test_a_principal_that_still_replicates_passes_with_its_type(
    client: AuthorizationManagementClient, sandbox: RunningSandbox
) -> None:
    """Stating the type spares the look-up, as Azure documents for new identities."""
    fresh = _grant(sandbox, principal=str(uuid.uuid4()), kind="ServicePrincipal")
    assert (await client.role_assignments.create(_scope(sandbox), str(uuid.uuid4()), fresh)).id


async def test_a_scope_that_is_missing_cannot_be_granted(
    client: AuthorizationManagementClient, sandbox: RunningSandbox
) -> None:
    """The vault must exist before its role assignment."""
    missing = f"{_scope(sandbox)}/providers/Microsoft.KeyVault/vaults/none"
    with pytest.raises(ResourceNotFoundError):
        await client.role_assignments.create(missing, str(uuid.uuid4()), _grant(sandbox))


async def test_granting_takes_the_right_to_grant(
    client: AuthorizationManagementClient, sandbox: RunningSandbox
) -> None:
    """A network contributor cannot assign roles on the spoke."""
    with pytest.raises(HttpResponseError, match="AuthorizationFailed"):
        await client.role_assignments.create(group_id(sandbox.azure, SPOKE_GROUP), str(uuid.uuid4()), _grant(sandbox))


async def test_deleting_twice_is_no_error(client: AuthorizationManagementClient, sandbox: RunningSandbox) -> None:
    """The first delete answers with the assignment, the second with nothing; a get is then not found."""
    name, scope = str(uuid.uuid4()), _scope(sandbox)
    created = await client.role_assignments.create(scope, name, _grant(sandbox))
    assert created.id is not None
    first = await client.role_assignments.delete_by_id(created.id)
    assert first is not None
    assert first.id == created.id
    assert await client.role_assignments.delete(scope, name) is None
    with pytest.raises(ResourceNotFoundError):
        await client.role_assignments.get(scope, name)


async def test_lists_look_up_and_down(client: AuthorizationManagementClient, sandbox: RunningSandbox) -> None:
    """Without a filter at, above and below; ``atScope()`` leaves out what is below; a principal narrows."""
    subscription = f"/subscriptions/{sandbox.azure.subscription_id}"
    sandbox.azure.access.assign(
        role="Reader",
        principal_id=sandbox.azure.scenario.identity.object_id,
        scope=subscription,
        at_once=True,
    )
    created = await client.role_assignments.create(_scope(sandbox), str(uuid.uuid4()), _grant(sandbox))

    async def listed(scope: str, text: str | None = None) -> set[str | None]:
        return {entry.id async for entry in client.role_assignments.list_for_scope(scope, filter=text)}

    assert created.id in await listed(subscription)
    assert created.id not in await listed(subscription, "atScope()")
    assert await listed(subscription, f"principalId eq '{SOMEBODY.object_id}'") == {created.id}
    assert await listed(_scope(sandbox), f"assignedTo('{SOMEBODY.object_id}')") == {created.id}
    scopes = {entry.scope async for entry in client.role_assignments.list_for_scope(_scope(sandbox))}
    assert scopes == {subscription, _scope(sandbox)}


async def test_a_grant_takes_effect_late_and_loses_it_late(start_sandbox: StartSandbox) -> None:
    """What was just granted does not open anything yet; what was just deleted still does."""
    sandbox = start_sandbox(speed=0)
    azure, scope = sandbox.azure, _scope(sandbox)
    azure.access.add_principal(SOMEBODY)

    def may_read() -> bool:
        return azure.access.allowed(SOMEBODY.object_id, "Microsoft.KeyVault/vaults/read", scope)

    def pass_delay() -> None:
        sandbox.control("POST", "/clock", json={"jump": azure.scenario.timings.role_assignment})

    async with (
        EnvironmentCredential() as credential,
        AuthorizationManagementClient(credential, azure.subscription_id) as client,
    ):
        created = await client.role_assignments.create(scope, str(uuid.uuid4()), _grant(sandbox))
        assert created.id is not None
        assert not may_read()
        pass_delay()
        assert may_read()
        await client.role_assignments.delete_by_id(created.id)
        assert may_read()
        pass_delay()
        assert not may_read()


async def test_role_definitions_are_found_by_name(
    client: AuthorizationManagementClient, sandbox: RunningSandbox
) -> None:
    """az looks roles up by name; a definition tells its data actions."""
    found = [
        role
        async for role in client.role_definitions.list(
            _scope(sandbox), filter="roleName eq 'Key Vault Certificates Officer'"
        )
    ]
    assert [role.name for role in found] == ["a4417e6f-fecd-4de8-b567-7b0420556985"]
    definition = await client.role_definitions.get(_scope(sandbox), SECRETS_USER)
    assert definition.role_name == "Key Vault Secrets User"
    assert definition.permissions is not None
    assert "Microsoft.KeyVault/vaults/secrets/getSecret/action" in (definition.permissions[0].data_actions or [])
