"""What each error code of Azure means here: the error's class, and the step that helps.

>>> cause = Cause("MissingSubscriptionRegistration", "… is not registered to use namespace 'Microsoft.KeyVault'.")
>>> known_refusal([cause]).step
'Register the resource provider, then run again: az provider register --wait --namespace Microsoft.KeyVault'

A code that is not in the table is left to the HTTP status.

Facts: Microsoft Learn, "Troubleshoot common Azure deployment errors", "Troubleshoot Azure RBAC", "Key Vault REST API
error codes", "Microsoft Entra authentication and authorization error codes"; messages that users have published.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from pratique.azure.causes import Cause
from pratique.errors import (
    AuthenticationFailed,
    ConfigurationError,
    Conflict,
    NetworkDenied,
    NotFound,
    OperationFailed,
    PermissionDenied,
    PratiqueError,
    Prohibited,
    ScopeLocked,
    Throttled,
    TransientError,
    Unavailable,
)

ROLE = "Give the worker's identity a role with {action}{on_scope} (az role assignment create), then run again."
_ADDRESS = "Allow this worker's address, or run the worker inside the network."
_APPLICATION = "Check AZURE_CLIENT_ID and AZURE_TENANT_ID: the tenant has no such application, or does not know it yet."
_CAPACITY = "Deploy to another region or with another size, or run again later: Azure has no capacity left there."
_CONDITIONAL = (
    "Conditional access asks this account for more: sign in with multifactor authentication (az login), or use a "
    "managed identity or a service principal."
)
_FEDERATION = (
    "Compare issuer, subject and audience in the message with the federated credential of AZURE_CLIENT_ID (az ad app "
    "federated-credential list, or az identity federated-credential list). A new one may take minutes to count."
)
_IN_USE = "Choose another name: it is taken, in Azure as a whole or by something that was deleted a short time ago."
_LATER = "Run again when the other operation has ended."
_QUOTA = "Raise the quota that the message names (Azure portal, Quotas), or delete what is no longer used."
_REGION = "Choose a region and a size that this subscription may use: az account list-locations"
_REGISTER = "Register the resource provider, then run again: az provider register --wait --namespace {namespace}"
_SIGN_IN = "Sign in again (az login), and check this machine's clock."
_SUBSCRIPTION = (
    "Check subscription_id in the configuration, AZURE_SUBSCRIPTION_ID and AZURE_TENANT_ID, and that the identity has "
    "a role in that subscription: az account list --all"
)
_TEMPLATE = "Correct cluster.template or cluster.parameters as the message says."
_WAIT = "Run again; if it persists, check the service's health."


@dataclass(frozen=True)
class Refusal:
    """A row of the table.

    :ivar error: the class of the error
    :ivar step: the next step; names in braces stand for what the message names, see ``_FACTS``
    """

    error: type[PratiqueError]
    step: str


#: By error code, in lower case.
REFUSALS: Mapping[str, Refusal] = {
    # Rights
    "authorizationfailed": Refusal(PermissionDenied, ROLE),
    "linkedauthorizationfailed": Refusal(PermissionDenied, ROLE),
    "linkedaccesscheckfailed": Refusal(PermissionDenied, ROLE),
    "denyassignmentauthorizationfailed": Refusal(
        Prohibited,
        "A deny assignment forbids {action}{on_scope}, whatever roles the identity has: ask the owner of the managed "
        "application or deployment stack that made it.",
    ),
    "roleassignmentexists": Refusal(
        Conflict, "The assignment exists under another name: az role assignment list --all --assignee <object id>"
    ),
    "roleassignmentupdatenotpermitted": Refusal(
        Conflict,
        "The identity was deleted and made again under the same name: delete its old role assignment (az role "
        "assignment list --all shows it without a principal name), then run again.",
    ),
    "roleassignmentlimitexceeded": Refusal(
        Prohibited, "Delete role assignments that are no longer needed: az role assignment list --all"
    ),
    "roledefinitiondoesnotexist": Refusal(
        ConfigurationError, "Check the role's id (access.role_definition): az role definition list -o table"
    ),
    "principalnotfound": Refusal(
        OperationFailed,
        "Run again in some minutes if the identity is new: Entra ID may not have copied it everywhere. Otherwise check "
        "its object id and AZURE_TENANT_ID.",
    ),
    "unmatchedprincipaltype": Refusal(
        OperationFailed, "Correct the principalType: a managed identity is a ServicePrincipal."
    ),
    # Policies and locks
    "requestdisallowedbypolicy": Refusal(
        Prohibited,
        "{policy} forbids it, whatever roles the identity has: change what the message names, or ask the owner of the "
        "assignment for an exemption (az policy exemption create --policy-assignment {assignment}).",
    ),
    "requestdisallowedbyazure": Refusal(
        Prohibited,
        "Azure restricts this subscription, whatever roles the identity has: choose another region, or ask Azure's "
        "support for access. If the message names multifactor authentication, sign in with it, or use a managed "
        "identity.",
    ),
    "scopelocked": Refusal(
        ScopeLocked,
        "Remove the lock on {locked}, or ask its owner to: az lock list -o table, then az lock delete --ids <lock id>",
    ),
    # Subscriptions and providers
    "missingsubscriptionregistration": Refusal(Prohibited, _REGISTER),
    "subscriptionnotregistered": Refusal(Prohibited, _REGISTER),
    "invalidsubscriptionregistrationstate": Refusal(Prohibited, _REGISTER),
    "missingregistrationforlocation": Refusal(Prohibited, _REGISTER),
    "noregisteredproviderfound": Refusal(
        Prohibited,
        "Check the region and the API version that the message names; if the provider is not registered: "
        "az provider register --wait --namespace {namespace}",
    ),
    "readonlydisabledsubscription": Refusal(
        Prohibited, "Have the subscription enabled again by its owner (az account list --all), or use another one."
    ),
    "subscriptionnotfound": Refusal(Prohibited, _SUBSCRIPTION),
    "invalidsubscriptionid": Refusal(Prohibited, _SUBSCRIPTION),
    # Tokens
    "invalidauthenticationtokentenant": Refusal(
        AuthenticationFailed,
        "Sign in to the subscription's tenant, {tenant}: set AZURE_TENANT_ID, or az login --tenant {tenant}",
    ),
    "invalidauthenticationtokenaudience": Refusal(
        AuthenticationFailed, "Check 'cloud' in the configuration: the token is for another cloud."
    ),
    "invalidauthenticationtoken": Refusal(AuthenticationFailed, _SIGN_IN),
    "expiredauthenticationtoken": Refusal(AuthenticationFailed, _SIGN_IN),
    "authenticationfailed": Refusal(AuthenticationFailed, _SIGN_IN),
    # Entra ID, by the number in its message
    "aadsts7000215": Refusal(
        AuthenticationFailed, "Correct AZURE_CLIENT_SECRET: it is the secret's value, not the secret's id."
    ),
    "aadsts7000222": Refusal(
        AuthenticationFailed, "The client secret has expired: az ad app credential reset --id <AZURE_CLIENT_ID>"
    ),
    "aadsts700016": Refusal(AuthenticationFailed, _APPLICATION),
    "aadsts7000229": Refusal(
        AuthenticationFailed, "Make the application's service principal: az ad sp create --id <AZURE_CLIENT_ID>"
    ),
    "aadsts90002": Refusal(AuthenticationFailed, "Check AZURE_TENANT_ID, and 'cloud' in the configuration."),
    "aadsts900023": Refusal(AuthenticationFailed, "Correct AZURE_TENANT_ID: it is the tenant's id or domain."),
    "aadsts500011": Refusal(AuthenticationFailed, "Check AZURE_TENANT_ID, and 'cloud' in the configuration."),
    "aadsts700024": Refusal(
        AuthenticationFailed,
        "The federated token has expired, or is not valid yet. Have the file of AZURE_FEDERATED_TOKEN_FILE renewed (a "
        "token of a CI job lives for minutes: sign in right before the run), and check this machine's clock.",
    ),
    "aadsts70021": Refusal(AuthenticationFailed, _FEDERATION),
    "aadsts700211": Refusal(AuthenticationFailed, _FEDERATION),
    "aadsts700212": Refusal(AuthenticationFailed, _FEDERATION),
    "aadsts700213": Refusal(AuthenticationFailed, _FEDERATION),
    "aadsts50076": Refusal(AuthenticationFailed, _CONDITIONAL),
    "aadsts50079": Refusal(AuthenticationFailed, _CONDITIONAL),
    "aadsts50158": Refusal(AuthenticationFailed, _CONDITIONAL),
    "aadsts53003": Refusal(AuthenticationFailed, _CONDITIONAL),
    "aadsts50173": Refusal(AuthenticationFailed, _SIGN_IN),
    "aadsts70043": Refusal(AuthenticationFailed, _SIGN_IN),
    "aadsts700082": Refusal(AuthenticationFailed, _SIGN_IN),
    "aadsts50087": Refusal(Unavailable, _WAIT),
    "aadsts90006": Refusal(Unavailable, _WAIT),
    "aadsts90012": Refusal(Unavailable, _WAIT),
    "aadsts90024": Refusal(Unavailable, _WAIT),
    "aadsts90033": Refusal(Unavailable, _WAIT),
    "aadsts90055": Refusal(Throttled, "Wait, then run again."),
    "temporarily_unavailable": Refusal(Unavailable, _WAIT),
    "server_error": Refusal(Unavailable, _WAIT),
    # Quotas and capacity
    "deploymentquotaexceeded": Refusal(
        Prohibited,
        "Delete old deployments of the resource group from its history: az deployment group list -g {group}, then "
        "az deployment group delete -g {group} -n <name>",
    ),
    "quotaexceeded": Refusal(Prohibited, _QUOTA),
    "resourcequotaexceeded": Refusal(Prohibited, _QUOTA),
    "publicipcountlimitreached": Refusal(Prohibited, _QUOTA),
    "operationnotallowed": Refusal(
        Prohibited, f"{_QUOTA} If the message names no quota, the resource's SKU or state does not allow it."
    ),
    "skunotavailable": Refusal(Prohibited, _REGION),
    "notavailableforsubscription": Refusal(Prohibited, _REGION),
    "locationnotavailableforresourcetype": Refusal(Prohibited, _REGION),
    "regiondoesnotallowprovisioning": Refusal(Prohibited, _REGION),
    "allocationfailed": Refusal(Prohibited, _CAPACITY),
    "zonalallocationfailed": Refusal(Prohibited, _CAPACITY),
    "overconstrainedallocationrequest": Refusal(Prohibited, _CAPACITY),
    "subnetisfull": Refusal(Prohibited, "Free addresses in the subnet, or deploy into a larger one."),
    # Templates
    "invalidtemplate": Refusal(ConfigurationError, _TEMPLATE),
    "invalidtemplatedeployment": Refusal(ConfigurationError, _TEMPLATE),
    "invalidresourcereference": Refusal(ConfigurationError, _TEMPLATE),
    "invalidcontentlink": Refusal(ConfigurationError, _TEMPLATE),
    "parentresourcenotfound": Refusal(ConfigurationError, _TEMPLATE),
    "jobsizeexceeded": Refusal(ConfigurationError, _TEMPLATE),
    "deploymentjobsizeexceeded": Refusal(ConfigurationError, _TEMPLATE),
    "propertychangenotallowed": Refusal(
        OperationFailed, "Leave the property as it is, or delete the resource first: it cannot be changed in place."
    ),
    "invalidresourcelocation": Refusal(
        Conflict, "Use the region in which the resource exists, or delete it first: it cannot move."
    ),
    # What exists, or does not
    "resourcegroupnotfound": Refusal(
        NotFound, "Check the resource group and the subscription: az group list -o table. To make it: az group create"
    ),
    "resourcegroupbeingdeleted": Refusal(Conflict, "Wait until the group is deleted, then make it again."),
    "resourcenotfound": Refusal(NotFound, "Check the name, the resource group and the subscription."),
    "deploymentactive": Refusal(Conflict, _LATER),
    "deploymentactiveanduneditable": Refusal(Conflict, _LATER),
    "anotheroperationinprogress": Refusal(Unavailable, _LATER),
    "alreadyinuse": Refusal(Conflict, _IN_USE),
    "vaultalreadyexists": Refusal(Conflict, f"{_IN_USE} az keyvault list-deleted shows deleted vaults."),
    "storageaccountalreadytaken": Refusal(Conflict, _IN_USE),
    "dnsrecordinuse": Refusal(Conflict, _IN_USE),
    # The data plane of Key Vault
    "forbiddenbyfirewall": Refusal(NetworkDenied, _ADDRESS),
    "forbiddenbyconnection": Refusal(NetworkDenied, _ADDRESS),
    "forbiddenbynsp": Refusal(NetworkDenied, _ADDRESS),
    # What another attempt may fix, also where a failed operation reports it
    "internalservererror": Refusal(Unavailable, _WAIT),
    "servertimeout": Refusal(Unavailable, _WAIT),
    "gatewaytimeout": Refusal(Unavailable, _WAIT),
    "serviceunavailable": Refusal(Unavailable, _WAIT),
    "toomanyrequests": Refusal(Throttled, "Wait, then run again."),
    "subscriptionrequeststhrottled": Refusal(Throttled, "Wait, then run again."),
}

_ENTRA = re.compile(r"AADSTS[0-9]+")
#: What a step may name: where it stands in a message, and what it is called where the message has it not. The last
#: match counts: a message about linked resources names the action and scope that are missing at the end.
_FACTS: Mapping[str, tuple[re.Pattern[str], str]] = {
    "action": (re.compile(r"(?:perform action(?:\(s\))?|Action:)\s*'([^']+)'"), "this action"),
    "scope": (re.compile(r"(?:over scope|on scope|linked scope(?:\(s\))?|Resource:)\s*'([^']+)'"), ""),
    "locked": (re.compile(r"locked: '([^']+)'"), "the resource, its group or its subscription"),
    "namespace": (re.compile(r"(?<![\w/])(Microsoft\.[A-Za-z]+)\b"), "<namespace>"),
    "tenant": (re.compile(r"tenant '(?:https://[^/']+/)?([^/']+)"), "<tenant id>"),
    "group": (re.compile(r"resource ?groups?[/ ]'?([-\w.()]+)", re.IGNORECASE), "<group>"),
    "policy_name": (re.compile(r'"policyDefinition":\{[^}]*?"name":"([^"]+)"'), ""),
    "assignment": (re.compile(r'"policyAssignment":\{[^}]*?"id":"([^"]+)"'), "<assignment>"),
}


def known_refusal(causes: Sequence[Cause]) -> Refusal | None:
    """The table's row for the first cause that is in it, with the complete step; ``None`` when none is.

    Causes that another attempt may fix come last: the others make it fail again.
    """
    found = [(REFUSALS[code], cause) for cause in causes for code in _codes(cause) if code in REFUSALS]
    if not found:
        return None
    refusal, cause = min(found, key=lambda pair: issubclass(pair[0].error, TransientError))
    return Refusal(refusal.error, complete(refusal.step, cause))


def _codes(cause: Cause) -> list[str]:
    """The cause's codes in lower case: Entra ID puts a number of its own into the message."""
    return [*map(str.lower, _ENTRA.findall(cause.message)), cause.code.lower()]


def complete(step: str, cause: Cause) -> str:
    """The step with what the cause names."""
    message = cause.message.replace('\\"', '"')
    found = {name: pattern.findall(message) for name, (pattern, _) in _FACTS.items()}
    facts = {name: found[name][-1] if found[name] else default for name, (_, default) in _FACTS.items()}
    facts["on_scope"] = f" on {facts['scope']}" if facts["scope"] else ""
    names = ", ".join(repr(name) for name in cause.policies or filter(None, [facts["policy_name"]]))
    facts["policy"] = f"Azure Policy {names}" if names else "Azure Policy"
    facts["assignment"] = cause.assignment or facts["assignment"]
    return step.format_map(facts)
