"""The worker of :mod:`benchmarks.gate`: imports images, waits at the gate, and prints its measurements as JSON.

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
from pathlib import Path
from typing import Any

from pratique.azure.registries import Registry, get_registry, oci_client
from pratique.azure.session import AzureSession
from pratique.clock import SystemClock
from pratique.config import Gate
from pratique.evidence.candidates import candidates
from pratique.evidence.setup import set_up
from pratique.gate.wait import GateReport, WaitPolicy, assess
from pratique.http_pool import open_http
from pratique.images import ImageReference, ImportedImage
from pratique.oci.client import OciClient
from pratique.release.promotion import quarantine, resolve

IMPORTS_AT_ONCE = 50


def memory() -> int:
    """Peak resident memory so far in MiB; Linux counts in KiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024


async def import_images(
    session: AzureSession,
    client: OciClient,
    registry: Registry,
    references: Collection[str],
    platforms: Collection[str],
) -> list[ImportedImage]:
    limit = asyncio.Semaphore(IMPORTS_AT_ONCE)

    async def import_one(reference: str) -> ImportedImage:
        async with limit:
            resolved = await resolve(client, ImageReference.parse(reference), platforms)
            return await quarantine(session, client, registry, resolved, {})

    return list(await asyncio.gather(*(import_one(reference) for reference in references)))


async def work(options: argparse.Namespace, references: Sequence[str]) -> Mapping[str, Any]:
    gate = Gate(
        trust_store=(options.root,), trusted_identities=(options.signer,), interval=options.interval, report="full"
    )
    reports: list[GateReport] = []

    async def progress(report: GateReport) -> None:
        reports.append(report)

    async with AzureSession.open() as session, open_http(60) as http:
        client = oci_client(session, http, {})
        registry = await get_registry(session, options.registry, options.group)
        started = time.perf_counter()
        imported_images = await import_images(session, client, registry, references, gate.platforms)
        imported, before, began = time.perf_counter() - started, memory(), datetime.now(UTC)
        cpu = time.process_time()
        waiting = await candidates(client, registry.login_server, imported_images, gate.platforms)
        wait_policy = WaitPolicy(gate.interval, gate.patience, gate.deadline, fail_fast=False)
        ready = await set_up(gate, session, client, judged=session.group_id(options.group), clock=SystemClock())
        async with ready.poller:
            report = await assess(
                "benchmark", waiting, ready.rules, wait_policy, poller=ready.poller, progress=progress
            )
            cpu, decided = time.process_time() - cpu, datetime.now(UTC)
    return {
        "imported": imported,
        "began": began.isoformat(),
        "decided": decided.isoformat(),
        "cpu": cpu,
        "reports": len(reports),
        "memory_before": before,
        "memory": memory(),
        "states": Counter(str(verdict.state) for verdict in report.verdicts),
    }


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--registry", required=True)
    parser.add_argument("--group", required=True)
    parser.add_argument("--root", type=Path, required=True)
    parser.add_argument("--signer", required=True)
    parser.add_argument("--interval", type=float, required=True)
    options = parser.parse_args()
    print(json.dumps(asyncio.run(work(options, sys.stdin.read().split()))))


if __name__ == "__main__":
    main()
