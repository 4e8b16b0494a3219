"""The decision table, row by row, and what holds for all of it."""

from __future__ import annotations

from collections import Counter
from datetime import timedelta
from pathlib import Path

import pytest

from pratique.gate.decision import Decision, Rules, State, Wait, decide
from pratique.gate.evidence import Observation
from pratique.gate.policy import FINDINGS_ARTIFACT, RECOMMENDATIONS, Policy
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
PASSES = {"Healthy", "Unhealthy, within policy", "Skipped", "Unassessed, accepted", "Unassessed, approved"}


def decided(row: Row, folder: Path) -> Decision:
    policy = Policy.model_validate(row.policy)
    evidence: dict[str, list[Observation]] = {AMD64: list(row.says)}
    evidence |= {digest: list(says) for digest, says in row.elsewhere.items()}
    speaking = {one.source for says in evidence.values() for one in says}
    asked = row.asked or frozenset({RECOMMENDATIONS, FINDINGS_ARTIFACT, *speaking})
    exceptions = on_file(folder, row.exceptions, row.acceptances, row.vex, policy=policy)
    rules = Rules(policy, row.platforms, asked, exceptions, holds=row.holds)
    if row.left is not None:
        rules = rules.by_others(row.left)
    running = row.waited if row.running is None else row.running
    since, started = (NOW - timedelta(minutes=minutes) for minutes in (row.waited, running))
    return decide(row.image, evidence, rules, Wait(NOW, since, started, row.patience, row.deadline))


@pytest.mark.parametrize("row", [pytest.param(row, id=name) for name, row in ROWS])
def test_decision(row: Row, tmp_path: Path) -> None:
    """Each row of the table is decided as it says, for the reason that it says, and passes or not accordingly."""
    decision = decided(row, tmp_path)
    assert decision.state is row.state, decision.reason
    assert row.words in decision.reason
    assert decision.state.passes is (row.state.value in PASSES)
    assert row.note in "\n".join(note for one in decision.judgements for note in one.notes)


def test_the_table_is_complete() -> None:
    """Every row has a name of its own, and every state that a decision can have is there. Only people approve."""
    names = Counter(name for name, _ in ROWS)
    assert [name for name, count in names.items() if count > 1] == []
    assert len(names) >= 150
    assert {row.state for _, row in ROWS} == set(State) - {State.APPROVED}


def test_states_either_pass_or_wait_or_block() -> None:
    """No state is two of these, and only waiting and asking are none of passing and blocking."""
    assert {state.value for state in State if state.passes} == PASSES
    assert {state for state in State if not state.passes and not state.blocks} == {State.PENDING, State.ASKING}
    assert not {state for state in State if state.passes and state.blocks}
    assert {state for state in State if not state.final} == {State.PENDING}


def test_what_outweighs_what() -> None:
    """What blocks outweighs what waits, what waits outweighs a question, and all of them what passes."""
    waiting = [State.ASKING, State.PENDING, State.UNVERIFIED, State.NOT_APPLICABLE, State.HELD, State.UNHEALTHY]
    ranks = [max(state.rank for state in State if state.passes), *(state.rank for state in waiting)]
    assert ranks == sorted(set(ranks))


def test_a_judgement_keeps_what_it_was_made_from(tmp_path: Path) -> None:
    """What counted, what was excused and by whom, what expired, and every observation."""
    excused, ignored, counted = HIGH, unfixed(flaw(HIGH.severity, "CVE-2026-7")), flaw(HIGH.severity, "CVE-2026-8")
    row = Row(
        "",
        (artifact(ignored, counted), rows(excused)),
        State.UNHEALTHY,
        policy={"ignore_unfixed": True},
        exceptions=[exception(excused.vulnerability), exception("CVE-2026-8", "2026-11-01")],
    )
    (judgement,) = decided(row, tmp_path).judgements
    assert [one.vulnerability for one in judgement.counted] == ["CVE-2026-8"]
    assert {one.finding.vulnerability: one.excuse and one.excuse.approver for one in judgement.excused} == {
        "CVE-2026-3": "security@contoso.com",
        "CVE-2026-7": None,
    }
    assert [(one.subject, one.owner) for one in judgement.lapsed] == [("CVE-2026-8", "platform@contoso.com")]
    assert [one.source for one in judgement.observations] == [FINDINGS_ARTIFACT, RECOMMENDATIONS]


def test_the_decision_says_what_was_not_asked_for(tmp_path: Path) -> None:
    """Other platforms are named; with all of them required there are none."""
    assert decided(Row("", UNPROVEN, State.PENDING), tmp_path).others == ("linux/arm64",)
    assert decided(Row("", UNPROVEN, State.PENDING, platforms=BOTH), tmp_path).others == ()


def test_the_findings_of_an_image_are_those_of_all_its_platforms(tmp_path: Path) -> None:
    """The same finding in two platforms is named once."""
    both = Row("", (rows(HIGH), exempt("x")), State.UNHEALTHY, platforms=BOTH, elsewhere={ARM64: (rows(HIGH), NO_ROWS)})
    assert [one.vulnerability for one in decided(both, tmp_path).findings] == [HIGH.vulnerability]
