"""importImage: which images can be imported, from where, and the copy itself.

Azure does the import, not the client: it needs no route from the client to either registry, copies an index with all
its manifests, and does not copy referrers (signatures, findings). Source: registries/importImage 2025-11-01;
"Import container images to a container registry" (Microsoft Learn).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

from sandbox.core.errors import HttpFault, arm_fault
from sandbox.core.resources import Document
from sandbox.core.routing import Call
from sandbox.scenario import Credentials
from sandbox.services.acr import rights
from sandbox.services.acr.models import LOGIN_SUFFIX, bypassed, policy_enabled
from sandbox.services.acr.state import Registries
from sandbox.services.oci.errors import Locked, OciError
from sandbox.services.oci.manifests import Manifest
from sandbox.services.oci.store import RegistryStore
from sandbox.services.public_registries.state import PublicRegistries

MAX_MANIFESTS = 50


@dataclass(frozen=True, kw_only=True)
class ImportRequest:
    """The body of an importImage request.

    :ivar reference: tag or digest of the source image
    :ivar tagged: repository and tag of each target
    :ivar untagged: repositories that receive the manifest without a tag
    :ivar force: whether to overwrite existing tags
    """

    repository: str
    reference: str
    tagged: tuple[tuple[str, str], ...]
    untagged: tuple[str, ...]
    force: bool

    @classmethod
    def read(cls, body: Mapping[str, Any]) -> ImportRequest:
        """:raises HttpFault: 400 when a part is missing"""
        source = body.get("source") or {}
        image = source.get("sourceImage")
        if not image or ("resourceId" in source) == ("registryUri" in source):
            raise _invalid("source needs sourceImage and either resourceId or registryUri.")
        repository, tag, digest = _split(image)
        targets = [_split(target) for target in body.get("targetTags") or ()]
        untagged = tuple(body.get("untaggedTargetRepositories") or ())
        if not targets and not untagged:
            targets = [(repository, tag, "")]
        tagged = tuple((name, target_tag or tag or "latest") for name, target_tag, _ in targets)
        return cls(
            repository=repository,
            reference=digest or tag or "latest",
            tagged=tagged,
            untagged=untagged,
            force=body.get("mode") == "Force",
        )

    @property
    def repositories(self) -> list[str]:
        """The repositories that receive the image."""
        return [*(name for name, _ in self.tagged), *self.untagged]

    @property
    def image(self) -> str:
        return f"{self.repository}{'@' if ':' in self.reference else ':'}{self.reference}"


@dataclass(frozen=True)
class Source:
    """The registry that an import reads from.

    :ivar label: the image's name in the repository log
    :ivar refusal: the registry's error, if it does not let Azure read the image
    """

    store: RegistryStore
    label: str
    refusal: OciError | None = None


def open_source(call: Call, body: Mapping[str, Any], request: ImportRequest, target: Document) -> Source:
    """The registry that the body names, if the caller and Azure's import may read it.

    :param target: the registry that is imported into
    :raises HttpFault: 403 or 404, as ARM answers the POST itself
    """
    source = body["source"]
    if "resourceId" in source:
        return _registry_source(call, source["resourceId"], request, target)
    uri = str(source["registryUri"]).lower().removeprefix("https://").rstrip("/")
    public = call.azure.state(PublicRegistries)
    store = public.store(uri)
    if store is None:
        advice = " Name a registry of the subscription by resourceId." if uri.endswith(LOGIN_SUFFIX) else ""
        raise arm_fault(501, "NotSupportedBySandbox", f"The sandbox does not support the registry {uri}.{advice}")
    sent = source.get("credentials") or {}
    login = Credentials(username=sent.get("username", ""), password=sent["password"]) if "password" in sent else None
    refusal = public.refusal(public.name(uri), request.repository, login)
    return Source(store, f"{uri}/{request.image}", refusal)


def check_target(registry: Document) -> None:
    """:raises HttpFault: when the registry's firewall blocks Azure's import"""
    if not bypassed(registry):
        raise _invalid(f"Access to {registry['properties']['loginServer']} denied.")


def check_conflicts(store: RegistryStore, request: ImportRequest) -> None:
    """:raises HttpFault: 409 when a target tag exists, even with the same digest, and the import does not force"""
    if request.force:
        return
    for repository, tag in request.tagged:
        if repository in store.repositories() and tag in store.repository(repository).tags:
            raise arm_fault(409, "Conflict", f"Tag {repository}:{tag} already exists in target registry.")


def check_locks(call: Call, store: RegistryStore, request: ImportRequest) -> None:
    """Refuse a forced import onto a locked tag at once, in the scenario's form for that.

    :raises HttpFault: 409 with the data plane's message
    """
    if not request.force or call.azure.scenario.registry_locks.forced_imports != "conflict":
        return
    for repository, tag in request.tagged:
        found = store.repository(repository).tags.get(tag) if repository in store.repositories() else None
        if found is not None and not found.attributes.write_enabled:
            raise arm_fault(409, "Conflict", f"{repository}:{tag}: {Locked.default_message}")


def read_source(source: Source, request: ImportRequest) -> list[Manifest]:
    """The manifests to copy, the image's own last. Resolves tags now.

    :raises HttpFault: 400 when there is no such image, the source refuses it, or it is too large
    """
    if source.refusal is not None:
        raise _invalid(_passed_on(source.refusal))
    try:
        digest = source.store.manifest(request.repository, request.reference).manifest.digest
        manifests = source.store.closure(request.repository, digest)
    except OciError as error:
        raise _invalid(f"Unexpected response status code {error.status} for {source.label}: {error.message}.") from None
    if len(manifests) > MAX_MANIFESTS:
        raise _invalid(f"{source.label} has {len(manifests)} manifests; the limit is {MAX_MANIFESTS}.")
    return manifests


def copy(
    source: Source,
    request: ImportRequest,
    manifests: list[Manifest],
    target: RegistryStore,
    *,
    past_locks: bool = False,
) -> None:
    """Copy the manifests with their blobs to every target.

    :param past_locks: whether locked tags are moved, and stay locked
    :raises HttpFault: 400 when something was deleted or locked in the meantime
    """
    targets = [*request.tagged, *((repository, "") for repository in request.untagged)]
    try:
        for repository, tag in targets:
            for manifest in manifests:
                for blob in manifest.blobs:
                    target.put_blob(repository, source.store.blob(request.repository, blob.digest))
                target.put_manifest(repository, manifest.digest, manifest)
            if tag:
                target.put_manifest(repository, tag, manifests[-1], past_lock=past_locks)
    except OciError as error:
        raise _invalid(f"Error copying {source.label}: {error.message}.") from None


def _registry_source(call: Call, resource_id: str, request: ImportRequest, target: Document) -> Source:
    registry = call.azure.resources.get(resource_id)
    if registry is None:
        raise arm_fault(404, "ResourceNotFound", f"The Resource '{resource_id}' was not found.")
    rights.check_source(call, registry, request.repository, target["id"])
    if not bypassed(registry):
        raise arm_fault(403, "Forbidden", _blocked(registry))
    if not policy_enabled(registry, "exportPolicy"):
        raise arm_fault(403, "Forbidden", f"The export policy of registry '{registry['name']}' is disabled.")
    store = call.azure.state(Registries).store(registry["name"])
    return Source(store, f"{_logged(call, registry)}/{request.image}")


def _logged(call: Call, registry: Document) -> str:
    """How the log names a source registry that was named by its resource id (UNVERIFIED, as all of it)."""
    resource_id: str = registry["id"]
    login_server: str = registry["properties"]["loginServer"]
    forms = {"resource-id": resource_id, "lower-case-id": resource_id.lower(), "login-server": login_server}
    return forms[call.azure.scenario.registry_log.source]


def _blocked(registry: Document) -> str:
    return (
        f"The registry '{registry['name']}' restricts network access and does not allow trusted services: "
        "set networkRuleBypassOptions to AzureServices."
    )


def _split(image: str) -> tuple[str, str, str]:
    """Repository, tag and digest of ``repository[:tag][@digest]``; missing parts are empty."""
    name, _, digest = image.partition("@")
    repository, _, tag = name.partition(":")
    return repository, tag, digest


def _passed_on(refusal: OciError) -> str:
    """How an import reports what the source registry answered (Azure/acr#181, MicrosoftDocs/azure-docs#115975)."""
    reason = HTTPStatus(refusal.status).phrase.replace(" ", "")
    # The service writes quotation marks inside of the JSON as .NET does.
    body = json.dumps(refusal.body, separators=(",", ":")).replace("'", "\\u0027")
    return f"Invalid message {reason} {reason} {body}"


def _invalid(message: str) -> HttpFault:
    return arm_fault(400, "InvalidParameters", message)
