"""The registries' login servers, ``*.azurecr.io``: tokens, the distribution API, and ACR's ``/acr/v1``.

Regional login servers (``*.geo.azurecr.io``) give tokens, and serve what their replica has; they take no pushes here.
"""

from __future__ import annotations

from sandbox.core.arrivals import ImageArrived
from sandbox.core.errors import oci_envelope
from sandbox.core.routing import Call, Service
from sandbox.services.acr import access, attributes
from sandbox.services.acr.access import registry_of
from sandbox.services.acr.models import LOGIN_SUFFIX
from sandbox.services.acr.state import Registries
from sandbox.services.oci.distribution import Action, RegistryBackend, add_pulling
from sandbox.services.oci.manifests import Manifest
from sandbox.services.oci.pushing import add_pushing
from sandbox.services.oci.store import RegistryStore
from sandbox.services.oci.uploads import Uploads


def data_plane() -> Service:
    """The service for all login servers."""
    service = Service(
        "acr",
        (f"*{LOGIN_SUFFIX}",),
        authenticate=access.reachable,
        envelope=oci_envelope,
        api_versions=("2021-07-01",),
    )
    service.post("/oauth2/exchange")(access.exchange)
    service.post("/oauth2/token")(access.post_token)
    service.get("/oauth2/token")(access.get_token)
    backend = LoginServer()
    add_pulling(service, backend)
    add_pushing(service, backend)
    attributes.add_attributes(service, backend)
    return service


class LoginServer(RegistryBackend):
    """A registry of the subscription, or a replica of one, selected by the requested host."""

    def store(self, call: Call) -> RegistryStore:
        return call.azure.state(Registries).content(registry_of(call), call.host)

    def uploads(self, call: Call) -> Uploads:
        return call.azure.state(Registries).uploads(registry_of(call)["name"])

    async def authorize(self, call: Call, action: Action | None, repository: str = "") -> None:
        await access.authorize(call, action, repository)

    def pulled(self, call: Call, repository: str, reference: str, manifest: Manifest) -> None:
        self._report(call, "Pull", repository, reference, manifest)

    def pushed(self, call: Call, repository: str, reference: str, manifest: Manifest) -> None:
        self._report(call, "Push", repository, reference, manifest)
        registry, tag = registry_of(call), None if ":" in reference else reference
        now = call.azure.clock.now()
        call.azure.events.emit(
            ImageArrived(
                registry_id=registry["id"],
                repository=repository,
                tag=tag,
                digest=manifest.digest,
                time=now,
                kind="push",
            )
        )

    def deleted(self, call: Call, repository: str, reference: str) -> None:
        self._report(call, "Delete" if ":" in reference else "Untag", repository, reference, None)

    def _report(self, call: Call, operation: str, repository: str, reference: str, manifest: Manifest | None) -> None:
        by_digest = ":" in reference
        call.azure.state(Registries).report(
            call,
            registry_of(call),
            operation,
            repository,
            caller=call.caller,
            tag="" if by_digest else reference,
            digest=manifest.digest if manifest else reference if by_digest else "",
            media_type=manifest.media_type if manifest else "",
            size=manifest.size if manifest else 0,
        )
