"""Images in quarantine and the gate in front of them, wired as a run wires them: its own clients, over TLS."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import httpx

from pratique.azure.registries import Registry, Upstream, get_registry, import_image, oci_client
from pratique.azure.resource_ids import ResourceId
from pratique.azure.session import AzureSession
from pratique.clock import SystemClock
from pratique.config import Gate
from pratique.evidence.candidates import candidates
from pratique.evidence.setup import GateSetup, set_up
from pratique.gate.candidate import Candidate
from pratique.gate.verdict import PlatformVerdict, VerdictState
from pratique.gate.wait import GateReport, WaitPolicy, assess
from pratique.images import ImageReference, PlatformManifest, ResolvedImage, UnresolvedReference
from pratique.oci.client import OciClient
from pratique.release.promotion import quarantine, resolve
from sandbox.core.arrivals import ImageArrived
from sandbox.scenario import Scan
from sandbox.services.acr.imports import ImportRequest, Source, copy, read_source
from sandbox.services.public_registries.state import PublicRegistries
from sandbox.tenant import CLUSTER_GROUP
from tests.conftest import RunningSandbox
from tests.pratique.gate.kit import Entry
from tests.sandbox.defending import DEFENDER, NAME, scans_end
from tests.sandbox.registries import add_registry, content, registry_id

PLATFORMS = ("linux/amd64",)
Progress = Callable[[GateReport], Awaitable[None]]


class Hurried(SystemClock):
    """The system clock, which a test can move ahead: hours at the gate pass in a moment."""

    def __init__(self) -> None:
        self._ahead = timedelta()

    def now(self) -> datetime:
        return super().now() + self._ahead

    def jump(self, *, minutes: float) -> None:
        self._ahead += timedelta(minutes=minutes)


def noting(event: asyncio.Event) -> Progress:
    """For those who need to know when the first report is made."""

    async def told(_: GateReport) -> None:
        event.set()

    return told


async def unheard(_: GateReport) -> None:
    """For those who only need the result."""


@dataclass(frozen=True)
class Quarantine:
    """A registry of the sandbox, and this worker's connections."""

    sandbox: RunningSandbox
    session: AzureSession
    client: OciClient
    registry: Registry

    async def bring(self, *references: str) -> list[Candidate]:
        """Import images as a run does, and wait for those of their scans that take place."""
        resolved = [await self.resolve(reference) for reference in references]
        moved = await asyncio.gather(*(quarantine(self.session, self.client, self.registry, r, {}) for r in resolved))
        await scans_end(self.sandbox)
        return await candidates(self.client, self.registry.login_server, moved, PLATFORMS)

    async def resolve(self, reference: str) -> ResolvedImage:
        found = await resolve(self.client, ImageReference.parse(reference), PLATFORMS)
        assert not isinstance(found, UnresolvedReference)
        return found

    async def arrive_again(self, reference: str, scan: Scan | None = None) -> None:
        """Import once more, whoever does it, which starts a scan.

        :param reference: with a tag, for what that names now; or with a digest
        :param scan: what Defender makes of the repository from now on
        """
        image = ImageReference.parse(reference)
        if scan is not None:
            self.sandbox.azure.scans[image.repository] = scan
        source = Upstream(image.registry, image.repository, image.tag or image.digest or "")
        target = f"quarantine/{image.repository}:{image.tag or 'again'}"
        await import_image(self.session, self.registry, source=source, targets=[target], force=True)

    async def stock(self, *references: str) -> list[Candidate]:
        """Many images at once, without the way through Resource Manager that :meth:`bring` takes."""
        sandbox, host = self.sandbox, self.registry.login_server

        async def put() -> list[Candidate]:
            return [_put(sandbox, ImageReference.parse(reference), host) for reference in references]

        found = await asyncio.to_thread(sandbox.run, put())
        await scans_end(sandbox)
        return found

    def gate(self, **settings: Any) -> Gate:
        """With Defender's root, and looks that follow one another quickly within Resource Graph's quota."""
        root = self.sandbox.azure.home.directory / "defender-root.pem"
        trust = {"trust_store": [root], "trusted_identities": [DEFENDER]}
        return Gate.model_validate(trust | {"interval": 0.4, "report": "full"} | settings)

    async def judge(
        self,
        images: Sequence[Candidate],
        gate: Gate | None = None,
        clock: Hurried | None = None,
        told: Progress = unheard,
    ) -> GateReport:
        """The verdict on one release that nobody else waits with."""
        gate = gate or self.gate()
        async with self.ready(gate, clock) as ready:
            return await wait("one", images, gate, ready, told)

    @asynccontextmanager
    async def ready(self, gate: Gate, clock: Hurried | None = None) -> AsyncIterator[GateSetup]:
        """The gate as the releases of one run share it."""
        group = ResourceId.parse(self.registry.id).group_id
        made = await set_up(gate, self.session, self.client, judged=group, clock=clock)
        async with made.poller:
            yield made

    # What the sandbox's log tells

    def queries(self) -> int:
        """Queries to Resource Graph."""
        return sum(entry.path.endswith("ResourceGraph/resources") for entry in self.sandbox.azure.requests.since(0))

    def lookups(self, images: Sequence[Candidate]) -> Mapping[str, set[int]]:
        """By repository, how often the artifacts of one or another of its digests were listed."""
        listed = Counter(
            entry.path.rpartition("/")[2]
            for entry in self.sandbox.azure.requests.since(0)
            if "/referrers/" in entry.path and entry.status == 200
        )
        found: dict[str, set[int]] = {}
        for image in images:
            counts = (listed[subject.digest] for subject in image.subjects(PLATFORMS))
            found.setdefault(image.image.reference.repository, set()).update(counts)
        return found


