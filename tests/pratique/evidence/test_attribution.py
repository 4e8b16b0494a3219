"""Rows of Resource Graph in every form that they may have, and what they must never do to a verdict."""

from __future__ import annotations

import copy
import itertools
import json
from collections.abc import Collection, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pratique.evidence.attribution import observations, parse_row
from pratique.evidence.parsers.recommendation import from_recommendation
from pratique.evidence.parsers.sub_assessment import from_sub_assessment
from pratique.evidence.parsers.vulnerability import vulnerability_details
from pratique.findings import Finding, Fix, Severity, merged
from pratique.gate.evaluate import evaluate_platform
from pratique.gate.evidence import Observation, SourceStatus, Subject
from pratique.gate.exceptions.lookup import Exceptions
from pratique.gate.policy import FINDINGS_ARTIFACT, RECOMMENDATIONS, Policy
from pratique.gate.rules import Rules, Wait
from pratique.images import ImageReference, PlatformManifest, ResolvedImage
from sandbox import scenario
from sandbox.scenario import DefenderPlan
from sandbox.services.defender.cve_details import cve_details
from sandbox.services.defender.images import ScannedImage
from sandbox.services.defender.recommendations import recommendations
from sandbox.services.defender.reports import Report
from sandbox.services.defender.subassessments import mdvm_rows, qualys_rows
from tests.pratique.evidence.parsers.mutations import JSON, mutated

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
DIGEST, OTHER = "sha256:" + "0f" * 32, "sha256:" + "1e" * 32
HOST, REPOSITORY = "acraks.azurecr.io", "quarantine/app"
REGISTRY = "/subscriptions/s/resourceGroups/g/providers/Microsoft.ContainerRegistry/registries/acraks"
SUBJECT = Subject(HOST, REPOSITORY, DIGEST, NOW - timedelta(hours=2))
FOUND = (
    scenario.Finding(cve="CVE-2026-1", severity="High", package="openssl", version="1", fixed_version="2"),
    scenario.Finding(cve="CVE-2026-2", severity="High", package="openssl", version="1", fixed_version="2"),
    scenario.Finding(cve="CVE-2026-3", severity="Low", package="zlib", version="1"),
)
PLACES: dict[str, Sequence[Any]] = {
    "casing": ("pascal", "camel"),
    "nesting": ("text", "array"),
    "severity_in": ("cve", "cvss", "row", "details"),
    "registry_in": ("top", "repository", "image-uri", "id"),
    "fix_in": ("update", "scanners"),
}


def report(
    found: Collection[scenario.Finding] = FOUND,
    repository: str = REPOSITORY,
    digest: str = DIGEST,
    status: Any = "Unhealthy",
) -> Report:
    return Report(
        image=ScannedImage(REGISTRY, HOST, repository, digest),
        status=status,
        findings=tuple(found),
        pushed=NOW - timedelta(hours=2),
        scanned=NOW - timedelta(hours=1),
        tenant_id="t",
    )


def observe(rows: Collection[Mapping[str, Any]], details: bool = False, subject: Subject = SUBJECT) -> Observation:
    """What rows of recommendations say about the subject."""
    known = vulnerability_details({**row, "cve": row["name"]} for row in cve_details([report()])) if details else {}
    parse = partial(from_recommendation, source=RECOMMENDATIONS, details=known)
    return observations(RECOMMENDATIONS, [parse_row(row, parse) for row in rows], [subject])[subject]


@pytest.mark.parametrize("severity_in", PLACES["severity_in"])
def test_every_form_means_the_same(severity_in: str) -> None:
    """The findings of an image are the same in all forms that its rows may have, and each form proves the scan."""
    expected = observe(recommendations(report(), DefenderPlan()))
    assert {finding.severity for finding in expected.findings} == {Severity.HIGH, Severity.LOW}
    others = [values for name, values in PLACES.items() if name != "severity_in"]
    for casing, nesting, registry_in, fix_in in itertools.product(*others):
        form = DefenderPlan(
            casing=casing, nesting=nesting, severity_in=severity_in, registry_in=registry_in, fix_in=fix_in
        )  # fmt: skip
        assert observe(recommendations(report(), form), details=severity_in == "details") == expected


ROWS = recommendations(report(), DefenderPlan())
RATINGS = {"severity", "cvss", "cvssv30score"}
FIXES = {"fixstatus", "fixedversion"}


def without(row: Mapping[str, Any], names: Collection[str]) -> dict[str, Any]:
    """The row without any member of these names, at whatever depth and also in JSON text."""

    def cut(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: cut(inner) for key, inner in value.items() if key.lower() not in names}
        if isinstance(value, list):
            return [cut(inner) for inner in value]
        if isinstance(value, str) and value[:1] in ("{", "["):
            return json.dumps(cut(json.loads(value)))
        return value

    found: dict[str, Any] = cut(row)
    return found


def by_key(findings: Collection[Finding]) -> dict[tuple[str, str], Finding]:
    return {finding.key: finding for finding in merged(findings)}


