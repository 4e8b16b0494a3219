"""The decision table, row by row, and what holds for all of it."""

from __future__ import annotations

from collections import Counter
from datetime import timedelta
from pathlib import Path

import pytest

from pratique.gate.evaluate import evaluate_image
from pratique.gate.evidence import Observation
from pratique.gate.policy import FINDINGS_ARTIFACT, RECOMMENDATIONS, Policy
from pratique.gate.rules import Rules, Wait
from pratique.gate.verdict import ImageVerdict, VerdictState
from tests.pratique.gate.kit import (
    AMD64,
    ARM64,
    HIGH,
    NO_ROWS,
    NOW,
    artifact,
    exception,
    exempt,
    flaw,
    on_file,
    rows,
    unfixed,
)
from tests.pratique.gate.table import BOTH, TABLE, UNPROVEN, Row

ROWS = [(f"{theme}: {row.name}", row) for theme, some in TABLE.items() for row in some]
PASSES = {
    "Healthy",
    "Unhealthy, within policy",
    "Skipped",
    "Unassessed, accepted",
    "Unassessed, approved",
    "Unassessed, break glass",
}
#: They take a person's answer or a break-glass entry, which the table does not have; test_break_glass.py does.
BY_PERSONS = {VerdictState.APPROVED, VerdictState.ASKING_SECOND, VerdictState.BREAK_GLASS}


def decided(row: Row, folder: Path) -> ImageVerdict:
    policy = Policy.model_validate(row.policy)
    evidence: dict[str, list[Observation]] = {AMD64: list(row.says)}
    evidence |= {digest: list(says) for digest, says in row.elsewhere.items()}
    speaking = {one.source for says in evidence.values() for one in says}
    asked = row.asked or frozenset({RECOMMENDATIONS, FINDINGS_ARTIFACT, *speaking})
    exceptions = on_file(folder, row.exceptions, row.acceptances, row.vex, policy=policy)
    rules = Rules(policy=policy, platforms=row.platforms, sources=asked, exceptions=exceptions, holds=row.holds)
    if row.left is not None:
        rules = rules.limited_to(row.left)
    running = row.waited if row.running is None else row.running
    since, started = (NOW - timedelta(minutes=minutes) for minutes in (row.waited, running))
    return evaluate_image(
        row.image,
        evidence,
        rules,
        Wait(at=NOW, since=since, started=started, patience=row.patience, deadline=row.deadline),
    )


@pytest.mark.parametrize("row", [pytest.param(row, id=name) for name, row in ROWS])
def test_verdict(row: Row, tmp_path: Path) -> None:
    """Each row of the table has its state, for its reason, and passes or not accordingly."""
    verdict = decided(row, tmp_path)
    assert verdict.state is row.state, verdict.reason
    assert row.words in verdict.reason
    assert verdict.state.passes is (row.state.value in PASSES)
    assert row.note in "\n".join(note for one in verdict.platforms for note in one.notes)


def test_the_table_is_complete() -> None:
    """Every row has a unique name, and every state occurs that needs no more than evidence and a policy."""
    names = Counter(name for name, _ in ROWS)
    assert [name for name, count in names.items() if count > 1] == []
    assert len(names) >= 150
    assert {row.state for _, row in ROWS} == set(VerdictState) - BY_PERSONS


def test_states_either_pass_or_wait_or_block() -> None:
    """No state does two of these; only Pending and the two that ask neither pass nor block."""
    assert {state.value for state in VerdictState if state.passes} == PASSES
    assert {state for state in VerdictState if not state.passes and not state.blocks} == {
        VerdictState.PENDING,
        VerdictState.ASKING,
        VerdictState.ASKING_SECOND,
    }
    assert not {state for state in VerdictState if state.passes and state.blocks}
    assert {state for state in VerdictState if not state.final} == {VerdictState.PENDING}


def test_states_outweigh_one_another() -> None:
    """A blocking state outweighs a waiting one, that outweighs a question, and all outweigh a passing one."""
    waiting = [
        VerdictState.ASKING,
        VerdictState.ASKING_SECOND,
        VerdictState.PENDING,
        VerdictState.UNVERIFIED,
        VerdictState.NOT_APPLICABLE,
        VerdictState.HELD,
        VerdictState.UNHEALTHY,
    ]
    ranks = [max(state.rank for state in VerdictState if state.passes), *(state.rank for state in waiting)]
    assert ranks == sorted(set(ranks))


def test_a_verdict_keeps_its_evidence(tmp_path: Path) -> None:
    """It has the findings that count, the waived ones with their waivers, expired exceptions and all observations."""
    waived, ignored, counted = HIGH, unfixed(flaw(HIGH.severity, "CVE-2026-7")), flaw(HIGH.severity, "CVE-2026-8")
    row = Row(
        "",
        (artifact(ignored, counted), rows(waived)),
        VerdictState.UNHEALTHY,
        policy={"ignore_unfixed": True},
        exceptions=[exception(waived.vulnerability), exception("CVE-2026-8", "2026-11-01")],
    )
    (platform_verdict,) = decided(row, tmp_path).platforms
    assert [one.vulnerability for one in platform_verdict.counted] == ["CVE-2026-8"]
    assert {one.finding.vulnerability: one.waiver and one.waiver.approver for one in platform_verdict.waived} == {
        "CVE-2026-3": "security@contoso.com",
        "CVE-2026-7": None,
    }
    assert [(one.subject, one.owner) for one in platform_verdict.expired] == [("CVE-2026-8", "platform@contoso.com")]
    assert [one.source for one in platform_verdict.observations] == [FINDINGS_ARTIFACT, RECOMMENDATIONS]


def test_the_verdict_names_other_platforms(tmp_path: Path) -> None:
    """Platforms that need no verdict are named; with all platforms required there are none."""
    assert decided(Row("", UNPROVEN, VerdictState.PENDING), tmp_path).others == ("linux/arm64",)
    assert decided(Row("", UNPROVEN, VerdictState.PENDING, platforms=BOTH), tmp_path).others == ()


def test_an_images_findings_are_those_of_all_platforms(tmp_path: Path) -> None:
    """A finding on two platforms is listed once."""
    both = Row(
        "", (rows(HIGH), exempt("x")), VerdictState.UNHEALTHY, platforms=BOTH, elsewhere={ARM64: (rows(HIGH), NO_ROWS)}
    )
    assert [one.vulnerability for one in decided(both, tmp_path).findings] == [HIGH.vulnerability]
