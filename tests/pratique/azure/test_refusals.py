"""Azure's refusals: each known code has its class and a step that helps, however deep it is nested."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

import pytest
from azure.core.exceptions import ClientAuthenticationError
from hypothesis import given
from hypothesis import strategies as st

from pratique import errors
from pratique.azure.causes import DEEPEST, innermost
from pratique.azure.faults import translate
from pratique.azure.groups import read_group
from pratique.azure.refusals import REFUSALS
from pratique.azure.session import AzureSession
from sandbox.tenant import CLUSTER_GROUP
from tests.conftest import RunningSandbox
from tests.pratique.azure.conftest import Answer

SUBSCRIPTION = "11111111-2222-3333-4444-555555555555"
GROUP = f"/subscriptions/{SUBSCRIPTION}/resourceGroups/rg-a"
VAULT = f"{GROUP}/providers/Microsoft.KeyVault/vaults/kv-a"
SUBNET = f"{GROUP}/providers/Microsoft.Network/virtualNetworks/vnet/subnets/snet"
ASSIGNMENT = (
    "/providers/Microsoft.Management/managementGroups/corp/providers/Microsoft.Authorization/policyAssignments/net"
)
POLICY = (
    "Resource 'kv-a' was disallowed by policy. Reasons: 'Vaults need private endpoints.'. Policy identifiers: "
    f'\'[{{"policyAssignment":{{"name":"Corp network","id":"{ASSIGNMENT}"}},'
    '"policyDefinition":{"name":"No public vaults","id":"/providers/x"}}]\'.'
)
CLIENT = "The client 'a' with object id 'b'"

#: Status, code, message, the error's class, and what the step says.
ROWS: list[tuple[int, str, str, type[errors.PratiqueError], str]] = [
    (
        403,
        "AuthorizationFailed",
        f"{CLIENT} does not have authorization to perform action 'A/b/write' over scope '{GROUP}' or it is invalid.",
        errors.PermissionDenied,
        f"a role with A/b/write on {GROUP} ",
    ),
    (
        403,
        "LinkedAuthorizationFailed",
        f"{CLIENT} has permission to perform action 'A/b/write' on scope '{GROUP}'; however, it does not have "
        f"permission to perform action(s) 'Microsoft.Network/virtualNetworks/subnets/join/action' on the linked "
        f"scope(s) '{SUBNET}' (respectively) or the linked scope(s) are invalid.",
        errors.PermissionDenied,
        f"a role with Microsoft.Network/virtualNetworks/subnets/join/action on {SUBNET} ",
    ),
    (
        403,
        "LinkedAccessCheckFailed",
        f"{CLIENT} lacks permission to perform action 'A/join/action' on the linked scope(s) '{SUBNET}'.",
        errors.PermissionDenied,
        f"a role with A/join/action on {SUBNET} ",
    ),
    (
        403,
        "DenyAssignmentAuthorizationFailed",
        f"{CLIENT} has permission to perform action 'A/b/write' on scope '{GROUP}'; however, the access is denied "
        "because of the deny assignment with name 'stack' and Id 'd'.",
        errors.Prohibited,
        f"deny assignment forbids A/b/write on {GROUP}",
    ),
    (409, "RoleAssignmentExists", "The role assignment already exists.", errors.Conflict, "az role assignment list"),
    (
        400,
        "RoleAssignmentUpdateNotPermitted",
        "Tenant ID, application ID, principal ID, and scope are not allowed to be updated.",
        errors.Conflict,
        "delete its old role assignment",
    ),
    (400, "RoleAssignmentLimitExceeded", "No more assignments.", errors.Prohibited, "Delete role assignments"),
    (404, "RoleDefinitionDoesNotExist", "No such role.", errors.ConfigurationError, "access.role_definition"),
    (400, "PrincipalNotFound", "Principal p does not exist in the directory t.", errors.OperationFailed, "is new"),
    (400, "UnmatchedPrincipalType", "The principal is not a User.", errors.OperationFailed, "ServicePrincipal"),
    (403, "RequestDisallowedByPolicy", POLICY, errors.Prohibited, f"'No public vaults' forbids it, .*{ASSIGNMENT}"),
    (403, "RequestDisallowedByAzure", "The region accepts no new customers.", errors.Prohibited, "another region"),
    (
        409,
        "ScopeLocked",
        f"The scope '{VAULT}' cannot perform write operation because following scope(s) are locked: '{GROUP}'. Please "
        "remove the lock and try again.",
        errors.ScopeLocked,
        f"the lock on {GROUP}, .*az lock delete",
    ),
    (
        409,
        "MissingSubscriptionRegistration",
        "The subscription is not registered to use namespace 'Microsoft.KeyVault'. See https://aka.ms/rps.",
        errors.Prohibited,
        "az provider register --wait --namespace Microsoft.KeyVault$",
    ),
    (409, "SubscriptionNotRegistered", "Not registered: Microsoft.Insights.", errors.Prohibited, "Microsoft.Insights$"),
    (400, "InvalidSubscriptionRegistrationState", "It is unregistered.", errors.Prohibited, "--namespace <namespace>"),
    (400, "MissingRegistrationForLocation", "Not for westus.", errors.Prohibited, "az provider register"),
    (
        400,
        "NoRegisteredProviderFound",
        "No registered resource provider found for location 'x' and API version '1' for type 'vaults'.",
        errors.Prohibited,
        "the region and the API version",
    ),
    (
        409,
        "ReadOnlyDisabledSubscription",
        f"The subscription '{SUBSCRIPTION}' is disabled and therefore marked as read only.",
        errors.Prohibited,
        "enabled again",
    ),
    (404, "SubscriptionNotFound", "The subscription could not be found.", errors.Prohibited, "AZURE_SUBSCRIPTION_ID"),
    (400, "InvalidSubscriptionId", "The id is malformed.", errors.Prohibited, "AZURE_SUBSCRIPTION_ID"),
    (
        401,
        "InvalidAuthenticationTokenTenant",
        "The access token is from the wrong issuer 'https://sts.windows.net/other/'. It must match the tenant "
        "'https://sts.windows.net/ours/' associated with this subscription.",
        errors.AuthenticationFailed,
        "the subscription's tenant, ours: ",
    ),
    (401, "InvalidAuthenticationTokenAudience", "Wrong audience.", errors.AuthenticationFailed, "another cloud"),
    (401, "InvalidAuthenticationToken", "The token is invalid.", errors.AuthenticationFailed, "clock"),
    (401, "ExpiredAuthenticationToken", "The token has expired.", errors.AuthenticationFailed, "clock"),
    (401, "AuthenticationFailed", "Authentication failed.", errors.AuthenticationFailed, "az login"),
    (
        409,
        "DeploymentQuotaExceeded",
        "Creating the deployment 'x' would exceed the quota of '800'. The resource group 'rg-a' is full.",
        errors.Prohibited,
        "az deployment group delete -g rg-a ",
    ),
    (409, "QuotaExceeded", "0 left.", errors.Prohibited, "Raise the quota"),
    (409, "ResourceQuotaExceeded", "0 left.", errors.Prohibited, "Raise the quota"),
    (400, "PublicIPCountLimitReached", "0 left.", errors.Prohibited, "Raise the quota"),
    (409, "OperationNotAllowed", "It exceeds the quota of cores.", errors.Prohibited, "Raise the quota"),
    (409, "SkuNotAvailable", "Not in this region.", errors.Prohibited, "Choose a region"),
    (400, "NotAvailableForSubscription", "Not for this subscription.", errors.Prohibited, "Choose a region"),
    (400, "LocationNotAvailableForResourceType", "Not in this region.", errors.Prohibited, "Choose a region"),
    (400, "RegionDoesNotAllowProvisioning", "Not in this region.", errors.Prohibited, "Choose a region"),
    (409, "AllocationFailed", "No capacity.", errors.Prohibited, "no capacity left"),
    (409, "ZonalAllocationFailed", "No capacity.", errors.Prohibited, "no capacity left"),
    (409, "OverconstrainedAllocationRequest", "No capacity.", errors.Prohibited, "no capacity left"),
    (400, "SubnetIsFull", "Subnet s is full.", errors.Prohibited, "a larger one"),
    (400, "InvalidTemplate", "Line 3.", errors.ConfigurationError, "cluster.template"),
    (400, "InvalidTemplateDeployment", "It is not valid.", errors.ConfigurationError, "cluster.template"),
    (400, "InvalidResourceReference", "No such resource.", errors.ConfigurationError, "cluster.template"),
    (400, "InvalidContentLink", "No such link.", errors.ConfigurationError, "cluster.template"),
    (404, "ParentResourceNotFound", "No such parent.", errors.ConfigurationError, "cluster.template"),
    (400, "JobSizeExceeded", "Too large.", errors.ConfigurationError, "cluster.template"),
    (400, "DeploymentJobSizeExceeded", "Too large.", errors.ConfigurationError, "cluster.template"),
    (409, "PropertyChangeNotAllowed", "sku.", errors.OperationFailed, "cannot be changed in place"),
    (409, "InvalidResourceLocation", "It exists in eastus.", errors.Conflict, "it cannot move"),
    (404, "ResourceGroupNotFound", "No group rg-a.", errors.NotFound, "az group list"),
    (409, "ResourceGroupBeingDeleted", "rg-a.", errors.Conflict, "Wait until the group is deleted"),
    (404, "ResourceNotFound", "No kv-a.", errors.NotFound, "Check the name"),
    (409, "DeploymentActive", "It is running.", errors.Conflict, "other operation has ended"),
    (409, "DeploymentActiveAndUneditable", "It is running.", errors.Conflict, "other operation has ended"),
    (409, "AnotherOperationInProgress", "Busy.", errors.Unavailable, "other operation has ended"),
    (409, "AlreadyInUse", "acr.azurecr.io.", errors.Conflict, "another name"),
    (409, "VaultAlreadyExists", "kv-a.", errors.Conflict, "az keyvault list-deleted"),
    (409, "StorageAccountAlreadyTaken", "sa.", errors.Conflict, "another name"),
    (400, "DnsRecordInUse", "dns.", errors.Conflict, "another name"),
    (403, "ForbiddenByFirewall", "Client address is not authorized.", errors.NetworkDenied, "this worker's address"),
    (403, "ForbiddenByConnection", "Public access is off.", errors.NetworkDenied, "inside the network"),
    (403, "ForbiddenByNsp", "The perimeter denies it.", errors.NetworkDenied, "inside the network"),
    (200, "InternalServerError", "Oops.", errors.Unavailable, "Run again"),
    (200, "ServerTimeout", "Late.", errors.Unavailable, "Run again"),
    (200, "GatewayTimeout", "Late.", errors.Unavailable, "Run again"),
    (200, "ServiceUnavailable", "Down.", errors.Unavailable, "Run again"),
    (200, "TooManyRequests", "Slow down.", errors.Throttled, "Wait"),
    (429, "SubscriptionRequestsThrottled", "Slow down.", errors.Throttled, "Wait"),
]


@pytest.mark.parametrize(("status", "code", "message", "kind", "step"), ROWS, ids=[row[1] for row in ROWS])
async def test_each_code_has_its_step(
    refusal: Answer, status: int, code: str, message: str, kind: type[errors.PratiqueError], step: str
) -> None:
    """Alone, or as the innermost error of a failed deployment: the same class and step, and Azure's own words."""
    error = {"code": code, "message": message}
    failed = {"error": {"code": "DeploymentFailed", "message": "See details.", "details": [error]}}
    for answered, body in ((status, {"error": error}), (200, {"status": "Failed", **failed})):
        translated = translate(await refusal(answered, body, {}), "do it", "the thing")
        assert type(translated) is kind
        assert code in translated.observed
        assert message[:100] in translated.observed
        with pytest.raises(errors.PratiqueError, match=step):
            raise kind("do it", "the thing", "", translated.remedy)


