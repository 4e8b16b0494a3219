"""A local Azure in a process of its own, with a cluster's registry and vault, for clients that nobody here wrote."""

from __future__ import annotations

import base64
import json
import os
import subprocess
import sys
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from azure.identity import EnvironmentCredential
from azure.keyvault.certificates import CertificateClient
from azure.mgmt.authorization import AuthorizationManagementClient
from azure.mgmt.keyvault import KeyVaultManagementClient
from azure.mgmt.resource.deployments import DeploymentsMgmtClient
from cryptography.hazmat.primitives.asymmetric import ec

from tests.clients.commands import run
from tests.sandbox.certificates import certificate_pem, key_pem, self_signed

TEMPLATE = Path(__file__).parents[2] / "infra" / "pre-cluster-stamp.json"
SPOKE_GROUP = "rg-enterprise-networking-spokes-centralus"
SPOKE_DEPLOYMENT = "spoke-BU0001A0005-01"
GROUP = "rg-bu0001a0005-centralus"
DEPLOYMENT = "pre-cluster-stamp"
CERTIFICATES_OFFICER = "a4417e6f-fecd-4de8-b567-7b0420556985"
SPEED = 600
#: Azure seconds after which a role assignment and a firewall rule count for certain.
SETTLED = 300


@dataclass(frozen=True)
class Cluster:
    """What the walkthrough's template deployed.

    :ivar pem: the ingress controller's certificate with its key
    """

    registry: str
    vault: str
    pem: Path

    @property
    def login_server(self) -> str:
        return f"{self.registry}.azurecr.io"

    @property
    def vault_url(self) -> str:
        return f"https://{self.vault}.vault.azure.net"


@pytest.fixture(scope="session", autouse=True)
def local_azure(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """``azure-sandbox serve`` as a process; what ``azure-sandbox env`` prints counts in this one and its children."""
    home = tmp_path_factory.mktemp("home")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PATH", str(Path(sys.executable).parent), prepend=os.pathsep)
        serve = ["azure-sandbox", "serve", "--port", "0", "--speed", str(SPEED), "--home", str(home)]
        with subprocess.Popen(serve, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            assert "listens" in process.stdout.readline()
            for line in run("sh", "-c", f'eval "$(azure-sandbox env --home {home})" && env -0').split("\0"):
                name, _, value = line.partition("=")
                if name and os.environ.get(name) != value:
                    patch.setenv(name, value)
            yield
            process.terminate()


@pytest.fixture(scope="session")
def subscription(local_azure: None) -> str:
    """The subscription's id."""
    return os.environ["AZURE_SUBSCRIPTION_ID"]


@pytest.fixture(scope="session")
def tenant(local_azure: None) -> str:
    """The tenant's id."""
    return os.environ["AZURE_TENANT_ID"]


@pytest.fixture(scope="session")
def credential(local_azure: None) -> Iterator[EnvironmentCredential]:
    """The pipeline's service principal."""
    with EnvironmentCredential() as credential:
        yield credential


@pytest.fixture(scope="session")
def cluster(credential: EnvironmentCredential, subscription: str, tmp_path_factory: pytest.TempPathFactory) -> Cluster:
    """The walkthrough's deployment, by the official client."""
    key = ec.generate_private_key(ec.SECP256R1())
    public = certificate_pem(self_signed(key))
    pem = tmp_path_factory.mktemp("certificate") / "ingress.pem"
    pem.write_text(public + key_pem(key))
    with DeploymentsMgmtClient(credential, subscription) as client:
        spoke: Any = client.deployments.get(SPOKE_GROUP, SPOKE_DEPLOYMENT)
        parameters = {
            "targetVnetResourceId": {"value": spoke.properties.outputs["clusterVnetResourceId"]["value"]},
            "aksIngressControllerCertificate": {"value": base64.b64encode(public.encode()).decode()},
        }
        template = json.loads(TEMPLATE.read_text())
        body: Any = {"properties": {"mode": "Incremental", "template": template, "parameters": parameters}}
        made: Any = client.deployments.begin_create_or_update(GROUP, DEPLOYMENT, body).result()
    outputs = made.properties.outputs
    return Cluster(outputs["containerRegistryName"]["value"], outputs["keyVaultName"]["value"], pem)


@pytest.fixture(scope="session")
def open_vault(credential: EnvironmentCredential, subscription: str, cluster: Cluster) -> str:
    """The URL of the vault, once this client's address and identity are let in."""
    with KeyVaultManagementClient(credential, subscription) as vaults:
        rule = {"value": run("curl", "-s", "-4", "https://ifconfig.io").strip()}
        change: Any = {
            "properties": {
                "networkAcls": {"bypass": "AzureServices", "defaultAction": "Deny", "ipRules": [rule]},
            }
        }
        vault: Any = vaults.vaults.update(GROUP, cluster.vault, change)
    role = f"/subscriptions/{subscription}/providers/Microsoft.Authorization/roleDefinitions/{CERTIFICATES_OFFICER}"
    grant: Any = {"properties": {"roleDefinitionId": role, "principalId": object_id(credential)}}
    with AuthorizationManagementClient(credential, subscription) as authorization:
        authorization.role_assignments.create(vault.id, str(uuid.uuid4()), grant)
    settle()
    return cluster.vault_url


@pytest.fixture
def certificates(credential: EnvironmentCredential, open_vault: str) -> Iterator[CertificateClient]:
    """The certificates client of the open vault."""
    with CertificateClient(open_vault, credential) as client:
        yield client


def object_id(credential: EnvironmentCredential) -> str:
    """Who the credential is, as its own token says."""
    payload = credential.get_token("https://management.azure.com/.default").token.split(".")[1]
    claims = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
    oid: str = claims["oid"]
    return oid


def settle() -> None:
    """Let the time pass in which changes of access take effect."""
    httpx.post("https://sandbox.localhost/clock", json={"jump": SETTLED}).raise_for_status()
