"""A script without Prefect and without checks, on the SDKs that we use: what any program for this job costs at least.

    python -m benchmarks.comparison.bare GITOPS PEM INTERVAL < LIST

LIST has a source and a path with its tag on each line. It deploys, imports, waits for the scans, imports
again, imports the certificate meanwhile, and pushes the manifests.
"""

from __future__ import annotations

import asyncio
import base64
import json
import os
import shutil
import subprocess
import sys
import tempfile
import uuid
from collections.abc import Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import httpx
from azure.core.exceptions import HttpResponseError
from azure.identity.aio import EnvironmentCredential
from azure.keyvault.certificates.aio import CertificateClient
from azure.mgmt.authorization.v2022_04_01.aio import AuthorizationManagementClient
from azure.mgmt.containerregistry.aio import ContainerRegistryManagementClient
from azure.mgmt.keyvault.aio import KeyVaultManagementClient
from azure.mgmt.resource.deployments.aio import DeploymentsMgmtClient

from benchmarks.comparison.scans import Registry, wait_for_scans

ROOT = Path(__file__).parents[2]
GROUP, STAMP = "rg-bu0001a0005-centralus", "pre-cluster-stamp"
NETWORK_GROUP, NETWORK = "rg-enterprise-networking-spokes-centralus", "spoke-BU0001A0005-01"
OFFICER = "a4417e6f-fecd-4de8-b567-7b0420556985"
GIT = shutil.which("git") or "git"
NAME = "ingress-internal-aks-ingress-contoso-com-tls"
#: What ARM's bucket of writes holds.
_IMPORTS_AT_ONCE = 200


class Bare:
    """The clients, and the steps."""

    def __init__(self, credential: EnvironmentCredential, http: httpx.AsyncClient) -> None:
        self.subscription = os.environ["AZURE_SUBSCRIPTION_ID"]
        self.credential, self.http = credential, http
        self.deployments = DeploymentsMgmtClient(credential, self.subscription)
        self.registries = ContainerRegistryManagementClient(credential, self.subscription)
        self.vaults = KeyVaultManagementClient(credential, self.subscription)
        self.roles = AuthorizationManagementClient(credential, self.subscription)
        self._limit = asyncio.Semaphore(_IMPORTS_AT_ONCE)

    async def deploy(self, certificate: str) -> dict[str, str]:
        network: Any = await self.deployments.deployments.get(NETWORK_GROUP, NETWORK)
        parameters = {
            "targetVnetResourceId": {"value": network.properties.outputs["clusterVnetResourceId"]["value"]},
            "aksIngressControllerCertificate": {"value": base64.b64encode(certificate.encode()).decode()},
        }
        template = json.loads(await asyncio.to_thread((ROOT / "infra" / f"{STAMP}.json").read_text))
        properties = {"mode": "Incremental", "template": template, "parameters": parameters}
        body: Any = {"properties": properties}
        poller = await self.deployments.deployments.begin_create_or_update(GROUP, STAMP, body)
        deployed: Any = await poller.result()
        return {name: output["value"] for name, output in deployed.properties.outputs.items()}

    async def import_image(self, registry: str, source: dict[str, str], tag: str) -> None:
        async with self._limit:
            body: Any = {"source": source, "targetTags": [tag], "mode": "Force"}
            poller = await self.registries.registries.begin_import_image(GROUP, registry, body)
            await poller.result()

    async def quarantine(self, registry: str, reader: Registry, source: str, path: str) -> None:
        """Import an image, and look whether it is there, before and after: so that it can be run again."""
        repository, _, tag = path.rpartition(":")
        await reader.look(f"quarantine/{repository}", [tag])
        await self.import_image(registry, _upstream(source), f"quarantine/{path}")
        await reader.look(f"quarantine/{repository}", [tag])

    async def promote(self, outputs: dict[str, str], reader: Registry, path: str) -> None:
        """The same from ``quarantine/`` into ``live/``; afterwards also the index and the platform's manifest."""
        repository, _, tag = path.rpartition(":")
        await reader.look(f"live/{repository}", [tag])
        origin = (
            f"/subscriptions/{self.subscription}/resourceGroups/{GROUP}"
            f"/providers/Microsoft.ContainerRegistry/registries/{outputs['quarantineContainerRegistryName']}"
        )
        source = {"resourceId": origin, "sourceImage": f"quarantine/{path}"}
        await self.import_image(outputs["containerRegistryName"], source, f"live/{path}")
        await reader.look(f"live/{repository}", [tag, tag, tag])

    async def import_certificate(self, vault: str, pem: bytes) -> None:
        vault_id = (
            f"/subscriptions/{self.subscription}/resourceGroups/{GROUP}/providers/Microsoft.KeyVault/vaults/{vault}"
        )
        role = f"/subscriptions/{self.subscription}/providers/Microsoft.Authorization/roleDefinitions/{OFFICER}"
        assignment: Any = {
            "properties": {
                "roleDefinitionId": role,
                "principalId": os.environ["PRINCIPAL_OBJECT_ID"],
                "principalType": "ServicePrincipal",
            }
        }
        name = str(uuid.uuid4())
        await self.roles.role_assignments.create(vault_id, name, assignment)
        address = (await self.http.get("https://ifconfig.io")).text.strip()
        await self._set_rules(vault, [{"value": address}])
        async with CertificateClient(f"https://{vault}.vault.azure.net", self.credential, retry_total=0) as client:
            while True:
                try:
                    await client.import_certificate(NAME, pem)
                    break
                except HttpResponseError:  # not let in yet
                    await asyncio.sleep(1)
        await self._set_rules(vault, [])
        await self.roles.role_assignments.delete(vault_id, name)

    async def _set_rules(self, vault: str, rules: list[dict[str, str]]) -> None:
        body: Any = {
            "properties": {"networkAcls": {"bypass": "AzureServices", "defaultAction": "Deny", "ipRules": rules}}
        }
        await self.vaults.vaults.update(GROUP, vault, body)

    async def close(self) -> None:
        for client in (self.deployments, self.registries, self.vaults, self.roles):
            await client.close()


