"""Holds of several bad images: none of them hides another."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from pratique.findings import Severity
from pratique.gate.evaluate import evaluate_image
from pratique.gate.evidence import Observation, SourceStatus
from pratique.gate.policy import FINDINGS_ARTIFACT, Policy
from pratique.gate.rules import Rules, Wait
from pratique.gate.verdict import ImageVerdict, VerdictState
from pratique.records.cases import Case, Cases, Condition, FindingState, Tracked
from tests.pratique.gate.kit import AMD64, ARM64, INDEX, NGINX, NOW, OTHER, exception, on_file

NESTED = "sha256:" + "e" * 64
IMAGE = replace(NGINX, contents=(NESTED, AMD64, ARM64))
EXCEPTED, COUNTED = "CVE-2026-7", "CVE-2026-1"

with tempfile.TemporaryDirectory() as folder:
    EXCEPTIONS = on_file(Path(folder), [exception(EXCEPTED)])


def held(number: int, digest: str, manifests: Sequence[str], vulnerabilities: Sequence[str]) -> Case:
    return Case(
        registry="acraks123.azurecr.io",
        repository=f"live/image-{number}",
        tags=("1",),
        digest=digest,
        condition=Condition.BAD,
        since=NOW,
        findings=tuple(
            Tracked(
                vulnerability=vulnerability,
                package="openssl",
                fixed_version="",
                severity=Severity.HIGH,
                first_seen=NOW,
                due=None,
                state=FindingState.OPEN,
                at=NOW,
            )
            for vulnerability in vulnerabilities
        ),
        manifests=tuple(manifests),
        held_since=NOW,
    )


def verdict(cases: Sequence[Case]) -> ImageVerdict:
    """The verdict on the image, which its only source found clean, under the holds of these cases."""
    assessed = Observation(source=FINDINGS_ARTIFACT, status=SourceStatus.ASSESSED, at=NOW)
    rules = Rules(
        policy=Policy(),
        platforms=("linux/amd64",),
        sources=frozenset({FINDINGS_ARTIFACT}),
        exceptions=EXCEPTIONS,
        holds=Cases(tuple(cases)).holds,
    )
    wait = Wait(at=NOW, since=NOW, started=NOW, patience=30, deadline=240)
    return evaluate_image(IMAGE, {AMD64: [assessed]}, rules, wait)


digests = st.sampled_from([INDEX, NESTED, AMD64, ARM64, OTHER])
vulnerabilities = st.lists(st.sampled_from([EXCEPTED, COUNTED]), unique=True, max_size=2)
cases = st.lists(st.tuples(digests, st.lists(digests, unique=True, max_size=2), vulnerabilities), max_size=4)


@given(cases)
def test_a_hold_on_any_digest_holds_the_image(found: list[tuple[str, list[str], list[str]]]) -> None:
    """On its own digest, on what is nested in it, or on a manifest that needs a verdict; unless exceptions cover all
    of that hold's findings, whatever other holds there are."""
    held_cases = [held(number, *case) for number, case in enumerate(found)]
    holding = [
        case
        for case in held_cases
        if {case.digest, *case.manifests} & {INDEX, NESTED, AMD64}
        and (not case.findings or any(finding.vulnerability == COUNTED for finding in case.findings))
    ]
    decided = verdict(held_cases)
    assert decided.state is (VerdictState.HELD if holding else VerdictState.HEALTHY)
    assert all(f"{case.registry}/{case.name} has" in decided.reason for case in holding)


def test_images_that_share_a_bad_manifest() -> None:
    """The hold of the one stays when exceptions cover the findings of the other, in either order."""
    shared = [held(1, OTHER, [AMD64], [COUNTED]), held(2, NESTED, [AMD64], [EXCEPTED])]
    for order in (shared, shared[::-1]):
        decided = verdict(order)
        assert decided.state is VerdictState.HELD
        assert "image-1" in decided.reason
        assert "image-2" not in decided.reason
