"""``pratique probe`` against local Azures that behave in each of the ways that are not documented."""

from __future__ import annotations

import asyncio
import re

import pytest
from cryptography.hazmat.primitives.hashes import SHA256

from pratique.preflight.probe import artifacts, defender_rows, registry_log
from pratique.preflight.probe.answers import REPORT
from sandbox.scenario import Scan
from tests.pratique.preflight.probed import SCANS, Prepare, holds, leaked, scenario
from tests.sandbox.defending import defender_root


@pytest.mark.parametrize(("casing", "nesting"), [("pascal", "text"), ("camel", "array")])
async def test_forms_of_recommendations(prepare: Prepare, casing: str, nesting: str) -> None:
    """The report shows where a row names registry, severity and fix, and in which letter case."""
    found = await (await prepare(scenario(defender={"casing": casing, "nesting": nesting}))).answers("rows")
    camel = casing == "camel"
    about, details = "properties.resourceAdditionalData", "properties.additionalData"
    cves = f"{details}.{'cvesDetails' if camel else 'CvesDetails'}"
    holds(found, "rows.generations", "recommendations: 8 rows", "sub-assessments: 0 rows")
    holds(found, "rows.registry", f"{about}.{'registryHost' if camel else 'RegistryHost'}: 8 of 8", "id: 8 of 8")
    holds(found, "rows.severity", "High: 4", "none: 4", "severity and score: 4")
    holds(found, "rows.fix", f"{cves}[].{'fixStatus' if camel else 'FixStatus'}", '"FixAvailable": 4', '"NoFix": 4')
    holds(found, "rows.casing", f"additionaldata: {casing}Case" if camel else "additionaldata: PascalCase")
    holds(found, "rows.status", "Unhealthy: 8")
    holds(found, "rows.readable", "recommendations: 8 of 8 rows")
    outline = found["rows.fix"].evidence["outline"]
    assert (outline[f"{cves}"] == {"JSON text": 8}) if nesting == "text" else (f"{cves}" not in outline)
    assert "gate.policy.limits.critical" in found["rows.severity"].fits
    examples = found["rows.registry"].evidence["examples"]
    assert re.fullmatch(r"registry-1\.azurecr\.io", examples[f"{about}.{'registryHost' if camel else 'RegistryHost'}"])
    assert re.search(
        r"/registries/registry-1/repositories-.*-images-digest-\d+",
        examples[f"{about[:11]}resourceDetails.{'id' if camel else 'Id'}"],
    )


async def test_generations_choose_the_setting(prepare: Prepare) -> None:
    """Where only sub-assessments have rows, the report names the setting that reads them."""
    found = await (await prepare(scenario(defender={"generations": ["sub-assessments"]}))).answers("rows")
    holds(found, "rows.generations", "sub-assessments: 8 rows")
    assert found["rows.generations"].fits == "gate.resource_graph: [sub-assessments]"
    holds(found, "rows.registry", "properties.additionalData.artifactDetails.registryHost: 8 of 8")
    holds(found, "rows.severity", "High: 4")
    holds(found, "rows.readable", "sub-assessments: 8 of 8 rows")


async def test_a_generation_that_nothing_reads_is_reported(prepare: Prepare) -> None:
    """Rows of Qualys only: no setting fits, and nothing is concluded from the absence of others."""
    found = await (await prepare(scenario(defender={"generations": ["qualys"]}))).answers("rows")
    assert found["rows.generations"].fits == REPORT
    assert found["rows.severity"].state == "nothing seen"


async def test_without_rows_nothing_is_concluded(prepare: Prepare) -> None:
    """A tenant without rows and artifacts gets no 'the default fits' for them."""
    scans = dict.fromkeys(SCANS, Scan(outcome="never"))
    found = await (await prepare(scenario(scans=scans))).answers("rows", "artifacts")
    questions = (*defender_rows.QUESTIONS, *artifacts.QUESTIONS)
    assert {found[question.id].state for question in questions} == {"nothing seen"}
    assert not any("default fits" in found[question.id].fits for question in questions)


