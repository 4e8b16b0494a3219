"""Clients that do it wrong get Azure's own answer: its status, its code, its text, in its envelope."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator

import httpx
import pytest

from tests.conftest import RunningSandbox
from tests.sandbox.callers import ARM, VAULT, add_vault, arm, group, somebody, token, vault_id
from tests.sandbox.registries import add_registry

VAULT_URL = "https://kv-ingress.vault.azure.net/certificates?api-version=7.4"
REGISTRY_URL = "https://crsandbox.azurecr.io"


@pytest.fixture
def http() -> Iterator[httpx.Client]:
    """A client without any credentials."""
    with httpx.Client() as client:
        yield client


@pytest.fixture(autouse=True)
def _targets(sandbox: RunningSandbox) -> None:
    """A vault that lets the default client in, and a registry."""
    add_vault(sandbox, "203.0.113.10")
    add_registry(sandbox, "crsandbox")


def _bearer(value: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {value}"}


def test_an_expired_token_at_arm(sandbox: RunningSandbox, http: httpx.Client) -> None:
    """401 ExpiredAuthenticationToken with both times, and a challenge."""
    answer = http.get(f"{ARM}/subscriptions", headers=_bearer(token(sandbox, ARM, life=-60)))
    error = answer.json()["error"]
    assert (answer.status_code, error["code"]) == (401, "ExpiredAuthenticationToken")
    assert error["message"].startswith("The access token expiry UTC time '")
    assert answer.headers["WWW-Authenticate"].startswith('Bearer authorization_uri="https://login.microsoftonline.com/')


def test_an_expired_token_at_a_vault(sandbox: RunningSandbox, http: httpx.Client) -> None:
    """401 Unauthorized with an AKV number, and the challenge that names the resource."""
    answer = http.get(VAULT_URL, headers=_bearer(token(sandbox, VAULT, life=-60)))
    error = answer.json()["error"]
    assert (answer.status_code, error["code"]) == (401, "Unauthorized")
    assert error["message"].startswith("AKV")
    assert 'resource="https://vault.azure.net"' in answer.headers["WWW-Authenticate"]


def test_an_expired_token_at_a_registry(sandbox: RunningSandbox, http: httpx.Client) -> None:
    """The exchange refuses it with UNAUTHORIZED, in the registries' own envelope."""
    form = {"grant_type": "access_token", "service": "crsandbox.azurecr.io", "access_token": token(sandbox, life=-60)}
    answer = http.post(f"{REGISTRY_URL}/oauth2/exchange", data=form)
    assert (answer.status_code, answer.json()["errors"][0]["code"]) == (401, "UNAUTHORIZED")


def test_an_audience_that_is_not_arms(sandbox: RunningSandbox, http: httpx.Client) -> None:
    """401 InvalidAuthenticationTokenAudience, naming the wrong one and those that would do."""
    answer = http.get(f"{ARM}/subscriptions", headers=_bearer(token(sandbox, VAULT)))
    error = answer.json()["error"]
    assert (answer.status_code, error["code"]) == (401, "InvalidAuthenticationTokenAudience")
    assert f"wrong audience or resource '{VAULT}'" in error["message"]
    assert "'https://management.core.windows.net/'" in error["message"]


def test_an_audience_that_is_not_the_vaults(sandbox: RunningSandbox, http: httpx.Client) -> None:
    """401 AKV10022."""
    answer = http.get(VAULT_URL, headers=_bearer(token(sandbox, ARM)))
    assert (answer.status_code, answer.json()["error"]["message"][:8]) == (401, "AKV10022")


def test_a_forged_token(sandbox: RunningSandbox, http: httpx.Client) -> None:
    """A signature that is not Entra's is 401 InvalidAuthenticationToken."""
    head, body, _ = token(sandbox).split(".")
    answer = http.get(f"{ARM}/subscriptions", headers=_bearer(f"{head}.{body}.{'A' * 342}"))
    assert (answer.status_code, answer.json()["error"]["code"]) == (401, "InvalidAuthenticationToken")


def test_a_role_that_is_missing_in_arm(sandbox: RunningSandbox) -> None:
    """403 AuthorizationFailed naming the client, its object id, the action and the scope."""
    reader = somebody(sandbox, "Reader")
    with arm(sandbox, reader) as client:
        answer = client.delete(vault_id(sandbox))
    error = answer.json()["error"]
    assert (answer.status_code, error["code"]) == (403, "AuthorizationFailed")
    assert error["message"] == (
        f"The client '{reader.client_id}' with object id '{reader.object_id}' does not have authorization to perform "
        f"action 'Microsoft.KeyVault/vaults/delete' over scope '{vault_id(sandbox)}' or the scope is invalid. "
        "If access was recently granted, please refresh your credentials."
    )


def test_a_role_that_is_missing_on_a_vault(sandbox: RunningSandbox, http: httpx.Client) -> None:
    """An owner of the group has no data rights: 403 with the inner code ForbiddenByRbac, naming action and resource."""
    headers = _bearer(token(sandbox, VAULT, somebody(sandbox, "Owner")))
    answer = http.get(VAULT_URL, headers=headers)
    error = answer.json()["error"]
    assert (answer.status_code, error["code"], error["innererror"]["code"]) == (403, "Forbidden", "ForbiddenByRbac")
    assert "Action: 'Microsoft.KeyVault/vaults/certificates/read'" in error["message"]
    assert f"Resource: '{vault_id(sandbox).lower()}'" in error["message"]


