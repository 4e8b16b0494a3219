"""Malformed rows of Resource Graph: none of them is silently dropped."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from pratique.azure import defender
from pratique.errors import UnreadableAnswer
from pratique.gate.evidence import SourceStatus
from sandbox.scenario import DefenderPlan, Scenario
from sandbox.services.defender.reports import Row
from tests.pratique.evidence.conftest import Scan as Scanning
from tests.pratique.evidence.conftest import subject
from tests.pratique.evidence.forms import Form
from tests.pratique.evidence.rows import CVES, change_rows, observe, reword
from tests.sandbox.defending import FALCO, REPOSITORY, UNHEALTHY

STRANGER = "sha256:" + "5e" * 32


def _without_status(row: Row) -> None:
    row["properties"].pop("status")


def _with_a_number(row: Row) -> None:
    row["properties"]["status"] = 7


def _with_a_list(row: Row) -> None:
    row["properties"]["additionalData"] = []


@pytest.mark.parametrize("change", [_without_status, _with_a_number, _with_a_list])
async def test_a_row_that_cannot_be_read(scanned: Scanning, form: Form, change: Callable[[Row], None]) -> None:
    """It makes every image with its digest unreadable, in any repository, and no other image."""
    image = await scanned(form.scenario(UNHEALTHY))
    name, (digest, other) = form.generation, image.digests
    change_rows(image, name, change, digest)
    elsewhere = subject(digest, "quarantine/other")
    here, there, unaffected = await observe(image, subject(digest), elsewhere, subject(other), name=name)
    for observation in (here, there):
        assert observation.status is SourceStatus.UNREADABLE
        assert "cannot be read" in observation.detail
    assert unaffected.status is SourceStatus.ASSESSED


async def test_rows_that_only_mention_a_digest(scanned: Scanning) -> None:
    """They make the image unreadable, or are findings of it that prove nothing."""
    image = await scanned(Scenario(scans={FALCO: UNHEALTHY}))
    digest = image.digests[0]
    truncated, other_keys = f'{{"Digest": "{digest}", "RegistryH', f'{{"About": "{digest}"}}'
    for about, readable in (
        (truncated, False),
        (other_keys, True),
        ([digest], False),
        (digest.upper(), False),
        (None, True),
    ):

        def change(row: Row, about: Any = about) -> None:
            row["properties"]["resourceAdditionalData"] = about

        change_rows(image, "recommendations", change, digest)
        (observation,) = await observe(image, subject(digest))
        assert observation.status is (SourceStatus.NOTHING if readable else SourceStatus.UNREADABLE)
        assert {finding.vulnerability for finding in observation.findings} == (CVES if readable else set())


async def test_rows_that_name_no_digest(scanned: Scanning, form: Form) -> None:
    """They are a doubt about every image of their repository, and noted for the images of others."""
    image = await scanned(form.scenario(UNHEALTHY))
    name, (digest, other) = form.generation, image.digests
    change_rows(image, name, lambda row: reword(row, digest, ""), digest)
    elsewhere = subject(digest, "quarantine/other")
    here, neighbour, there = await observe(image, subject(digest), subject(other), elsewhere, name=name)
    for observation in (here, neighbour):
        assert observation.status is SourceStatus.UNREADABLE
        assert "names no digest" in observation.detail
    assert {finding.vulnerability for finding in neighbour.findings} == CVES
    assert there.status is SourceStatus.NOTHING
    assert any("name no digest" in note and REPOSITORY in note for note in there.notes)


async def test_a_digest_behind_others(scanned: Scanning, form: Form) -> None:
    """A row that names another digest before this one, in every place, is found: as findings or as a doubt."""
    image = await scanned(form.scenario(UNHEALTHY))
    digest = image.digests[0]
    change_rows(image, form.generation, lambda row: reword(row, digest, f"{STRANGER} {digest}"), digest)
    (observation,) = await observe(image, subject(digest), name=form.generation)
    assert {finding.vulnerability for finding in observation.findings} == CVES or observation.status.in_doubt
    assert observation.status is not SourceStatus.ASSESSED


async def test_rows_with_one_id(scanned: Scanning, form: Form) -> None:
    """Rows that share an id all count."""
    image = await scanned(form.scenario(UNHEALTHY))
    change_rows(
        image, form.generation, lambda row: row.update(id=f"{row['id'].rpartition('/')[0]}/0"), image.digests[0]
    )
    (observation,) = await observe(image, image.subjects[0], name=form.generation)
    assert {finding.vulnerability for finding in observation.findings} == CVES


async def test_rows_of_unknown_kinds(scanned: Scanning) -> None:
    """Rows of other scanners and of other recommendations about a digest come back from the query and are reported."""
    plan = DefenderPlan(generations=("individual", "qualys"))
    image = await scanned(Scenario(scans={FALCO: UNHEALTHY}, defender=plan))
    digest = image.digests[0]
    (observation,) = await observe(image, subject(digest), name="sub-assessments")
    assert {finding.vulnerability for finding in observation.findings} == CVES
    assert observation.status is SourceStatus.NOTHING
    assert any("another kind (assessment" in note for note in observation.notes)

    def change(row: Row) -> None:
        row["properties"]["metadata"]["recommendationCategory"] = "Secrets"

    change_rows(image, "recommendations", change, digest)
    (observation,) = await observe(image, subject(digest))
    assert any("another kind (Secrets)" in note for note in observation.notes)


async def test_odd_findings(scanned: Scanning) -> None:
    """A megabyte of CVEs for one image, and unprintable package names, are findings like any others."""
    image = await scanned(Scenario(scans={FALCO: UNHEALTHY}))
    digest, cve = image.digests[0], {"CveId": "CVE-2026-1", "Severity": "High", "Description": "x" * 1000}

    def change(row: Row) -> None:
        many = [{**cve, "CveId": f"CVE-2026-{number:05}"} for number in range(1000)]
        row["properties"]["additionalData"] = {"SoftwareName": "a\x00b", "CvesDetails": json.dumps(many)}

    change_rows(image, "recommendations", change, digest)
    (observation,) = await observe(image, subject(digest))
    assert observation.status is SourceStatus.ASSESSED
    assert len({finding.vulnerability for finding in observation.findings}) == 1000
    assert all("\x00" not in str(finding) for finding in observation.findings)


async def test_rows_that_do_not_answer(scanned: Scanning, monkeypatch: pytest.MonkeyPatch) -> None:
    """A response whose rows do not say which digest they were found by raises an error."""
    image = await scanned(Scenario(scans={FALCO: UNHEALTHY}))
    monkeypatch.setattr(defender, "_QUERY", defender._QUERY.replace("project id, digest,", "project id, digest = id,"))
    with pytest.raises(UnreadableAnswer):
        await observe(image, *image.subjects)
