"""The worker's identity: a pause of what gives tokens is transient, and is not called a missing credential."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from azure.core.exceptions import ServiceRequestTimeoutError
from azure.core.pipeline.transport import AioHttpTransport

from pratique.azure.session import AzureSession
from pratique.errors import (
    AuthenticationFailed,
    ConfigurationError,
    PratiqueError,
    Throttled,
    TransientError,
    Unavailable,
)
from sandbox.services.entra.state import Entra
from sandbox.services.imds.routes import HOST
from tests.conftest import RunningSandbox
from tests.waiting import HANGS

VAULT = "https://vault.azure.net/.default"
NOT_CONFIGURED = "No credential is configured"
NOWHERE = "http://127.0.0.1:1"


@pytest.fixture(autouse=True)
def without_the_sdks_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its pauses between attempts, up to 75 seconds, take no time, and a busy machine may take some to connect."""
    really = AioHttpTransport.send

    async def sleep(*_: object) -> None:
        return None

    async def send(transport: AioHttpTransport, request: Any, **options: Any) -> Any:
        options.pop("connection_timeout", None)
        return await really(transport, request, **options)

    monkeypatch.setattr(AioHttpTransport, "sleep", sleep)
    monkeypatch.setattr(AioHttpTransport, "send", send)
    monkeypatch.setattr("pratique.azure.identity.CLI_SECONDS", HANGS)


