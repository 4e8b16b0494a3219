"""Blocks of images that nothing assesses: each proposes the acceptance that would lift it, and no other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from pratique.errors import GateBlocked
from pratique.gate import report as pages
from pratique.gate.evaluate import evaluate_image
from pratique.gate.evidence import Observation
from pratique.gate.exceptions.entry import PLACEHOLDER
from pratique.gate.exceptions.lookup import Exceptions
from pratique.gate.policy import RECOMMENDATIONS, Policy
from pratique.gate.rules import Rules, Wait
from pratique.gate.wait import GateReport
from pratique.images import ResolvedImage
from tests.pratique.gate.kit import (
    AMD64,
    ARM64,
    CLEAN,
    HIGH,
    INDEX,
    LOW,
    NGINX,
    NO_ARTIFACT,
    NO_ROWS,
    NOW,
    OTHER,
    exempt,
    failed,
    rows,
    unreadable,
)
from tests.pratique.gate.test_wait import ASKED

AGO = NOW - timedelta(minutes=240)
WAITED = Wait(at=NOW, since=AGO, started=AGO, patience=30, deadline=240)


def reported(
    said: Sequence[Observation],
    image: ResolvedImage = NGINX,
    *,
    exceptions: Exceptions | None = None,
    platforms: tuple[str, ...] = ("linux/amd64",),
) -> GateReport:
    """The report on one image at the deadline, from the observations on its manifest for linux/amd64."""
    rules = Rules(policy=Policy(), platforms=platforms, sources=ASKED, exceptions=exceptions or Exceptions())
    verdict = evaluate_image(image, {AMD64: said}, rules, WAITED)
    return GateReport(release="web", verdicts=(verdict,), rules=rules, at=NOW)


def blocked(report: GateReport) -> str:
    with pytest.raises(GateBlocked) as caught:
        pages.require_passed(report)
    return str(caught.value)


def proposed(report: GateReport, folder: Path) -> Exceptions:
    """The exceptions file that the error proposes, filled in."""
    _, _, entries = blocked(report).partition("\nacceptances:\n")
    path = folder / "pasted.yaml"
    for person in ("Nothing assesses it.", "the team", "the security office") * entries.count("- image"):
        entries = entries.replace(PLACEHOLDER, person, 1)
    path.write_text(f"acceptances:\n{entries}")
    return Exceptions.load([path], [], policy=Policy(), now=NOW)


@pytest.mark.parametrize(
    ("said", "state"), [((NO_ROWS, NO_ARTIFACT), "unverified"), ((exempt(), NO_ARTIFACT), "not-applicable")]
)
def test_a_block_proposes_the_acceptance_that_would_lift_it(
    said: Sequence[Observation], state: str, tmp_path: Path
) -> None:
    """Once a person has filled it in, the same evidence passes; it names the digest, and holds for no other."""
    report = reported(said)
    accepted = proposed(report, tmp_path)
    assert f"docker.io/library/nginx:1.27@{INDEX}" in blocked(report)
    assert f"states: [{state}]" in blocked(report)
    assert reported(said, exceptions=accepted).passed
    moved = replace(NGINX, digest=OTHER)
    assert not reported(said, moved, exceptions=accepted).passed
    assert blocked(report).partition("acceptances:")[2] in pages.markdown(report)


def test_a_block_of_one_platform_proposes_its_digest(tmp_path: Path) -> None:
    """What other platforms of the image have proven is not accepted again."""
    platforms = ("linux/amd64", "linux/arm64")
    rules = Rules(policy=Policy(), platforms=platforms, sources=ASKED)
    said = {AMD64: (NO_ROWS, CLEAN), ARM64: (NO_ROWS, NO_ARTIFACT)}
    report = GateReport(release="web", verdicts=(evaluate_image(NGINX, said, rules, WAITED),), rules=rules, at=NOW)
    assert f"docker.io/library/nginx:1.27@{ARM64}" in blocked(report)
    accepted = proposed(report, tmp_path)
    assert evaluate_image(NGINX, said, replace(rules, exceptions=accepted), WAITED).state.passes
    assert not evaluate_image(NGINX, {ARM64: said[ARM64]}, replace(rules, exceptions=accepted), WAITED).state.passes


@pytest.mark.parametrize(
    "said",
    [
        (rows(HIGH), NO_ARTIFACT),
        (rows(LOW), NO_ARTIFACT),
        (failed(RECOMMENDATIONS), NO_ARTIFACT),
        (unreadable(RECOMMENDATIONS), NO_ARTIFACT),
        (NO_ROWS,),
    ],
    ids=["findings", "findings within the limits", "failed", "unreadable", "no answer"],
)
def test_nothing_is_proposed_that_would_not_help(said: Sequence[Observation]) -> None:
    """An acceptance covers neither findings nor a source that could not be asked, so none is proposed."""
    report = reported(said)
    assert PLACEHOLDER not in blocked(report)
    assert PLACEHOLDER not in pages.markdown(report)


def test_nothing_is_proposed_for_a_missing_platform() -> None:
    """An image without a manifest for a required platform cannot be accepted."""
    report = reported((NO_ROWS, NO_ARTIFACT), platforms=("linux/s390x",))
    assert PLACEHOLDER not in blocked(report)
