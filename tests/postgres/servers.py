"""PostgreSQL, Redis and a Prefect server on both, as child processes in a folder, on free ports of loopback."""

from __future__ import annotations

import contextlib
import os
import pwd
import secrets
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import httpx

_PATIENCE_SECONDS = 180.0
SCRIPTS = Path(sys.executable).parent


@dataclass(frozen=True)
class PrefectServer:
    """Where the server is, and the environment of its clients.

    :ivar redis_url: database of the messages and leases
    """

    api: str
    environment: dict[str, str]
    redis_url: str


@contextlib.contextmanager
def postgres(folder: Path) -> Iterator[str]:
    """A new cluster; gives its URL for asyncpg. PostgreSQL refuses root: then Debian's user ``postgres`` runs it."""
    folder.mkdir()
    account = pwd.getpwnam("postgres") if os.geteuid() == 0 else None
    if account is not None:
        os.chown(folder, account.pw_uid, account.pw_gid)
    user = account.pw_uid if account else None
    password, port = secrets.token_hex(16), free_port()
    (folder / "password").write_text(password)
    data, programs = str(folder / "data"), _postgres_programs()
    make = [str(programs / "initdb"), "--pgdata", data, "--pwfile", str(folder / "password"), "--username", "prefect"]
    make += ["--auth", "scram-sha-256", "--encoding", "UTF8"]
    subprocess.run(make, check=True, stdout=subprocess.DEVNULL, user=user)
    command = [str(programs / "postgres"), "-D", data, "-k", str(folder), "-h", "127.0.0.1", "-p", str(port)]
    ready = [str(programs / "pg_isready"), "--quiet", "--host", "127.0.0.1", "--port", str(port)]
    with running(command, folder / "log", os.environ, user=user) as process:
        wait_until(lambda: subprocess.run(ready, check=False).returncode == 0, process, folder / "log")
        yield f"postgresql+asyncpg://prefect:{password}@127.0.0.1:{port}/postgres"


@contextlib.contextmanager
def redis(folder: Path) -> Iterator[int]:
    """An empty Redis that keeps nothing; gives its port."""
    folder.mkdir()
    port = free_port()
    command = [found("redis-server", "redis-server"), "--port", str(port), "--bind", "127.0.0.1", "--save", ""]
    with running([*command, "--dir", str(folder)], folder / "log", os.environ) as process:
        wait_until(lambda: _listens(port), process, folder / "log")
        yield port


@contextlib.contextmanager
def prefect(folder: Path, database_url: str, redis_port: int) -> Iterator[PrefectServer]:
    """Tables, API server and background services, each its own process, as docker-compose.yml has them."""
    folder.mkdir()
    port = free_port()
    api = f"http://127.0.0.1:{port}/api"
    client = {**os.environ, "PREFECT_HOME": str(folder), "PREFECT_API_URL": api, "PREFECT_LOGGING_LEVEL": "INFO"}
    server = client | {
        "PREFECT_SERVER_DATABASE_CONNECTION_URL": database_url,
        "PREFECT_SERVER_DATABASE_MIGRATE_ON_START": "false",
        "PREFECT_SERVER_EVENTS_MESSAGING_BROKER": "prefect_redis.messaging",
        "PREFECT_SERVER_EVENTS_MESSAGING_CACHE": "prefect_redis.messaging",
        "PREFECT_SERVER_EVENTS_CAUSAL_ORDERING": "prefect_redis.ordering",
        "PREFECT_SERVER_CONCURRENCY_LEASE_STORAGE": "prefect_redis.lease_storage",
        "PREFECT_SERVER_DOCKET_URL": f"redis://127.0.0.1:{redis_port}/1",
        "PREFECT_REDIS_MESSAGING_HOST": "127.0.0.1",
        "PREFECT_REDIS_MESSAGING_PORT": str(redis_port),
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "PREFECT_SERVER_UI_ENABLED": "false",
    }
    prefect_command("server", "database", "upgrade", "--yes", environment=server)
    start = [str(SCRIPTS / "prefect"), "server", "start", "--port", str(port), "--no-services"]
    services = [str(SCRIPTS / "prefect"), "server", "services", "start"]
    with (
        running(start, folder / "server.log", server) as process,
        running(services, folder / "services.log", server),
    ):
        wait_until(lambda: _ready(f"{api}/ready"), process, folder / "server.log")
        yield PrefectServer(api, client, f"redis://127.0.0.1:{redis_port}/0")


def prefect_command(*arguments: str, environment: Mapping[str, str]) -> None:
    """Run ``prefect`` to its end; a failure shows the end of what it printed."""
    command = [str(SCRIPTS / "prefect"), *arguments]
    done = subprocess.run(command, env=environment, check=False, capture_output=True, text=True)
    assert done.returncode == 0, (done.stdout + done.stderr)[-2000:]


@contextlib.contextmanager
def running(
    command: Sequence[str], log: Path, environment: Mapping[str, str], *, user: int | None = None
) -> Iterator[subprocess.Popen[bytes]]:
    """A child process that ends with the block.

    :param user: whose process it is; by default ours
    """
    with log.open("wb") as output:
        process = subprocess.Popen(command, env=environment, stdout=output, stderr=subprocess.STDOUT, user=user)
        try:
            yield process
        finally:
            process.terminate()
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def wait_until(ready: Callable[[], bool], process: subprocess.Popen[bytes], log: Path) -> None:
    """Until it is so, unless the process ends before."""
    give_up = time.monotonic() + _PATIENCE_SECONDS
    while not ready():
        assert process.poll() is None, log.read_text()
        assert time.monotonic() < give_up, log.read_text()
        time.sleep(0.1)


def found(program: str, package: str) -> str:
    """Path of a program that a Debian package brings."""
    path = shutil.which(program)
    assert path is not None, f"{program} is missing: apt-get install {package}"
    return path


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _postgres_programs() -> Path:
    """Debian keeps the server's programs off the PATH, one folder for each version."""
    versions = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: int(path.parts[-3]))
    return versions[-1].parent if versions else Path(found("initdb", "postgresql")).parent


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def _ready(url: str) -> bool:
    try:
        return httpx.get(url, timeout=2, trust_env=False).is_success
    except httpx.HTTPError:
        return False
