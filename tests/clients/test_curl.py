"""curl: the walkthrough's own call, what anybody may ask, a challenge, and a pull with every step by hand."""

from __future__ import annotations

import hashlib
import json
import os
from urllib.parse import urlencode

import pytest
from azure.identity import EnvironmentCredential
from azure.mgmt.containerregistry import ContainerRegistryManagementClient
from azure.mgmt.containerregistry.models import ImportImageParameters, ImportSource

from tests.clients.commands import refused, run
from tests.clients.conftest import GROUP, Cluster

REPOSITORY = "quarantine/curl/falcoctl"
TAG = "0.10.1"
INDEX = "application/vnd.oci.image.index.v1+json, application/vnd.docker.distribution.manifest.list.v2+json"
MANIFEST = "application/vnd.oci.image.manifest.v1+json, application/vnd.docker.distribution.manifest.v2+json"


def ask(url: str, *headers: str) -> str:
    """GET; the headers travel on standard input."""
    return run("curl", "-sS", "--fail-with-body", "--header", "@-", url, sent="\n".join(headers))


def send(url: str, **form: str) -> dict[str, str]:
    """POST a form, from standard input."""
    said = run("curl", "-sS", "--fail-with-body", "--data", "@-", url, sent=urlencode(form))
    document: dict[str, str] = json.loads(said)
    return document


@pytest.fixture
def imported(credential: EnvironmentCredential, subscription: str, cluster: Cluster) -> str:
    """The login server of the registry, once an image is in it."""
    source = ImportSource(registry_uri="docker.io", source_image=f"falcosecurity/falcoctl:{TAG}")
    body = ImportImageParameters(source=source, target_tags=[f"{REPOSITORY}:{TAG}"])
    with ContainerRegistryManagementClient(credential, subscription) as client:
        client.registries.begin_import_image(GROUP, cluster.registry, body).result()
    return cluster.login_server


def test_the_walkthrough_asks_for_its_address() -> None:
    """Verbatim: an address and nothing else, ready for a firewall rule."""
    assert run("curl", "-s", "-4", "https://ifconfig.io").strip() == "203.0.113.10"


def test_anybody_reads_where_the_cloud_is() -> None:
    """The metadata from which clients learn the cloud's endpoints."""
    cloud = json.loads(run("curl", "-sS", "https://management.azure.com/metadata/endpoints?api-version=2022-09-01"))
    assert cloud["authentication"]["loginEndpoint"] == "https://login.microsoftonline.com"
    assert cloud["suffixes"] | {"acrLoginServer": "azurecr.io", "keyVaultDns": "vault.azure.net"} == cloud["suffixes"]


def test_a_vault_challenges_who_brings_no_token(cluster: Cluster) -> None:
    """401, and a header that names the tenant and the resource to get a token for."""
    said = run("curl", "-sS", "--head", "--request", "GET", f"{cluster.vault_url}/certificates?api-version=7.4")
    tenant = f"https://login.microsoftonline.com/{os.environ['AZURE_TENANT_ID']}"
    assert "401 Unauthorized" in said
    assert f'Bearer authorization="{tenant}", resource="https://vault.azure.net"' in said


def test_an_image_is_pulled_through_the_token_exchange(imported: str) -> None:
    """Entra token → refresh token → access token → index → manifest → configuration; each digest is its bytes' own."""
    tenant = os.environ["AZURE_TENANT_ID"]
    entra = send(
        f"https://login.microsoftonline.com/{tenant}/oauth2/v2.0/token",
        grant_type="client_credentials",
        client_id=os.environ["AZURE_CLIENT_ID"],
        client_secret=os.environ["AZURE_CLIENT_SECRET"],
        scope="https://containerregistry.azure.net/.default",
    )["access_token"]
    base = f"https://{imported}"
    refresh = send(
        f"{base}/oauth2/exchange", grant_type="access_token", service=imported, tenant=tenant, access_token=entra
    )["refresh_token"]
    access = send(
        f"{base}/oauth2/token",
        grant_type="refresh_token",
        service=imported,
        scope=f"repository:{REPOSITORY}:pull",
        refresh_token=refresh,
    )["access_token"]
    bearer, contents = f"Authorization: Bearer {access}", f"{base}/v2/{REPOSITORY}"
    index = json.loads(ask(f"{contents}/manifests/{TAG}", bearer, f"Accept: {INDEX}"))
    linux = next(entry["digest"] for entry in index["manifests"] if entry["platform"]["os"] == "linux")
    manifest = ask(f"{contents}/manifests/{linux}", bearer, f"Accept: {MANIFEST}")
    config = json.loads(manifest)["config"]["digest"]
    pulled = ask(f"{contents}/blobs/{config}", bearer)
    assert [linux, config] == [f"sha256:{hashlib.sha256(text.encode()).hexdigest()}" for text in (manifest, pulled)]
    assert json.loads(pulled)["os"] == "linux"


def test_a_host_that_is_not_supported_is_refused() -> None:
    """The proxy refuses to connect."""
    assert "403" in refused("curl", "-sS", "https://www.example.com")
