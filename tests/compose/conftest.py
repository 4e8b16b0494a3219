"""One stack for all tests of this folder."""

from __future__ import annotations

import secrets
import subprocess
from collections.abc import Iterator

import httpx
import pytest

from tests.compose.stack import ROOT, Stack
from tests.processes import free_port


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """Everything, with the profile of the local Azure; gone afterwards, volumes included."""
    env_file = tmp_path_factory.mktemp("compose") / "env"
    subprocess.run([ROOT / "deployments" / "compose" / "write-env.sh", env_file], check=True, stdout=subprocess.DEVNULL)
    port = free_port()
    with env_file.open("a") as settings:
        settings.write(f"PRATIQUE_PORT={port}\nPRATIQUE_URL=http://127.0.0.1:{port}\nSANDBOX_SPEED=300\n")
    written = dict(line.split("=", 1) for line in env_file.read_text().splitlines())
    user, _, password = written["PREFECT_AUTH"].partition(":")
    with httpx.Client(
        base_url=f"http://127.0.0.1:{port}/api", auth=(user, password), timeout=600, trust_env=False
    ) as api:
        stack = Stack(f"pratique-{secrets.token_hex(3)}", env_file, written, api)
        try:
            stack.up()
            yield stack
        finally:
            stack.compose("down", "--volumes")
