"""Defender scans what arrives, tells of it late, and leaves proof beside the image."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any, Literal

import pytest
from azure.core.exceptions import HttpResponseError
from azure.identity.aio import DefaultAzureCredential
from azure.mgmt.security.aio import SecurityCenter

from sandbox.core.arrivals import ImageArrived
from sandbox.scenario import DefenderPlan, Finding, Identity, Scan, Scenario, Timings
from sandbox.services.defender.state import Defender
from sandbox.services.oci.catalogue import BASES
from sandbox.services.oci.images import ImageSpec, build
from tests.sandbox.defending import (
    FALCO,
    NAME,
    OPENSSL,
    REPOSITORY,
    UNHEALTHY,
    artifacts,
    ask,
    bring,
    brought,
    defender_root,
    layer,
    platforms,
    results,
    scans_end,
    signed_under,
    until,
)
from tests.sandbox.registries import add_registry, content, registry_id

if TYPE_CHECKING:
    from tests.conftest import RunningSandbox, StartSandbox

BUSYBOX = "quarantine/library/busybox"
SEVERITIES = {finding.cve: finding.severity for finding in OPENSSL}


def about(row: dict[str, Any]) -> dict[str, Any]:
    """Which image a recommendation is about."""
    document: dict[str, Any] = json.loads(row["properties"]["resourceAdditionalData"])
    return document


def digests(rows: list[dict[str, Any]]) -> set[str]:
    return {about(row)["Digest"] for row in rows}


async def test_clean_image(sandbox: RunningSandbox) -> None:
    """A clean image gets no row; each of its platforms gets a statement of an empty result."""
    add_registry(sandbox, NAME)
    index = await bring(sandbox)
    scanned = await scans_end(sandbox)
    assert await ask(sandbox) == []
    assert scanned == [f"{NAME}.azurecr.io/{REPOSITORY}@{digest}" for digest in platforms(sandbox, index)]
    assert artifacts(sandbox, index) == []
    for digest in platforms(sandbox, index):
        (artifact,) = artifacts(sandbox, digest)
        assert artifact["annotations"]["report-type"] == "SoftwareInventoryAssessment"
        statement = json.loads(layer(sandbox, artifact["digest"]))
        assert statement["subject"][0]["digest"] == {"sha256": digest.removeprefix("sha256:")}
        assert results(sandbox, artifact) == {}


@pytest.mark.parametrize("form", ["jws", "cose"])
async def test_signature(start_sandbox: StartSandbox, form: Literal["jws", "cose"]) -> None:
    """The statement's signature holds under the root that lies in the sandbox's home, in the scenario's envelope."""
    sandbox = start_sandbox(Scenario(defender=DefenderPlan(signature=form)))
    add_registry(sandbox, NAME)
    digest = (await brought(sandbox))[0]
    (artifact,) = artifacts(sandbox, digest)
    assert signed_under(defender_root(sandbox), sandbox, artifact)


async def test_forged_artifact(start_sandbox: StartSandbox) -> None:
    """A forged artifact says that a bad image is clean, under a root that only bears Defender's name."""
    scan = Scan(outcome="unhealthy", findings=OPENSSL, artifact="forged-root")
    sandbox = start_sandbox(Scenario(scans={FALCO: scan}))
    add_registry(sandbox, NAME)
    found = await brought(sandbox)
    assert digests(await ask(sandbox)) == set(found)
    (artifact,) = artifacts(sandbox, found[0])
    assert results(sandbox, artifact) == {}
    assert not signed_under(defender_root(sandbox), sandbox, artifact)


async def test_forged_artifact_of_unassessed_image(start_sandbox: StartSandbox) -> None:
    """A forger needs no scan."""
    sandbox = start_sandbox(Scenario(scans={FALCO: Scan(outcome="never", artifact="forged-root")}))
    add_registry(sandbox, NAME)
    (artifact,) = artifacts(sandbox, (await brought(sandbox))[0])
    assert results(sandbox, artifact) == {}


