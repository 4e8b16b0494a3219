"""The machine's managed identity, over plain HTTP as in Azure."""

from __future__ import annotations

import httpx
import pytest
from azure.identity.aio import ManagedIdentityCredential

from sandbox.services.imds.routes import HOST
from tests.conftest import RunningSandbox

URL = f"http://{HOST}/metadata/identity/oauth2/token"
QUERY = {"api-version": "2018-02-01", "resource": "https://management.azure.com"}
METADATA = {"Metadata": "true"}


@pytest.fixture
def http(sandbox: RunningSandbox, monkeypatch: pytest.MonkeyPatch) -> httpx.Client:
    """Sends plain HTTP to the sandbox as well."""
    for name in ("HTTP_PROXY", "http_proxy"):
        monkeypatch.setenv(name, sandbox.proxy)
    return httpx.Client()


async def test_the_official_client_gets_a_token(sandbox: RunningSandbox, http: httpx.Client) -> None:
    """Through the proxy, for the pipeline's identity."""
    identity = sandbox.azure.scenario.identity
    async with ManagedIdentityCredential(client_id=identity.client_id) as credential:
        assert (await credential.get_token("https://management.azure.com/.default")).token


def test_another_identity_is_not_assigned(http: httpx.Client) -> None:
    """400, as for one that does not exist."""
    answer = http.get(URL, params={**QUERY, "client_id": "other"}, headers=METADATA)
    assert (answer.status_code, answer.json()["error_description"]) == (400, "Identity not found")


def test_what_a_token_request_needs(http: httpx.Client) -> None:
    """The header that no browser sends, and a resource; numbers are strings."""
    assert http.get(URL, params=QUERY).status_code == 400
    assert http.get(URL, headers=METADATA).status_code == 400
    document = http.get(URL, params=QUERY, headers=METADATA).json()
    assert (document["token_type"], document["expires_in"]) == ("Bearer", "86400")


def test_without_a_proxy_it_is_at_the_sandboxs_own_address(sandbox: RunningSandbox) -> None:
    """As AZURE_POD_IDENTITY_AUTHORITY_HOST names it."""
    with httpx.Client(trust_env=False) as client:
        url = f"{sandbox.proxy}/metadata/identity/oauth2/token"
        assert client.get(url, params=QUERY, headers=METADATA).status_code == 200


def test_nothing_else_is_there_without_tls(http: httpx.Client) -> None:
    """Other hosts need a tunnel, also on a connection that began with this one."""
    assert http.get("http://management.azure.com/subscriptions").status_code == 405
    assert http.get(f"http://{HOST}/metadata/instance", headers=METADATA).status_code == 501
    assert http.get(f"http://{HOST}/subscriptions", headers={"Host": "management.azure.com"}).status_code in (405, 501)
