"""Azure's own documents as a contract on the wire: what each operation answers, with which headers and which body.

The schemas beside this file were written by hand from the official OpenAPI documents; each says which, and when it was
read. Where a document lists all properties of an object its schema is closed, so that an invented property fails::

    wire = Wire(sandbox, http)
    vault = await wire.ask("Vaults_Get", "GET", f"{vault_id}?api-version=2026-05-15")
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
from jsonschema import Draft202012Validator  # type: ignore[import-untyped]  # ships no types
from referencing import Registry, Resource

from sandbox.services.entra.state import Entra
from tests.conftest import RunningSandbox

SCHEMAS = Path(__file__).parent / "schemas"
ARM = "https://management.azure.com"
ARM_ERROR = "common.json#/$defs/errorResponse"
REQUEST_IDS = ("x-ms-request-id", "x-ms-correlation-request-id")
VAULT_HEADERS = ("x-ms-keyvault-region", "x-ms-keyvault-service-version", "x-ms-keyvault-network-info")
QUOTA_HEADERS = ("x-ms-user-quota-remaining", "x-ms-user-quota-resets-after")


@dataclass(frozen=True)
class Operation:
    """An operation of a document.

    :ivar answers: by status the schema of the body; ``None`` for an answer without one
    :ivar error: the schema of any other answer
    :ivar headers: that every answer has
    :ivar at: headers that answers of one status have besides
    """

    answers: dict[int, str | None]
    error: str = ARM_ERROR
    headers: tuple[str, ...] = REQUEST_IDS
    at: dict[int, tuple[str, ...]] = field(default_factory=dict)


def _vault(schema: str | None, status: int = 200) -> Operation:
    return Operation({status: schema}, "certificates.json#/$defs/error", (REQUEST_IDS[0], *VAULT_HEADERS))


_REGISTRY = "containerregistry.json#/$defs/registry"
_VAULT = "keyvault.json#/$defs/vault"
_ASSIGNMENT = "authorization.json#/$defs/roleAssignment"
_DEPLOYMENT = "deployments.json#/$defs/deployment"

#: By the documents' operationId; polls of long-running operations have a name of their own.
OPERATIONS = {
    "Deployments_Validate": Operation({200: "deployments.json#/$defs/validateResult"}),
    "Deployments_CreateOrUpdate": Operation(
        {200: _DEPLOYMENT, 201: _DEPLOYMENT}, at={200: ("azure-asyncoperation",), 201: ("azure-asyncoperation",)}
    ),
    "Deployments_Get": Operation({200: _DEPLOYMENT}),
    "Deployments_ListByResourceGroup": Operation({200: "deployments.json#/$defs/deploymentList"}),
    "Deployments_CheckExistence": Operation({204: None, 404: None}),
    "Deployments_CalculateTemplateHash": Operation({200: "deployments.json#/$defs/templateHash"}),
    "DeploymentOperations_List": Operation({200: "deployments.json#/$defs/operationList"}),
    "DeploymentOperations_Get": Operation({200: "deployments.json#/$defs/operation"}),
    "AsyncOperation": Operation({200: "deployments.json#/$defs/asyncOperation"}),
    "Registries_Get": Operation({200: _REGISTRY}),
    "Registries_Create": Operation({200: _REGISTRY, 201: _REGISTRY}),
    "Registries_Update": Operation({200: _REGISTRY, 201: _REGISTRY}),
    "Registries_List": Operation({200: "containerregistry.json#/$defs/registryList"}),
    "Registries_ImportImage": Operation({200: None, 202: None}, at={202: ("location",)}),
    "ImportResult": Operation({200: None, 202: None, 204: None}, at={202: ("location",)}),
    "Replications_Get": Operation({200: "containerregistry.json#/$defs/replication"}),
    "Vaults_Get": Operation({200: _VAULT}),
    "Vaults_CreateOrUpdate": Operation({200: _VAULT, 201: _VAULT}),
    "Vaults_Update": Operation({200: _VAULT, 201: _VAULT}),
    "Vaults_List": Operation({200: "keyvault.json#/$defs/vaultList"}),
    "Vaults_Delete": Operation({200: None, 204: None}),
    "Vaults_GetDeleted": Operation({200: "keyvault.json#/$defs/deletedVault"}),
    "Vaults_CheckNameAvailability": Operation({200: "keyvault.json#/$defs/nameAvailability"}),
    "RoleAssignments_Create": Operation({200: _ASSIGNMENT, 201: _ASSIGNMENT}),
    "RoleAssignments_Get": Operation({200: _ASSIGNMENT}),
    "RoleAssignments_Delete": Operation({200: _ASSIGNMENT, 204: None}),
    "RoleAssignments_ListForScope": Operation({200: "authorization.json#/$defs/roleAssignmentList"}),
    "RoleDefinitions_List": Operation({200: "authorization.json#/$defs/roleDefinitionList"}),
    "RoleDefinitions_Get": Operation({200: "authorization.json#/$defs/roleDefinition"}),
    "Permissions_ListForResource": Operation({200: "authorization.json#/$defs/permissionList"}),
    "Resources": Operation(
        {200: "resourcegraph.json#/$defs/queryResponse"},
        "resourcegraph.json#/$defs/errorResponse",
        (*REQUEST_IDS, *QUOTA_HEADERS),
    ),
    "Pricings_Get": Operation({200: "security.json#/$defs/pricing"}),
    "Pricings_List": Operation({200: "security.json#/$defs/pricingList"}),
    "Assessments_Get": Operation({200: "security.json#/$defs/assessment"}),
    "Assessments_List": Operation({200: "security.json#/$defs/assessmentList"}),
    "Alerts_GetAll": Operation({200: "alertsmanagement.json#/$defs/alertList"}),
    "SubAssessments_List": Operation({200: "security.json#/$defs/subAssessmentList"}),
    "SubAssessments_Get": Operation({200: "security.json#/$defs/subAssessment"}),
    "Alerts_ChangeState": Operation({200: "alertsmanagement.json#/$defs/alert"}),
    "Alerts_GetById": Operation({200: "alertsmanagement.json#/$defs/alert"}),
    "Query_Execute": Operation({200: "operationalinsights.json#/$defs/queryResults"}, headers=()),
    "ImportCertificate": _vault("certificates.json#/$defs/bundle"),
    "GetCertificate": _vault("certificates.json#/$defs/bundle"),
    "GetCertificates": _vault("certificates.json#/$defs/list"),
    "GetCertificateVersions": _vault("certificates.json#/$defs/list"),
    "GetCertificatePolicy": _vault("certificates.json#/$defs/policy"),
    "DeleteCertificate": _vault("certificates.json#/$defs/deletedBundle"),
    "GetDeletedCertificate": _vault("certificates.json#/$defs/deletedBundle"),
    "GetDeletedCertificates": _vault("certificates.json#/$defs/deletedList"),
    "RecoverDeletedCertificate": _vault("certificates.json#/$defs/bundle"),
    "PurgeDeletedCertificate": _vault(None, 204),
}


def _documents() -> dict[str, dict[str, Any]]:
    return {path.name: json.loads(path.read_text()) for path in sorted(SCHEMAS.glob("*.json"))}


DOCUMENTS = _documents()
_REGISTRY_OF_SCHEMAS: Registry[Any] = Registry().with_resources(
    (name, Resource.from_contents(document)) for name, document in DOCUMENTS.items()
)


def check_schema(document: object) -> None:
    """:raises jsonschema.SchemaError: when the document is not a JSON Schema of Draft 2020-12"""
    Draft202012Validator.check_schema(document)


def deviations(document: object, schema: str) -> list[str]:
    """Where a document differs from a schema, as ``path: what is wrong``."""
    validator = Draft202012Validator({"$ref": schema}, registry=_REGISTRY_OF_SCHEMAS)
    return sorted(f"{error.json_path}: {error.message}" for error in validator.iter_errors(document))


class Wire:
    """Plain HTTP with a token of the pipeline's identity; every answer is held against the contract.

    :ivar wrong: what deviates, over all answers so far
    :ivar asked: names of the operations so far
    """

    def __init__(self, sandbox: RunningSandbox, http: httpx.AsyncClient) -> None:
        self.sandbox, self._http = sandbox, http
        self.wrong: list[str] = []
        self.asked: set[str] = set()

    async def ask(
        self,
        name: str,
        method: str,
        url: str,
        body: object = None,
        *,
        status: int | Collection[int] | None = None,
        audience: str = ARM,
        token: str | None = None,
    ) -> httpx.Response:
        """One request.

        :param name: of the operation
        :param url: with the path alone it is ARM's
        :param status: that must come back, or several of which one must; by default one of the operation's successes
        :param token: in place of the identity's own
        """
        self.asked.add(name)
        headers = {"Authorization": f"Bearer {token or self._token(audience)}"}
        target = url if url.startswith("https://") else ARM + url
        answer = await self._http.request(method, target, headers=headers, json=body)
        operation = OPERATIONS[name]
        expected = {status} if isinstance(status, int) else set(status or operation.answers)
        assert answer.status_code in expected, f"{name}: {answer.status_code} {answer.text}"
        self.wrong += [f"{name} {answer.status_code} {text}" for text in _differences(operation, answer)]
        return answer

    def _token(self, audience: str) -> str:
        azure = self.sandbox.azure
        return azure.state(Entra).issue(azure.access.principals[azure.scenario.identity.object_id], audience)


def _differences(operation: Operation, answer: httpx.Response) -> Iterator[str]:
    for header in (*operation.headers, *operation.at.get(answer.status_code, ())):
        if header not in answer.headers:
            yield f"header {header} is missing"
    schema = operation.answers.get(answer.status_code, operation.error)
    if schema is None:
        if answer.content:
            yield f"has a body: {answer.text[:100]}"
    elif not answer.headers.get("content-type", "").startswith("application/json"):
        yield f"is {answer.headers.get('content-type')}, not JSON"
    else:
        yield from deviations(answer.json(), schema)
