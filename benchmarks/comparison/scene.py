"""What each contender works on: a fresh local Azure, a configuration, a GitOps repository, a certificate."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.configuration import write_config
from benchmarks.gate import scenario
from benchmarks.sandbox import CONTROL, Served, catalogue, served
from pratique.images import ImageReference
from sandbox.services.acr.models import LOGIN_SUFFIX
from tests.flows.world import git

#: Seconds between two looks of the gate, of Azure's time: what the configuration has by default.
INTERVAL = 30.0
#: Azure's speed is divided out of it, but never below.
SHORTEST_INTERVAL = 0.5


@dataclass(frozen=True, kw_only=True)
class Scene:
    """One run's surroundings.

    :ivar sandbox: the local Azure, in a process of its own
    :ivar sources: references of the images
    :ivar interval: real seconds between two looks for scans
    :ivar config: path of the configuration
    """

    sandbox: Served
    folder: Path
    sources: tuple[str, ...]
    speed: int
    interval: float
    config: Path

    @property
    def pem(self) -> Path:
        return self.folder / "azure" / "ingress.pem"

    @property
    def gitops(self) -> Path:
        return self.folder / "azure" / "gitops.git"

    def control(self, path: str) -> Any:
        """What the local Azure's control host answers."""

        async def ask() -> Any:
            async with self.sandbox.client() as client:
                return (await client.get(f"{CONTROL}{path}")).raise_for_status().json()

        return asyncio.run(ask())

    def requests(self) -> list[dict[str, Any]]:
        """The contender's requests to Azure."""
        found: list[dict[str, Any]] = self.control("/requests")["requests"]
        return [entry for entry in found if entry["service"] != "control"]

    def unfinished(self) -> str:
        """What is not as it has to be at the end; empty if the cluster is prepared."""
        state = self.control("/state")
        (tags,) = state["registries"].values()
        (vault,) = state["vaults"].values()
        problems = []
        for source in self.sources:
            reference = ImageReference.parse(source)
            there = [tags.get(f"{at}/{reference.repository}", {}).get(reference.tag) for at in ("quarantine", "live")]
            if there[0] is None or there[0] != there[1]:
                problems.append(f"{reference.repository} is not in live/ as it was in quarantine/")
        if not vault["certificates"]:
            problems.append("no certificate was imported")
        if vault["ipRules"]:
            problems.append("the vault's firewall is open")
        if "REPLACE_ME" in git("grep", "-h", "", "main", "--", "*.yaml", folder=self.gitops):
            problems.append("the manifests were not pushed")
        return "; ".join(problems[:3])


@contextmanager
def scene(folder: Path, images: int, speed: int) -> Iterator[Scene]:
    """Set the scene, and end its local Azure with the block.

    :param folder: an empty one
    :param images: size of the release
    :param speed: divides Azure's durations
    """
    azure = folder / "azure"
    azure.mkdir(parents=True)
    known = catalogue(images)
    sources = tuple(str(image["reference"]) for image in known)
    interval = max(SHORTEST_INTERVAL, INTERVAL / speed)
    with served(scenario(known), azure, speed=speed) as sandbox:
        config = write_config(azure, [sources], interval=interval, deadline=240, patience=30)
        yield Scene(sandbox=sandbox, folder=folder, sources=sources, speed=speed, interval=interval, config=config)


def by_kind(requests: Sequence[Mapping[str, Any]]) -> dict[str, int]:
    """Numbers of requests by what they cost: ARM's reads and writes, queries, registries, and the rest."""
    return dict(sorted(Counter(map(_kind, requests)).items()))


def _kind(entry: Mapping[str, Any]) -> str:
    host, reads = str(entry["host"]), entry["method"] in ("GET", "HEAD")
    if host == "management.azure.com":
        if entry["path"].endswith("ResourceGraph/resources"):
            return "Resource Graph"
        return "ARM reads" if reads else "ARM writes"
    if host.endswith(LOGIN_SUFFIX):
        return "registry tokens" if entry["path"].startswith("/oauth2/") else "registry"
    if host.endswith(".vault.azure.net"):
        return "vault"
    return "upstream" if entry["path"].startswith("/v2/") else "others"
