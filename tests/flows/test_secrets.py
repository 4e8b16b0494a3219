"""What a run leaves in Prefect, in logs and in commits holds no secret."""

from __future__ import annotations

import base64
import json
import logging
import os
import re
from pathlib import Path

import pytest
from prefect.logging.handlers import APILogHandler
from prefect.settings import PREFECT_SERVER_DATABASE_CONNECTION_URL

from tests.flows.conftest import MakeWorld
from tests.flows.world import KURED, git, write_certificate

# Header and claims of a JSON web token, as base64url of '{"'.
_TOKEN = re.compile(rb"eyJ[\w-]{10,}\.eyJ[\w-]{10,}")


async def test_nothing_leaks(prefect: Path, world: MakeWorld, caplog: pytest.LogCaptureFixture) -> None:
    """Neither a run that ends well nor one that fails over its certificate writes a key, a password or a token."""
    cluster = world()
    caplog.set_level(logging.DEBUG)
    told = await cluster.prepare()
    secrets = [os.environ["AZURE_CLIENT_SECRET"], *_key_lines(cluster.pem)]
    write_certificate(cluster.pem, "somebody-else.contoso.com")
    await cluster.fail()
    secrets += _key_lines(cluster.pem)
    await APILogHandler.aflush()

    traces = _stored(prefect)
    traces["logs"] = caplog.text.encode()
    traces["commits"] = git("log", "-p", "--all", folder=cluster.gitops).encode()
    # What is no secret is found, so a secret would be.
    for known in (told.vault, told.thumbprint, KURED):
        assert any(known.encode() in trace for trace in traces.values())
    assert [name for name, trace in traces.items() for secret in secrets if secret.encode() in trace] == []
    assert [name for name, trace in traces.items() if _TOKEN.search(trace)] == []


def _key_lines(pem: Path) -> list[str]:
    lines = pem.read_text().split("PRIVATE KEY-----")[1].splitlines()
    return [line for line in lines if len(line) > 20 and "-----" not in line]


def _stored(home: Path) -> dict[str, bytes]:
    """Prefect's database and results; a result is a pickle in base64, by itself or in JSON."""
    database = Path(str(PREFECT_SERVER_DATABASE_CONNECTION_URL.value()).split("///")[1])
    traces = {path.name: path.read_bytes() for path in database.parent.iterdir()}
    for path in (home / "storage").iterdir():
        content = path.read_bytes()
        pickled = json.loads(content)["result"] if content.startswith(b"{") else content
        traces[path.name] = content + base64.b64decode(pickled)
    return traces