#: Entra ID's number or OAuth's code, the error's class, and what the step says.
SIGN_IN: list[tuple[str, type[errors.PratiqueError], str]] = [
    ("AADSTS7000215", errors.AuthenticationFailed, "the secret's value"),
    ("AADSTS7000222", errors.AuthenticationFailed, "has expired"),
    ("AADSTS700016", errors.AuthenticationFailed, "AZURE_CLIENT_ID and AZURE_TENANT_ID"),
    ("AADSTS7000229", errors.AuthenticationFailed, "az ad sp create"),
    ("AADSTS90002", errors.AuthenticationFailed, "AZURE_TENANT_ID"),
    ("AADSTS900023", errors.AuthenticationFailed, "AZURE_TENANT_ID"),
    ("AADSTS500011", errors.AuthenticationFailed, "'cloud'"),
    ("AADSTS700024", errors.AuthenticationFailed, "AZURE_FEDERATED_TOKEN_FILE"),
    ("AADSTS70021", errors.AuthenticationFailed, "issuer, subject and audience"),
    ("AADSTS700211", errors.AuthenticationFailed, "issuer, subject and audience"),
    ("AADSTS700212", errors.AuthenticationFailed, "issuer, subject and audience"),
    ("AADSTS700213", errors.AuthenticationFailed, "issuer, subject and audience"),
    ("AADSTS50076", errors.AuthenticationFailed, "multifactor"),
    ("AADSTS50079", errors.AuthenticationFailed, "multifactor"),
    ("AADSTS50158", errors.AuthenticationFailed, "multifactor"),
    ("AADSTS53003", errors.AuthenticationFailed, "multifactor"),
    ("AADSTS50173", errors.AuthenticationFailed, "az login"),
    ("AADSTS70043", errors.AuthenticationFailed, "az login"),
    ("AADSTS700082", errors.AuthenticationFailed, "az login"),
    ("AADSTS50087", errors.Unavailable, "Run again"),
    ("AADSTS90006", errors.Unavailable, "Run again"),
    ("AADSTS90012", errors.Unavailable, "Run again"),
    ("AADSTS90024", errors.Unavailable, "Run again"),
    ("AADSTS90033", errors.Unavailable, "Run again"),
    ("AADSTS90055", errors.Throttled, "Wait"),
    ("temporarily_unavailable", errors.Unavailable, "Run again"),
    ("server_error", errors.Unavailable, "Run again"),
]