def push(gitops: str, outputs: dict[str, str]) -> None:
    values = {
        "REPLACE_ME_WITH_YOUR_ACRNAME": outputs["containerRegistryName"],
        "KEYVAULT_NAME": outputs["keyVaultName"],
        "KEYVAULT_TENANT": os.environ["AZURE_TENANT_ID"],
        "INGRESS_CONTROLLER_WORKLOAD_IDENTITY_CLIENT_ID_BU0001A0005_01": outputs["ingressClientid"],
    }
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run([GIT, "clone", "--quiet", gitops, folder], check=True)
        for path in Path(folder).rglob("*.yaml"):
            text = path.read_text()
            for name, value in values.items():
                text = text.replace(name, value)
            path.write_text(text)
        for command in (["commit", "--quiet", "--all", "--message", "Prepare the cluster"], ["push", "--quiet"]):
            subprocess.run([GIT, *command], cwd=folder, check=True)


async def prepare(gitops: str, pem: Path, interval: float, images: Sequence[tuple[str, str]]) -> None:
    content = await asyncio.to_thread(pem.read_text)
    public = content[: content.index("-----END CERTIFICATE-----")] + "-----END CERTIFICATE-----\n"
    async with AsyncExitStack() as closing:
        credential = await closing.enter_async_context(EnvironmentCredential())
        http = await closing.enter_async_context(httpx.AsyncClient(timeout=60))
        bare = Bare(credential, http)
        closing.push_async_callback(bare.close)
        outputs = await bare.deploy(public)
        certificate = asyncio.ensure_future(bare.import_certificate(outputs["keyVaultName"], content.encode()))
        registry = outputs["quarantineContainerRegistryName"]

        async def entra(scope: str) -> str:
            return str((await credential.get_token(scope)).token)

        reader = await Registry.open(http, f"{registry}.azurecr.io", entra)

        await asyncio.gather(*(bare.quarantine(registry, reader, source, path) for source, path in images))
        split = [(f"quarantine/{path.rpartition(':')[0]}", path.rpartition(":")[2]) for _, path in images]
        await wait_for_scans(reader, split, interval)
        await asyncio.gather(*(bare.promote(outputs, reader, path) for _, path in images))
        await certificate
        await asyncio.to_thread(push, gitops, outputs)


def _upstream(source: str) -> dict[str, str]:
    host, _, image = source.partition("/")
    return {"registryUri": host, "sourceImage": image}


if __name__ == "__main__":
    listed = [(line.split()[0], line.split()[1]) for line in sys.stdin if line.strip()]
    asyncio.run(prepare(sys.argv[1], Path(sys.argv[2]), float(sys.argv[3]), listed))
