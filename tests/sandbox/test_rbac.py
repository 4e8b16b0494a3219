"""Rights: custom roles, roles that end by themselves, and no route of ARM without a check."""

from __future__ import annotations

import uuid
from typing import Any

import httpx
import pytest
from azure.core.exceptions import HttpResponseError
from azure.identity import EnvironmentCredential
from azure.mgmt.authorization import AuthorizationManagementClient

from sandbox.core.rbac import Principal
from sandbox.core.routing import Route
from sandbox.services import all_services
from sandbox.services.authorization.schedules import Holding, Schedules
from sandbox.tenant import SPOKE_GROUP, group_id
from tests.conftest import RunningSandbox, StartSandbox
from tests.sandbox.callers import add_vault, arm, group, jump, owner, somebody, token, vault_id
from tests.sandbox.registries import acr_token, add_identity, add_registry

DEFINITIONS = "providers/Microsoft.Authorization/roleDefinitions"
READER = "acdd72a7-3385-48ef-bd42-f606fba81ae7"
CERTIFICATES_OFFICER = "a4417e6f-fecd-4de8-b567-7b0420556985"

ARM_ROUTES = [
    pytest.param(route, id=f"{service.name}: {route.method} {route.template}")
    for service in all_services()
    if "management.azure.com" in service.hosts
    for route in service.routes
]


@pytest.mark.parametrize("route", ARM_ROUTES)
def test_every_route_of_arm_has_an_action_or_a_reason(route: Route) -> None:
    """A handler cannot forget the check: either the app makes it, or somebody wrote down why it does not."""
    assert (route.action is None) != (route.unchecked is None)
    if route.action is not None:
        assert route.action.split("/")[-1].lower() in ("read", "write", "delete", "action")


def _custom(name: str, *scopes: str, actions: tuple[str, ...] = ("*/read",)) -> dict[str, Any]:
    permissions = [{"actions": list(actions), "notActions": [], "dataActions": [], "notDataActions": []}]
    return {"properties": {"roleName": name, "assignableScopes": list(scopes), "permissions": permissions}}


def _grant(sandbox: RunningSandbox, role: str, principal: Principal) -> dict[str, Any]:
    definition = f"/subscriptions/{sandbox.azure.subscription_id}/{DEFINITIONS}/{role}"
    return {"properties": {"roleDefinitionId": definition, "principalId": principal.object_id}}


def _assignment(scope: str, name: str | None = None) -> str:
    return f"{scope}/providers/Microsoft.Authorization/roleAssignments/{name or uuid.uuid4()}"


def test_a_custom_role_allows_what_it_lists(sandbox: RunningSandbox) -> None:
    """Made at a group, listed there and not elsewhere, assigned and counted after the usual delay."""
    guest, role, scope = somebody(sandbox), str(uuid.uuid4()), group(sandbox)
    with arm(sandbox, owner(sandbox)) as client, arm(sandbox, guest) as as_guest:
        made = client.put(f"{scope}/{DEFINITIONS}/{role}", json=_custom("Watcher", scope))
        assert (made.status_code, made.json()["properties"]["type"]) == (201, "CustomRole")
        own = {"$filter": "type eq 'CustomRole'"}
        assert [r["name"] for r in client.get(f"{scope}/{DEFINITIONS}", params=own).json()["value"]] == [role]
        spoke = group_id(sandbox.azure, SPOKE_GROUP)
        assert client.get(f"{spoke}/{DEFINITIONS}", params=own).json()["value"] == []
        assert client.put(_assignment(scope), json=_grant(sandbox, role, guest)).status_code == 201
        elsewhere = client.put(_assignment(spoke), json=_grant(sandbox, role, guest))
        assert elsewhere.json()["error"]["code"] == "RoleAssignmentScopeNotAssignableToRoleDefinition"
        jump(sandbox, 300)
        assert as_guest.get(scope).status_code == 200
        denied = as_guest.put(scope, json={"location": "centralus"}).json()["error"]
    assert denied["code"] == "AuthorizationFailed"
    assert "'Microsoft.Resources/subscriptions/resourceGroups/write'" in denied["message"]
    assert f"'{scope}'" in denied["message"]


