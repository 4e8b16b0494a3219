"""The policy of each registry: what an image needs to get into its ``live/``, whichever cluster promotes it.

The first run for a registry writes it. While no other cluster is registered, it follows that cluster's configuration;
from then on a configuration has to be at least as strict, unless it says that it decides (``registries.policy: own``).
Exceptions are part of it: what only one cluster has accepted lets nothing into the registry of several.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from pratique.errors import ConfigurationError
from pratique.gate.strictness import RegistryPolicy, laxer
from pratique.records.document import dump, format_time, load, parse_time

FILE = "registry.json"
VERSION = 1
_KEY = "registries"
_REMEDY = (
    "Make these at least as strict as the registry's. If this configuration is to decide for all clusters of the "
    "registry, set registries.policy: own; its next run then changes the registry's policy."
)


@dataclass(frozen=True, kw_only=True)
class PolicyRecord:
    """The policy of one registry.

    :ivar registry: login server, in lower case
    :ivar cluster: key of the cluster whose configuration it is
    :ivar at: when it was recorded
    :ivar run: id of the flow run
    """

    registry: str
    policy: RegistryPolicy
    cluster: str
    at: datetime
    run: str

    @classmethod
    def of(cls, registry: str, policy: RegistryPolicy, *, cluster: str, at: datetime, run: str) -> PolicyRecord:
        """The record of a configuration's policy for a registry."""
        return cls(registry=registry.lower(), policy=policy, cluster=cluster, at=at, run=run)

    @classmethod
    def read(cls, entry: Mapping[str, Any]) -> PolicyRecord:
        """From its JSON form.

        :raises KeyError, TypeError, ValueError, AttributeError: when it is malformed
        """
        return cls(
            registry=str(entry["registry"]).lower(),
            policy=RegistryPolicy.read(entry),
            cluster=str(entry["cluster"]),
            at=parse_time(entry["at"]),
            run=str(entry["run"]),
        )

    def entry(self) -> dict[str, Any]:
        """Its JSON form."""
        about = {"registry": self.registry, "cluster": self.cluster, "run": self.run, "at": format_time(self.at)}
        return about | {"digest": self.policy.digest} | self.policy.entry()

    def require_as_strict(self, own: RegistryPolicy) -> None:
        """:raises ConfigurationError: when a configuration is laxer than the registry's policy, naming each field"""
        if fields := laxer(own, self.policy):
            raise ConfigurationError(
                "use the registry",
                self.registry,
                f"Its policy, set by {self.cluster} on {self.at:%Y-%m-%d}, holds for every cluster that uses it. This "
                f"configuration is laxer: {'; '.join(map(str, fields))}.",
                _REMEDY,
            )


@dataclass(frozen=True)
class RegistryPolicies:
    """The policies of all registries."""

    records: tuple[PolicyRecord, ...] = ()

    @classmethod
    def parse(cls, text: str | None, name: str = FILE) -> RegistryPolicies:
        """Read the file's text; without a file no registry has a policy yet.

        :raises UnreadableAnswer: when it has another version, or an entry is malformed
        """
        return cls() if text is None else cls(tuple(load(text, name, _KEY, VERSION, PolicyRecord.read)))

    def text(self) -> str:
        """The file's text; equal entries always give equal text."""
        return dump(_KEY, VERSION, (record.entry() for record in sorted(self.records, key=lambda each: each.registry)))

    def find(self, registry: str) -> PolicyRecord | None:
        """The policy of a registry, if it has one.

        :param registry: login server
        """
        return next((record for record in self.records if record.registry == registry.lower()), None)

    def with_policy(self, record: PolicyRecord, *, decides: bool) -> RegistryPolicies:
        """The policies after a configuration was compared with its registry's.

        :param record: the configuration's
        :param decides: whether the configuration decides what the registry's policy is
        :raises ConfigurationError: when it does not decide, and is laxer
        """
        before = self.find(record.registry)
        if before is not None and (not decides or before.policy.digest == record.policy.digest):
            before.require_as_strict(record.policy)
            return self
        return RegistryPolicies((*(known for known in self.records if known is not before), record))


def decides(setting: str, others: Collection[object]) -> bool:
    """Whether a configuration decides what its registry's policy is.

    :param setting: ``registries.policy``
    :param others: the other clusters that are registered for the registry
    """
    return setting == "own" or not others
