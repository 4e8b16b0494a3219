"""A running sandbox for tests, in a thread of its own so that blocking clients can talk to it as well."""

from __future__ import annotations

import asyncio
import os
import signal
import tempfile
import threading
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any, Protocol, TypeVar

import httpx
import pytest
from hypothesis import settings

from sandbox.azure import Azure
from sandbox.home import Home
from sandbox.scenario import Scenario
from sandbox.server import Sandbox
from sandbox.tls import CertificateAuthority
from tests.waiting import HANGS

# No test asserts how fast anything is. The suite tries the same examples every time; `make fuzz` tries others.
settings.register_profile("suite", deadline=None, derandomize=True)
settings.register_profile("fuzz", deadline=None, print_blob=True)
settings.load_profile("suite")

# Background jobs have SIGINT and SIGQUIT ignored, and nohup ignores SIGHUP. Programs that tests start would inherit
# that, and shells cannot trap what was ignored when they started. A handler that does nothing is not inherited.
signal.signal(signal.SIGINT, signal.default_int_handler)
for _number in (signal.SIGHUP, signal.SIGQUIT, signal.SIGTERM):
    if signal.getsignal(_number) is signal.SIG_IGN:
        signal.signal(_number, lambda *_: None)

T = TypeVar("T")
SPEED = 3000.0

# By default httpx gives up after five seconds, which a busy machine may need for a handshake.
for _client in (httpx.Client, httpx.AsyncClient):
    vars(_client)["__init__"].__kwdefaults__["timeout"] = httpx.Timeout(HANGS)

# aiohttp reads SSL_CERT_FILE once, when it is first imported: the authority has to exist before any test module does.
_HOME = tempfile.TemporaryDirectory(prefix="azure-sandbox-tests-")
CertificateAuthority(Home(Path(_HOME.name)))
os.environ["SSL_CERT_FILE"] = str(Home(Path(_HOME.name)).ca_file)


class RunningSandbox:
    """A sandbox in a thread, whose time passes only while something waits for it.

    ``azure`` is its state, to be read freely; what changes state goes through :meth:`run` or the control host.
    """

    def __init__(self, home: Path, scenario: Scenario, speed: float) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="sandbox", daemon=True)
        self._thread.start()

        async def start() -> tuple[Sandbox, int]:
            sandbox = Sandbox(home, port=0, speed=speed, scenario=scenario, on_demand=True)
            return sandbox, await sandbox.start()

        self.sandbox, self.port = self.run(start())

    @property
    def azure(self) -> Azure:
        return self.sandbox.azure

    @property
    def environment(self) -> dict[str, str]:
        return self.sandbox.environment()

    @property
    def proxy(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine in the sandbox's loop and wait for it."""
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(HANGS)

    def control(self, method: str, path: str, **options: Any) -> dict[str, Any]:
        """Ask the control host."""
        with httpx.Client() as client:
            answer = client.request(method, f"https://sandbox.localhost{path}", **options)
        answer.raise_for_status()
        document: dict[str, Any] = answer.json()
        return document

    def close(self) -> None:
        self.run(self.sandbox.stop())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(HANGS)
        self._loop.close()


class StartSandbox(Protocol):
    def __call__(self, scenario: Scenario | None = None, *, speed: float = SPEED) -> RunningSandbox: ...


@pytest.fixture(autouse=True)
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the product gives up on after some seconds it gives up on only when that hangs."""
    monkeypatch.setattr("pratique.azure.session.CONNECT_SECONDS", HANGS)
    monkeypatch.setattr("pratique.azure.session.READ_SECONDS", HANGS)
    monkeypatch.setattr("pratique.azure.session.REQUEST_SECONDS", 10 * HANGS)
    monkeypatch.setattr("pratique.access.grant.FINISH_SECONDS", HANGS)
    monkeypatch.setattr("pratique.access.standing.READ_SECONDS", HANGS)


@pytest.fixture(scope="session")
def sandbox_home() -> Path:
    """Keys and certificates are made once for all tests of a worker."""
    return Path(_HOME.name)


@pytest.fixture
def start_sandbox(sandbox_home: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[StartSandbox]:
    """Starts a sandbox with a scenario and points this process's environment at it."""
    running: list[RunningSandbox] = []

    def start(scenario: Scenario | None = None, *, speed: float = SPEED) -> RunningSandbox:
        sandbox = RunningSandbox(sandbox_home, scenario or Scenario(), speed)
        running.append(sandbox)
        for name, value in sandbox.environment.items():
            monkeypatch.setenv(name, value)
        monkeypatch.setenv("XDG_CACHE_HOME", str(sandbox_home / "cache"))  # no rescan fills the user's
        return sandbox

    yield start
    for sandbox in running:
        sandbox.close()


@pytest.fixture
def sandbox(start_sandbox: Callable[..., RunningSandbox]) -> RunningSandbox:
    """The walkthrough's tenant, its network in place and its cluster's group empty."""
    return start_sandbox()
