"""The container registries of the subscription: their content, access to them, and their log events."""

from __future__ import annotations

import uuid
from datetime import datetime

from sandbox.azure import Azure
from sandbox.core.rbac import Principal
from sandbox.core.resources import Document, ResourceChanged
from sandbox.core.routing import Call
from sandbox.core.tokens import TokenSigner
from sandbox.services.acr.models import (
    ABAC,
    LEGACY,
    LOGIN_SUFFIX,
    MODE,
    REGISTRY_TYPE,
    LoginEvent,
    RepositoryEvent,
    completed,
)
from sandbox.services.acr.regions import REPLICATION_TYPE, has_servers, regions, split_host
from sandbox.services.acr.replica_store import ReplicaStore
from sandbox.services.oci.pool import BlobPool
from sandbox.services.oci.store import RegistryStore
from sandbox.services.oci.uploads import Uploads

ISSUER = "Azure Container Registry"


class Registries:
    """The content of every registry; the resources themselves are in ``azure.resources``.

    :ivar signer: signs the registries' refresh and access tokens
    """

    def __init__(self, azure: Azure) -> None:
        self._azure = azure
        self._stores: dict[str, RegistryStore] = {}
        self._uploads: dict[str, Uploads] = {}
        self.signer = TokenSigner(ISSUER, azure.home.rsa_key("acr"), "acr")
        azure.events.on(ResourceChanged, self._follow)

    def resource(self, name: str) -> Document | None:
        """The registry's ARM document."""
        return self._azure.resources.named(REGISTRY_TYPE, name)

    def of_host(self, host: str) -> Document | None:
        """The registry with this login server, or with this regional one if these are enabled."""
        login_server, region = split_host(host)
        registry = self.resource(login_server.removesuffix(LOGIN_SUFFIX))
        if not region or registry is None:
            return registry
        return registry if has_servers(registry) and region in regions(self._azure, registry) else None

    def content(self, registry: Document, host: str) -> RegistryStore:
        """What a registry serves at one of its login servers."""
        region, home = split_host(host)[1], self.store(registry["name"])
        return ReplicaStore(self._azure, home, region) if region not in ("", registry["location"]) else home

    def store(self, registry_name: str) -> RegistryStore:
        """The registry's content, empty at first."""
        key = registry_name.lower()
        if key not in self._stores:
            clock = self._azure.clock
            self._stores[key] = RegistryStore(self._azure.state(BlobPool), clock.now, clock.elapsed)
        return self._stores[key]

    def uploads(self, registry_name: str) -> Uploads:
        """The registry's open uploads."""
        key = registry_name.lower()
        if key not in self._uploads:
            self._uploads[key] = Uploads(self.store(key))
        return self._uploads[key]

    def report(
        self,
        call: Call,
        registry: Document,
        operation: str,
        repository: str,
        *,
        caller: Principal | None,
        tag: str = "",
        digest: str = "",
        media_type: str = "",
        size: int = 0,
    ) -> None:
        """Emit an event for the repository log about what `call` did."""
        now = self._azure.clock.now()
        self._azure.events.emit(
            RepositoryEvent(
                time=now,
                registry_id=registry["id"],
                login_server=registry["properties"]["loginServer"],
                region=split_host(call.host)[1] or registry["location"],
                operation=operation,
                repository=repository,
                tag=tag,
                digest=digest,
                media_type=media_type,
                size=size,
                identity=caller.object_id if caller is not None else "",
                address=call.client.address,
                user_agent=call.headers.get("user-agent", ""),
                correlation_id=call.headers.get("x-ms-client-request-id") or str(uuid.uuid4()),
                duration=(now - datetime.fromisoformat(call.entry.at)).total_seconds(),
            )
        )

    def report_login(self, call: Call, registry: Document, caller: Principal) -> None:
        """Emit an event for the login log."""
        self._azure.events.emit(
            LoginEvent(
                time=self._azure.clock.now(),
                registry_id=registry["id"],
                login_server=registry["properties"]["loginServer"],
                region=split_host(call.host)[1] or registry["location"],
                identity=caller.object_id,
                address=call.client.address,
                user_agent=call.headers.get("user-agent", ""),
                correlation_id=str(uuid.uuid4()),
            )
        )

    def _follow(self, change: ResourceChanged) -> None:
        """Complete registries that others create, and drop the content of deleted ones."""
        if change.type.lower() != REGISTRY_TYPE.lower():
            return
        if change.after is None:
            key = change.id.rsplit("/", 1)[-1].lower()
            self._stores.pop(key, None)
            self._uploads.pop(key, None)
            for replica in self._azure.resources.list(REPLICATION_TYPE, change.id):
                self._azure.resources.delete(replica["id"])
        elif (complete := completed(self.with_mode(change.after, change.before))) != change.after:
            self._azure.resources.put(complete)

    def with_mode(self, document: Document, before: Document | None) -> Document:
        """A registry's document with a mode of permissions: its own, the one that it had, or the scenario's."""
        properties: Document = document.get("properties") or {}
        if MODE in properties:
            return document
        default = ABAC if self._azure.scenario.registry_permissions.mode == "abac" else LEGACY
        had = default if before is None else before["properties"].get(MODE, default)
        return {**document, "properties": {**properties, MODE: had}}
