"""Defender's findings in the forms that they have had: by Resource Graph, and by the REST API of Microsoft.Security."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest
from azure.core.exceptions import ResourceNotFoundError
from azure.identity.aio import DefaultAzureCredential
from azure.mgmt.security.aio import SecurityCenter

from sandbox.scenario import DefenderPlan, Scan, Scenario
from tests.sandbox.defending import FALCO, NAME, OPENSSL, REPOSITORY, UNHEALTHY, ask, brought
from tests.sandbox.registries import add_registry, registry_id

if TYPE_CHECKING:
    from tests.conftest import RunningSandbox, StartSandbox

MDVM = "c0b7cfc6-3172-465a-b378-53c7ff2cc0d5"
QUALYS = "dbd0cb49-b563-45e7-9724-889e799fa648"
ALL = DefenderPlan(generations=("individual", "sub-assessments", "qualys"))
#: As clients of each generation query it.
BY_ASSESSMENT = """
securityresources
| where type =~ 'microsoft.security/assessments/subassessments'
| extend key = extract(@"(?i)providers/Microsoft.Security/assessments/([^/]*)", 1, id)
| where key == "KEY"
| project id, severity = tostring(properties.status.severity), code = tostring(properties.status.code), properties
| order by id asc
"""


def by_assessment(key: str) -> str:
    return BY_ASSESSMENT.replace("KEY", key)


@asynccontextmanager
async def security_center(sandbox: RunningSandbox) -> AsyncIterator[SecurityCenter]:
    async with (
        DefaultAzureCredential() as credential,
        SecurityCenter(credential, sandbox.azure.subscription_id) as client,
    ):
        yield client


async def test_sub_assessments(start_sandbox: StartSandbox) -> None:
    """One row an image and CVE, below one assessment of the registry."""
    plan = DefenderPlan(generations=("sub-assessments",))
    sandbox = start_sandbox(Scenario(scans={FALCO: UNHEALTHY}, defender=plan))
    add_registry(sandbox, NAME)
    digests = await brought(sandbox)
    rows = await ask(sandbox, by_assessment(MDVM))
    data = [row["properties"]["additionalData"] for row in rows]
    assert sorted((d["artifactDetails"]["digest"], d["vulnerabilityDetails"]["cveId"]) for d in data) == sorted(
        (digest, finding.cve) for digest in digests for finding in OPENSSL
    )
    assert {row["severity"] for row in rows} == {"Critical", "Unknown", "Low"}
    assert {d["artifactDetails"]["repositoryName"] for d in data} == {REPOSITORY}
    assert {d["assessedResourceType"] for d in data} == {"AzureContainerRegistryVulnerability"}
    fixes = {(d["softwareDetails"]["packageName"], d["softwareDetails"]["fixStatus"]) for d in data}
    assert fixes == {("libssl3", "FixAvailable"), ("zlib", "NoFix")}
    parents = await ask(sandbox, "securityresources | where type =~ 'microsoft.security/assessments' | project name")
    assert parents == [{"name": MDVM}]


async def test_qualys(start_sandbox: StartSandbox) -> None:
    """One row an image and finding, CVEs as a list; the fix only as a yes or no."""
    sandbox = start_sandbox(Scenario(scans={FALCO: UNHEALTHY}, defender=DefenderPlan(generations=("qualys",))))
    add_registry(sandbox, NAME)
    digests = await brought(sandbox)
    rows = await ask(sandbox, by_assessment(QUALYS))
    data = [row["properties"]["additionalData"] for row in rows]
    assert sorted((d["imageDigest"], d["cve"][0]["title"], d["patchable"]) for d in data) == sorted(
        (digest, finding.cve, bool(finding.fixed_version)) for digest in digests for finding in OPENSSL
    )
    assert {row["code"] for row in rows} == {"Unhealthy"}


async def test_clean_in_each_generation(start_sandbox: StartSandbox) -> None:
    """Only Qualys' generation has something to say of a clean image."""
    sandbox = start_sandbox(Scenario(defender=ALL))
    add_registry(sandbox, NAME)
    digests = await brought(sandbox)
    found = "securityresources | where properties has 'sha256' | project type, properties"
    rows = await ask(sandbox, found)
    assert {row["type"] for row in rows} == {"microsoft.security/assessments/subassessments"}
    assert {row["properties"]["additionalData"]["imageDigest"] for row in rows} == set(digests)
    assert {row["properties"]["status"]["code"] for row in rows} == {"Healthy"}