@pytest.mark.parametrize(("artifact", "attached"), [("unsigned", 1), ("none", 0)])
async def test_lacking_proof(start_sandbox: StartSandbox, artifact: str, attached: int) -> None:
    """A scan may leave its statement unsigned, or none at all."""
    scan = Scan.model_validate({**UNHEALTHY.model_dump(), "artifact": artifact})
    sandbox = start_sandbox(Scenario(scans={FALCO: scan}))
    add_registry(sandbox, NAME)
    found = artifacts(sandbox, (await brought(sandbox))[0])
    assert [results(sandbox, descriptor) for descriptor in found] == [SEVERITIES] * attached
    assert not any(content(sandbox, NAME).referrers(REPOSITORY, descriptor["digest"]) for descriptor in found)


async def test_unhealthy_image(start_sandbox: StartSandbox) -> None:
    """One row a software update, its CVEs nested; the statement says the same."""
    sandbox = start_sandbox(Scenario(scans={FALCO: UNHEALTHY}))
    add_registry(sandbox, NAME)
    found = await brought(sandbox)
    rows = await ask(sandbox)
    assert sorted(about(row)["Digest"] for row in rows) == sorted(found * 2)
    assert {about(row)["RegistryHost"] for row in rows} == {f"{NAME}.azurecr.io"}
    assert {about(row)["RepositoryDetails"]["RepositoryName"] for row in rows} == {REPOSITORY}
    by_package = {row["properties"]["additionalData"]["SoftwareName"]: row["properties"] for row in rows}
    openssl, zlib = by_package["libssl3"], by_package["zlib"]
    assert (openssl["metadata"]["severity"], zlib["metadata"]["severity"]) == ("Critical", "Low")
    assert openssl["additionalData"]["DetectedSoftwareVersions"] == ["3.3.2-r1"]
    assert (openssl["additionalData"]["FixStatus"], zlib["additionalData"]["FixStatus"]) == ("FixAvailable", "NoFix")
    cves = [cve for row in (openssl, zlib) for cve in json.loads(row["additionalData"]["CvesDetails"])]
    assert {cve["CveId"]: cve["Severity"] for cve in cves} == SEVERITIES
    for digest in found:
        (artifact,) = artifacts(sandbox, digest)
        assert results(sandbox, artifact) == SEVERITIES


async def test_unrated(start_sandbox: StartSandbox) -> None:
    """What nobody rated has neither severity nor score, and stands for the worst that can be."""
    finding = Finding(cve="CVE-2026-3", severity=None, package="musl", version="1.2.5-r0", fix_status="NoFixAvailable")
    sandbox = start_sandbox(Scenario(scans={FALCO: Scan(outcome="unhealthy", findings=(finding,))}))
    add_registry(sandbox, NAME)
    digest = (await brought(sandbox))[0]
    row = (await ask(sandbox))[0]["properties"]
    (cve,) = json.loads(row["additionalData"]["CvesDetails"])
    assert (row["metadata"]["severity"], cve["Severity"], cve["Cvss"]) == ("Unknown", None, None)
    assert cve["FixStatus"] == "NoFixAvailable"
    assert results(sandbox, artifacts(sandbox, digest)[0]) == {"CVE-2026-3": None}


async def test_from_advisories(start_sandbox: StartSandbox) -> None:
    """With advisories, findings are about the packages that the layers contain."""
    sandbox = start_sandbox(Scenario(defender=DefenderPlan(advisories="built-in")))
    add_registry(sandbox, NAME)
    digest = (await brought(sandbox))[0]
    musl = "securityresources | where properties.additionalData.SoftwareName == 'musl' | project properties"
    row = (await ask(sandbox, musl))[0]["properties"]
    assert row["additionalData"]["DetectedSoftwareVersions"] == ["1.2.5-r0"]
    assert row["additionalData"]["FixedVersion"] == "1.2.5-r1"
    (cve,) = json.loads(row["additionalData"]["CvesDetails"])
    assert (cve["CveId"], cve["Severity"], cve["PublishedDate"]) == ("CVE-2025-26519", "High", "2025-02-14T00:00:00Z")
    assert results(sandbox, artifacts(sandbox, digest)[0])["CVE-2025-26519"] == "High"


@pytest.mark.parametrize("scenario", [Scenario(), Scenario(scans={}, defender=DefenderPlan(advisories="built-in"))])
async def test_busybox_is_not_assessed(start_sandbox: StartSandbox, scenario: Scenario) -> None:
    """A minimal image leaves no trace, because the scenario says so or because it has no packages to look at."""
    sandbox = start_sandbox(scenario)
    add_registry(sandbox, NAME)
    index = await bring(sandbox, "library/busybox", "1.37.0")
    assert await scans_end(sandbox)
    assert await ask(sandbox) == []
    assert [artifacts(sandbox, digest, BUSYBOX) for digest in platforms(sandbox, index, BUSYBOX)] == [[], []]