forms = st.builds(
    DefenderPlan,
    casing=st.sampled_from(PLACES["casing"]),
    nesting=st.sampled_from(PLACES["nesting"]),
    severity_in=st.sampled_from([*PLACES["severity_in"], "nowhere"]),
    registry_in=st.sampled_from(PLACES["registry_in"]),
    fix_in=st.sampled_from(PLACES["fix_in"]),
)
vulnerabilities = st.builds(
    scenario.Finding,
    cve=st.sampled_from(["CVE-2026-1", "CVE-2026-2", "CVE-2026-3"]),
    severity=st.sampled_from(["Critical", "High", "Medium", "Low", "Unknown", None]),
    package=st.sampled_from(["openssl", "zlib"]),
    version=st.just("1"),
    fixed_version=st.sampled_from(["", "2"]),
    cvss=st.sampled_from([None, 0, 3.1, 9.8]),
)
reports = st.builds(
    report,
    found=st.lists(vulnerabilities, max_size=4, unique_by=lambda found: (found.cve, found.package)),
    repository=st.sampled_from([REPOSITORY, "live/app"]),
    digest=st.sampled_from([DIGEST, OTHER]),
    status=st.sampled_from(["Unhealthy", "NotApplicable", "Healthy"]),
)


@st.composite
def rows(draw: Any) -> list[dict[str, Any]]:
    """Rows about some image, or about nothing that can be read."""
    found: list[dict[str, Any]] = recommendations(draw(reports), draw(forms))
    if found and draw(st.integers(0, 1)):
        found = [draw(mutated(row)) for row in found]
    if draw(st.integers(0, 9)) == 0:
        found.append({"id": draw(st.text()), "properties": draw(JSON)})
    return found


@given(reports, forms)
def test_a_row_without_ratings_or_fixes_is_no_milder(about: Report, form: DefenderPlan) -> None:
    """Taking every rating or every fix out of rows makes no finding milder, and none one that has no fix."""
    whole = [row for row in recommendations(about, form) if about.image.digest == DIGEST]
    before = by_key(observe(whole).findings)
    unrated = by_key(observe([without(row, RATINGS) for row in whole]).findings)
    unfixed = by_key(observe([without(row, FIXES) for row in whole]).findings)
    assert before.keys() == unrated.keys() == unfixed.keys()
    for key, finding in before.items():
        assert unrated[key].severity >= finding.severity
        assert unfixed[key].fix in (finding.fix, Fix.UNKNOWN)
        assert unfixed[key].severity == finding.severity


IMAGE = ResolvedImage(ImageReference("ghcr.io", "contoso/app", "1"), DIGEST, (PlatformManifest("linux/amd64", DIGEST),))
PROVEN = Observation(source=FINDINGS_ARTIFACT, status=SourceStatus.ASSESSED, at=NOW - timedelta(hours=1))


def passes(found: Collection[Mapping[str, Any]], policy: Policy) -> bool:
    """Whether the image passes with these rows, and a proof from elsewhere that nothing else was found."""
    rules = Rules(
        policy=policy,
        platforms=("linux/amd64",),
        sources=frozenset({RECOMMENDATIONS, FINDINGS_ARTIFACT}),
        exceptions=Exceptions(),
    )
    wait = Wait(at=NOW, since=NOW - timedelta(days=1), started=NOW - timedelta(days=1), patience=1, deadline=1)
    return evaluate_platform(IMAGE, [observe(found), PROVEN], rules, wait).state.passes


policies = st.builds(
    Policy,
    limits=st.sampled_from([{"critical": 0, "high": 0}, {"critical": 0, "high": 1}, {"low": 2}]),
    ignore_unfixed=st.booleans(),
)


@settings(max_examples=200, deadline=None)
@given(rows(), rows(), policies)
def test_another_row_lets_nothing_in(some: list[dict[str, Any]], more: list[dict[str, Any]], policy: Policy) -> None:
    """Whatever a further row says, an image that is blocked without it is blocked with it."""
    assert passes(some, policy) or not passes([*some, *more], policy)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.dictionaries(st.sampled_from(["id", "properties", "digest"]), JSON), max_size=3))
def test_nothing_is_raised(found: list[dict[str, Any]]) -> None:
    """Whatever rows are, there is an observation; a row without a readable digest is never taken for no row."""
    observation = observe(found)
    assert observation.status is (SourceStatus.UNREADABLE if found else SourceStatus.NOTHING)


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_a_spoilt_row_is_never_nothing(data: st.DataObject) -> None:
    """One defect anywhere in an unhealthy row leaves findings, a doubt, or a note that names the row."""
    row = copy.deepcopy(ROWS[0])
    spoilt = data.draw(mutated({"properties": row["properties"]}))
    observation = observe([{"id": row["id"], **spoilt}])
    assert observation.findings or observation.status is SourceStatus.UNREADABLE or observation.notes


