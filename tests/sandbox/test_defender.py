"""Defender scans what arrives, tells of it late, and leaves proof beside the image."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest
from azure.core.exceptions import HttpResponseError
from azure.identity.aio import DefaultAzureCredential
from azure.mgmt.containerregistry.aio import ContainerRegistryManagementClient
from azure.mgmt.containerregistry.models import ImportImageParameters, ImportSource
from azure.mgmt.security.aio import SecurityCenter
from cryptography.hazmat.primitives.hashes import SHA256

from pratique.findings import Finding as Reported
from pratique.findings import Severity, from_recommendation, from_statement
from pratique.oci.descriptor import Descriptor
from pratique.oci.notation import TrustStore, verify
from sandbox.core.arrivals import ImageArrived
from sandbox.scenario import DefenderPlan, Finding, Identity, Scan, Scenario, Timings
from sandbox.services.defender.part import Defender
from sandbox.services.oci.catalogue import BASES
from sandbox.services.oci.images import ImageSpec, build
from sandbox.services.oci.manifests import IN_TOTO
from sandbox.tenant import CLUSTER_GROUP
from tests.sandbox.registries import add_registry, content, registry_id

if TYPE_CHECKING:
    from tests.conftest import RunningSandbox, StartSandbox

NAME = "acraksdefender"
FALCO = "falcosecurity/falcoctl"
OPENSSL = (
    Finding(cve="CVE-2026-1001", severity="Critical", package="libssl3", version="3.3.2-r1", fixed_version="3.3.3-r0"),
    Finding(cve="CVE-2026-1002", severity="Unknown", package="libssl3", version="3.3.2-r1", fixed_version="3.3.3-r0"),
    Finding(cve="CVE-2026-2001", severity="Low", package="zlib", version="1.3.1-r1"),
)
UNHEALTHY = Scan(outcome="unhealthy", findings=OPENSSL)
SIGNATURE = "application/vnd.cncf.notary.signature"


@asynccontextmanager
async def importer(sandbox: RunningSandbox) -> AsyncIterator[ContainerRegistryManagementClient]:
    async with (
        DefaultAzureCredential() as credential,
        ContainerRegistryManagementClient(credential, sandbox.azure.subscription_id) as client,
    ):
        yield client


async def bring(
    sandbox: RunningSandbox, repository: str = FALCO, tag: str = "0.10.1", prefix: str = "quarantine/"
) -> str:
    """Import an image from Docker Hub; its index digest."""
    target = f"{prefix}{repository}"
    async with importer(sandbox) as client:
        source = ImportSource(registry_uri="docker.io", source_image=f"{repository}:{tag}")
        parameters = ImportImageParameters(source=source, target_tags=[f"{target}:{tag}"], mode="Force")
        await (await client.registries.begin_import_image(CLUSTER_GROUP, NAME, parameters)).result()
    return content(sandbox, NAME).manifest(target, tag).manifest.digest


async def scans_end(sandbox: RunningSandbox) -> list[str]:
    """Wait for the scans that run; what each scan was about, oldest first."""

    async def wait() -> list[str]:
        scans = [operation for operation in sandbox.azure.operations.all() if operation.kind == "scan"]
        await asyncio.gather(*(scan.task for scan in scans if scan.task is not None))
        assert {scan.status for scan in scans} <= {"Succeeded"}
        return [scan.subject for scan in scans]

    return await asyncio.to_thread(sandbox.run, wait())


def platforms(sandbox: RunningSandbox, index: str, repository: str = f"quarantine/{FALCO}") -> list[str]:
    """Digests of the images in an index, attestations left out."""
    entries = content(sandbox, NAME).manifest(repository, index).manifest.body["manifests"]
    return [entry["digest"] for entry in entries if entry["platform"]["os"] != "unknown"]


def artifacts(sandbox: RunningSandbox, digest: str, repository: str = f"quarantine/{FALCO}") -> list[dict[str, Any]]:
    return content(sandbox, NAME).referrers(repository, digest, IN_TOTO)


def layer(sandbox: RunningSandbox, artifact: str, repository: str = f"quarantine/{FALCO}") -> bytes:
    store = content(sandbox, NAME)
    return store.blob(repository, store.manifest(repository, artifact).manifest.layers[0].digest)


def rows(sandbox: RunningSandbox) -> list[dict[str, Any]]:
    return list(sandbox.azure.part(Defender).rows())


async def test_clean_image(sandbox: RunningSandbox) -> None:
    """A clean image gets no row; each of its platforms gets a signed statement of an empty result."""
    add_registry(sandbox, NAME)
    index = await bring(sandbox)
    scanned = await scans_end(sandbox)
    assert rows(sandbox) == []
    assert scanned == [f"{NAME}.azurecr.io/quarantine/{FALCO}@{digest}" for digest in platforms(sandbox, index)]
    assert artifacts(sandbox, index) == []
    for digest in platforms(sandbox, index):
        (artifact,) = artifacts(sandbox, digest)
        assert artifact["annotations"]["report-type"] == "SoftwareInventoryAssessment"
        assert from_statement(layer(sandbox, artifact["digest"]), digest=digest).findings == ()


async def test_signature(sandbox: RunningSandbox) -> None:
    """The statement's signature holds under the root that lies in the sandbox's home, and about nothing else."""
    add_registry(sandbox, NAME)
    digest = platforms(sandbox, await bring(sandbox))[0]
    await scans_end(sandbox)
    (artifact,) = artifacts(sandbox, digest)
    (signature,) = content(sandbox, NAME).referrers(f"quarantine/{FALCO}", artifact["digest"])
    assert signature["artifactType"] == SIGNATURE
    trust = TrustStore.load([sandbox.azure.home.directory / "defender-root.pem"])
    signed = Descriptor(artifact["mediaType"], artifact["digest"], artifact["size"])
    signer = verify(layer(sandbox, signature["digest"]), artifact=signed, trust=trust)
    thumbprints = json.loads(signature["annotations"]["io.cncf.notary.x509chain.thumbprint#S256"])
    assert thumbprints[0] == signer.thumbprint
    assert thumbprints[1:] == [anchor.fingerprint(SHA256()).hex() for anchor in trust.anchors]


async def test_unhealthy_image(start_sandbox: StartSandbox) -> None:
    """One row a software update, its CVEs nested; the statement says the same."""
    sandbox = start_sandbox(Scenario(scans={FALCO: UNHEALTHY}))
    add_registry(sandbox, NAME)
    found = platforms(sandbox, await bring(sandbox))
    await scans_end(sandbox)
    read = [from_recommendation(row) for row in rows(sandbox)]
    assert sorted(r.digest for r in read) == sorted(found * 2)
    assert {(r.registry_host, r.repository) for r in read} == {(f"{NAME}.azurecr.io", f"quarantine/{FALCO}")}
    expected = {
        Reported("CVE-2026-1001", Severity.CRITICAL, "libssl3", "3.3.2-r1", "3.3.3-r0"),
        Reported("CVE-2026-1002", Severity.UNKNOWN, "libssl3", "3.3.2-r1", "3.3.3-r0"),
        Reported("CVE-2026-2001", Severity.LOW, "zlib", "1.3.1-r1"),
    }
    for digest in found:
        assert {finding for r in read if r.digest == digest for finding in r.findings} == expected
        (artifact,) = artifacts(sandbox, digest)
        assert set(from_statement(layer(sandbox, artifact["digest"]), digest=digest).findings) == expected


async def test_busybox_is_not_assessed(sandbox: RunningSandbox) -> None:
    """A minimal image leaves no trace: neither rows nor an artifact."""
    add_registry(sandbox, NAME)
    repository = "quarantine/library/busybox"
    index = await bring(sandbox, "library/busybox", "1.37.0")
    assert await scans_end(sandbox)
    assert rows(sandbox) == []
    assert [artifacts(sandbox, digest, repository) for digest in platforms(sandbox, index, repository)] == [[], []]


async def test_outcome_as_the_scan_ends(start_sandbox: StartSandbox) -> None:
    """What was disclosed while the scan ran counts."""
    sandbox = start_sandbox(Scenario(timings=Timings(artifact=0), scans={FALCO: Scan(delay=5000)}), speed=1)
    add_registry(sandbox, NAME)
    image = build(ImageSpec("docker.io", FALCO, "0.10.1", BASES["alpine:3.20"]))
    store, repository = content(sandbox, NAME), f"quarantine/{FALCO}"
    for blob in image.blobs.values():
        store.put_blob(repository, blob)
    for manifest in (*image.manifests, image.index):
        store.put_manifest(repository, manifest.digest, manifest)

    async def arrive() -> None:
        now = sandbox.azure.clock.now()
        arrived = ImageArrived(registry_id(sandbox, NAME), repository, None, image.index.digest, now, "push")
        sandbox.azure.events.emit(arrived)

    await asyncio.to_thread(sandbox.run, arrive())
    sandbox.control("PUT", f"/scans/{FALCO}", json=UNHEALTHY.model_dump(mode="json"))
    assert rows(sandbox) == []
    sandbox.control("POST", "/clock", json={"jump": 5000})
    await scans_end(sandbox)
    assert {from_recommendation(row).digest for row in rows(sandbox)} == set(platforms(sandbox, image.index.digest))


async def test_two_repositories_and_again(start_sandbox: StartSandbox) -> None:
    """The same digest is scanned in each repository; another import of it replaces its rows."""
    sandbox = start_sandbox(Scenario(scans={FALCO: UNHEALTHY}))
    add_registry(sandbox, NAME)
    for prefix in ("quarantine/", "live/", "quarantine/"):
        await bring(sandbox, prefix=prefix)
        await scans_end(sandbox)
    repositories = [from_recommendation(row).repository for row in rows(sandbox)]
    assert sorted(repositories) == sorted([f"quarantine/{FALCO}", f"live/{FALCO}"] * 4)
    assert len({row["id"] for row in rows(sandbox)}) == 8


async def test_deleted_image(start_sandbox: StartSandbox) -> None:
    """The findings of a deleted image are gone."""
    sandbox = start_sandbox(Scenario(scans={FALCO: UNHEALTHY}))
    add_registry(sandbox, NAME)
    await bring(sandbox)
    await scans_end(sandbox)
    assert rows(sandbox)
    content(sandbox, NAME).delete_repository(f"quarantine/{FALCO}")
    assert rows(sandbox) == []


@pytest.mark.parametrize(
    ("plan", "scans", "attached"),
    [
        (DefenderPlan(tier="Free"), 0, 0),
        (DefenderPlan(registry_assessment=False), 0, 0),
        (DefenderPlan(findings_artifact=False), 2, 0),
        (DefenderPlan(), 2, 1),
    ],
)
async def test_plan(start_sandbox: StartSandbox, plan: DefenderPlan, scans: int, attached: int) -> None:
    """Defender does what is paid for and switched on, and says which that is."""
    sandbox = start_sandbox(Scenario(defender=plan))
    add_registry(sandbox, NAME)
    digest = platforms(sandbox, await bring(sandbox))[0]
    assert len(await scans_end(sandbox)) == scans
    assert len(artifacts(sandbox, digest)) == attached
    async with (
        DefaultAzureCredential() as credential,
        SecurityCenter(credential, sandbox.azure.subscription_id) as client,
    ):
        scope = f"subscriptions/{sandbox.azure.subscription_id}"
        pricing = await client.pricings.get(scope, "Containers")
        names = {listed.name for listed in (await client.pricings.list(scope)).value}
    assert "Containers" in names
    switches = {extension.name: extension.is_enabled for extension in pricing.extensions or []}
    assert pricing.pricing_tier == plan.tier
    if plan.tier == "Standard":
        assert switches["ContainerRegistriesVulnerabilityAssessments"] == str(plan.registry_assessment)
        assert switches["ContainerIntegrityContribution"] == str(plan.findings_artifact)


async def test_plan_needs_a_reader(start_sandbox: StartSandbox) -> None:
    """Without Security Reader the plan is not shown."""
    sandbox = start_sandbox(Scenario(identity=Identity(subscription_roles=())))
    async with (
        DefaultAzureCredential() as credential,
        SecurityCenter(credential, sandbox.azure.subscription_id) as client,
    ):
        with pytest.raises(HttpResponseError) as refused:
            await client.pricings.get(f"subscriptions/{sandbox.azure.subscription_id}", "Containers")
    assert refused.value.status_code == 403


async def test_ids_lie_below_the_registry(start_sandbox: StartSandbox) -> None:
    """A row is an extension of the registry, so that rights on the registry's group show it."""
    sandbox = start_sandbox(Scenario(scans={FALCO: UNHEALTHY}))
    add_registry(sandbox, NAME)
    await bring(sandbox)
    await scans_end(sandbox)
    assert all(row["id"].startswith(f"{registry_id(sandbox, NAME)}/providers/") for row in rows(sandbox))
