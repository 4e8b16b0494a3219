"""A vault's data plane: certificates and their secrets.

Source: REST API, Key Vault data plane 2026-04-01; data actions from "Azure permissions for Security".
"""

from __future__ import annotations

import uuid
from dataclasses import replace
from typing import Any

from starlette.responses import Response

from sandbox.core.errors import not_supported, vault_fault
from sandbox.core.routing import Call, Service, answer
from sandbox.services.keyvault import models
from sandbox.services.keyvault.auth import needs, vault_caller, vault_of
from sandbox.services.keyvault.certificates import read_import
from sandbox.services.keyvault.contents import Certificate, Contents, Version
from sandbox.services.keyvault.management import vault_management
from sandbox.services.keyvault.state import Vaults

CERTIFICATE = "/certificates/{name}"
DELETED = "/deletedcertificates/{name}"

vault = Service("keyvault", ("*.vault.azure.net",), authenticate=vault_caller, api_versions=("2026-04-01", "7.4"))


def vault_services() -> list[Service]:
    """Key Vault in ARM, and the data plane of every vault."""
    return [vault_management, vault]


@vault.post(CERTIFICATE + "/import")
@needs("certificates/import/action", "import")
async def import_certificate(call: Call) -> Response:
    """Add a version, whether or not the certificate exists."""
    body, name = call.json(), call.params["name"]
    if not isinstance(body.get("value"), str) or not body["value"]:
        raise vault_fault(400, "BadParameter", "The request body must contain the property 'value'.")
    policy: dict[str, Any] = body.get("policy") or {}
    imported = read_import(
        body["value"],
        body.get("pwd"),
        (policy.get("secret_props") or {}).get("contentType"),
        keep_order=bool(body.get("preserveCertOrder")),
    )
    enabled = (body.get("attributes") or {}).get("enabled", True)
    tags = body.get("tags") or {}
    version = Version(
        id=uuid.uuid4().hex,
        imported=imported,
        created=call.azure.clock.now(),
        enabled=enabled,
        tags=tags,
        policy=policy,
    )
    certificate = _contents(call).add(name, version)
    return answer(models.bundle(vault_of(call), certificate.name, version))


@vault.get("/certificates")
@needs("certificates/read", "list")
async def list_certificates(call: Call) -> Response:
    vault = vault_of(call)
    found = _contents(call).certificates()
    return answer({"value": [models.item(vault, c.name, c.newest, with_version=False) for c in found]})


@vault.get("/certificates/contacts")
@vault.get("/certificates/issuers")
@vault.get(CERTIFICATE + "/pending")
async def reserved_path(call: Call) -> Response:
    """Refuse the other resources whose paths look like a certificate's or a version's name."""
    raise not_supported(call.method, call.host, call.path)


@vault.get(CERTIFICATE + "/versions")
@needs("certificates/read", "list")
async def list_versions(call: Call) -> Response:
    vault, certificate = vault_of(call), _contents(call).certificate(call.params["name"])
    return answer({"value": [models.item(vault, certificate.name, v, with_version=True) for v in certificate.versions]})


@vault.get(CERTIFICATE + "/policy")
@needs("certificates/read", "get")
async def get_policy(call: Call) -> Response:
    certificate = _contents(call).certificate(call.params["name"])
    return answer(models.policy(vault_of(call), certificate.name, certificate.newest))


@vault.get(CERTIFICATE)
@needs("certificates/read", "get")
async def get_certificate(call: Call) -> Response:
    certificate = _contents(call).certificate(call.params["name"])
    return answer(models.bundle(vault_of(call), certificate.name, certificate.newest))


@vault.get(CERTIFICATE + "/{version}")
@needs("certificates/read", "get")
async def get_version(call: Call) -> Response:
    name = _contents(call).certificate(call.params["name"]).name
    return answer(models.bundle(vault_of(call), name, _contents(call).version(name, call.params["version"])))


@vault.patch(CERTIFICATE)
@vault.patch(CERTIFICATE + "/{version}")
@needs("certificates/update/action", "update")
async def update_certificate(call: Call) -> Response:
    """Update tags and whether a version is enabled; members missing from the body keep their values."""
    body, contents = call.json(), _contents(call)
    if body.keys() - {"attributes", "tags"} or (body.get("attributes") or {}).keys() - {"enabled"}:
        raise not_supported("changing more than 'enabled' and tags by PATCH", call.host, call.path)
    certificate = contents.certificate(call.params["name"])
    version = contents.version(certificate.name, call.params.get("version", certificate.newest.id))
    changed = replace(
        version,
        enabled=(body.get("attributes") or {}).get("enabled", version.enabled),
        tags=version.tags if body.get("tags") is None else body["tags"],
        updated=call.azure.clock.now(),
    )
    contents.change(certificate.name, changed)
    return answer(models.bundle(vault_of(call), certificate.name, changed))


@vault.delete(CERTIFICATE)
@needs("certificates/delete", "delete")
async def delete_certificate(call: Call) -> Response:
    """Soft-delete all versions; they can be recovered."""
    return answer(_deleted_bundle(call, _contents(call).delete(call.params["name"], call.azure.clock.now())))


@vault.get("/deletedcertificates")
@needs("certificates/read", "list")
async def list_deleted(call: Call) -> Response:
    vault = vault_of(call)
    return answer(
        {
            "value": [
                models.item(vault, c.name, c.newest, with_version=False) | models.deletion(vault, c)
                for c in _contents(call).deleted_certificates()
            ]
        }
    )


@vault.get(DELETED)
@needs("certificates/read", "get")
async def get_deleted(call: Call) -> Response:
    return answer(_deleted_bundle(call, _contents(call).deleted(call.params["name"])))


@vault.post(DELETED + "/recover")
@needs("certificates/recover/action", "recover")
async def recover(call: Call) -> Response:
    certificate = _contents(call).recover(call.params["name"])
    return answer(models.bundle(vault_of(call), certificate.name, certificate.newest))


@vault.delete(DELETED)
@needs("certificates/purge/action", "purge")
async def purge(call: Call) -> Response:
    if vault_of(call)["properties"].get("enablePurgeProtection"):
        message = "Operation 'purge' is not allowed because purge protection is enabled for this vault."
        raise vault_fault(403, "Forbidden", message)
    _contents(call).purge(call.params["name"])
    return Response(status_code=204)


@vault.get("/secrets/{name}")
@vault.get("/secrets/{name}/{version}")
@needs("secrets/getSecret/action", "get")
async def get_secret(call: Call) -> Response:
    contents, name = _contents(call), call.params["name"]
    secret = contents.secret(name, call.params.get("version"))
    return answer(models.secret_bundle(vault_of(call), secret, managed=contents.is_managed(name)))


def _contents(call: Call) -> Contents:
    return call.azure.state(Vaults).contents(vault_of(call)["name"])


def _deleted_bundle(call: Call, certificate: Certificate) -> dict[str, Any]:
    vault = vault_of(call)
    return models.bundle(vault, certificate.name, certificate.newest) | models.deletion(vault, certificate)
