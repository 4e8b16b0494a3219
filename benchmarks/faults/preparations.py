"""The whole preparation with one random fault a run: the invariants of the design hold, and a second run converges.

A case follows from the seed and its number alone, as far as the order of requests that are sent side by side does.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest.mock import patch

import httpx
from prefect.logging.handlers import PrefectConsoleHandler
from prefect.settings import (
    PREFECT_HOME,
    PREFECT_LOCAL_STORAGE_PATH,
    PREFECT_SERVER_ANALYTICS_ENABLED,
    PREFECT_SERVER_DATABASE_CONNECTION_URL,
    temporary_settings,
)
from prefect.testing.utilities import prefect_test_harness

from benchmarks.faults.points import Point
from benchmarks.faults.refusals import KINDS
from benchmarks.faults.scene import short
from benchmarks.faults.worker import PAUSES, SUBJECT
from flows.prepare_cluster import prepare_cluster
from flows.sweep_access import sweep_access
from pratique.errors import AccessNotRevoked, GateBlocked, PratiqueError
from pratique.images import ImageReference
from sandbox.scenario import Finding, Scan, Scenario, Timings
from tests.conftest import RunningSandbox
from tests.flows.world import FALCO, KURED, World, make_world

PART = "prepare_cluster"
_SPEED = 3000.0
_TIMINGS = Timings(role_assignment=0, firewall_rule=0)
_FINDING = Finding(cve="CVE-2024-6119", severity="Critical", package="openssl", version="3.1.4-r5")
_BLOCKED = ImageReference.parse(FALCO).repository
#: A JSON Web Token: header and payload begin with {" in base64.
_TOKEN = re.compile(rb"eyJ[\w-]{10,}\.eyJ[\w-]{10,}\.")
_OPERATIONS: dict[str, dict[str, Any]] = {
    "deployment fails": {"kind": "operation-fails", "operation": "deployment", "code": "InternalServerError"},
    "import fails": {"kind": "operation-fails", "operation": "import", "code": "InternalServerError"},
}
#: How many of them a run has.
_TIMES = {"deployment fails": 1, "import fails": 4}


@dataclass(frozen=True)
class Case:
    """What is done to one run.

    :ivar vulnerable: whether the gate has to block one of the two releases
    """

    number: int
    kind: str
    fault: dict[str, Any]
    vulnerable: bool

    @property
    def scenario(self) -> Scenario:
        scans = {_BLOCKED: Scan(outcome="unhealthy", findings=(_FINDING,))} if self.vulnerable else {}
        return Scenario(timings=_TIMINGS, scans=scans)


def case(seed: int, number: int, requests: int) -> Case:
    """The case of a number.

    :param requests: how many requests a run has
    """
    chance = random.Random(f"{seed}/{number}")  # noqa: S311  # no secret
    kind = chance.choice((*KINDS, *_OPERATIONS))
    nth = chance.randint(1, _TIMES.get(kind, requests))
    return Case(number, kind, {**(KINDS | _OPERATIONS)[kind], "nth": nth}, chance.random() < 0.2)


class Preparations:
    """Runs cases against one sandbox and one Prefect server."""

    def __init__(self, sandbox: RunningSandbox, folder: Path) -> None:
        self._sandbox = sandbox
        self._folder = folder
        self._keys: list[bytes] = []
        self._requests = 0

    def point(self, seed: int, number: int) -> Point:
        """Run the case of a number."""
        if not self._requests:
            self._requests = asyncio.run(self._unharmed())
        return asyncio.run(self.run(seed, case(seed, number, self._requests)))

    def secrets_kept(self) -> Point:
        """Look for keys, tokens and the identity's secret in whatever Prefect has written: files, results, database."""
        database = Path(str(PREFECT_SERVER_DATABASE_CONNECTION_URL.value()).partition("///")[2])
        files = [path for root in (PREFECT_HOME.value(), database.parent) for path in root.rglob("*") if path.is_file()]
        texts = {path: path.read_bytes() for path in files}
        secret = self._sandbox.environment["AZURE_CLIENT_SECRET"].encode()
        found = [
            f"a secret is in {path.name}"
            for path, text in texts.items()
            if secret in text or _TOKEN.search(text) or any(key in text for key in self._keys)
        ]
        if not any(SUBJECT.encode() in text for text in texts.values()):
            found.append("nothing of the runs is in Prefect's files: the search is blind")
        outcome = f"{len(self._keys)} keys looked for in {len(texts)} files"
        return Point(PART, "secrets", "secrets", outcome, "", tuple(found))

    def world(self, name: str, scenario: Scenario) -> World:
        """Another cluster, in a tenant that has forgotten the last one."""
        self._sandbox.run(self._sandbox.sandbox.reset(scenario))
        folder = self._folder / name
        folder.mkdir(parents=True)
        world = make_world(folder, self._sandbox, ((KURED,), (FALCO,)))
        key = world.pem.read_text().partition("PRIVATE KEY-----\n")[2].splitlines()
        self._keys.append(key[0].encode())
        return world

    async def _unharmed(self) -> int:
        """How many requests a run has in which nothing happens."""
        world = self.world("unharmed", Scenario(timings=_TIMINGS))
        await world.prepare()
        return len(world.requests())

    async def run(self, seed: int, case: Case) -> Point:
        """Run twice, the first time under a fault, and look at everything after each."""
        world = self.world(f"{seed}-{case.number}", case.scenario)
        await asyncio.to_thread(self._sandbox.control, "POST", "/faults", json=case.fault)
        broken: list[str] = []
        error = await _run(world, broken)
        (hit,) = [fault["hits"] for fault in self._sandbox.control("GET", "/faults")["faults"]]
        asked = [short(one) for one in world.requests() if one["fault"]]
        self._sandbox.control("DELETE", "/faults")
        outcome = type(error).__name__ if error else "succeeded"
        if world.state()["vaults"] and world.access:
            outcome += " + sweep"
            if not isinstance(error, AccessNotRevoked):
                broken.append(f"left in silence: {world.access}")
            await sweep_access(world.config, everything=True)
        broken += _wrong(world, case)
        if case.vulnerable and not error:
            broken.append("a vulnerable image was no obstacle")
        again = await _run(world, broken)
        if (again is not None) != case.vulnerable or (again and not isinstance(again, GateBlocked)):
            broken.append(f"the second run: {again or 'succeeded'}")
        broken += [f"after the second run: {line}" for line in (*_wrong(world, case), *_unfinished(world, case))]
        request = (asked or [case.kind])[0] if hit else ""
        return Point(PART, case.kind, f"--part flows --seed {seed} --at {case.number}", outcome, request, tuple(broken))


