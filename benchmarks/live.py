"""A rescan with thousands of images in ``live/``: requests, memory, CPU seconds, and time.

    make bench-live

Runs ``azure-sandbox serve`` and a worker (:mod:`benchmarks.live_worker`) in separate processes. The worker fills
``live/`` and rescans it twice: at first everything is new, then nothing is. Prints a table; asserts nothing.
"""

from __future__ import annotations

import argparse
import asyncio
import subprocess
import tempfile
from datetime import datetime
from pathlib import Path
from typing import Any

from benchmarks.gate import make_registry, scenario, work
from benchmarks.sandbox import CONTROL, Figure, Served, catalogue, served, show

#: At a higher speed, days would pass in the meantime, and everything would be rescanned.
SPEED = 60
#: Every tenth image has a finding beyond the limits.
BAD = {
    "outcome": "unhealthy",
    "findings": [{"cve": "CVE-2026-0001", "severity": "High", "package": "package-1", "version": "1.0"}],
}


async def figures(sandbox: Served, worker: dict[str, Any]) -> list[Figure]:
    """The worker's measurements, with those from the sandbox's log."""
    async with sandbox.client() as client:
        log = (await client.get(f"{CONTROL}/requests")).json()["requests"]
    found = [
        Figure("filling live/", f"{worker['filled']:.1f} s"),
        Figure("worker's memory before the rescans", f"{worker['memory_before']} MiB"),
    ]
    for name, measured in zip(("first", "second"), worker["rounds"], strict=True):
        began, ended = datetime.fromisoformat(measured["began"]), datetime.fromisoformat(measured["ended"])
        own = [
            entry
            for entry in log
            if began <= datetime.fromisoformat(entry["at"]) <= ended and entry["service"] != "control"
        ]
        times = ", ".join(f"{part} {seconds:.1f} s" for part, seconds in measured["seconds"].items())
        cpu = ", ".join(f"{part} {seconds:.2f} s" for part, seconds in measured["cpu"].items())
        found += [
            Figure(f"{name} rescan", f"{(ended - began).total_seconds():.1f} s ({times})"),
            Figure("  CPU seconds", f"{sum(measured['cpu'].values()):.2f} s ({cpu})"),
            Figure("  newly bad, bad in total", f"{measured['new']}, {measured['bad']}"),
            Figure("  queries to Resource Graph", str(sum(entry["path"].endswith("/resources") for entry in own))),
            Figure("  pages of the registry's lists", str(sum("/acr/v1/" in entry["path"] for entry in own))),
            Figure("  lists of referrers", str(sum("/referrers/" in entry["path"] for entry in own))),
            Figure("  requests, throttled", f"{len(own)}, {sum(entry['status'] == 429 for entry in own)}"),
            Figure("  peak memory", f"{measured['memory']} MiB"),
            *(Figure(f"  verdict {state}", str(count)) for state, count in sorted(measured["states"].items())),
        ]
    return found


def measure(size: int, scan: float) -> list[Figure]:
    images = catalogue(size)
    seeded = scenario(images, scan=scan * SPEED, import_image=1, artifact=1)
    seeded["scans"] |= {image["reference"].removeprefix("docker.io/").partition(":")[0]: BAD for image in images[::10]}
    with tempfile.TemporaryDirectory(prefix="pratique-bench-") as folder:
        home = Path(folder)
        with served(seeded, home, speed=SPEED) as sandbox:
            asyncio.run(make_registry(sandbox))
            gitops = home / "gitops.git"
            subprocess.run(["git", "init", "--quiet", "--bare", str(gitops)], check=True)  # noqa: S607
            measurements = work(sandbox, home, images, "live_worker", "--gitops", str(gitops))
            return asyncio.run(figures(sandbox, measurements))


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--images", type=int, default=5000, help="number of images in live/")
    parser.add_argument("--scan", type=float, default=1.0, help="seconds from an import to the end of its scan")
    options = parser.parse_args()
    show(measure(options.images, options.scan))


if __name__ == "__main__":
    main()
