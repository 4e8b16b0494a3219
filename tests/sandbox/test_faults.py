"""Faults: what is put in the way of requests and operations happens where and when it was asked for, only there."""

from __future__ import annotations

import asyncio
import os
import socket
import ssl
import threading
import time
import uuid
from typing import Any

import httpx
import pytest
from azure.core.exceptions import AzureError, HttpResponseError
from azure.identity import EnvironmentCredential
from azure.identity.aio import EnvironmentCredential as AsyncEnvironmentCredential
from azure.mgmt.authorization import AuthorizationManagementClient
from azure.mgmt.containerregistry import ContainerRegistryManagementClient
from azure.mgmt.containerregistry.aio import ContainerRegistryManagementClient as AsyncRegistryClient
from pydantic import ValidationError

from sandbox.tenant import CLUSTER_GROUP
from tests.conftest import RunningSandbox
from tests.sandbox.callers import VAULT, add_vault, arm, group, pipeline, token
from tests.sandbox.registries import add_registry, content
from tests.waiting import HANGS

READER = "acdd72a7-3385-48ef-bd42-f606fba81ae7"
ASSIGNMENT = "providers/Microsoft.Authorization/roleAssignments/11111111-2222-3333-4444-555555555555"
IMPORT: Any = {
    "source": {"registryUri": "docker.io", "sourceImage": "library/busybox:1.37.0"},
    "targetTags": ["live/busybox:1.37.0"],
}


def test_a_status_has_the_envelope_of_its_service(sandbox: RunningSandbox) -> None:
    """ARM, Key Vault, registries and the token endpoint each fail in their own words; Retry-After is as asked."""
    add_vault(sandbox, "203.0.113.10")
    add_registry(sandbox, "crsandbox")
    sandbox.azure.faults.add(kind="status", status=503, times=None, retry_after=7)
    headers = {
        host: {"Authorization": f"Bearer {token(sandbox, host)}"} for host in ("https://management.azure.com", VAULT)
    }
    with httpx.Client() as client:
        answers = [
            client.get(
                f"https://management.azure.com{group(sandbox)}", headers=headers["https://management.azure.com"]
            ),
            client.get("https://kv-ingress.vault.azure.net/certificates", headers=headers[VAULT]),
            client.get("https://crsandbox.azurecr.io/v2/"),
            client.get("https://registry.k8s.io/v2/"),
            client.post(f"https://login.microsoftonline.com/{sandbox.azure.tenant_id}/oauth2/v2.0/token"),
        ]
    assert [(a.status_code, a.headers["Retry-After"]) for a in answers] == [(503, "7")] * 5
    in_arm, vault, registry, public, entra = (answer.json() for answer in answers)
    assert in_arm["error"]["code"] == vault["error"]["code"] == "ServiceUnavailable"
    assert registry["errors"][0]["code"] == public["errors"][0]["code"] == "UNAVAILABLE"
    assert entra["error"] == "temporarily_unavailable"


def test_errors_inside_an_error_and_text_without_an_envelope(sandbox: RunningSandbox) -> None:
    """ARM nests what went wrong; others answer with plain text, or with a page for a browser and status 200."""
    details = [{"code": "SkuNotAvailable", "message": "Sold out."}]
    sandbox.azure.faults.add(kind="status", status=409, path="/subscriptions", details=details)
    sandbox.azure.faults.add(kind="status", status=429, path="/subscriptions", message="Slow down.", plain=True, nth=2)
    sandbox.azure.faults.add(kind="web-page", path="/subscriptions", nth=3)
    with arm(sandbox) as client:
        nested, text, page = (client.get("/subscriptions") for _ in range(3))
    assert nested.json()["error"]["details"] == details
    assert (text.status_code, text.text, text.headers["Content-Type"]) == (
        429,
        "Slow down.",
        "text/plain; charset=utf-8",
    )
    assert (page.status_code, page.text.startswith("<!DOCTYPE html>")) == (200, True)


