"""The speed of the local Azure: start-up, cheap requests on one core, memory, and a large catalogue.

    make bench-sandbox

Runs ``azure-sandbox serve`` as a process, pinned to one core if possible, and connects to it over TLS. Prints a table
with goals; asserts nothing.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import shutil
import ssl
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import yaml

CONTROL = "https://sandbox.localhost"
ARM = "https://management.azure.com"
GROUP = "rg-bu0001a0005-centralus"
REGISTRY = "crbenchmark"
CONNECTIONS = 8
#: Images share base images, as in real catalogues; each has packages of its own.
BASES = ("debian:12", "alpine:3.20", "distroless:12")


@dataclass(frozen=True)
class Figure:
    """One row of the table.

    :ivar goal: the target value as text; empty without one
    """

    what: str
    value: str
    goal: str = ""


class Served:
    """A sandbox in a process of its own.

    :param speed: of Azure's time
    """

    def __init__(self, home: Path, scenario: Path, speed: int) -> None:
        binary = shutil.which("azure-sandbox", path=str(Path(sys.executable).parent)) or "azure-sandbox"
        arguments = [
            binary,
            "serve",
            "--port",
            "0",
            "--home",
            str(home),
            "--speed",
            str(speed),
            "--scenario",
            str(scenario),
        ]
        started = time.perf_counter()
        self.process = subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True)  # this project's program
        if hasattr(os, "sched_setaffinity"):
            os.sched_setaffinity(self.process.pid, {min(os.sched_getaffinity(0))})
        if self.process.stdout is None or not self.process.stdout.readline():
            raise RuntimeError("azure-sandbox did not start")
        self.startup = time.perf_counter() - started
        exported = subprocess.check_output([binary, "env", "--home", str(home)], text=True)  # this project's program
        lines = (line.removeprefix("export ").partition("=") for line in exported.splitlines())
        self.variables = {name: value.strip("'") for name, _, value in lines}

    def memory(self) -> int:
        """MiB of resident memory."""
        pages = int(Path(f"/proc/{self.process.pid}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE") // 2**20

    def client(self) -> httpx.AsyncClient:
        authority = ssl.create_default_context(cafile=self.variables["SSL_CERT_FILE"])
        limits = httpx.Limits(max_connections=CONNECTIONS)
        return httpx.AsyncClient(verify=authority, proxy=self.variables["HTTPS_PROXY"], limits=limits, timeout=120)


@contextmanager
def served(scenario: dict[str, Any], home: Path, *, speed: int = 3000) -> Iterator[Served]:
    file = home / "scenario.yaml"
    file.write_text(yaml.safe_dump(scenario))
    running = Served(home, file, speed)
    try:
        yield running
    finally:
        running.process.terminate()
        running.process.wait(10)


def catalogue(size: int) -> list[dict[str, Any]]:
    """Public images, as in a scenario."""
    return [
        {
            "reference": f"docker.io/bench/image-{number:04}:1.0.{number}",
            "base": BASES[number % len(BASES)],
            "packages": {f"package-{number}-{part}": f"1.{part}.{number}" for part in range(5)},
        }
        for number in range(size)
    ]


async def rate(work: Callable[[], Awaitable[httpx.Response]], seconds: float) -> float:
    """Responses per second, over all connections in parallel."""
    done, until = 0, time.perf_counter() + seconds

    async def ask() -> None:
        nonlocal done
        while time.perf_counter() < until:
            (await work()).raise_for_status()
            done += 1

    started = time.perf_counter()
    await asyncio.gather(*(ask() for _ in range(CONNECTIONS)))
    return done / (time.perf_counter() - started)


async def arm_token(client: httpx.AsyncClient, variables: dict[str, str]) -> dict[str, str]:
    form = {
        "grant_type": "client_credentials",
        "client_id": variables["AZURE_CLIENT_ID"],
        "client_secret": variables["AZURE_CLIENT_SECRET"],
        "scope": f"{ARM}/.default",
    }
    answer = await client.post(
        f"https://login.microsoftonline.com/{variables['AZURE_TENANT_ID']}/oauth2/v2.0/token", data=form
    )
    return {"Authorization": f"Bearer {answer.raise_for_status().json()['access_token']}"}


async def cheap_requests(sandbox: Served, seconds: float) -> list[Figure]:
    """Measure one kind of request after another."""
    group = f"{ARM}/subscriptions/{sandbox.variables['AZURE_SUBSCRIPTION_ID']}/resourceGroups/{GROUP}"
    busybox = "https://registry.k8s.io/v2/ingress-nginx/controller/manifests/v1.11.3"
    query = {"query": "resources | summarize count() by type"}
    async with sandbox.client() as client:
        headers = await arm_token(client, sandbox.variables)
        accept = {"Accept": "application/vnd.oci.image.index.v1+json"}
        kinds: dict[str, Callable[[], Awaitable[httpx.Response]]] = {
            "GET resource group (ARM: token, RBAC, bucket)": lambda: client.get(group, headers=headers),
            "GET role assignments of the group": lambda: client.get(
                f"{group}/providers/Microsoft.Authorization/roleAssignments", headers=headers
            ),
            "GET resources of the group": lambda: client.get(f"{group}/resources", headers=headers),
            "HEAD manifest (public registry)": lambda: client.head(busybox, headers=accept),
            "GET ifconfig.io": lambda: client.get("https://ifconfig.io"),
        }
        figures = [Figure(what, f"{await rate(work, seconds):.0f}/s", "200/s") for what, work in kinds.items()]
        started = time.perf_counter()
        for _ in range(5):
            answer = await client.post(
                f"{ARM}/providers/Microsoft.ResourceGraph/resources", headers=headers, json=query
            )
            answer.raise_for_status()
        figures.append(Figure("Resource Graph query", f"{(time.perf_counter() - started) / 5 * 1000:.0f} ms"))
    return figures


async def import_catalogue(sandbox: Served, images: list[dict[str, Any]]) -> list[Figure]:
    """Import all images into one registry in parallel."""
    group = f"{ARM}/subscriptions/{sandbox.variables['AZURE_SUBSCRIPTION_ID']}/resourceGroups/{GROUP}"
    registry = f"{group}/providers/Microsoft.ContainerRegistry/registries/{REGISTRY}"
    async with sandbox.client() as client:
        headers = await arm_token(client, sandbox.variables)
        body = {"location": "centralus", "sku": {"name": "Premium"}}
        (await client.put(registry, headers=headers, json=body)).raise_for_status()
        started = time.perf_counter()

        async def import_one(image: dict[str, Any]) -> None:
            source = image["reference"].removeprefix("docker.io/")
            body = {
                "source": {"registryUri": "docker.io", "sourceImage": source},
                "targetTags": [f"quarantine/{source}"],
            }
            answer = await client.post(f"{registry}/importImage", headers=headers, json=body)
            while answer.raise_for_status().status_code == 202:
                await asyncio.sleep(0.2)
                answer = await client.get(answer.headers["Location"], headers=headers)

        await asyncio.gather(*(import_one(image) for image in images))
        took = time.perf_counter() - started
        state = (await client.get(f"{CONTROL}/state")).json()
    repositories = len(state["registries"][REGISTRY])
    return [Figure(f"import of {repositories} images, including scans", f"{took:.1f} s")]


def measure(size: int, seconds: float) -> list[Figure]:
    """Measure everything, first with the default scenario, then with a catalogue."""
    with tempfile.TemporaryDirectory(prefix="azure-sandbox-bench-") as folder:
        home = Path(folder)
        with served({}, home):
            pass  # creates the home's keys and certificates
        with served({}, home) as sandbox:
            figures = [Figure("start-up", f"{sandbox.startup:.2f} s", "< 2 s")]
            figures += asyncio.run(cheap_requests(sandbox, seconds))
            figures.append(Figure("memory afterwards", f"{sandbox.memory()} MiB", "< 300 MiB"))
        images = catalogue(size)
        with served({"images": images}, home) as sandbox:
            figures.append(Figure(f"start-up with {size} images", f"{sandbox.startup:.2f} s"))
            figures += asyncio.run(import_catalogue(sandbox, images))
            figures += [
                Figure(f"with {size} images: {f.what}", f.value, f.goal)
                for f in asyncio.run(cheap_requests(sandbox, seconds))
            ]
            figures.append(Figure("memory afterwards", f"{sandbox.memory()} MiB", "< 300 MiB"))
    return figures


def show(figures: Sequence[Figure]) -> None:
    """Print the table."""
    width = max(len(figure.what) for figure in figures)
    for figure in figures:
        sys.stdout.write(f"{figure.what:<{width}}  {figure.value:>10}  {figure.goal}\n")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--images", type=int, default=1000, help="number of images in the catalogue")
    parser.add_argument("--seconds", type=float, default=5.0, help="duration of each measurement in seconds")
    options = parser.parse_args()
    show(measure(options.images, options.seconds))


if __name__ == "__main__":
    main()