def test_a_role_that_is_missing_on_a_registry(sandbox: RunningSandbox, http: httpx.Client) -> None:
    """A token is given all the same, but grants nothing; its use is 401 with insufficient_scope."""
    nobody = token(sandbox, "https://containerregistry.azure.net", somebody(sandbox))
    form = {"grant_type": "access_token", "service": "crsandbox.azurecr.io", "access_token": nobody}
    refresh = http.post(f"{REGISTRY_URL}/oauth2/exchange", data=form).json()["refresh_token"]
    form = {
        "grant_type": "refresh_token",
        "service": "crsandbox.azurecr.io",
        "scope": "repository:live/x:pull",
        "refresh_token": refresh,
    }
    access = http.post(f"{REGISTRY_URL}/oauth2/token", data=form).json()["access_token"]
    answer = http.get(f"{REGISTRY_URL}/v2/live/x/tags/list", headers=_bearer(access))
    assert (answer.status_code, answer.json()["errors"][0]["code"]) == (401, "UNAUTHORIZED")
    assert 'error="insufficient_scope"' in answer.headers["Www-Authenticate"]


def test_a_vaults_closed_firewall(sandbox: RunningSandbox, http: httpx.Client) -> None:
    """403 with the inner code ForbiddenByFirewall, telling the address that was seen."""
    add_vault(sandbox, "198.51.100.1", name="kv-closed")
    answer = http.get("https://kv-closed.vault.azure.net/certificates", headers=_bearer(token(sandbox, VAULT)))
    error = answer.json()["error"]
    assert (answer.status_code, error["code"], error["innererror"]["code"]) == (403, "Forbidden", "ForbiddenByFirewall")
    assert error["message"].startswith("Client address is not authorized and caller is not a trusted service.\r\n")
    assert "Client address: 203.0.113.10\r\n" in error["message"]


def test_a_registry_without_public_access(sandbox: RunningSandbox) -> None:
    """403 DENIED with the address, before any question of tokens, for a client without a private link."""
    sandbox.control("PUT", "/scenario", json={"clients": {"laptop": {"private_links": []}}})
    add_registry(sandbox, "crsandbox", publicNetworkAccess="Disabled")
    with httpx.Client(proxy=sandbox.proxy.replace("//", "//laptop@")) as client:
        answer = client.get(f"{REGISTRY_URL}/v2/")
    error = answer.json()["errors"][0]
    assert (answer.status_code, error["code"]) == (403, "DENIED")
    assert error["message"].startswith("client with IP '203.0.113.10' is not allowed access.")


def test_a_host_that_is_not_supported(sandbox: RunningSandbox, http: httpx.Client) -> None:
    """The proxy refuses the CONNECT, and says why: nothing leaves the machine."""
    with pytest.raises(httpx.ProxyError, match=r"403 .*does not support example\.com:443"):
        http.get("https://example.com/")
    curl = ["curl", "-sv", "--proxy", sandbox.proxy, "https://example.com/"]
    done = subprocess.run(curl, capture_output=True, text=True, check=False)
    assert done.returncode == 56
    assert "nothing leaves this machine" in done.stderr


def test_a_vault_that_does_not_exist(sandbox: RunningSandbox, http: httpx.Client) -> None:
    """In Azure its name would not resolve; here the answer says that."""
    answer = http.get("https://kv-nowhere.vault.azure.net/certificates", headers=_bearer(token(sandbox, VAULT)))
    assert answer.status_code == 404
    assert "would not resolve" in answer.json()["error"]["message"]


@pytest.mark.parametrize(
    ("url", "method"),
    [
        (f"{ARM}/providers/Microsoft.Compute/skus", "GET"),
        (VAULT_URL.replace("certificates", "keys"), "GET"),
        (f"{REGISTRY_URL}/v3/", "GET"),
        ("https://ghcr.io/v2/x/blobs/uploads/", "POST"),
        ("https://login.microsoftonline.com/common/oauth2/v2.0/logout", "GET"),
    ],
)
def test_what_is_not_supported_says_so_in_the_services_envelope(http: httpx.Client, url: str, method: str) -> None:
    """501 that names the request, where the service's own clients look for a message."""
    answer = http.request(method, url)
    body = answer.json()
    message = (
        body["errors"][0]["message"] if "errors" in body else body.get("error_description") or body["error"]["message"]
    )
    assert answer.status_code == 501
    assert f"does not support {method} {url.partition('?')[0]}" in message


def test_a_group_that_does_not_exist(sandbox: RunningSandbox) -> None:
    """404 ResourceGroupNotFound with its name."""
    with arm(sandbox) as client:
        answer = client.get(f"{group(sandbox)}-typo")
    error = answer.json()["error"]
    assert (answer.status_code, error["code"]) == (404, "ResourceGroupNotFound")
    assert error["message"] == f"Resource group '{group(sandbox).rpartition('/')[2]}-typo' could not be found."
