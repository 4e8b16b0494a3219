"""``azure-sandbox serve --host``: clients on other machines and in other containers, and those that stay at home."""

from __future__ import annotations

import os
import shlex
import socket
import ssl
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from sandbox.control import HOST

SCRIPT = str(Path(sys.executable).with_name("azure-sandbox"))
#: An address of this machine that no sandbox takes by itself.
SECOND = "127.0.0.2"
EVERYWHERE = "0.0.0.0"  # noqa: S104 - that is what the tests are about


@dataclass(frozen=True)
class Serving:
    """A process that serves.

    :ivar warned: what it printed on its standard error
    """

    home: Path
    process: subprocess.Popen[str]
    warned: Path

    def env(self, *options: str) -> dict[str, str]:
        """The variables that ``azure-sandbox env`` prints."""
        printed = _run("env", "--home", str(self.home), *options).stdout
        return dict(word.split("=", 1) for word in shlex.split(printed) if word != "export")


@pytest.fixture(params=["127.0.0.1", EVERYWHERE, "::1"], scope="module")
def address(request: pytest.FixtureRequest) -> str:
    """Where to listen."""
    chosen: str = request.param
    try:
        with socket.socket(socket.AF_INET6 if ":" in chosen else socket.AF_INET) as probe:
            probe.bind((chosen, 0))
    except OSError as error:
        pytest.skip(f"this machine has no {chosen}: {error}")
    return chosen


@pytest.fixture(scope="module")
def serving(address: str, sandbox_home: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    """A sandbox that listens there."""
    warned = tmp_path_factory.mktemp("serving") / "warned"
    command = [SCRIPT, "serve", "--host", address, "--port", "0", "--home", str(sandbox_home)]
    with warned.open("w") as errors, subprocess.Popen(command, stdout=subprocess.PIPE, stderr=errors, text=True) as one:
        assert one.stdout is not None
        assert "listens on" in one.stdout.readline()
        yield Serving(sandbox_home, one, warned)
        one.terminate()


def test_clients_at_home_need_not_know(serving: Serving, address: str) -> None:
    """What ``env`` prints without options works on the same machine, wherever the sandbox listens."""
    variables = serving.env()
    assert _reached(variables["HTTPS_PROXY"], variables["SSL_CERT_FILE"])
    assert ("unprotected" in serving.warned.read_text()) == (address == EVERYWHERE)


@pytest.mark.parametrize("address", ["127.0.0.1", EVERYWHERE], scope="module")
def test_clients_elsewhere(serving: Serving, address: str) -> None:
    """``--proxy-host`` says what they call the sandbox's machine; only one that listens there answers."""
    variables = serving.env("--proxy-host", SECOND)
    assert (
        variables["HTTPS_PROXY"]
        == variables["https_proxy"]
        == serving.env()["HTTPS_PROXY"].replace("127.0.0.1", SECOND)
    )
    assert _reached(variables["HTTPS_PROXY"], variables["SSL_CERT_FILE"]) == (address == EVERYWHERE)


def test_a_client_that_gives_its_name(serving: Serving) -> None:
    """It stands where the scenario says, over IPv6 as over IPv4."""
    variables = serving.env()
    named = variables["HTTPS_PROXY"].replace("http://", "http://laptop@")
    with _client(named, variables["SSL_CERT_FILE"]) as client:
        client.get("https://management.azure.com/metadata/endpoints")
        requests = client.get(f"https://{HOST}/requests").json()["requests"]
    assert [entry["client"] for entry in requests if entry["host"] == "management.azure.com"] == ["laptop"]


def test_only_an_ip_address() -> None:
    """A name could mean several."""
    refused = _run("serve", "--host", "localhost", code=2)
    assert "does not appear to be an IPv4 or IPv6 address" in " ".join(refused.stderr.split())


def _run(*arguments: str, code: int = 0) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"COLUMNS": "200", "NO_COLOR": "1", "TERM": "dumb"}
    done = subprocess.run([SCRIPT, *arguments], env=environment, check=False, capture_output=True, text=True)
    assert done.returncode == code, done.stderr
    return done


def _client(proxy: str, authority: str) -> httpx.Client:
    return httpx.Client(proxy=proxy, verify=ssl.create_default_context(cafile=authority), trust_env=False)


def _reached(proxy: str, authority: str) -> bool:
    """Whether a client gets through to the sandbox."""
    with _client(proxy, authority) as client:
        try:
            return bool(client.get(f"https://{HOST}/clock").json()["speed"])
        except httpx.ConnectError:
            return False