@pytest.mark.parametrize(("code", "kind", "step"), SIGN_IN, ids=[row[0] for row in SIGN_IN])
async def test_each_refusal_of_entra_has_its_step(
    refusal: Answer, code: str, kind: type[errors.PratiqueError], step: str
) -> None:
    """In Entra ID's own form, and in the words that the az CLI passes on."""
    numbered = code.startswith("AADSTS")
    answer = {"error": "invalid_client" if numbered else code, "error_description": f"{code}: No. Trace ID: t"}
    answered = await refusal(400, answer, {})
    told = [ClientAuthenticationError(message="Microsoft Entra ID error", response=answered.response)]
    told += [ClientAuthenticationError(message=f"ERROR: {code}: No. Trace ID: t")] if numbered else []
    for error in told:
        translated = translate(error, "get a token", "it")
        assert type(translated) is kind
        assert step in translated.remedy
        assert f"{code}: No." in translated.observed


def test_every_row_is_tested() -> None:
    """A new row of the table needs one here."""
    tested = [code.lower() for _, code, *_ in ROWS] + [code.lower() for code, *_ in SIGN_IN]
    assert sorted(tested) == sorted(REFUSALS)


async def test_a_policy_is_named_by_what_the_answer_adds(refusal: Answer) -> None:
    """The display name and the assignment that additionalInfo gives come before those of the message."""
    info = {"policyDefinitionDisplayName": "Vaults are private", "policyAssignmentId": ASSIGNMENT}
    error = {"code": "RequestDisallowedByPolicy", "message": "Resource 'kv-a' was disallowed by policy."}
    error |= {"additionalInfo": [{"type": "PolicyViolation", "info": info}]}  # type: ignore[dict-item]  # a JSON value
    outer = {"error": {"code": "InvalidTemplateDeployment", "message": "See details.", "details": [error]}}
    translated = translate(await refusal(400, outer, {}), "validate", "it")
    assert type(translated) is errors.Prohibited
    assert "Azure Policy 'Vaults are private' forbids it" in translated.remedy
    assert f"--policy-assignment {ASSIGNMENT})" in translated.remedy
    assert "a role with" not in translated.remedy


