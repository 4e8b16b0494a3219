"""Where the images in the registries came from: the part of the repository log that the invariants need."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sandbox.azure import Azure
from sandbox.services.acr.models import RepositoryEvent


@dataclass(frozen=True)
class Origin:
    """One import.

    :ivar source: as the repository log names it: registry, repository, and tag or digest
    :ivar identity: object id of who asked for it
    """

    source: str
    identity: str
    at: datetime


class Provenance:
    """The latest import of every digest into every repository."""

    def __init__(self, azure: Azure) -> None:
        self._origins: dict[tuple[str, str, str], Origin] = {}
        azure.events.on(RepositoryEvent, self._note)

    def origin(self, registry_id: str, repository: str, digest: str) -> Origin | None:
        """``None`` for what was pushed."""
        return self._origins.get((registry_id.lower(), repository, digest))

    def _note(self, event: RepositoryEvent) -> None:
        if event.operation == "importImage":
            key = event.registry_id.lower(), event.repository, event.digest
            self._origins[key] = Origin(event.media_type, event.identity, event.time)
