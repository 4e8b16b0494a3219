"""The worker of :mod:`benchmarks.live`: fills ``live/``, rescans it twice, and prints its measurements as JSON.

Reads references from standard input, one per line; environment variables point at Azure.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import resource
import sys
import time
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from typing import Any

import httpx

from benchmarks.gate_worker import IMPORTS_AT_ONCE, memory
from pratique.audit.registry_log import explain_live
from pratique.azure.registries import Registry, Upstream, get_registry, import_image, oci_client
from pratique.azure.session import AzureSession
from pratique.config import Gate
from pratique.config.scanning import Scanning
from pratique.evidence.content_store import ContentStore
from pratique.evidence.setup import GateSetup, set_up
from pratique.git.checkout import CommitAuthor, Repository
from pratique.http_pool import open_http
from pratique.images import ImageReference, ImportedImage
from pratique.records import cases
from pratique.records.branch import RecordsBranch
from pratique.records.cases import Cases
from pratique.records.promotions import PromotionRecord
from pratique.rescan.assessment import assess_images
from pratique.rescan.cases import update_cases
from pratique.rescan.inventory import Knowledge, take_inventory
from pratique.rescan.record import record
from pratique.rescan.report import Rescan, markdown


def cpu_seconds() -> float:
    """User and system CPU seconds so far of this process and of the programs that it ran, such as git."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(usage.ru_utime + usage.ru_stime for usage in used)


def _by_step(readings: Sequence[float]) -> dict[str, float]:
    """The differences between readings before the first step and after each."""
    steps = ("list", "assess", "follow up and report", "audit")
    return {step: after - before for step, (before, after) in zip(steps, pairwise(readings), strict=True)}


async def fill(session: AzureSession, registry: Registry, references: Collection[str]) -> None:
    """Import all images straight into live/, which is not measured."""
    limit = asyncio.Semaphore(IMPORTS_AT_ONCE)

    async def import_one(text: str) -> None:
        reference = ImageReference.parse(text)
        source = Upstream(reference.registry, reference.repository, reference.tag or "")
        target = f"live/{reference.repository}:{reference.tag}"
        async with limit:
            await import_image(session, registry, source=source, targets=[target])

    await asyncio.gather(*map(import_one, references))


class Worker:
    """One registry, one records branch, and the durations and CPU seconds of the steps."""

    def __init__(self, options: argparse.Namespace, session: AzureSession, http: httpx.AsyncClient) -> None:
        self._options = options
        self._session = session
        self._client = oci_client(session, http, {})
        self._records = RecordsBranch(
            Repository(remote=str(options.gitops), branch="pratique-records", orphan=True),
            CommitAuthor("Benchmark", "benchmark@localhost"),
        )
        self.seconds: dict[str, float] = {}
        self.cpu: dict[str, float] = {}

    async def record_promotions(self, registry: Registry) -> None:
        """Record all images, as their promotions would have."""
        inventory = await take_inventory(
            self._client, registry.login_server, Knowledge(await self._promotions(), (), {})
        )
        at = datetime.now(UTC)
        images = [
            ImportedImage(image=live.image, reference=live.reference, outcome="imported", verified=True)
            for live in inventory.images
        ]
        records = [PromotionRecord.of(image, policy="", run="", at=at) for image in images]
        await self._records.record(records, run="")

    async def rescan(self, registry: Registry, ready: GateSetup, scanning: Scanning) -> Rescan:
        """Rescan as the flow does, and measure each step."""
        began, used_before = time.perf_counter(), cpu_seconds()
        knowledge = Knowledge(await self._promotions(), (), {})
        inventory = await take_inventory(self._client, registry.login_server, knowledge)
        listed, used_to_list = time.perf_counter(), cpu_seconds()
        assessments = await assess_images(inventory.images, ready.rules, ready.poller, scanning)
        assessed, used_to_assess = time.perf_counter(), cpu_seconds()
        outcomes = []

        def rewrite(text: str | None) -> str:
            at = datetime.now(UTC)
            outcomes.append(update_cases(Cases.parse(text), inventory, assessments, scanning, window=168, at=at))
            return outcomes[-1].cases.text()

        await self._records.write({cases.FILE: rewrite}, "Follow up.", run="")
        rescan = Rescan(
            at=datetime.now(UTC),
            inventory=inventory,
            assessments=tuple(assessments),
            outcome=outcomes[-1],
            rules=ready.rules,
            scanning=scanning,
        )
        json.dumps(record(rescan))
        markdown(rescan)
        reported, used_to_report = time.perf_counter(), cpu_seconds()
        await explain_live(
            self._session,
            registry,
            inventory.references,
            inventory.promotions,
            quarantine=registry,
            at=datetime.now(UTC),
        )
        times = (began, listed, assessed, reported, time.perf_counter())
        used = (used_before, used_to_list, used_to_assess, used_to_report, cpu_seconds())
        self.seconds, self.cpu = _by_step(times), _by_step(used)
        return rescan

    async def work(self, references: Sequence[str]) -> Mapping[str, Any]:
        gate = Gate(trust_store=(self._options.root,), trusted_identities=(self._options.signer,))
        registry = await get_registry(self._session, self._options.registry, self._options.group)
        started = time.perf_counter()
        await fill(self._session, registry, references)
        filled = time.perf_counter() - started
        await self._wait_for_scans(len(references))
        await self.record_promotions(registry)
        before, scanning = memory(), Scanning(reactions=("hold",))
        rounds = []
        for _ in range(2):
            began = datetime.now(UTC)
            # Each run is a process of its own, so only what is on disk is reused.
            with ContentStore.open(self._options.gitops.with_name("attestations.sqlite")) as store:
                ready = await self._set_up(gate, store)
                async with ready.poller:
                    rescan = await self.rescan(registry, ready, scanning)
            ended = datetime.now(UTC)
            states = {
                "states": Counter(str(assessment.state) for assessment in rescan.assessments),
                "seconds": self.seconds,
                "cpu": self.cpu,
            }
            counts = {"new": len(rescan.outcome.of("newly bad")), "bad": len(rescan.at_risk), "memory": memory()}
            rounds.append(states | counts | {"began": began.isoformat(), "ended": ended.isoformat()})
        return {"filled": filled, "memory_before": before, "rounds": rounds}

    async def _set_up(self, gate: Gate, store: ContentStore) -> GateSetup:
        judged = self._session.group_id(self._options.group)
        return await set_up(gate, self._session, self._client, judged=judged, store=store)

    async def _wait_for_scans(self, images: int) -> None:
        """Wait until Defender has scanned every image."""
        async with open_http(60) as http:
            while True:
                state = (await http.get("https://sandbox.localhost/state")).json()
                scans = [entry for entry in state["operations"] if entry["kind"] == "scan" and entry["finished"]]
                if len(scans) >= images:
                    return
                await asyncio.sleep(2)

    async def _promotions(self) -> Any:
        return await self._records.promotions()


async def run(options: argparse.Namespace, references: Sequence[str]) -> Mapping[str, Any]:
    async with AzureSession.open() as session, open_http(60) as http:
        return await Worker(options, session, http).work(references)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--registry", required=True)
    parser.add_argument("--group", required=True)
    parser.add_argument("--root", type=Path, required=True)
    parser.add_argument("--signer", required=True)
    parser.add_argument("--gitops", type=Path, required=True)
    options = parser.parse_args()
    print(json.dumps(asyncio.run(run(options, sys.stdin.read().split()))))


if __name__ == "__main__":
    main()