async def test_of_several_causes_the_one_that_stays_decides(refusal: Answer) -> None:
    """A deployment that also failed over a lock fails again, whatever else was temporary."""
    details = [{"code": "InternalServerError", "message": "Oops."}, {"code": "ScopeLocked", "message": "Locked."}]
    error = await refusal(200, {"error": {"code": "DeploymentFailed", "message": "", "details": details}}, {})
    assert type(translate(error, "deploy", "it")) is errors.ScopeLocked


@pytest.mark.parametrize(("status", "kind"), [(503, errors.Unavailable), (429, errors.Throttled)])
async def test_a_temporary_status_stays_temporary(
    refusal: Answer, status: int, kind: type[errors.PratiqueError]
) -> None:
    """Whatever its code is."""
    error = await refusal(status, {"error": {"code": "QuotaExceeded", "message": "0 left."}}, {})
    assert type(translate(error, "do", "it")) is kind


LEAF = {"code": "ScopeLocked", "message": "following scope(s) are locked: '/subscriptions/s'"}
_WRAPPINGS: Mapping[str, Callable[[dict[str, Any]], dict[str, Any]]] = {
    "details": lambda inner: {"code": "Outer", "message": "See details.", "details": [inner]},
    "innererror": lambda inner: {"code": "Outer", "message": "Failed.", "innererror": inner},
    "JSON": lambda inner: {"code": "Conflict", "message": json.dumps({"error": inner}, indent=1)},
    "status": lambda inner: {"code": "Conflict", "message": json.dumps({"status": "Failed", "error": inner})},
    "text and JSON": lambda inner: {"code": "BadRequest", "message": f"The provider said: {json.dumps(inner)}"},
    "registry": lambda inner: {"code": "Invalid", "message": f"Forbidden {json.dumps({'errors': [inner]})}"},
    "upper case": lambda inner: {"Code": "Outer", "Message": "See details.", "Details": [inner]},
}


