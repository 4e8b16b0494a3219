"""``pratique probe`` against local Azures that behave in each of the ways that are not documented."""

from __future__ import annotations

import asyncio
import re

import pytest
from cryptography.hazmat.primitives.hashes import SHA256

from pratique.preflight.probe import artifacts, defender_rows, registry_log
from pratique.preflight.probe.answers import DEFAULT, REPORT
from pratique.preflight.probe.defender_rows import Sample
from sandbox.scenario import Scan
from tests.flows.world import KURED
from tests.pratique.evidence.forms import FORMS, Form
from tests.pratique.preflight.probed import FALCO, PROMPT, SCANS, Prepare, holds, leaked, scenario
from tests.sandbox.defending import OPENSSL, defender_root

ABOUT = "properties.resourceAdditionalData"
#: Where the rows of each form name the registry, besides their ids.
REGISTRY = {
    "pascal": f"{ABOUT}.RegistryHost",
    "camel": f"{ABOUT}.repositoryDetails.registryHost",
    "scores": f"{ABOUT}.ImageUri",
    "row": "id",
    "details": f"{ABOUT}.RepositoryDetails.RegistryHost",
    "unrated": f"{ABOUT}.RegistryHost",
    "sub-assessments": "properties.additionalData.artifactDetails.registryHost",
}
#: What rates the vulnerabilities: a line of the answer about severities.
RATED = {
    "pascal": "beside the CVE, of 6 vulnerabilities: Critical: 2",
    "camel": "beside the CVE, of 6 vulnerabilities: Critical: 2",
    "scores": "with a CVSS base score: 4",
    "row": "in the row's metadata",
    "details": "beside the CVE, of 6 vulnerabilities: none: 6",
    "unrated": "without any rating, as Pratique reads them: 6 of 6",
    "sub-assessments": "beside the CVE, of 6 vulnerabilities: Critical: 2",
}


@pytest.mark.parametrize("form", FORMS, ids=str)
async def test_forms_of_rows(prepare: Prepare, form: Form) -> None:
    """In each form, the report shows where registry, severity and fix stand, and that Pratique reads the rows."""
    scan = Scan(outcome="unhealthy", findings=OPENSSL, delay=0)
    scenario = form.scenario(scan).model_copy(update={"timings": PROMPT})
    world = await prepare(scenario, (FALCO,), live=False)
    found = await world.answers("rows", "defender")
    holds(found, "rows.registry", REGISTRY[form.name])
    holds(found, "rows.severity", RATED[form.name])
    holds(found, "rows.readable", f"{form.generation}: ")
    holds(found, "rows.fix", "ersion")
    camel = form.plan.get("casing") == "camel" or form.generation == "sub-assessments"
    holds(found, "rows.casing", "camelCase" if camel else "PascalCase")
    for question in ("rows.registry", "rows.digest", "rows.readable"):
        assert "default fits" in found[question].fits, found[question]
    source = form.generation
    assert found["rows.generations"].fits == (
        DEFAULT if source == "recommendations" else f"gate.resource_graph: [{source}]"
    )
    assert found["defender.cvedetails"].state == ("seen" if form.name == "details" else "nothing seen")
    assert leaked(str([answer.document() for answer in found.values()]), world.sandbox) == []


async def test_references_keep_their_shape(prepare: Prepare) -> None:
    """An example of each reference has placeholders in place of names, the same in all of them."""
    found = await (await prepare(scenario(), (KURED,), live=False)).answers("rows")
    examples = found["rows.registry"].evidence["examples"]
    assert examples[f"{ABOUT}.RegistryHost"] == "registry-1.azurecr.io"
    resource = examples["properties.resourceDetails.Id"]
    group = r"/subscriptions/subscription-1/resourcegroups/group-1/providers/microsoft\.containerregistry"
    assert re.fullmatch(
        rf"{group}/registries/registry-1/repositories-quarantine-repository-1-images-digest-\d", resource
    )


async def test_rows_of_qualys_choose_the_setting(prepare: Prepare) -> None:
    """The oldest generation is read by the source for sub-assessments."""
    found = await (await prepare(scenario(defender={"generations": ["qualys"]}), (KURED,), live=False)).answers("rows")
    holds(found, "rows.generations", "Qualys: ")
    assert found["rows.generations"].fits == "gate.resource_graph: [sub-assessments]"


async def test_a_row_that_cannot_be_attributed_is_reported(prepare: Prepare) -> None:
    """Rows in a form that Pratique cannot read are counted with the reason, and no setting is said to fit."""
    world = await prepare(scenario(), (KURED,), live=False)
    sample = Sample(
        [{"id": "/a", "properties": {"resourceAdditionalData": "{}", "additionalData": {}, "status": 7}}], 1
    )
    none = Sample([], 0)
    async with world.place() as place:
        found = defender_rows.answers(
            {"recommendations": sample, "sub-assessments": none, "Qualys": none}, place.redactor, ""
        )
    answers = {answer.question.id: answer for answer in found}
    holds(answers, "rows.readable", "recommendations: 0 of 1 rows", "properties.status is not an object: 1")
    assert answers["rows.readable"].fits == REPORT


async def test_without_rows_nothing_is_concluded(prepare: Prepare) -> None:
    """A tenant without rows and artifacts gets no 'the default fits' for them."""
    scans = dict.fromkeys(SCANS, Scan(outcome="never"))
    found = await (await prepare(scenario(scans=scans), live=False)).answers("rows", "artifacts")
    questions = (*defender_rows.QUESTIONS, *artifacts.QUESTIONS)
    assert {found[question.id].state for question in questions} == {"nothing seen"}
    assert not any("default fits" in found[question.id].fits for question in questions)


@pytest.mark.parametrize(("envelope", "media_type"), [("jws", "application/jose+json"), ("cose", "application/cose")])
async def test_who_signed(prepare: Prepare, envelope: str, media_type: str) -> None:
    """The chain's names and fingerprints, the envelope, its algorithm, and how the signature was found."""
    world = await prepare(scenario(defender={"signature": envelope}))
    found = await world.answers("artifacts")
    holds(found, "artifacts.signed", media_type, "notary.x509", "referrers API")
    holds(found, "artifacts.signed", "PS384", "with a timestamp", "timestamp: ")
    (root,) = {
        certificate["sha256"]
        for signature in found["artifacts.signed"].evidence["signatures"]
        for certificate in signature["chain"][-1:]
    }
    assert root == defender_root(world.sandbox).fingerprint(SHA256()).hex()
    assert "gate.trusted_identities" in found["artifacts.signed"].fits
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
