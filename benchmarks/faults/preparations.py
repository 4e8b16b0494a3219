"""Whole runs with one random fault in each: the design's invariants hold, and a second run converges.

A case is determined by the seed and its number, except for the order of parallel requests.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import re
import time
from collections.abc import Iterator
from pathlib import Path
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

from benchmarks.faults.cases import TIMINGS, Case, case
from benchmarks.faults.invariants import unfinished, unwell, wrong
from benchmarks.faults.points import Point
from benchmarks.faults.requests import short
from benchmarks.faults.surroundings import SURROUNDINGS, Run, Surrounding
from benchmarks.faults.worker import HANGS, PAUSES, SUBJECT
from flows.sweep_access import sweep_access
from pratique.errors import AccessNotRevoked, GateBlocked, PratiqueError
from sandbox.scenario import Scenario
from tests.conftest import RunningSandbox
from tests.flows.world import FALCO, KURED, World, make_world

PART = "a whole run"
_SPEED = 3000.0
#: A JSON Web Token: header and payload begin with {" in base64.
_TOKEN = re.compile(rb"eyJ[\w-]{10,}\.eyJ[\w-]{10,}\.")


class Preparations:
    """Runs cases against one sandbox and one Prefect server."""

    def __init__(self, sandbox: RunningSandbox, folder: Path) -> None:
        self._sandbox = sandbox
        self._folder = folder
        self._keys: list[bytes] = []
        self._requests: dict[str, int] = {}
        self._patience = HANGS

    def point(self, seed: int, number: int) -> Point:
        """Run the case with a number."""
        there = SURROUNDINGS[(number - 1) % len(SURROUNDINGS)]
        if there.name not in self._requests:
            self._requests[there.name] = asyncio.run(self._unharmed(there))
        return asyncio.run(self.run(seed, case(seed, number, there, self._requests[there.name])))

    def check_secrets(self) -> Point:
        """Search for keys, tokens and the identity's secret in all that Prefect wrote: files, results, database."""
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
            found.append("Prefect's files contain nothing of the runs: the search finds nothing")
        outcome = f"{len(self._keys)} keys searched for in {len(texts)} files"
        return Point(part=PART, group="secrets", name="secrets", outcome=outcome, request="", broken=tuple(found))

    def world(self, name: str, scenario: Scenario) -> World:
        """Another cluster, in a tenant without traces of the last one."""
        self._sandbox.run(self._sandbox.sandbox.reset(scenario))
        folder = self._folder / name
        folder.mkdir(parents=True)
        world = make_world(folder, self._sandbox, ((KURED,), (FALCO,)))
        key = world.pem.read_text().partition("PRIVATE KEY-----\n")[2].splitlines()
        self._keys.append(key[0].encode())
        return world

    async def _unharmed(self, there: Surrounding) -> int:
        """How many requests a run without faults sends; measures how long it takes, too."""
        scenario = Scenario(timings=TIMINGS, subscriptions=there.subscriptions)
        world = self.world(f"unharmed, {there.name}", scenario)
        with _response_timeout(HANGS):
            run = await there.arrange(world)
            before, started = world.last_request(), time.monotonic()
            await run.flow(run.parameter)
        # No single response of hundreds takes this long, on this machine as it is.
        self._patience = max(2.0, self._patience if self._requests else 0, (time.monotonic() - started) / 4)
        return len(world.requests(since=before))

    async def run(self, seed: int, case: Case) -> Point:
        """Run twice, the first time under a fault, and check everything after each run."""
        world = self.world(f"{seed}-{case.number}", case.scenario)
        with _response_timeout(HANGS):
            run = await case.surrounding.arrange(world)
        broken: list[str] = []
        error, hits = await self._under_fault(run, case, broken)
        outcome = type(error).__name__ if error else "succeeded"
        if world.state()["vaults"] and world.access:
            outcome += " + sweep"
            if not isinstance(error, AccessNotRevoked):
                broken.append(f"access left without an error: {world.access}")
            with _response_timeout(HANGS):
                await sweep_access(run.parameter, everything=True)
        broken += wrong(run, case.vulnerable)
        if case.vulnerable and not error:
            broken.append("a vulnerable image did not block the run")
        broken += [f"after the second run: {line}" for line in await self._converged(run, case)]
        return Point(
            part=PART,
            group=f"{case.surrounding.name}: {case.kind}",
            name=f"--part flows --seed {seed} --at {case.number}",
            outcome=outcome,
            request=(hits or [""])[0],
            broken=tuple(broken),
        )

    async def _under_fault(self, run: Run, case: Case, broken: list[str]) -> tuple[PratiqueError | None, list[str]]:
        """The run's error, and the requests that the fault hit."""
        since = run.world.last_request()
        await asyncio.to_thread(self._sandbox.control, "POST", "/faults", json=case.fault)
        with _response_timeout(self._patience if case.kind.startswith("timeout") else HANGS):
            error = await _run(run, broken)
        (hit,) = [fault["hits"] for fault in self._sandbox.control("GET", "/faults")["faults"]]
        requests = [short(request) for request in run.world.requests(since) if request["fault"]]
        self._sandbox.control("DELETE", "/faults")
        return error, (requests or [case.kind]) if hit else []

    async def _converged(self, run: Run, case: Case) -> list[str]:
        """What a second run without faults leaves wrong."""
        found: list[str] = []
        with _response_timeout(HANGS):
            error = await _run(run, found)
            if (error is not None) != case.vulnerable or (error and not isinstance(error, GateBlocked)):
                found.append(f"it {error or 'succeeded'}")
            found += [*wrong(run, case.vulnerable), *unfinished(run, case.vulnerable)]
            for world in () if case.vulnerable else (run.world, *run.neighbours):
                found += await unwell(world)
        return found