@given(st.lists(st.sampled_from(sorted(_WRAPPINGS)), max_size=6), st.sampled_from(["error", "odata.error", "none"]))
def test_the_innermost_error_is_found_however_it_is_nested(wrappings: list[str], envelope: str) -> None:
    """In details, inner errors and JSON inside messages, in any order: one cause, with its own code and message."""
    answer: dict[str, Any] = dict(LEAF)
    for name in wrappings:
        answer = _WRAPPINGS[name](answer)
    (cause,) = innermost(answer if envelope == "none" else {envelope: answer})
    assert cause.code == LEAF["code"]
    assert cause.message.endswith(LEAF["message"])


@given(
    st.recursive(st.none() | st.integers() | st.text(), lambda part: st.lists(part) | st.dictionaries(st.text(), part))
)
def test_any_json_is_read(answer: object) -> None:
    """Nothing that a service may send breaks the search."""
    innermost({"error": answer})
    innermost({"error": {"code": answer, "message": answer, "details": answer, "innererror": answer}})


def test_nesting_without_end_is_cut() -> None:
    """An answer that is nested on purpose ends at a level, and still has a cause."""
    answer: dict[str, Any] = {"code": "Deep", "message": "m"}
    for _ in range(DEEPEST * 3):
        answer = {"code": "Outer", "message": "m", "details": [answer]}
    assert [cause.code for cause in innermost({"error": answer})] == ["Outer"]


async def test_a_refusal_on_the_wire(session: AzureSession, sandbox: RunningSandbox) -> None:
    """Through the SDK as well: the code decides, and a subscription that is hidden is not a missing resource."""
    sandbox.azure.faults.add(kind="status", status=404, code="SubscriptionNotFound", path="*/resourceGroups/*")
    with pytest.raises(errors.Prohibited, match="AZURE_SUBSCRIPTION_ID"):
        await read_group(session, CLUSTER_GROUP)


async def test_no_provider_is_registered_behind_the_users_back(session: AzureSession, sandbox: RunningSandbox) -> None:
    """The SDK would register it and wait without an end; here it is an error with the command."""
    sandbox.azure.faults.add(
        kind="status",
        status=409,
        code="MissingSubscriptionRegistration",
        message="The subscription is not registered to use namespace 'Microsoft.Resources'.",
        path="*/resourceGroups/*",
    )
    with pytest.raises(errors.Prohibited, match=r"az provider register --wait --namespace Microsoft\.Resources"):
        await read_group(session, CLUSTER_GROUP)
    assert not [entry for entry in sandbox.azure.requests.since() if entry.path.endswith("/register")]
