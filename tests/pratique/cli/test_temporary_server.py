"""The Prefect server that a command starts where none is configured: when it starts, who sees it, how it ends."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import httpx
import pytest

from tests.installation import until
from tests.processes import free_port, wait_until

EXAMPLE = Path(__file__).parents[3] / "examples" / "bootstrap.yaml"
PROGRAM = """
import os, sys
from pathlib import Path
from pratique.cli.flow_runner import FlowRunner

runner = FlowRunner(Path(sys.argv[1]))

from prefect import flow, get_client
from tasks.runtime import server_ends_with_run

@flow
async def run() -> None:
    async with get_client() as client:
        print("url", client.api_url)
        print("temporary", server_ends_with_run(client))
        print("server", *(name for name in sys.modules if name.startswith("prefect.server")))
        sys.stdout.flush()
        sys.stdin.readline()

runner.run(run())
"""


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """Of a process that finds no server, and none of this user's settings."""
    home = tmp_path / "prefect"
    home.mkdir()
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PREFECT_")}
    return kept | {"PREFECT_HOME": str(home), "PREFECT_SERVER_ANALYTICS_ENABLED": "false"}


def _processes(environment: Mapping[str, str]) -> list[int]:
    """Ids of the processes that have this Prefect home and have not ended."""
    wanted, found = f"PREFECT_HOME={environment['PREFECT_HOME']}".encode(), []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if wanted in (process / "environ").read_bytes().split(b"\0"):
                found.append(int(process.name))
        except OSError:
            continue  # another user's, or it has ended
    return found


def _prepare(config: Path, environment: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "pratique", "prepare", str(config)]
    return subprocess.run(command, check=False, capture_output=True, text=True, env=environment)


def test_an_invalid_configuration_leaves_no_server(tmp_path: Path, environment: dict[str, str]) -> None:
    """Exit code 2 and one line; the server, which starts meanwhile, is gone, and has not made its database."""
    wrong = tmp_path / "wrong.yaml"
    wrong.write_text(EXAMPLE.read_text().replace("deadline: 240", "deadline: never"))
    for config in (wrong, tmp_path / "absent.yaml"):
        refused = _prepare(config, environment)
        assert refused.returncode == 2
        (line,) = refused.stderr.splitlines()
        assert line.startswith("pratique: ConfigurationError: ")
        assert _processes(environment) == []
    assert not [*Path(environment["PREFECT_HOME"]).glob("*.db")]


def test_it_serves_its_process_only(tmp_path: Path, environment: dict[str, str]) -> None:
    """The run reaches it, knows that it is temporary, and imports no server; when the process is killed, it ends."""
    log = tmp_path / "log"
    with log.open("w") as output:
        command = [sys.executable, "-c", PROGRAM, str(EXAMPLE)]
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=output, stderr=output, env=environment)
    try:
        wait_until(lambda: "server" in log.read_text().split(), process, log)
        said = dict(line.partition(" ")[::2] for line in log.read_text().splitlines())
        assert said["temporary"] == "True"
        assert said["server"] == ""
        assert httpx.get(f"{said['url']}health", trust_env=False).is_success
    finally:
        process.kill()
        process.wait()
    until(lambda: _processes(environment) == [])


def test_a_server_in_a_profile(environment: dict[str, str]) -> None:
    """Is the one that is used: no temporary one makes a database, and none is left."""
    url = f"http://127.0.0.1:{free_port()}/api"
    profile = f'active = "mine"\n[profiles.mine]\nPREFECT_API_URL = "{url}"\n'
    (Path(environment["PREFECT_HOME"]) / "profiles.toml").write_text(profile)
    refused = _prepare(EXAMPLE, environment | {"PREFECT_CLIENT_MAX_RETRIES": "0"})
    assert refused.returncode == 1
    assert f"Unavailable: Could not run the flow (Prefect server {url})" in refused.stderr.splitlines()[-1]
    assert _processes(environment) == []
    assert not [*Path(environment["PREFECT_HOME"]).glob("*.db")]
