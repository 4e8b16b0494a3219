"""A Prefect server on PostgreSQL and Redis, arranged as in docker-compose.yml.

Every part is a child process in a temporary folder, on a free port of loopback. PostgreSQL and Redis come from Debian's
packages postgresql and redis-server.
"""

from __future__ import annotations

import contextlib
import os
import pwd
import secrets
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path

from tests.installation import Server
from tests.processes import SCRIPTS, found, free_port, listens, responds, running, wait_until


class PostgresServer(Server):
    """A server whose messages and leases are in Redis.

    :ivar redis_url: their database
    """

    def __init__(self, url: str, environment: dict[str, str], redis_url: str) -> None:
        super().__init__(url, environment)
        self.redis_url = redis_url


@contextlib.contextmanager
def prefect_on_postgres() -> Iterator[PostgresServer]:
    """Start PostgreSQL, Redis and the server, with nothing deployed."""
    with tempfile.TemporaryDirectory(prefix="pratique-postgres-", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        # PostgreSQL may run as another user.
        folder.chmod(0o755)
        with (
            _postgres(folder / "postgres") as database_url,
            _redis(folder / "redis") as redis_port,
            _prefect(folder / "prefect", database_url, redis_port) as server,
        ):
            yield server


def prefect_command(*arguments: str, environment: Mapping[str, str]) -> None:
    """Run ``prefect`` to its end; a failure shows the end of what it printed."""
    command = [str(SCRIPTS / "prefect"), *arguments]
    done = subprocess.run(command, env=environment, check=False, capture_output=True, text=True)
    assert done.returncode == 0, (done.stdout + done.stderr)[-2000:]


@contextlib.contextmanager
def _postgres(folder: Path) -> Iterator[str]:
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
def _redis(folder: Path) -> Iterator[int]:
    """An empty Redis that keeps nothing; gives its port."""
    folder.mkdir()
    port = free_port()
    command = [found("redis-server", "redis-server"), "--port", str(port), "--bind", "127.0.0.1", "--save", ""]
    with running([*command, "--dir", str(folder)], folder / "log", os.environ) as process:
        wait_until(lambda: listens(port), process, folder / "log")
        yield port


@contextlib.contextmanager
def _prefect(folder: Path, database_url: str, redis_port: int) -> Iterator[PostgresServer]:
    """Tables, API server and background services, each its own process."""
    folder.mkdir()
    port = free_port()
    url = f"http://127.0.0.1:{port}/api"
    client = {**os.environ, "PREFECT_HOME": str(folder), "PREFECT_API_URL": url, "PREFECT_LOGGING_LEVEL": "INFO"}
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
        wait_until(lambda: responds(f"{url}/ready"), process, folder / "server.log")
        yield PostgresServer(url, client, f"redis://127.0.0.1:{redis_port}/0")


def _postgres_programs() -> Path:
    """Debian keeps the server's programs off the PATH, one folder for each version."""
    versions = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: int(path.parts[-3]))
    return versions[-1].parent if versions else Path(found("initdb", "postgresql")).parent
