"""Microsoft Defender for Containers: scans what arrives in a registry, and tells of it late.

An operation ``scan`` a platform manifest: first the rows of the individual recommendations — none for a clean image —
and some time later the signed findings artifact beside the image. What it makes of an image the scenario says, as it
stands when the scan ends; an image whose outcome is ``never`` leaves no trace at all.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

from sandbox.azure import Azure
from sandbox.core.arrivals import ImageArrived
from sandbox.core.operations import Operation
from sandbox.scenario import Scan
from sandbox.services.acr.models import LOGIN_SUFFIX
from sandbox.services.acr.part import Registries
from sandbox.services.defender.findings_artifact import attach_statement, statement
from sandbox.services.defender.images import ScannedImage, platform_manifests
from sandbox.services.defender.notation import Signer
from sandbox.services.defender.recommendations import Row, recommendations
from sandbox.services.oci.store import RegistryStore, StoredManifest

_PREFIXES = ("quarantine/", "live/")


class Defender:
    """The plan's scanner with everything that it has found."""

    def __init__(self, azure: Azure) -> None:
        self._azure = azure
        self._signer = Signer(azure.home)
        self._running: set[ScannedImage] = set()
        self._rows: dict[ScannedImage, list[Row]] = {}
        azure.events.on(ImageArrived, self._arrived)

    def rows(self) -> Iterator[Row]:
        """The recommendations about images that still exist."""
        for image, rows in self._rows.items():
            if self._manifest(image) is not None:
                yield from rows

    def scan_of(self, repository: str) -> Scan:
        """What the scenario says of a repository's images."""
        for prefix in _PREFIXES:
            repository = repository.removeprefix(prefix)
        return self._azure.scans.get(repository, Scan())

    def _arrived(self, event: ImageArrived) -> None:
        plan = self._azure.scenario.defender
        if plan.tier == "Free" or not plan.registry_assessment:
            return
        name = event.registry_id.rsplit("/", 1)[-1]
        for manifest in platform_manifests(self._store(name), event.repository, event.digest):
            image = ScannedImage(event.registry_id, f"{name}{LOGIN_SUFFIX}".lower(), event.repository, manifest.digest)
            if image not in self._running:
                self._running.add(image)
                self._start(image)

    def _start(self, image: ScannedImage) -> None:
        async def work(_: Operation) -> None:
            try:
                await self._scan(image)
            finally:
                self._running.discard(image)

        self._azure.operations.start("scan", f"{image.registry_host}/{image.repository}@{image.digest}", work)

    async def _scan(self, image: ScannedImage) -> None:
        clock, scenario = self._azure.clock, self._azure.scenario
        started, delay = clock.now(), self.scan_of(image.repository).delay
        await clock.sleep(scenario.timings.scan if delay is None else delay)
        scan, finished = self.scan_of(image.repository), clock.now()
        if scan.outcome == "never" or (stored := self._manifest(image)) is None:
            return
        findings = scan.findings if scan.outcome == "unhealthy" else ()
        self._rows[image] = recommendations(
            image, findings, pushed=stored.created, scanned=finished, tenant_id=self._azure.tenant_id
        )
        if scan.artifact and scenario.defender.findings_artifact:
            document = statement(image, findings, started=started, finished=finished)
            await clock.sleep(scenario.timings.artifact)
            self._attach(image, document, clock.now())

    def _attach(self, image: ScannedImage, document: bytes, now: datetime) -> None:
        if (stored := self._manifest(image)) is None:
            return
        store = self._store(image.registry_name)
        artifact = attach_statement(store, image.repository, stored.manifest, document, now)
        self._signer.attach_signature(store, image.repository, artifact, now)

    def _manifest(self, image: ScannedImage) -> StoredManifest | None:
        store = self._store(image.registry_name)
        if image.repository not in store.repositories():
            return None
        return store.repository(image.repository).manifests.get(image.digest)

    def _store(self, registry_name: str) -> RegistryStore:
        return self._azure.part(Registries).store(registry_name)