def test_half_an_answer(sandbox: RunningSandbox) -> None:
    """The request is carried out, and the answer ends in the middle, with nothing in its headers that shows it."""
    with arm(sandbox) as client:
        whole = client.get(group(sandbox))
        sandbox.azure.faults.add(kind="truncated")
        half = client.get(group(sandbox))
    assert half.status_code == 200
    assert half.content == whole.content[: len(whole.content) // 2]
    assert half.headers["Content-Type"] == whole.headers["Content-Type"]


def test_the_nth_and_how_many(sandbox: RunningSandbox) -> None:
    """Method, host and path are patterns in any letter case; occurrences are counted per fault."""
    standing = sandbox.azure.faults.add(
        kind="status", status=500, method="get", path="*/RESOURCEGROUPS/*", nth=2, times=2
    )
    with arm(sandbox) as client:
        codes = [client.get(group(sandbox)).status_code for _ in range(5)]
        assert client.get("/subscriptions").status_code == 200
    assert codes == [200, 500, 500, 200, 200]
    assert (standing.matched, standing.hits) == (5, 2)


def test_a_reset_before_the_effect_applies_nothing(sandbox: RunningSandbox) -> None:
    """There is no answer, and nothing was granted."""
    sandbox.azure.faults.add(kind="reset-before", method="PUT", path="*/roleAssignments/*")
    before = len(sandbox.azure.access.assignments())
    with arm(sandbox) as client, pytest.raises(httpx.TransportError):
        client.put(f"{group(sandbox)}/{ASSIGNMENT}", json={})
    assert len(sandbox.azure.access.assignments()) == before
    entry = sandbox.control("GET", "/requests")["requests"][-2]
    assert (entry["fault"], entry["status"]) == ("reset-before", 0)


def test_a_reset_is_a_tcp_reset(sandbox: RunningSandbox) -> None:
    """Below TLS the client's kernel sees RST, as of a host that died."""
    sandbox.azure.faults.add(kind="reset-before", host="registry.k8s.io")
    authority = ssl.create_default_context(cafile=os.environ["SSL_CERT_FILE"])
    with socket.create_connection(("127.0.0.1", sandbox.port)) as plain:
        plain.sendall(b"CONNECT registry.k8s.io:443 HTTP/1.1\r\n\r\n")
        assert plain.recv(100).startswith(b"HTTP/1.1 200")
        with authority.wrap_socket(plain, server_hostname="registry.k8s.io") as secure:
            secure.sendall(b"GET /v2/ HTTP/1.1\r\nHost: registry.k8s.io\r\n\r\n")
            with socket.socket(fileno=os.dup(secure.fileno())) as below, pytest.raises(ConnectionResetError):
                _ = list(iter(lambda: below.recv(4096), b""))


def test_a_reset_after_the_effect_loses_only_the_answer(sandbox: RunningSandbox) -> None:
    """The SDK sees a broken connection, repeats its idempotent PUT, and the grant stands once."""
    sandbox.azure.faults.add(kind="reset-after", method="PUT", path="*/roleAssignments/*")
    scope, name, caller = group(sandbox), str(uuid.uuid4()), pipeline(sandbox)
    definition = f"/subscriptions/{sandbox.azure.subscription_id}/providers/Microsoft.Authorization/roleDefinitions/"
    body: Any = {"properties": {"roleDefinitionId": definition + READER, "principalId": caller.object_id}}
    with (
        EnvironmentCredential() as credential,
        AuthorizationManagementClient(credential, sandbox.azure.subscription_id) as client,
    ):
        client.role_assignments.create(scope, name, body, retry_backoff_factor=0)
    puts = [r["status"] for r in sandbox.control("GET", "/requests")["requests"] if r["method"] == "PUT"]
    assert puts == [0, 200]
    assert [a.name for a in sandbox.azure.access.assignments()].count(name) == 1


async def test_a_post_whose_answer_is_lost_is_not_repeated(sandbox: RunningSandbox) -> None:
    """azure-core never repeats a POST over a broken connection, and the import runs all the same.

    Through aiohttp the loss looks like ServiceRequestError, as if nothing had been sent.
    """
    add_registry(sandbox, "crsandbox")
    sandbox.azure.faults.add(kind="reset-after", method="POST", path="*/importImage")
    async with (
        AsyncEnvironmentCredential() as credential,
        AsyncRegistryClient(credential, sandbox.azure.subscription_id) as client,
    ):
        with pytest.raises(AzureError):
            await client.registries.begin_import_image(CLUSTER_GROUP, "crsandbox", IMPORT)
    (operation,) = [o for o in sandbox.azure.operations.all() if o.kind == "import"]
    assert operation.task is not None
    sandbox.run(_ended(operation.task))
    assert content(sandbox, "crsandbox").repositories() == ["live/busybox"]


async def _ended(task: Any) -> None:
    await task


def test_a_timeout_lasts_until_the_client_gives_up(sandbox: RunningSandbox) -> None:
    """Nothing is said and nothing applied; the next request is answered."""
    sandbox.azure.faults.add(kind="timeout", method="DELETE")
    with arm(sandbox) as client:
        assert client.get(group(sandbox)).status_code == 200  # so that the way there takes no part of the time
        with pytest.raises(httpx.ReadTimeout):
            client.delete(f"{group(sandbox)}/{ASSIGNMENT}", timeout=httpx.Timeout(HANGS, read=0.2))
        assert client.get(group(sandbox)).status_code == 200


def test_an_answer_that_never_comes_although_it_was_done(sandbox: RunningSandbox) -> None:
    """Only the named client meets it; whoever watches is told once the effect is there."""
    standing = sandbox.azure.faults.add(kind="timeout-after", method="PUT", client="victim")
    definition = f"/subscriptions/{sandbox.azure.subscription_id}/providers/Microsoft.Authorization/roleDefinitions/"
    body = {"properties": {"roleDefinitionId": definition + READER, "principalId": pipeline(sandbox).object_id}}
    target = f"https://management.azure.com{group(sandbox)}/{ASSIGNMENT}"
    options: Any = {"json": body, "headers": {"Authorization": f"Bearer {token(sandbox)}"}}
    with httpx.Client(proxy=sandbox.proxy.replace("//", "//victim@")) as victim:
        assert victim.get(target, headers=options["headers"]).status_code == 404  # connects
        with pytest.raises(httpx.ReadTimeout):
            victim.put(target, timeout=httpx.Timeout(HANGS, read=1), **options)
    sandbox.run(asyncio.wait_for(standing.caught.wait(), HANGS))
    assert ASSIGNMENT.rsplit("/", 1)[-1] in [made.name for made in sandbox.azure.access.assignments()]
    with httpx.Client() as other:
        assert other.put(target, **options).status_code == 200
    assert (standing.matched, sandbox.control("GET", "/faults")["faults"][0]["caught"]) == (1, True)


def test_a_slow_answer_comes_in_azures_time(sandbox: RunningSandbox) -> None:
    """The answer waits on Azure's clock: a jump brings it."""
    sandbox.azure.faults.add(kind="slow", seconds=1e9, path=group(sandbox))
    answers: list[int] = []

    def ask() -> None:
        with arm(sandbox) as client:
            answers.append(client.get(group(sandbox)).status_code)

    asking = threading.Thread(target=ask)
    asking.start()
    while not sandbox.azure.faults.all()[0].hits:
        time.sleep(0.005)
    assert answers == []
    sandbox.control("POST", "/clock", json={"jump": 1e9})
    asking.join(HANGS)
    assert answers == [200]


def test_an_operation_fails_as_asked(sandbox: RunningSandbox) -> None:
    """The second import ends Failed with the given code and text, and imports nothing."""
    add_registry(sandbox, "crsandbox")
    sandbox.azure.faults.add(kind="operation-fails", operation="import", code="Conflict", message="No luck.", nth=2)
    with (
        EnvironmentCredential() as credential,
        ContainerRegistryManagementClient(credential, sandbox.azure.subscription_id) as client,
    ):
        client.registries.begin_import_image(CLUSTER_GROUP, "crsandbox", IMPORT).result()
        other: Any = {**IMPORT, "targetTags": ["live/other:1"]}
        with pytest.raises(HttpResponseError, match="No luck"):
            client.registries.begin_import_image(CLUSTER_GROUP, "crsandbox", other).result()
    assert content(sandbox, "crsandbox").repositories() == ["live/busybox"]


def test_a_fault_that_makes_no_sense_is_refused(sandbox: RunningSandbox) -> None:
    """In the process as over the wire, the message names the field."""
    with pytest.raises(ValidationError, match="kind"):
        sandbox.azure.faults.add(kind="explosion")
    with httpx.Client() as client:
        answer = client.post("https://sandbox.localhost/faults", json={"kind": "status", "status": 200})
    assert (answer.status_code, answer.json()["error"]["target"]) == (400, "status")


def test_the_control_host_is_out_of_reach(sandbox: RunningSandbox) -> None:
    """A fault for everything can still be taken away."""
    sandbox.control("POST", "/faults", json={"kind": "reset-before", "times": None})
    assert sandbox.control("GET", "/faults")["faults"][0]["hits"] == 0
    sandbox.control("DELETE", "/faults")
    with arm(sandbox) as client:
        assert client.get(group(sandbox)).status_code == 200