class Machine:
    """Where the worker runs: which credentials its environment has."""

    def __init__(self, sandbox: RunningSandbox, monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
        self.sandbox, self.set, self._folder = sandbox, monkeypatch.setenv, folder
        for name in ("AZURE_CLIENT_ID", "AZURE_CLIENT_SECRET", "AZURE_TENANT_ID"):
            monkeypatch.delenv(name)
        monkeypatch.setenv("PATH", str(folder))
        self.proxy(NOWHERE)

    def proxy(self, url: str) -> None:
        """Where plain HTTP goes, and so the requests for a managed identity."""
        for name in ("HTTP_PROXY", "http_proxy"):
            self.set(name, url)

    def identity(self, *, named: bool = False) -> None:
        """Give the machine a managed identity."""
        self.proxy(self.sandbox.proxy)
        if named:
            self.set("AZURE_CLIENT_ID", self.sandbox.azure.scenario.identity.client_id)

    def az(self, script: str) -> Path:
        """Install an az CLI; returns a file that it makes when it is called."""
        called = self._folder / "called"
        program = self._folder / "az"
        program.write_text(f"#!/bin/sh\n: > {called}\n{script}\n")
        program.chmod(0o755)
        return called

    def fault(self, **fields: Any) -> None:
        self.sandbox.azure.faults.add(host=HOST, times=None, **fields)


@pytest.fixture
def machine(sandbox: RunningSandbox, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Machine:
    return Machine(sandbox, monkeypatch, tmp_path)


async def _refused(session: AzureSession | None = None) -> PratiqueError:
    with pytest.raises(PratiqueError) as refused:
        await (session.token(VAULT) if session else _first_token())
    return refused.value


async def _first_token() -> None:
    async with AzureSession.open() as session:
        await session.token(VAULT)


PAUSES: list[dict[str, Any]] = [
    {"kind": "reset-before"},
    *({"kind": "status", "status": status} for status in (404, 408, 410, 429, 500, 502, 503, 504)),
    *({"kind": "status", "status": status, "plain": True, "message": "busy"} for status in (410, 429, 503)),
]


@pytest.mark.parametrize("named", [False, True], ids=["system-assigned", "user-assigned"])
@pytest.mark.parametrize("pause", PAUSES, ids=str)
async def test_a_pause_after_a_good_token(machine: Machine, pause: dict[str, Any], named: bool) -> None:
    """Whatever it looks like, it is transient, and nobody who has signed in with az takes the identity's place."""
    machine.identity(named=named)
    called = machine.az('echo \'{"accessToken": "a-person", "expires_on": 4102444800}\'')
    async with AzureSession.open() as session:
        assert (await session.caller()).object_id == machine.sandbox.azure.scenario.identity.object_id
        machine.fault(**pause)
        refused = await _refused(session)
        machine.sandbox.azure.faults.clear()
        await session.token(VAULT)
    assert isinstance(refused, TransientError)
    assert NOT_CONFIGURED not in str(refused)
    assert isinstance(refused, Throttled) is (pause.get("status") == 429 and not pause.get("plain"))
    assert not called.exists()


@pytest.mark.parametrize("pause", [pause for pause in PAUSES if not pause.get("plain")], ids=str)
async def test_a_pause_at_first_contact(machine: Machine, pause: dict[str, Any]) -> None:
    """What answers with such a status, or breaks a connection off, is there."""
    machine.identity()
    machine.fault(**pause)
    refused = await _refused()
    assert isinstance(refused, TransientError)
    assert NOT_CONFIGURED not in str(refused)


async def test_a_silent_endpoint(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    """It accepted the connection, so it is there."""
    machine.identity()
    machine.fault(kind="timeout")
    monkeypatch.setattr("pratique.azure.session.READ_SECONDS", 0.05)
    refused = await _refused()
    assert isinstance(refused, Unavailable)
    assert NOT_CONFIGURED not in str(refused)


async def test_a_slow_first_answer(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    """An endpoint that accepts no connection in time is asked again before anybody else is."""
    machine.identity()
    called = machine.az("exit 1")
    patient, attempts = AioHttpTransport.send, 0

    async def send(transport: AioHttpTransport, request: Any, **options: Any) -> Any:
        nonlocal attempts
        attempts += HOST in request.url
        if attempts == 1:
            raise ServiceRequestTimeoutError("Connection timeout")
        return await patient(transport, request, **options)

    monkeypatch.setattr(AioHttpTransport, "send", send)
    await _first_token()
    assert attempts > 1
    assert not called.exists()


async def test_an_identity_that_the_environment_names_is_configured(machine: Machine) -> None:
    """Unreachable, it is transient; without its name, on a machine outside of Azure, nothing is configured."""
    nothing = await _refused()
    machine.set("AZURE_CLIENT_ID", machine.sandbox.azure.scenario.identity.client_id)
    named = await _refused()
    assert isinstance(nothing, AuthenticationFailed)
    assert NOT_CONFIGURED in nothing.observed
    assert "az login" in nothing.remedy
    assert isinstance(named, Unavailable)
    assert NOT_CONFIGURED not in str(named)


async def test_an_endpoint_that_the_environment_names(machine: Machine) -> None:
    """AZURE_POD_IDENTITY_AUTHORITY_HOST, as on AKS: used, and transient when it is away."""
    machine.set("AZURE_POD_IDENTITY_AUTHORITY_HOST", machine.sandbox.proxy)
    await _first_token()
    machine.set("AZURE_POD_IDENTITY_AUTHORITY_HOST", NOWHERE)
    assert isinstance(await _refused(), Unavailable)


async def test_an_identity_that_is_not_assigned(machine: Machine) -> None:
    """A permanent error that says so; a machine of Azure's without an identity has no credential."""
    machine.identity(named=True)
    machine.set("AZURE_CLIENT_ID", "11111111-1111-1111-1111-111111111111")
    refused = await _refused()
    assert isinstance(refused, AuthenticationFailed)
    assert "Identity not found" in refused.observed
    assert NOT_CONFIGURED not in str(refused)
    assert "assigned to this machine" in refused.remedy


async def test_a_page_at_the_address_is_no_identity(machine: Machine) -> None:
    """As a captive portal shows it."""
    machine.identity()
    machine.fault(kind="web-page")
    refused = await _refused()
    assert isinstance(refused, AuthenticationFailed)
    assert NOT_CONFIGURED in refused.observed


@pytest.mark.parametrize(
    ("script", "kind", "says"),
    [
        ("echo \"Please run 'az login' to setup account.\" >&2; exit 1", AuthenticationFailed, NOT_CONFIGURED),
        ("echo 'ERROR: AADSTS700082: The refresh token has expired.' >&2; exit 1", AuthenticationFailed, "az login"),
        ("echo 'ERROR: AADSTS90033: A transient error has occurred.' >&2; exit 1", Unavailable, "AADSTS90033"),
        ("echo 'HTTPSConnectionPool: Max retries exceeded with url: /x' >&2; exit 1", Unavailable, "Max retries"),
        ("exec sleep 600", Unavailable, "Timed out"),
    ],
    ids=["not signed in", "expired", "transient", "network", "hangs"],
)
async def test_az_login(
    machine: Machine, monkeypatch: pytest.MonkeyPatch, script: str, kind: type[PratiqueError], says: str
) -> None:
    """Not having signed in is no credential; everything else is what it is."""
    machine.set("PATH", f"{machine.az(script).parent}:/bin:/usr/bin")
    if "sleep" in script:
        monkeypatch.setattr("pratique.azure.identity.CLI_SECONDS", 0.1)
    refused = await _refused()
    assert type(refused) is kind
    assert says in str(refused)
    assert (NOT_CONFIGURED in str(refused)) is (says == NOT_CONFIGURED)


async def test_an_identity_that_the_configuration_names(machine: Machine) -> None:
    """The machine is asked for it; if it has others only, nobody who has signed in with az takes its place."""
    machine.identity()
    called = machine.az('echo \'{"accessToken": "a-person", "expires_on": 4102444800}\'')
    mine = machine.sandbox.azure.scenario.identity
    async with AzureSession.open(identity=mine.client_id) as session:
        assert (await session.caller()).object_id == mine.object_id
    async with AzureSession.open(identity="00000000-0000-0000-0000-000000000000") as session:
        refused = await _refused(session)
    assert isinstance(refused, AuthenticationFailed)
    assert "registries.identity" in refused.remedy
    assert not called.exists()


async def test_a_secret_of_another_identity(sandbox: RunningSandbox) -> None:
    """What the configuration names is not replaced by the service principal of the environment."""
    with pytest.raises(ConfigurationError, match="AZURE_CLIENT_SECRET belongs to"):
        async with AzureSession.open(identity="00000000-0000-0000-0000-000000000000"):
            pass
    async with AzureSession.open(identity=sandbox.azure.scenario.identity.client_id) as session:
        await session.caller()


class Workload(Machine):
    """A pod with workload identity."""

    def federate(self, token: bytes) -> Path:
        path = self._folder / "token"
        path.write_bytes(token)
        identity = self.sandbox.azure.scenario.identity
        self.set("AZURE_CLIENT_ID", identity.client_id)
        self.set("AZURE_TENANT_ID", identity.tenant_id)
        self.set("AZURE_FEDERATED_TOKEN_FILE", str(path))
        return path


@pytest.fixture
def workload(sandbox: RunningSandbox, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Workload:
    return Workload(sandbox, monkeypatch, tmp_path)


async def test_a_federated_token(workload: Workload) -> None:
    """One that Entra ID trusts gives a token; the pauses of Entra ID are transient, here as well."""
    entra = workload.sandbox.azure.state(Entra)
    workload.federate(entra.federated_token().encode())
    async with AzureSession.open() as session:
        assert (await session.caller()).object_id == workload.sandbox.azure.scenario.identity.object_id
        for status, kind in ((429, Throttled), (503, Unavailable)):
            workload.sandbox.azure.faults.add(kind="status", status=status, path="*/token", times=None)
            assert isinstance(await _refused(session), kind)
            workload.sandbox.azure.faults.clear()


@pytest.mark.parametrize(
    ("form", "says"),
    [
        ({"lifetime": -60}, "AZURE_FEDERATED_TOKEN_FILE"),
        ({"subject": "system:serviceaccount:other:other"}, "issuer, subject and audience"),
    ],
    ids=["expired", "another subject"],
)
async def test_a_federated_token_that_entra_refuses(workload: Workload, form: dict[str, Any], says: str) -> None:
    """Permanent, with the step that helps."""
    workload.federate(workload.sandbox.azure.state(Entra).federated_token(**form).encode())
    refused = await _refused()
    assert isinstance(refused, AuthenticationFailed)
    assert says in refused.remedy


async def test_a_file_without_a_federated_token(workload: Workload) -> None:
    """Missing, or not text: an error of ours that names the variable or the defect."""
    path = workload.federate(b"\xff\xfe")
    assert isinstance(await _refused(), ConfigurationError)
    path.unlink()
    missing = await _refused()
    assert isinstance(missing, AuthenticationFailed)
    assert "AZURE_FEDERATED_TOKEN_FILE" in missing.remedy


@pytest.mark.parametrize(
    "settings",
    [
        {"AZURE_TOKEN_CREDENTIALS": "nonsense"},
        {"AZURE_AUTHORITY_HOST": "http://login.example", "AZURE_CLIENT_ID": "a", "AZURE_CLIENT_SECRET": "b"},
        {"AZURE_CLIENT_ID": "a", "AZURE_TENANT_ID": "b c", "AZURE_CLIENT_SECRET": "s3cr3t"},
        {"AZURE_CLIENT_ID": "a", "AZURE_TENANT_ID": "b", "AZURE_CLIENT_SECRET": ""},
        {"AZURE_CLIENT_ID": "a", "AZURE_TENANT_ID": "b", "AZURE_CLIENT_CERTIFICATE_PATH": "/nowhere.pem"},
    ],
    ids=str,
)
async def test_variables_that_cannot_be_used(machine: Machine, settings: dict[str, str]) -> None:
    """An error of the configuration, before anything is sent, and without the secret."""
    for name, value in settings.items():
        machine.set(name, value)
    refused = await _refused()
    assert isinstance(refused, ConfigurationError)
    assert "s3cr3t" not in str(refused)


async def test_a_token_service_that_is_down_is_transient(
    sandbox: RunningSandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is not taken for a refused credential, from the first token on."""
    for name in ("HTTPS_PROXY", "https_proxy"):
        monkeypatch.setenv(name, NOWHERE)
    assert isinstance(await _refused(), Unavailable)