@pytest.mark.parametrize(("envelope", "media_type"), [("jws", "application/jose+json"), ("cose", "application/cose")])
async def test_who_signed(prepare: Prepare, envelope: str, media_type: str) -> None:
    """The chain's names and fingerprints, the envelope, its algorithm, and how the signature was found."""
    world = await prepare(scenario(defender={"signature": envelope}))
    found = await world.answers("artifacts")
    holds(found, "artifacts.signed", media_type, "notary.x509", "referrers API")
    (root,) = {
        certificate["sha256"]
        for signature in found["artifacts.signed"].evidence["signatures"]
        for certificate in signature["chain"][-1:]
    }
    assert root == defender_root(world.sandbox).fingerprint(SHA256()).hex()
    assert "gate.trust_store" in found["artifacts.signed"].fits
    holds(found, "artifacts.found", "image in live/: referrers API: 4", "index in live/: no artifact: 2")
    holds(found, "artifacts.manifest", "MDVM", "SoftwareInventoryAssessment", "application/vnd.oci.empty.v1+json")
    holds(found, "artifacts.statement", "predicate.scanner.result[].severity[].score")
    holds(found, "artifacts.database", "scanner.db.lastUpdate: 8 of 8")
    holds(found, "artifacts.clean", "result: empty; rows: none: 4", "result: findings; rows: Unhealthy: 4")


async def test_unsigned_artifacts(prepare: Prepare) -> None:
    """Artifacts without a signature are shown as such, and never with advice to believe them."""
    unsigned = {name: scan.model_copy(update={"artifact": "unsigned"}) for name, scan in SCANS.items()}
    found = await (await prepare(scenario(scans=unsigned))).answers("artifacts")
    holds(found, "artifacts.signed", "no signature; other referrers: none")
    assert "unsafe" not in found["artifacts.signed"].fits
    assert "trust_store" not in found["artifacts.signed"].fits


@pytest.mark.parametrize(
    ("identity", "form", "fits"),
    [
        ("object-id", "importImage: the object id of this identity: 4 of 4", True),
        ("application-id", "importImage: the application id of this identity: 4 of 4", False),
        ("name", "importImage: a name or something else: 4 of 4", False),
        ("empty", "importImage: empty: 4 of 4", False),
    ],
)
async def test_identities_in_the_log(prepare: Prepare, identity: str, form: str, fits: bool) -> None:
    """What Identity holds is named, not told; what the audit does not expect is reported."""
    world = await prepare(scenario(registry_log={"identity": identity}))
    found = await world.answers("log")
    holds(found, "log.identity", form)
    assert found["log.identity"].fits.startswith(REPORT) != fits
    assert leaked(str([answer.document() for answer in found.values()]), world.sandbox) == []


@pytest.mark.parametrize(
    ("imports", "operation", "source"),
    [
        ("importImage", "importImage, HttpStatusCode 200", "importImage: MediaType is a resource id with repository"),
        ("Push", "Push, HttpStatusCode 201", "Push: MediaType is a media type"),
    ],
)
async def test_imports_in_the_log(prepare: Prepare, imports: str, operation: str, source: str) -> None:
    """Under which name imports are logged, and whether the log names their source, on which audit and alert rest."""
    found = await (await prepare(scenario(registry_log={"imports": imports}))).answers("log")
    holds(found, "log.operations", operation)
    holds(found, "log.source", source)
    holds(found, "log.delay", "of 4")
    assert ("No setting fits" in found["log.operations"].fits) == (imports == "Push")


async def test_imports_that_are_not_logged(prepare: Prepare) -> None:
    """Without rows about imports nothing is concluded about them."""
    found = await (await prepare(scenario(registry_log={"imports": "nothing"}))).answers("log")
    assert {found[question.id].state for question in registry_log.LOG_QUESTIONS} == {"nothing seen"}


async def test_registry_settings(prepare: Prepare) -> None:
    """The mode of role assignments, switched-on policies and the plan's extensions are shown as words."""
    world = await prepare(scenario(defender={"findings_artifact": False}))
    document = world.sandbox.azure.resources.list("Microsoft.ContainerRegistry/registries")[0]
    changes = {
        "roleAssignmentMode": "AbacRepositoryPermissions",
        "policies": {
            **document["properties"]["policies"],
            "softDeletePolicy": {"status": "enabled", "retentionDays": 7},
        },
    }

    async def put() -> None:
        world.sandbox.azure.resources.put({**document, "properties": {**document["properties"], **changes}})

    await asyncio.to_thread(world.sandbox.run, put())
    found = await world.answers("registry", "defender", "api")
    holds(found, "registry.mode", "API version 2025-11-01: AbacRepositoryPermissions")
    assert "AcrPull" in found["registry.mode"].fits
    holds(found, "registry.policies", "policies.softDeletePolicy.status: enabled", "publicNetworkAccess: Disabled")
    assert "soft delete" in found["registry.policies"].fits
    holds(found, "defender.plan", "ContainerIntegrityContribution: isEnabled 'False'", "pricingTier: Standard")
    holds(found, "api.paging", "resultTruncated='true'", "$skipToken=present")