async def test_exempted_in_each_generation(start_sandbox: StartSandbox) -> None:
    """An exemption marks every row about the image."""
    exempt = Scan(outcome="not-applicable", findings=OPENSSL)
    sandbox = start_sandbox(Scenario(scans={FALCO: exempt}, defender=ALL))
    add_registry(sandbox, NAME)
    await brought(sandbox)
    about_images = "securityresources | where properties has 'sha256' | project properties"
    status = [row["properties"]["status"] for row in await ask(sandbox, about_images)]
    assert len(status) == 2 * (2 + 3 + 3)
    assert {(s["code"], s["cause"]) for s in status} == {("NotApplicable", "Exempt")}


async def test_camel_case(start_sandbox: StartSandbox) -> None:
    """Keys of a recommendation may be in camelCase down to the last, and CVEs an array."""
    plan = DefenderPlan(casing="camel", nesting="array")
    sandbox = start_sandbox(Scenario(scans={FALCO: UNHEALTHY}, defender=plan))
    add_registry(sandbox, NAME)
    digests = await brought(sandbox)
    query = """
    securityresources
    | extend about = parse_json(tostring(properties.resourceAdditionalData))
    | mv-expand cve = properties.additionalData.cvesDetails
    | project digest = tostring(about.digest), repository = tostring(about.repositoryDetails.repositoryName),
        cveId = tostring(cve.cveId), base = todouble(cve.cvss[0].value.base),
        resource = tostring(properties.resourceDetails.resourceType)
    """
    rows = await ask(sandbox, query)
    assert {(row["digest"], row["cveId"]) for row in rows} == {(d, f.cve) for d in digests for f in OPENSSL}
    assert {(row["repository"], row["resource"]) for row in rows} == {(REPOSITORY, ".containerimage")}
    assert {row["base"] for row in rows} == {9.8, 3.1, None}


@pytest.mark.parametrize(("nesting", "kind"), [("text", str), ("array", list)])
async def test_nesting(start_sandbox: StartSandbox, nesting: str, kind: type) -> None:
    """The CVEs of a recommendation are JSON text or an array."""
    plan = DefenderPlan.model_validate({"nesting": nesting})
    sandbox = start_sandbox(Scenario(scans={FALCO: UNHEALTHY}, defender=plan))
    add_registry(sandbox, NAME)
    await brought(sandbox)
    rows: list[Any] = await ask(sandbox)
    assert {type(row["properties"]["additionalData"]["CvesDetails"]) for row in rows} == {kind}


async def test_rest(start_sandbox: StartSandbox) -> None:
    """The security SDK lists and gets assessments and sub-assessments of the whole subscription."""
    sandbox = start_sandbox(Scenario(scans={FALCO: UNHEALTHY}, defender=ALL))
    add_registry(sandbox, NAME)
    digests = await brought(sandbox)
    scope = f"subscriptions/{sandbox.azure.subscription_id}"
    async with security_center(sandbox) as client:
        assessments = [assessment async for assessment in client.assessments.list(scope)]
        below = [sub async for sub in client.sub_assessments.list(scope, MDVM)]
        everything = [sub async for sub in client.sub_assessments.list_all(scope)]
        one = await client.sub_assessments.get(registry_id(sandbox, NAME), MDVM, str(below[0].name))
        parent = await client.assessments.get(registry_id(sandbox, NAME), MDVM)
    assert len(assessments) == 2 + len(digests) * 2
    assert (len(below), len(everything)) == (len(digests) * 3, len(digests) * 6)
    assert one.as_dict() == below[0].as_dict()
    assert {sub.id_properties_id for sub in below} == {finding.cve for finding in OPENSSL}
    assert parent.status is not None
    assert parent.status.code == "Unhealthy"
    updates = [a.additional_data for a in assessments if a.additional_data]
    cves = {cve["CveId"] for data in updates for cve in json.loads(data["CvesDetails"])}
    assert cves == {finding.cve for finding in OPENSSL}


async def test_retired_api(start_sandbox: StartSandbox) -> None:
    """A generation that is gone has no sub-assessments, and its assessment is not found."""
    sandbox = start_sandbox(Scenario(scans={FALCO: UNHEALTHY}))
    add_registry(sandbox, NAME)
    await brought(sandbox)
    scope = f"subscriptions/{sandbox.azure.subscription_id}"
    async with security_center(sandbox) as client:
        assert [sub async for sub in client.sub_assessments.list_all(scope)] == []
        with pytest.raises(ResourceNotFoundError) as refused:
            _ = [sub async for sub in client.sub_assessments.list(scope, MDVM)]
    assert refused.value.error is not None
    assert refused.value.error.code == "ResourceNotFound"