@asynccontextmanager
async def opened(sandbox: RunningSandbox) -> AsyncIterator[Quarantine]:
    """An empty registry behind a private link."""
    add_registry(sandbox, NAME, publicNetworkAccess="Disabled")
    async with AzureSession.open() as session, httpx.AsyncClient(timeout=60) as http:
        yield Quarantine(
            sandbox, session, oci_client(session, http, {}), await get_registry(session, NAME, CLUSTER_GROUP)
        )


async def wait(
    release: str, images: Sequence[Candidate], gate: Gate, ready: GateSetup, told: Progress = unheard
) -> GateReport:
    """As the gate's task does."""
    wait_policy = WaitPolicy(gate.interval, gate.patience, gate.deadline, gate.report == "fail-fast")
    return await assess(release, images, ready.rules, wait_policy, poller=ready.poller, progress=told)


def states(report: GateReport) -> list[VerdictState]:
    return [verdict.state for verdict in report.verdicts]


def only(report: GateReport) -> PlatformVerdict:
    """The verdict on a release of one image with one platform."""
    ((platform_verdict,),) = (verdict.platforms for verdict in report.verdicts)
    return platform_verdict


def written(folder: Path, **lists: Sequence[Entry]) -> Path:
    """An exceptions file."""
    path = folder / "accepted.yaml"
    path.write_text(json.dumps(lists))
    return path


def _put(sandbox: RunningSandbox, reference: ImageReference, host: str) -> Candidate:
    upstream = sandbox.azure.state(PublicRegistries).store(reference.registry)
    assert upstream is not None
    target, tag, now = reference.location().quarantined(host).repository, reference.tag or "", sandbox.azure.clock.now()
    source, request = (
        Source(upstream, str(reference)),
        ImportRequest(repository=reference.repository, reference=tag, tagged=((target, tag),), untagged=(), force=True),
    )
    manifests = read_source(source, request)
    index = manifests[-1]
    copy(source, request, manifests, content(sandbox, NAME))
    sandbox.azure.events.emit(
        ImageArrived(
            registry_id=registry_id(sandbox, NAME),
            repository=target,
            tag=tag,
            digest=index.digest,
            time=now,
            kind="import",
        )
    )
    runnable = tuple(
        PlatformManifest(f"{platform['os']}/{platform['architecture']}", entry["digest"])
        for entry in index.body["manifests"]
        if (platform := entry["platform"])["os"] != "unknown"
    )
    contents = tuple(entry["digest"] for entry in index.body["manifests"])
    image = ResolvedImage(reference, index.digest, runnable, len(contents) - len(runnable), contents)
    return Candidate(
        image=image, registry=host, repository=target, since=now, arrivals=tuple((one.digest, now) for one in runnable)
    )