def test_a_role_in_use_stays(sandbox: RunningSandbox) -> None:
    """RoleDefinitionHasAssignments; once nobody holds it, it goes, and a second delete is no error."""
    role, scope, guest = str(uuid.uuid4()), group(sandbox), somebody(sandbox)
    with arm(sandbox, owner(sandbox)) as client:
        client.put(f"{scope}/{DEFINITIONS}/{role}", json=_custom("Watcher", scope)).raise_for_status()
        assignment = _assignment(scope)
        client.put(assignment, json=_grant(sandbox, role, guest)).raise_for_status()
        held = client.delete(f"{scope}/{DEFINITIONS}/{role}")
        assert (held.status_code, held.json()["error"]["code"]) == (400, "RoleDefinitionHasAssignments")
        client.delete(assignment).raise_for_status()
        assert [client.delete(f"{scope}/{DEFINITIONS}/{role}").status_code for _ in range(2)] == [200, 204]


def test_custom_roles_that_are_refused(sandbox: RunningSandbox) -> None:
    """A taken name, a scope that is not the caller's, a built-in role, no scope, and a caller without the right."""
    scope, role = group(sandbox), str(uuid.uuid4())
    with arm(sandbox, somebody(sandbox, "Owner")) as client, arm(sandbox) as pipeline:

        def put(name: str, body: dict[str, Any]) -> tuple[int, str]:
            answer = client.put(f"{scope}/{DEFINITIONS}/{name}", json=body)
            return answer.status_code, answer.json()["error"]["code"]

        assert put(role, _custom("Reader", scope)) == (409, "RoleDefinitionWithSameNameExists")
        assert put(role, _custom("Wide", f"/subscriptions/{sandbox.azure.subscription_id}"))[1] == "AuthorizationFailed"
        assert put(READER, _custom("Mine", scope)) == (400, "RoleDefinitionCannotBeUpdated")
        assert put(role, _custom("Nowhere")) == (400, "InvalidRoleDefinition")
        refused = pipeline.put(f"{scope}/{DEFINITIONS}/{role}", json=_custom("Watcher", scope))
    assert (refused.status_code, refused.json()["error"]["code"]) == (403, "AuthorizationFailed")


async def test_data_actions_are_in_the_log(sandbox: RunningSandbox) -> None:
    """What a data plane checked is recorded beside ARM's own actions, with its scope."""
    add_vault(sandbox, "203.0.113.10")
    registry = add_registry(sandbox, "crsandbox")
    puller = add_identity(sandbox, "AcrPull", registry="crsandbox")
    async with httpx.AsyncClient() as client:
        headers = {"Authorization": f"Bearer {token(sandbox, 'https://vault.azure.net')}"}
        await client.get("https://kv-ingress.vault.azure.net/certificates", headers=headers)
        allowed = await acr_token(client, "crsandbox.azurecr.io", puller, "repository:live/x:pull")
        await client.get("https://crsandbox.azurecr.io/v2/live/x/tags/list", headers=allowed)
    logged = {r["action"]: r["scope"] for r in sandbox.control("GET", "/requests")["requests"]}
    assert logged["Microsoft.KeyVault/vaults/certificates/read"] == vault_id(sandbox)
    assert logged["Microsoft.ContainerRegistry/registries/pull/read"] == registry["id"]


def _request(sandbox: RunningSandbox, principal: Principal, kind: str, duration: str = "PT8H") -> Any:
    expiration = {"type": "AfterDuration", "duration": duration}
    body = _grant(sandbox, CERTIFICATES_OFFICER, principal)
    body["properties"] |= {"requestType": kind, "scheduleInfo": {"expiration": expiration}, "justification": "ticket 7"}
    return body


def _held(sandbox: RunningSandbox, principal: Principal) -> list[str]:
    return [a.scope for a in sandbox.azure.access.assignments() if a.principal_id == principal.object_id]


