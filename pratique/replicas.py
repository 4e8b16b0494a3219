"""What a run knows about the replicas of a registry, and what it has seen in them.

Azure tells nobody whether a replica has an image. Where a registry's regional login servers are enabled, anyone who may
pull can look; where they are not, nobody can.

Facts: Microsoft Learn, "Geo-replication in Azure Container Registry"; Azure/acr issues 575 and 716.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta


@dataclass(frozen=True, order=True)
class RegionalServer:
    """The login server of one replica.

    :ivar region: short name of the region, such as ``eastus2``
    """

    region: str
    host: str


@dataclass(frozen=True, kw_only=True)
class ReplicaState:
    """What is known about an image in replicas.

    :ivar regions: whose replicas served it with everything below its digest
    :ivar not_observable: why nobody could see that; empty when somebody did
    """

    regions: tuple[str, ...] = ()
    not_observable: str = ""

    def __str__(self) -> str:
        return f"not observable: {self.not_observable}" if self.not_observable else f"seen in {', '.join(self.regions)}"


@dataclass(frozen=True, kw_only=True)
class Replication:
    """How a run makes sure that replicas have what it promotes. A registry without replicas needs nothing.

    :ivar servers: of the replicas from which clusters pull; each has to serve an image before manifests name it
    :ivar not_observable: why the replicas cannot be looked at; empty where ``servers`` can, and without replicas
    :ivar deadline: longest wait for the servers
    :ivar interval: from one look at the servers to the next
    :ivar pause: wait after a promotion whose arrival cannot be observed
    """

    servers: tuple[RegionalServer, ...] = ()
    not_observable: str = ""
    deadline: timedelta = timedelta(0)
    interval: timedelta = timedelta(0)
    pause: timedelta = timedelta(0)

    @property
    def needed(self) -> bool:
        """Whether the registry has replicas."""
        return bool(self.servers or self.not_observable)

    @property
    def regions(self) -> tuple[str, ...]:
        """The regions of the servers."""
        return tuple(server.region for server in self.servers)

    @property
    def unobserved(self) -> ReplicaState | None:
        """What is known about every image when the replicas cannot be looked at; ``None`` when they can."""
        return ReplicaState(not_observable=self.not_observable) if self.not_observable else None

    @property
    def description(self) -> str:
        """What a run does, as a sentence."""
        if self.servers:
            return (
                f"A promotion is complete when the replicas in {', '.join(self.regions)} serve the image, after "
                f"{_minutes(self.deadline)} at most."
            )
        if self.not_observable:
            wait = f"waits {_minutes(self.pause)}" if self.pause else "does not wait"
            return f"Whether replicas have an image is not observable ({self.not_observable}): a run {wait}."
        return "The registry has no replicas."


def _minutes(wait: timedelta) -> str:
    return f"{wait.total_seconds() / 60:g} minutes"