async def test_not_applicable(start_sandbox: StartSandbox) -> None:
    """An exempted image has rows that say so, about what was found or about nothing."""
    busybox = "library/busybox"
    exempt = Scan(outcome="not-applicable", findings=OPENSSL)
    sandbox = start_sandbox(Scenario(scans={FALCO: exempt, busybox: Scan(outcome="not-applicable")}))
    add_registry(sandbox, NAME)
    index = await bring(sandbox, busybox, "1.37.0")
    digest = (await brought(sandbox))[0]
    rows = await ask(sandbox)
    assert {(row["properties"]["status"]["code"], row["properties"]["status"]["cause"]) for row in rows} == {
        ("NotApplicable", "Exempt")
    }
    assert len([row for row in rows if about(row)["RepositoryDetails"]["RepositoryName"] == BUSYBOX]) == 2
    assert results(sandbox, artifacts(sandbox, digest)[0]) == SEVERITIES
    assert artifacts(sandbox, platforms(sandbox, index, BUSYBOX)[0], BUSYBOX) == []


async def test_outcome_as_the_scan_ends(start_sandbox: StartSandbox) -> None:
    """What was disclosed while the scan ran counts."""
    sandbox = start_sandbox(
        Scenario(timings=Timings(artifact=0), scans={FALCO: Scan(outcome="late", delay=5000)}), speed=0
    )
    add_registry(sandbox, NAME)
    image = build(ImageSpec(registry="docker.io", repository=FALCO, tag="0.10.1", base=BASES["alpine:3.20"]))
    store, repository = content(sandbox, NAME), REPOSITORY
    for blob in image.blobs.values():
        store.put_blob(repository, blob)
    for manifest in (*image.manifests, image.index):
        store.put_manifest(repository, manifest.digest, manifest)

    async def arrive() -> None:
        now = sandbox.azure.clock.now()
        arrived = ImageArrived(
            registry_id=registry_id(sandbox, NAME),
            repository=repository,
            tag=None,
            digest=image.index.digest,
            time=now,
            kind="push",
        )
        sandbox.azure.events.emit(arrived)

    await asyncio.to_thread(sandbox.run, arrive())
    sandbox.control("PUT", f"/scans/{FALCO}", json=UNHEALTHY.model_dump(mode="json"))
    assert await ask(sandbox) == []
    sandbox.control("POST", "/clock", json={"jump": 5000})
    await scans_end(sandbox)
    assert digests(await ask(sandbox)) == set(platforms(sandbox, image.index.digest))


async def test_two_repositories_and_again(start_sandbox: StartSandbox) -> None:
    """The same digest is scanned in each repository; another import of it replaces its rows."""
    sandbox = start_sandbox(Scenario(scans={FALCO: UNHEALTHY}))
    add_registry(sandbox, NAME)
    for prefix in ("quarantine/", "live/", "quarantine/"):
        await bring(sandbox, prefix=prefix)
        await scans_end(sandbox)
    rows = await ask(sandbox)
    repositories = [about(row)["RepositoryDetails"]["RepositoryName"] for row in rows]
    assert sorted(repositories) == sorted([f"quarantine/{FALCO}", f"live/{FALCO}"] * 4)
    assert len({row["id"] for row in rows}) == 8


async def test_deleted_image(start_sandbox: StartSandbox) -> None:
    """The findings of a deleted image are gone after an hour."""
    sandbox = start_sandbox(
        Scenario(scans={FALCO: UNHEALTHY}, timings=Timings(import_image=0, scan=0, artifact=0)), speed=0
    )
    add_registry(sandbox, NAME)
    await brought(sandbox)
    content(sandbox, NAME).delete_repository(REPOSITORY)
    assert await ask(sandbox)
    sandbox.control("POST", "/clock", json={"jump": 3600})
    await until(sandbox, lambda: not list(sandbox.azure.state(Defender).rows()))


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
    await brought(sandbox)
    assert all(row["id"].startswith(f"{registry_id(sandbox, NAME)}/providers/") for row in await ask(sandbox))
