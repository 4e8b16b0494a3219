"""A cluster's registry with scanned images on a local Azure, and what a probe says about it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import httpx

from pratique.azure.registries import Internal, Registry, get_registry, import_image, oci_client
from pratique.azure.session import AzureSession
from pratique.azure.vault import Vault
from pratique.cluster.infrastructure import Infrastructure
from pratique.config import Bootstrap
from pratique.images import ImageReference, UnresolvedReference
from pratique.preflight.probe.answers import Answer, ProbeReport
from pratique.preflight.probe.place import Place
from pratique.preflight.probe.run import PROBES, ask, report_on
from pratique.release.promotion import quarantine, resolve
from sandbox.scenario import Finding, Scan, Scenario, Timings
from sandbox.tenant import CLUSTER_GROUP
from tests.conftest import RunningSandbox
from tests.flows.world import KURED, make_config
from tests.sandbox.defending import NAME, scans_end
from tests.sandbox.monitoring import add_setting, add_workspace
from tests.sandbox.registries import add_registry, content

FALCO = "docker.io/falcosecurity/falcoctl:0.10.1"
IMAGES = (KURED, FALCO)
HIGH = Finding(cve="CVE-2024-6119", severity="High", package="openssl", version="3.1.4-r5", fixed_version="3.1.7-r1")
UNRATED = Finding(cve="CVE-2024-99999", severity=None, package="zlib", version="1.3-r1")
#: What Defender finds in the first image, and that it finds nothing in the second.
SCANS = {
    "kubereboot/kured": Scan(outcome="unhealthy", findings=(HIGH, UNRATED), delay=0),
    "falcosecurity/falcoctl": Scan(outcome="healthy", delay=0),
}
PROMPT = Timings(role_assignment=0, firewall_rule=0, graph=0, log_ingestion=0)


def scenario(**changes: Any) -> Scenario:
    """One image with findings and one without, and nothing that takes effect late."""
    return Scenario.model_validate({"timings": PROMPT, "scans": SCANS} | changes)


@dataclass(frozen=True)
class Probed:
    """A local Azure with a registry, and the configuration that names it."""

    sandbox: RunningSandbox
    config: Bootstrap

    async def answers(self, *topics: str) -> dict[str, Answer]:
        """New answers, by the question's id.

        :param topics: first parts of the questions' ids; default: all
        """
        probes = [probe for probe in PROBES if not topics or probe.questions[0].id.startswith(topics)]
        async with self.place() as place:
            place.learn()
            groups = await asyncio.gather(*(ask(probe, place) for probe in probes))
        return {answer.question.id: answer for group in groups for answer in group}

    async def report(self) -> ProbeReport:
        async with self.place() as place:
            return await report_on(place)

    @asynccontextmanager
    async def place(self) -> AsyncIterator[Place]:
        """The registry as a probe finds it, without a deployment that created it."""
        async with AzureSession.open(poll_seconds=0.05) as session, httpx.AsyncClient() as http:
            place = Place(self.config, session, oci_client(session, http, {}), await session.caller())
            place.infrastructure = infrastructure(await get_registry(session, NAME, CLUSTER_GROUP))
            yield place

    def requests(self, since: int = 0) -> list[dict[str, Any]]:
        """The local Azure's log of requests after number ``since``."""
        found: list[dict[str, Any]] = self.sandbox.control("GET", f"/requests?since={since}")["requests"]
        return [entry for entry in found if entry["service"] != "control"]

    def last_request(self) -> int:
        return max((int(entry["number"]) for entry in self.requests()), default=0)


class Prepare(Protocol):
    async def __call__(self, scenario: Scenario, images: tuple[str, ...] = IMAGES, *, live: bool = True) -> Probed: ...


