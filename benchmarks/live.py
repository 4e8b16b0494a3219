"""How a rescan fares with thousands of images in ``live/``: requests, memory, and time.

    make bench-live

Runs ``azure-sandbox serve`` as a process and a worker as another (:mod:`benchmarks.live_worker`), which fills ``live/``
and rescans it twice: the first time everything is new, the second time nothing is. Prints a table; asserts nothing.
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

#: Days would go by meanwhile at a greater one, and everything would be scanned again.
SPEED = 60
#: Every tenth image has a finding beyond the limits.
BAD = {
    "outcome": "unhealthy",
    "findings": [{"cve": "CVE-2026-0001", "severity": "High", "package": "package-1", "version": "1.0"}],
}


async def figures(sandbox: Served, worker: dict[str, Any]) -> list[Figure]:
    """What the worker says, beside what the sandbox's log says."""
    async with sandbox.client() as client:
        log = (await client.get(f"{CONTROL}/requests")).json()["requests"]
    found = [
        Figure("live/ was filled within", f"{worker['filled']:.1f} s"),
        Figure("memory of the worker before", f"{worker['memory_before']} MiB"),
    ]
    for name, told in zip(("first", "second"), worker["rounds"], strict=True):
        began, ended = datetime.fromisoformat(told["began"]), datetime.fromisoformat(told["ended"])
        own = [
            one for one in log if began <= datetime.fromisoformat(one["at"]) <= ended and one["service"] != "control"
        ]
        times = ", ".join(f"{part} {seconds:.1f} s" for part, seconds in told["seconds"].items())
        found += [
            Figure(f"{name} rescan", f"{(ended - began).total_seconds():.1f} s ({times})"),
            Figure("  newly bad, bad in all", f"{told['new']}, {told['bad']}"),
            Figure("  queries to Resource Graph", str(sum(one["path"].endswith("/resources") for one in own))),
            Figure("  pages of the registry's lists", str(sum("/acr/v1/" in one["path"] for one in own))),
            Figure("  lists of referrers", str(sum("/referrers/" in one["path"] for one in own))),
            Figure("  requests in all, throttled", f"{len(own)}, {sum(one['status'] == 429 for one in own)}"),
            Figure("  memory at its peak", f"{told['memory']} MiB"),
            *(Figure(f"  judged as {state}", str(count)) for state, count in sorted(told["states"].items())),
        ]
    return found


def measure(size: int, scan: float) -> list[Figure]:
    images = catalogue(size)
    seeded = scenario(images, 0) | {"timings": {"scan": scan * SPEED, "import_image": 1, "artifact": 1}}
    seeded["scans"] |= {image["reference"].removeprefix("docker.io/").partition(":")[0]: BAD for image in images[::10]}
    with tempfile.TemporaryDirectory(prefix="pratique-bench-") as folder:
        home = Path(folder)
        with served(seeded, home, speed=SPEED) as sandbox:
            asyncio.run(make_registry(sandbox))
            gitops = home / "gitops.git"
            subprocess.run(["git", "init", "--quiet", "--bare", str(gitops)], check=True)  # noqa: S607
            told = work(sandbox, home, images, "live_worker", "--gitops", str(gitops))
            return asyncio.run(figures(sandbox, told))


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--images", type=int, default=5000, help="how many stand in live/")
    parser.add_argument("--scan", type=float, default=1.0, help="seconds from an import to the end of its scan")
    options = parser.parse_args()
    show(measure(options.images, options.scan))


if __name__ == "__main__":
    main()