async def _run(run: Run, broken: list[str]) -> PratiqueError | None:
    """Run the flow; its error, if any, must be a complete PratiqueError."""
    try:
        await run.flow(run.parameter)
    except PratiqueError as error:
        if not all((error.attempted, error.subject, error.observed, error.remedy)):
            broken.append(f"an incomplete error: {error}")
        return error
    except Exception as error:
        broken.append(f"not a PratiqueError: {error!r}")
    return None


@contextlib.contextmanager
def preparations(folder: Path) -> Iterator[Preparations]:
    """Start a Prefect server and a sandbox, and point this process's environment at them."""
    home = folder / "prefect"
    settings = {
        PREFECT_HOME: home,
        PREFECT_LOCAL_STORAGE_PATH: home / "storage",
        PREFECT_SERVER_ANALYTICS_ENABLED: False,
    }
    with contextlib.ExitStack() as stack:
        # The server starts before the proxy exists.
        stack.enter_context(temporary_settings(settings))
        stack.enter_context(prefect_test_harness(server_startup_timeout=int(HANGS)))
        _silence_console()
        sandbox = RunningSandbox(folder / "sandbox", Scenario(timings=TIMINGS), _SPEED)
        stack.callback(sandbox.close)
        stack.enter_context(patch.dict("os.environ", sandbox.environment))
        for name, value in PAUSES.items():
            stack.enter_context(patch(name, value))
        yield Preparations(sandbox, folder / "worlds")


@contextlib.contextmanager
def _response_timeout(seconds: float) -> Iterator[None]:
    """Let the product give up on a response after some seconds: a busy machine may need long for one that comes."""
    with (
        patch("pratique.azure.session.READ_SECONDS", seconds),
        patch("pratique.azure.session.CONNECT_SECONDS", HANGS),
        patch("pratique.access.standing.READ_SECONDS", HANGS),
        patch("tasks.runtime._TIMEOUT", httpx.Timeout(seconds)),
    ):
        yield


def _silence_console() -> None:
    """Silence Prefect's console handlers: failing flow runs are expected here."""
    for name in list(logging.root.manager.loggerDict):
        for handler in logging.getLogger(name).handlers:
            if isinstance(handler, PrefectConsoleHandler):
                handler.setLevel(logging.CRITICAL + 1)