async def probed(sandbox: RunningSandbox, folder: Path, images: tuple[str, ...], live: bool) -> Probed:
    """A registry whose log is kept, with images in the quarantine.

    :param live: whether they are in live/ as well
    """
    registry = add_registry(sandbox, NAME, publicNetworkAccess="Disabled")
    workspace = add_workspace(sandbox)
    add_setting(sandbox, registry, workspace)
    found = Probed(sandbox, make_config(folder, sandbox.azure.home.directory, (images,)))
    async with found.place() as place:
        await bring(place, images, live)
    await scans_end(sandbox)
    return found


async def bring(place: Place, sources: tuple[str, ...], live: bool) -> None:
    """Import images as a run does, and promote them if they are to be in live/."""
    at = place.deployed()
    for source in sources:
        image = await resolve(place.client, ImageReference.parse(source), ("linux/amd64",))
        assert not isinstance(image, UnresolvedReference)
        moved = await quarantine(place.session, place.client, at.quarantine, image, {})
        if live:
            target = image.location.released(at.registry.login_server)
            internal = Internal(at.quarantine.id, moved.reference.repository, image.digest)
            tag = f"{target.repository}:{target.tag}"
            await import_image(place.session, at.registry, source=internal, targets=[tag])


def infrastructure(registry: Registry) -> Infrastructure:
    """The infrastructure around one registry."""
    vault = Vault(
        "kv-ingress", registry.id.replace("Microsoft.ContainerRegistry/registries", "Microsoft.KeyVault/vaults")
    )
    return Infrastructure(
        quarantine=registry,
        registry=registry,
        vault=vault,
        ingress_client_id="",
        tenant_id="",
        outcome="unchanged",
        seconds=0.0,
    )


def text_of(report: ProbeReport) -> str:
    """Everything that a report tells, on the terminal and in the file."""
    return report.text() + json.dumps(report.document())


def secrets(sandbox: RunningSandbox) -> Iterator[str]:
    """What identifies the tenant: ids, names, hosts, addresses, repositories and digests that the local Azure knows."""
    azure = sandbox.azure
    identity = azure.scenario.identity
    yield from (identity.tenant_id, identity.subscription_id, identity.client_id, identity.object_id)
    yield from (client.address for client in (azure.scenario.client, *azure.scenario.clients.values()))
    for principal in azure.access.principals.values():
        yield from (principal.object_id, principal.name)
    for document in azure.resources.list():
        yield from (document["id"], document["name"], document["id"].split("/")[4])
        yield from map(str, _texts(document["properties"], ("loginServer", "customerId", "vaultUri")))
    yield from (assignment.name for assignment in azure.access.assignments())
    for name in {document["name"] for document in azure.resources.list("Microsoft.ContainerRegistry/registries")}:
        for repository, digests in _contents(sandbox, name):
            yield from (repository, repository.replace("/", "-"), repository.partition("/")[2])
            yield from repository.split("/")[1:]
            yield from (part for digest in digests for part in (digest, digest.removeprefix("sha256:")))
    yield from ("contoso", "aks-ingress", "gitops")


#: Names in the local Azure that are words of everybody's.
COMMON = frozenset({"default", "library"})


def leaked(text: str, sandbox: RunningSandbox) -> list[str]:
    """The secrets that a text tells, in any letter case."""
    folded = text.casefold()
    return sorted({secret for secret in secrets(sandbox) if secret.casefold() in folded} - COMMON - {""})


def _texts(properties: dict[str, Any], keys: tuple[str, ...]) -> Iterator[str]:
    yield from (properties[key] for key in keys if key in properties)


def _contents(sandbox: RunningSandbox, name: str) -> Iterator[tuple[str, list[str]]]:
    store = content(sandbox, name)
    for repository in sandbox.control("GET", "/state")["registries"].get(name, {}):
        yield repository, list(store.repository(repository).manifests)


def holds(answers: dict[str, Answer], question: str, *parts: str) -> None:
    """That each part is in one of the lines of an answer that was seen."""
    answer = answers[question]
    assert answer.state == "seen", answer
    for part in parts:
        assert any(part in line for line in answer.observed), (part, answer.observed)
