"""Microsoft Defender for Containers: scans new images in a registry, rescans them daily, and reports with a delay.

Each platform manifest gets an operation ``scan``: it writes the rows of Resource Graph, in the formats that the
scenario selects, and later attaches the findings artifact to the image. :mod:`~sandbox.services.defender.verdicts`
decides what a scan finds, from the scenario as of the end of the scan. One background task does the recurring work:
rescans, which replace the rows and add another artifact, and removing the data of deleted images, which takes up to an
hour.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import cached_property

from sandbox.azure import Azure
from sandbox.core.arrivals import ImageArrived
from sandbox.core.operations import Operation
from sandbox.scenario import Scan
from sandbox.services.acr.models import LOGIN_SUFFIX, RepositoryEvent
from sandbox.services.acr.state import Registries
from sandbox.services.defender.advisories import advisories
from sandbox.services.defender.cve_details import cve_details
from sandbox.services.defender.daily import DailyScans
from sandbox.services.defender.findings_artifact import attach_statement, statement
from sandbox.services.defender.images import ScannedImage, index_of, platform_manifests
from sandbox.services.defender.notation import Signer
from sandbox.services.defender.recommendations import recommendations, with_first_dates
from sandbox.services.defender.reports import Report, Row
from sandbox.services.defender.subassessments import MDVM_KEY, QUALYS_KEY, mdvm_rows, parents, qualys_rows
from sandbox.services.defender.verdicts import Verdict, verdict
from sandbox.services.oci.repository import StoredManifest
from sandbox.services.oci.store import RegistryStore

_PREFIXES = ("quarantine/", "live/")
_AGE = timedelta(hours=2)  # of a signature whose certificate has expired
_ROUND = 1800.0  # Azure seconds between two passes of the background task


@dataclass(frozen=True)
class _Proof:
    """A statement to be attached to an image.

    :ivar signer: ``None`` leaves it unsigned
    """

    image: ScannedImage
    statement: bytes
    signer: Signer | None


class Defender:
    """The scanner and all its results.

    :raises ValueError: when the scenario's advisories file is invalid
    """

    def __init__(self, azure: Azure) -> None:
        self._azure = azure
        plan = azure.scenario.defender
        self._signer = Signer(azure.home, expired=plan.certificate == "expired", timestamps=plan.timestamp)
        self._running: set[ScannedImage] = set()
        self._reports: dict[ScannedImage, Report] = {}
        self._rows: dict[ScannedImage, list[Row]] = {}
        self._daily = DailyScans()
        self._rounds: asyncio.Task[None] | None = None
        advisories(azure.scenario.defender.advisories)
        azure.events.on(ImageArrived, self._arrived)
        azure.events.on(RepositoryEvent, self._used)

    def rows(self) -> Iterator[Row]:
        """All rows of Resource Graph's ``securityresources``."""
        generations = self._azure.scenario.defender.generations
        for rows in self._rows.values():
            yield from rows
        for generation, key in (("sub-assessments", MDVM_KEY), ("qualys", QUALYS_KEY)):
            if generation in generations:
                yield from parents(key, self._reports.values())

    def tenant_rows(self) -> Iterator[Row]:
        """The rows that only queries of the whole tenant return."""
        yield from cve_details(self._reports.values())

    def scan_of(self, repository: str) -> Scan:
        """The scenario's scan settings for a repository's images."""
        for prefix in _PREFIXES:
            repository = repository.removeprefix(prefix)
        return self._azure.scans.get(repository, Scan())

    def _assesses(self, registry_id: str) -> bool:
        plan = self._azure.scenario.defender_in(registry_id.split("/")[2])
        return plan.tier != "Free" and plan.registry_assessment

    @cached_property
    def _others(self) -> dict[str, Signer]:
        """Signers that impersonate Defender, by the name of their artifacts."""
        home = self._azure.home
        return {"forged-root": Signer(home, "forged"), "other-team": Signer(home, team="other-team")}

    def _arrived(self, event: ImageArrived) -> None:
        if not self._assesses(event.registry_id):
            return
        for manifest in platform_manifests(self._store(event.registry_id), event.repository, event.digest):
            image = _image(event.registry_id, event.repository, manifest.digest)
            self._daily.arrived(image, self._azure.clock.elapsed())
            if image not in self._running:
                self._running.add(image)
                self._start(image)
        if self._rounds is None:
            self._rounds = self._azure.spawn(self._run_periodically())

    def _used(self, event: RepositoryEvent) -> None:
        if event.operation == "Pull":
            image = _image(event.registry_id, event.repository, event.digest)
            self._daily.pulled(image, self._azure.clock.elapsed())

    def _start(self, image: ScannedImage) -> None:
        async def work(_: Operation) -> None:
            try:
                await self._scan(image)
            finally:
                self._running.discard(image)

        self._azure.operations.start("scan", f"{image.registry_host}/{image.repository}@{image.digest}", work)

    async def _scan(self, image: ScannedImage) -> None:
        clock, timings, scan = self._azure.clock, self._azure.scenario.timings, self.scan_of(image.repository)
        started = clock.now()
        usual = timings.late_scan if scan.outcome == "late" else timings.scan
        await clock.sleep(usual if scan.delay is None else scan.delay)
        if (proof := self._assess(image, started)) is not None:
            await clock.sleep(timings.artifact)
            self._attach(proof)

    async def _run_periodically(self) -> None:
        clock = self._azure.clock
        began = clock.elapsed()
        while True:
            await clock.sleep_until(began + _ROUND)
            began = clock.elapsed()  # not at the end: time may jump while a round runs
            self._forget_deleted()
            proofs = []
            for image in self._daily.due(began):
                if not self._assesses(image.registry_id):
                    continue
                proofs.append(self._assess(image, clock.now()))
                await asyncio.sleep(0)  # a thousand images must not block the event loop
            if any(proofs):
                await clock.sleep(self._azure.scenario.timings.artifact)
            for proof in filter(None, proofs):
                self._attach(proof)
                await asyncio.sleep(0)

    def _forget_deleted(self) -> None:
        for image in self._daily.images():
            if image not in self._running and self._manifest(image) is None:
                self._daily.forget(image)
                self._reports.pop(image, None)
                self._rows.pop(image, None)

    def _assess(self, image: ScannedImage, started: datetime) -> _Proof | None:
        """Finish a scan: store its findings, and return the statement to attach to the image."""
        self._daily.scanned(image, self._azure.clock.elapsed())
        if (stored := self._manifest(image)) is None:
            return None
        scan, plan = self.scan_of(image.repository), self._azure.scenario.defender
        known = advisories(plan.advisories)
        found = verdict(scan, known, self._store(image.registry_id).pool, stored.manifest)
        finished = self._azure.clock.now()
        if found is not None:
            self._keep(self._report(image, stored, found, finished))
        if scan.artifact in ("forged-root", "other-team"):
            signer = self._others[scan.artifact]
            return _Proof(image, statement(image, (), started=started, finished=finished), signer)
        if found is None or found == ("NotApplicable", ()) or scan.artifact == "none" or not plan.findings_artifact:
            return None
        document = statement(image, found.findings, started=started, finished=finished)
        return _Proof(image, document, self._signer if scan.artifact == "signed" else None)

    def _report(self, image: ScannedImage, stored: StoredManifest, found: Verdict, finished: datetime) -> Report:
        repository = self._store(image.registry_id).repository(image.repository)
        return Report(
            image=image,
            status=found.status,
            findings=found.findings,
            pushed=stored.created,
            scanned=finished,
            tenant_id=self._azure.tenant_id,
            tags=tuple(repository.tags_of(image.digest)),
            media_type=stored.manifest.media_type,
        )

    def _keep(self, report: Report) -> None:
        image, plan = report.image, self._azure.scenario.defender
        self._reports[image] = report
        if plan.digest_of == "index":
            index = index_of(self._store(image.registry_id), image.repository, image.digest)
            report = replace(report, image=replace(image, digest=index))
        rows: list[Row] = []
        if "individual" in plan.generations:
            rows += recommendations(report, plan)
        if "sub-assessments" in plan.generations:
            rows += mdvm_rows(report)
        if "qualys" in plan.generations:
            rows += qualys_rows(report)
        self._rows[image] = with_first_dates(rows, self._rows.get(image, []))

    def _attach(self, proof: _Proof) -> None:
        image, now = proof.image, self._azure.clock.now()
        if (stored := self._manifest(image)) is None:
            return
        store = self._store(image.registry_id)
        artifact = attach_statement(store, image.repository, stored.manifest, proof.statement, now)
        if proof.signer is not None:
            plan = self._azure.scenario.defender
            signed = now - _AGE if plan.certificate == "expired" else now
            proof.signer.attach_signature(store, image.repository, artifact, signed, plan.signature)

    def _manifest(self, image: ScannedImage) -> StoredManifest | None:
        store = self._store(image.registry_id)
        if image.repository not in store.repositories():
            return None
        return store.repository(image.repository).manifests.get(image.digest)

    def _store(self, registry_id: str) -> RegistryStore:
        return self._azure.state(Registries).store(registry_id.rsplit("/", 1)[-1])


def _image(registry_id: str, repository: str, digest: str) -> ScannedImage:
    name = registry_id.rsplit("/", 1)[-1]
    return ScannedImage(registry_id, f"{name}{LOGIN_SUFFIX}".lower(), repository, digest)
