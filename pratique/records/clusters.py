"""The clusters that use a registry: where their manifests are, and which identities promote for them.

A run of ``prepare_cluster`` or ``release_images`` registers its cluster before its first promotion. Rescans read the
manifests of all of them, and the audit knows their identities::

    clusters = Clusters.parse(text)
    [cluster.name for cluster in clusters.of("acraks123.azurecr.io")]

Whoever can write to the records branch can write here. An entry decides what a rescan reads and whom the audit knows,
but never which login is sent where (``registries.readers`` does).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from pratique.errors import ConfigurationError, NotFound
from pratique.records.document import dump, format_time, load, parse_time

FILE = "clusters.json"
VERSION = 1
_KEY = "clusters"
_TEXTS = ("registry", "cluster", "remote", "branch", "folder", "run")


def cluster_key(subscription: str, group: str) -> str:
    """The key of a cluster: ``subscription/resource group``, in lower case."""
    return f"{subscription}/{group}".lower()


@dataclass(frozen=True, kw_only=True)
class RegisteredCluster:
    """One cluster that uses one registry.

    :ivar registry: login server, in lower case
    :ivar cluster: from :func:`cluster_key`
    :ivar remote: of the repository with its manifests, without credentials
    :ivar folder: of the manifests in the repository
    :ivar identities: object ids that have promoted for it
    :ivar regions: of the replicas from which it pulls; empty when that is not known, so that it may be any
    :ivar catalogue: what its catalogue has below ``live/``, as ``repository:tag``; ``None`` in entries of versions that
        did not write it
    :ivar registered: when the entry last changed
    :ivar run: id of the flow run that changed it
    """

    registry: str
    cluster: str
    remote: str
    branch: str
    folder: str
    identities: tuple[str, ...]
    regions: tuple[str, ...] = ()
    catalogue: tuple[str, ...] | None = None
    registered: datetime
    run: str

    @property
    def key(self) -> tuple[str, str]:
        return self.registry, self.cluster

    @property
    def name(self) -> str:
        """For people: its resource group."""
        return self.cluster.partition("/")[2] or self.cluster

    @property
    def manifests(self) -> str:
        """Where its manifests are, for people."""
        return f"{self.remote}, branch {self.branch}, folder {self.folder}"

    @classmethod
    def read(cls, entry: Mapping[str, Any]) -> RegisteredCluster:
        """From its JSON form.

        :raises KeyError, TypeError, ValueError: when it is malformed
        """
        texts = {name: _text(entry[name]) for name in _TEXTS}
        texts |= {name: texts[name].lower() for name in ("registry", "cluster")}
        return cls(
            identities=tuple(map(_text, entry["identities"])),
            regions=tuple(map(_text, entry.get("regions", ()))),
            catalogue=tuple(map(_text, entry["catalogue"])) if "catalogue" in entry else None,
            registered=parse_time(entry["registered"]),
            **texts,
        )

    def entry(self) -> dict[str, Any]:
        """Its JSON form."""
        return (
            {name: getattr(self, name) for name in _TEXTS}
            | {"identities": list(self.identities), "regions": list(self.regions)}
            | ({} if self.catalogue is None else {"catalogue": list(self.catalogue)})
            | {"registered": format_time(self.registered)}
        )


@dataclass(frozen=True)
class Clusters:
    """All registered clusters, of all registries."""

    clusters: tuple[RegisteredCluster, ...] = ()

    @classmethod
    def parse(cls, text: str | None, name: str = FILE) -> Clusters:
        """Read the file's text; without a file no cluster is registered.

        :raises UnreadableAnswer: when it has another version, or an entry is malformed
        """
        return cls() if text is None else cls(tuple(load(text, name, _KEY, VERSION, RegisteredCluster.read)))

    def text(self) -> str:
        """The file's text; equal entries always give equal text."""
        return dump(_KEY, VERSION, (cluster.entry() for cluster in sorted(self.clusters, key=lambda each: each.key)))

    def of(self, registry: str) -> tuple[RegisteredCluster, ...]:
        """The clusters that use a registry.

        :param registry: login server
        """
        return tuple(cluster for cluster in self.clusters if cluster.registry == registry.lower())

    def promoters(self, registry: str) -> frozenset[str]:
        """The identities that promote into a registry."""
        return frozenset(identity for cluster in self.of(registry) for identity in cluster.identities)

    def with_cluster(self, cluster: RegisteredCluster) -> Clusters:
        """The clusters with one registered. Earlier identities stay; an entry that says the same stays as it is."""
        before = next((known for known in self.clusters if known.key == cluster.key), None)
        if before is not None:
            cluster = replace(cluster, identities=tuple(sorted({*before.identities, *cluster.identities})))
            if replace(cluster, registered=before.registered, run=before.run) == before:
                return self
        return Clusters((*(known for known in self.clusters if known.key != cluster.key), cluster))

    def without(self, name: str) -> Clusters:
        """The clusters without one, in all registries.

        :param name: its key, or its resource group where no other cluster has the same
        :raises NotFound: when no such cluster is registered
        :raises ConfigurationError: when several are
        """
        wanted, attempted = name.lower(), "forget the cluster"
        keys = {known.cluster for known in self.clusters if wanted in (known.cluster, known.name)}
        if not keys:
            known = ", ".join(sorted({cluster.cluster for cluster in self.clusters})) or "none"
            raise NotFound(attempted, name, f"It is not registered. Registered: {known}.", "Name one of these.")
        if len(keys) > 1:
            observed = f"Several clusters have this resource group: {', '.join(sorted(keys))}."
            raise ConfigurationError(attempted, name, observed, "Name the one that you mean by subscription and group.")
        return Clusters(tuple(known for known in self.clusters if known.cluster not in keys))


def _text(value: object) -> str:
    """:raises TypeError: when it is not text"""
    if not isinstance(value, str):
        raise TypeError(f"{value!r:.80} is not text")
    return value