async def _run(world: World, broken: list[str]) -> PratiqueError | None:
    """Run the flow; what it ends with has to be ours, and whole."""
    try:
        await prepare_cluster(world.config)
    except PratiqueError as error:
        if not all((error.attempted, error.subject, error.observed, error.remedy)):
            broken.append(f"an error that does not explain itself: {error}")
        return error
    except Exception as error:
        broken.append(f"not an error of ours: {error!r}")
    return None


def _wrong(world: World, case: Case) -> list[str]:
    """Invariants that hold after every run, whatever happened."""
    broken = []
    live, upstream = (world.live, world.upstream()) if world.state()["registries"] else ({}, {})
    for tag, digest in live.items():
        if upstream.get(tag) != digest:
            broken.append(f"one digest: {tag} is {digest} in live/, {upstream.get(tag)} upstream")
        if case.vulnerable and tag.startswith(f"{_BLOCKED}:"):
            broken.append(f"gate: {tag} is in live/")
    if world.state()["vaults"] and world.access:
        broken.append(f"access ends: {world.access}")
    named = set(re.findall(r"sha256:[0-9a-f]{64}", world.manifests))
    if named - set(live.values()):
        broken.append(f"manifests last: {named - set(live.values())} is not in live/")
    return broken


def _unfinished(world: World, case: Case) -> list[str]:
    """What a run without a fault comes to, whatever was before."""
    (name,) = [ImageReference.parse(KURED).repository]
    wanted = {tag: digest for tag, digest in world.upstream().items() if not case.vulnerable or tag.startswith(name)}
    versions = [held["versions"] for held in world.vault["certificates"].values()]
    found = {"live": world.live, "commits": len(world.commits), "versions of the certificate": versions}
    expected = {"live": wanted, "commits": 0 if case.vulnerable else 2, "versions of the certificate": [1]}
    return [f"{what} is {found[what]}, not {expected[what]}" for what in expected if found[what] != expected[what]]


@contextlib.contextmanager
def preparations(folder: Path) -> Iterator[Preparations]:
    """A Prefect server, and a sandbox at which this process's environment points."""
    home = folder / "prefect"
    settings = {
        PREFECT_HOME: home,
        PREFECT_LOCAL_STORAGE_PATH: home / "storage",
        PREFECT_SERVER_ANALYTICS_ENABLED: False,
    }
    with contextlib.ExitStack() as stack:
        # The server starts before there is a proxy.
        stack.enter_context(temporary_settings(settings))
        stack.enter_context(prefect_test_harness(server_startup_timeout=60))
        _silence_console()
        sandbox = RunningSandbox(folder / "sandbox", Scenario(timings=_TIMINGS), _SPEED)
        stack.callback(sandbox.close)
        stack.enter_context(patch.dict("os.environ", sandbox.environment))
        for name, value in PAUSES.items():
            stack.enter_context(patch(name, value))
        stack.enter_context(patch("tasks.runtime._TIMEOUT", httpx.Timeout(2)))
        yield Preparations(sandbox, folder / "worlds")


def _silence_console() -> None:
    """Flow runs that fail are what this is about."""
    for name in list(logging.root.manager.loggerDict):
        for handler in logging.getLogger(name).handlers:
            if isinstance(handler, PrefectConsoleHandler):
                handler.setLevel(logging.CRITICAL + 1)