def nameless(repository: str | None = REPOSITORY, **about: Any) -> dict[str, Any]:
    """A row that names no digest."""
    row = copy.deepcopy(ROWS[0])
    row["properties"]["resourceDetails"] = {"ResourceType": ".containerimage"}
    row["properties"]["resourceAdditionalData"] = {"RepositoryDetails": {"RepositoryName": repository}, **about}
    return row


@pytest.mark.parametrize(
    ("row", "doubt"),
    [
        (nameless(), True),
        (nameless(None), True),
        (nameless(Digest="sha256:0f0f"), True),
        (nameless(RegistryHost="ACRAKS.azurecr.io"), True),
        (nameless("live/other"), False),
        (nameless(None, ImageUri=f"{HOST}/{REPOSITORY}:1"), True),
        (nameless(None, ImageUri=f"{HOST}/live/other:1"), False),
    ],
    ids=["same repository", "no repository", "cut digest", "same registry", "other", "image", "other image"],
)
def test_a_row_that_names_no_digest(row: dict[str, Any], doubt: bool) -> None:
    """It is a doubt about every image of its repository, and noted for all others."""
    observation = observe([row])
    assert (observation.status is SourceStatus.UNREADABLE) is doubt
    assert any(
        "names no digest" in text or "name no digest" in text for text in (observation.detail, *observation.notes)
    )
    assert not passes([row], Policy()) or not doubt


def test_a_digest_in_an_unusual_place() -> None:
    """Findings count for a digest that stands anywhere in the row, and for each of several that it names."""
    unusual = nameless()
    unusual["properties"]["additionalData"]["Image"] = DIGEST.upper()
    several = copy.deepcopy(ROWS[0])
    several["properties"]["resourceDetails"]["Id"] = f"{REGISTRY}/repositories-quarantine-app-images-{OTHER}"
    for row in (unusual, several):
        observation = observe([row])
        assert {finding.vulnerability for finding in observation.findings} == {"CVE-2026-1", "CVE-2026-2"}
        assert observation.status is SourceStatus.NOTHING
        assert any("unusual place" in note for note in observation.notes)
    other = observe([several], subject=Subject(HOST, REPOSITORY, OTHER))
    assert len(other.findings) == 2


def test_rows_of_other_kinds() -> None:
    """A recommendation of another category is noted with its category and id, and a mention in passing with its id."""
    secrets = copy.deepcopy(ROWS[0])
    secrets["properties"]["metadata"]["recommendationCategory"] = "Secrets"
    secrets["properties"]["additionalData"] = {}
    mention = recommendations(report(digest=OTHER), DefenderPlan())[0]
    mention["properties"]["additionalData"]["Description"] = f"like {DIGEST}"
    observation = observe([secrets, mention])
    assert (observation.status, observation.findings) == (SourceStatus.NOTHING, frozenset())
    assert any("Secrets" in note and secrets["id"] in note for note in observation.notes)
    assert any("only mention" in note and mention["id"] in note for note in observation.notes)


@pytest.mark.parametrize("category", ["SoftwareUpdate", "Vulnerabilities", "", None])
def test_findings_of_any_kind_count_for_every_digest_that_a_row_mentions(category: str | None) -> None:
    """Where a row names no digest in a usual place, its findings count for those anywhere else in it."""
    row = nameless()
    row["properties"]["metadata"]["recommendationCategory"] = category
    row["properties"]["additionalData"]["Artifact"] = {"Reference": f"app@{DIGEST}"}
    observation = observe([row])
    assert {finding.vulnerability for finding in observation.findings} == {"CVE-2026-1", "CVE-2026-2"}
    assert observation.status is SourceStatus.NOTHING
    assert not passes([row], Policy())


def test_other_sub_assessments() -> None:
    """Rows of another scanner are findings of the digest, and prove nothing."""
    parse = partial(from_sub_assessment, source="sub-assessments")
    for found, expected in ((FOUND, {"CVE-2026-1", "CVE-2026-2", "CVE-2026-3"}), ((), set())):
        parsed = [
            parse_row(row, parse) for row in qualys_rows(report(found, status="Unhealthy" if found else "Healthy"))
        ]
        observation = observations("sub-assessments", parsed, [SUBJECT])[SUBJECT]
        assert {finding.vulnerability for finding in observation.findings} == expected
        assert observation.status is SourceStatus.NOTHING
        assert any("another kind" in note for note in observation.notes)
    own = [parse_row(row, parse) for row in mdvm_rows(report())]
    assert observations("sub-assessments", own, [SUBJECT])[SUBJECT].status is SourceStatus.ASSESSED


def test_contradicting_statuses() -> None:
    """A healthy row that lists CVEs has these findings; an unhealthy one without any is a finding with its id."""
    healthy, empty = copy.deepcopy(ROWS[0]), copy.deepcopy(ROWS[1])
    healthy["properties"]["status"]["code"] = "HEALTHY"
    empty["properties"]["additionalData"]["CvesDetails"] = "[]"
    found = {finding.vulnerability for finding in observe([healthy, empty]).findings}
    assert found == {"CVE-2026-1", "CVE-2026-2", empty["id"]}
