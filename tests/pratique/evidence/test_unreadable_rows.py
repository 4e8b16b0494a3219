"""Malformed rows of Resource Graph: none of them is silently dropped."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from pratique.azure import defender
from pratique.errors import UnreadableAnswer
from pratique.evidence.resource_graph import Generation
from pratique.gate.evidence import SourceStatus
from sandbox.scenario import Scenario
from sandbox.services.defender.reports import Row
from tests.pratique.evidence.conftest import Scan as Scanning
from tests.pratique.evidence.conftest import subject
from tests.pratique.evidence.rows import BOTH, change_rows, observe
from tests.sandbox.defending import FALCO, UNHEALTHY


def _without_status(row: Row) -> None:
    row["properties"].pop("status")


def _with_a_number(row: Row) -> None:
    row["properties"]["status"] = 7


def _with_a_list(row: Row) -> None:
    row["properties"]["additionalData"] = []


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("recommendations", _without_status),
        ("recommendations", _with_a_list),
        ("sub-assessments", _with_a_number),
    ],
)
async def test_a_row_that_cannot_be_read(scanned: Scanning, name: Generation, change: Callable[[Row], None]) -> None:
    """It makes every image with its digest unreadable, in any repository, and no other image."""
    image = await scanned(Scenario(scans={FALCO: UNHEALTHY}, defender=BOTH))
    digest, other = image.digests
    change_rows(image, name, change, digest)
    elsewhere = subject(digest, "quarantine/other")
    here, there, unaffected = await observe(image, subject(digest), elsewhere, subject(other), name=name)
    for observation in (here, there):
        assert observation.status is SourceStatus.UNREADABLE
        assert "cannot be read" in observation.detail
    assert unaffected.status is SourceStatus.ASSESSED


async def test_rows_that_only_mention_a_digest(scanned: Scanning) -> None:
    """They make the image unreadable: nobody knows what they say about it."""
    image = await scanned(Scenario(scans={FALCO: UNHEALTHY}))
    digest = image.digests[0]
    truncated, other_keys = f'{{"Digest": "{digest}", "RegistryH', f'{{"About": "{digest}"}}'
    for about in (truncated, other_keys, [digest], digest.upper(), None):

        def change(row: Row, about: Any = about) -> None:
            row["properties"]["resourceAdditionalData"] = about

        change_rows(image, "recommendations", change, digest)
        (observation,) = await observe(image, subject(digest))
        assert observation.status is SourceStatus.UNREADABLE


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
    assert len(observation.findings) == 1000
    assert all("\x00" not in str(finding) for finding in observation.findings)


async def test_rows_without_a_digest(scanned: Scanning, monkeypatch: pytest.MonkeyPatch) -> None:
    """A response whose rows name none of the digests raises an error."""
    image = await scanned(Scenario(scans={FALCO: UNHEALTHY}))
    monkeypatch.setattr(defender, "_QUERY", defender._QUERY.replace("project id, digest", "project id"))
    with pytest.raises(UnreadableAnswer):
        await observe(image, *image.subjects)