def test_an_assignment_for_a_time_ends_by_itself(sandbox: RunningSandbox) -> None:
    """The SDK's AdminAssign with AfterDuration: Provisioned, listed as an assignment, gone on Azure's clock."""
    sandbox.azure.access.assign(
        role="Owner", principal_id=sandbox.azure.scenario.identity.object_id, scope=group(sandbox), at_once=True
    )
    guest = somebody(sandbox)
    with (
        EnvironmentCredential() as credential,
        AuthorizationManagementClient(credential, sandbox.azure.subscription_id) as client,
    ):
        requests = client.role_assignment_schedule_requests
        made = requests.create(group(sandbox), str(uuid.uuid4()), _request(sandbox, guest, "AdminAssign"))
        assert made.status == "Provisioned"
        assert requests.get(group(sandbox), made.name or "").justification == "ticket 7"
        assert _held(sandbox, guest) == [group(sandbox)]
        with pytest.raises(HttpResponseError, match="too short"):
            requests.create(group(sandbox), str(uuid.uuid4()), _request(sandbox, guest, "AdminAssign", "PT1M"))
    jump(sandbox, 8 * 3600)
    sandbox.run(_settled(sandbox))
    assert _held(sandbox, guest) == []


async def _settled(sandbox: RunningSandbox) -> None:
    for operation in sandbox.azure.operations.all():
        if operation.task is not None:
            await operation.task


def test_who_is_eligible_activates_alone(start_sandbox: StartSandbox) -> None:
    """SelfActivate takes eligibility and no right to assign; AdminRemove and SelfDeactivate end it early."""
    sandbox = start_sandbox(speed=0)
    guest, scope = somebody(sandbox), group(sandbox)
    active = f"{scope}/providers/Microsoft.Authorization/roleAssignmentScheduleRequests"
    eligible = f"{scope}/providers/Microsoft.Authorization/roleEligibilityScheduleRequests"
    with arm(sandbox, owner(sandbox)) as client, arm(sandbox, guest) as as_guest:

        def ask(by: Any, path: str, kind: str) -> int:
            return int(by.put(f"{path}/{uuid.uuid4()}", json=_request(sandbox, guest, kind)).status_code)

        assert ask(as_guest, active, "AdminAssign") == 403
        assert ask(as_guest, active, "SelfActivate") == 400
        assert ask(client, eligible, "AdminAssign") == 201
        assert ask(as_guest, active, "SelfActivate") == 201
        assert _held(sandbox, guest) == [scope]
        assert ask(as_guest, active, "SelfDeactivate") == 400  # not in the first five minutes
        jump(sandbox, 300)
        assert ask(as_guest, active, "SelfDeactivate") == 201
        assert _held(sandbox, guest) == []
        assert ask(client, active, "AdminAssign") == 201
        assert ask(client, active, "AdminRemove") == 201
        assert ask(client, active, "AdminRemove") == 400
    assert _held(sandbox, guest) == []


def test_an_activation_waits_for_approval(sandbox: RunningSandbox) -> None:
    """It assigns nothing while it is pending; whoever asked for it withdraws it, once."""
    guest, scope = somebody(sandbox), group(sandbox)
    schedules = sandbox.azure.state(Schedules)
    schedules.eligible.add(Holding(guest.object_id, CERTIFICATES_OFFICER, scope))
    schedules.approved.add(CERTIFICATES_OFFICER)
    one = f"{scope}/providers/Microsoft.Authorization/roleAssignmentScheduleRequests/{uuid.uuid4()}"
    with arm(sandbox, guest) as as_guest:
        asked = as_guest.put(one, json=_request(sandbox, guest, "SelfActivate"))
        assert asked.json()["properties"]["status"] == "PendingApproval"
        assert _held(sandbox, guest) == []
        assert [as_guest.post(f"{one}/cancel").status_code for _ in range(2)] == [200, 400]
    with arm(sandbox, owner(sandbox)) as client:
        assert client.get(one).json()["properties"]["status"] == "Canceled"


def test_every_check_is_on_record(sandbox: RunningSandbox) -> None:
    """Not only what a request is about: what a list leaves out as well, once, with the answer and how often."""
    vault, guest = add_vault(sandbox), somebody(sandbox, "AcrPull")
    with arm(sandbox, guest) as client:
        assert client.get(f"{group(sandbox)}/resources").json()["value"] == []
        assert [client.get(vault).status_code for _ in range(2)] == [403, 403]
    (check,) = [c for c in sandbox.control("GET", "/checks")["checks"] if c["principal"] == guest.object_id]
    assert check == {
        "principal": guest.object_id,
        "action": "Microsoft.KeyVault/vaults/read",
        "scope": vault,
        "data": False,
        "granted": False,
        "times": 3,
    }
