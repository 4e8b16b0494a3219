"""What a replica of a registry serves: the home region's content, some time later and perhaps in parts.

Replicas are eventually consistent, and nothing but what they serve shows how far they are. A deletion, or a lock, takes
effect everywhere at once: how late replicas learn of those is not played.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from sandbox.azure import Azure
from sandbox.replicas import Lag
from sandbox.services.oci.errors import NameUnknown
from sandbox.services.oci.repository import Repository
from sandbox.services.oci.store import RegistryStore


class ReplicaStore(RegistryStore):
    """A view of a registry's content, for reading.

    :param home: the content in the home region
    :param region: of the replica
    """

    def __init__(self, azure: Azure, home: RegistryStore, region: str) -> None:
        super().__init__(home.pool, home.now)
        self._azure, self._home, self._region = azure, home, region

    def repositories(self) -> list[str]:
        return [name for name in self._home.repositories() if self._arrived(self._home.repository(name)).manifests]

    def repository(self, name: str) -> Repository:
        found = self._arrived(self._home.repository(name))
        if not (found.manifests or found.blobs):
            raise NameUnknown({"name": name})
        return found

    def referrers(self, repository: str, digest: str, artifact_type: str | None = None) -> list[dict[str, Any]]:
        self._repositories = {repository: self.repository(repository)} if repository in self.repositories() else {}
        return super().referrers(repository, digest, artifact_type)

    def _arrived(self, found: Repository) -> Repository:
        """The part of a repository that the replica has."""
        first = self._azure.scenario.replicas.arrival
        manifests = {
            digest: stored
            for digest, stored in found.manifests.items()
            if self._has(found, digest, late=first == "index-first" and not stored.manifest.is_index)
        }
        return replace(
            found,
            manifests=manifests,
            blobs={digest for digest in found.blobs if self._has(found, digest, late=first != "whole")},
            tags={name: tag for name, tag in found.tags.items() if tag.digest in manifests},
            referrers={
                subject: [digest for digest in digests if digest in manifests]
                for subject, digests in found.referrers.items()
            },
        )

    def _has(self, found: Repository, digest: str, *, late: bool) -> bool:
        """Whether content has arrived; time passes while somebody asks for what has not.

        :param late: whether it belongs to what does not arrive first
        """
        clock, form = self._azure.clock, self._azure.scenario.replicas
        lags: list[Lag] = [form.lag.get(self._region, 0.0), *([form.rest] if late else [])]
        if "never" in lags:
            return False
        due = found.stored.get(digest, 0.0) + sum(float(lag) for lag in lags)
        if due <= clock.elapsed():
            return True
        clock.pass_until(due)
        return False
