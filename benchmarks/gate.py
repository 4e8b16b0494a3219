"""The scan gate with a large release: requests, memory, and the time from the last scan to the verdict.

    make bench-gate

Runs ``azure-sandbox serve`` and a worker (:mod:`benchmarks.gate_worker`) in separate processes. The worker imports the
images and waits for them at the gate while their scans end one after another. Prints a table; asserts nothing.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from benchmarks.sandbox import ARM, CONTROL, GROUP, REGISTRY, Figure, Served, arm_token, catalogue, served, show
from demo.workspace import SIGNER

#: Slow enough that no image is due for its daily rescan while the gate waits.
SPEED = 300
#: Findings within the limits for every third image; each is a row in Resource Graph.
FINDINGS = 3


def scenario(images: list[dict[str, Any]], **timings: float) -> dict[str, Any]:
    """Images with one platform, most of them without findings.

    :param timings: of the local Azure that are not its defaults, in seconds of Azure's time
    """
    minor = [
        {"cve": f"CVE-2026-{number:04}", "severity": "Medium", "package": f"package-{number}", "version": "1.0"}
        for number in range(FINDINGS)
    ]
    found = {"outcome": "unhealthy", "findings": minor}
    names = [image["reference"].removeprefix("docker.io/").partition(":")[0] for image in images]
    return {
        "images": [image | {"platforms": ["linux/amd64"]} for image in images],
        "scans": dict.fromkeys(names[::3], found),
        "timings": timings,
    }


async def make_registry(sandbox: Served) -> None:
    subscription = sandbox.variables["AZURE_SUBSCRIPTION_ID"]
    path = f"resourceGroups/{GROUP}/providers/Microsoft.ContainerRegistry/registries/{REGISTRY}"
    async with sandbox.client() as client:
        body = {"location": "centralus", "sku": {"name": "Premium"}}
        headers = await arm_token(client, sandbox.variables)
        answer = await client.put(f"{ARM}/subscriptions/{subscription}/{path}", headers=headers, json=body)
        answer.raise_for_status()


def work(sandbox: Served, home: Path, images: list[dict[str, Any]], worker: str, *options: str) -> dict[str, Any]:
    """Run a worker, a module of this package, on the images. Returns the measurements that it prints."""
    arguments = [sys.executable, "-m", f"benchmarks.{worker}", *options]
    arguments += ["--registry", REGISTRY, "--group", GROUP, "--root", str(home / "defender-root.pem")]
    arguments += ["--signer", SIGNER]
    references = "\n".join(image["reference"] for image in images)
    environment = os.environ | sandbox.variables
    output = subprocess.run(arguments, input=references, env=environment, check=True, stdout=subprocess.PIPE, text=True)
    measurements: dict[str, Any] = json.loads(output.stdout)
    return measurements


def kind(request: Mapping[str, Any]) -> str:
    """What a request of the gate is for. The requests are those of the sandbox's log."""
    path = str(request["path"])
    if path.endswith("ResourceGraph/resources"):
        return "queries to Resource Graph"
    if "/referrers/" in path:
        return "lists of referrers"
    if "/manifests/sha256-" in path:
        return "lists under a referrers tag"
    if request["method"] == "HEAD":
        return "whether an image exists"
    return "content of artifacts" if "/v2/" in path else "others"


async def figures(sandbox: Served, worker: dict[str, Any]) -> list[Figure]:
    """The worker's measurements, with those from the sandbox's log and operations."""
    async with sandbox.client() as client:
        log = (await client.get(f"{CONTROL}/requests")).json()["requests"]
        operations = (await client.get(f"{CONTROL}/state")).json()["operations"]
    began, decided = datetime.fromisoformat(worker["began"]), datetime.fromisoformat(worker["decided"])
    scanned = max(
        datetime.fromisoformat(operation["finished"]) for operation in operations if operation["kind"] == "scan"
    )
    gate = [entry for entry in log if began <= datetime.fromisoformat(entry["at"]) <= decided]
    kinds = Counter(map(kind, gate))
    throttled = sum(entry["status"] == 429 for entry in log)
    return [
        Figure("import into quarantine", f"{worker['imported']:.1f} s"),
        Figure("wait at the gate", f"{(decided - began).total_seconds():.1f} s"),
        Figure("from the last scan to the verdict", f"{(decided - scanned).total_seconds():.1f} s"),
        Figure("progress reports", str(worker["reports"])),
        Figure("requests of the gate", str(len(gate))),
        *(Figure(f"requests: {name}", str(count)) for name, count in sorted(kinds.items())),
        Figure("throttled requests", str(throttled), "0"),
        Figure("CPU at the gate", f"{worker['cpu']:.2f} s"),
        Figure("CPU at the gate, for each image", f"{1000 * worker['cpu'] / sum(worker['states'].values()):.1f} ms"),
        Figure("worker's memory before the gate", f"{worker['memory_before']} MiB"),
        Figure("worker's peak memory", f"{worker['memory']} MiB"),
        *(Figure(f"verdict {state}", str(count)) for state, count in sorted(worker["states"].items())),
    ]


def measure(size: int, interval: float, scan: float) -> list[Figure]:
    images = catalogue(size)
    with tempfile.TemporaryDirectory(prefix="pratique-bench-") as folder:
        home = Path(folder)
        with served(scenario(images, scan=scan * SPEED), home, speed=SPEED) as sandbox:
            asyncio.run(make_registry(sandbox))
            return asyncio.run(
                figures(sandbox, work(sandbox, home, images, "gate_worker", "--interval", str(interval)))
            )


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--images", type=int, default=1000, help="size of the release")
    parser.add_argument("--interval", type=float, default=30.0, help="polling interval of the gate, in seconds")
    parser.add_argument("--scan", type=float, default=60.0, help="seconds from an import to the end of its scan")
    options = parser.parse_args()
    show(measure(options.images, options.interval, options.scan))


if __name__ == "__main__":
    main()
