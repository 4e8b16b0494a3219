"""Until when a verdict stays the same if its evidence does."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pratique.findings import Finding
from pratique.gate.evaluate import evaluate_image
from pratique.gate.evidence import CLOCKS_DIFFER, Observation, SourceStatus
from pratique.gate.exceptions.lookup import Exceptions
from pratique.gate.holds import Hold
from pratique.gate.policy import FINDINGS_ARTIFACT, RECOMMENDATIONS, Policy
from pratique.gate.rules import Rules, Wait
from pratique.gate.validity import next_change
from pratique.gate.verdict import VerdictState
from tests.pratique.gate.kit import (
    AMD64,
    CRITICAL,
    HIGH,
    LOW,
    NGINX,
    NOW,
    acceptance,
    artifact,
    break_glass,
    exception,
    nothing,
    on_file,
    vex,
)

IMAGE = replace(NGINX, platforms=NGINX.platforms[:1])
SOURCES = frozenset({RECOMMENDATIONS, FINDINGS_ARTIFACT})
SOON = ["2026-11-23T12:20:00Z", "2026-11-23T13:00:00Z", "2026-11-24", "2026-12-31"]

with tempfile.TemporaryDirectory() as folder:
    FILES = [
        on_file(
            Path(folder),
            [exception(HIGH.vulnerability, first), exception(LOW.vulnerability, second)],
            [acceptance("unverified", "not-applicable", expires=third)],
            [vex("not_affected", CRITICAL.vulnerability, package="pkg:deb/debian/openssl@3.0.1")],
            break_glass=glass,
            policy=Policy(break_glass_hours=4),
        )
        for first, second, third in zip(SOON, SOON[1:] + SOON[:1], SOON[2:] + SOON[:2], strict=True)
        for glass in ([], [break_glass(hours=1)], [break_glass(hours=2, opened=NOW - timedelta(minutes=30))])
    ]

minutes = st.floats(-3000, 3000).map(lambda count: timedelta(minutes=round(count)))
findings = st.frozensets(st.sampled_from([CRITICAL, HIGH, LOW]), max_size=2)


@st.composite
def observations(draw: st.DrawFn, source: str) -> Observation:
    extreme = st.sampled_from([None, datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC)])
    at = draw(st.floats(-200, 20).map(lambda count: NOW + timedelta(minutes=round(count))) | extreme)
    usual = SourceStatus.ASSESSED if source == FINDINGS_ARTIFACT else SourceStatus.NOTHING
    status = draw(st.just(usual) | st.sampled_from(SourceStatus))
    own: frozenset[Finding] = draw(st.just(frozenset()) | findings)
    return Observation(source=source, status=status, findings=own, at=at)


def turns(said: Sequence[Observation], policy: Policy) -> list[datetime]:
    """Times around which what the observations prove may change."""
    known = [each.at for each in said if each.at is not None and abs(each.at.year - NOW.year) < 2]
    ages = (timedelta(minutes=policy.minimum_age), timedelta(hours=policy.maximum_age), -CLOCKS_DIFFER)
    return [at + age + by * timedelta.resolution for at in known for age in ages for by in (-1, 0, 1)]


@settings(max_examples=300, deadline=None)
@given(
    st.tuples(observations(RECOMMENDATIONS), observations(FINDINGS_ARTIFACT)),
    st.sampled_from(FILES),
    st.builds(
        Policy,
        minimum_age=st.sampled_from([0.0, 5.0, 60.0]),
        maximum_age=st.sampled_from([2.0, 24.0]),
        unverified=st.sampled_from(["block", "ask"]),
        break_glass_hours=st.sampled_from([0.0, 4.0]),
    ),
    st.tuples(minutes, minutes),
    st.tuples(st.floats(0, 120), st.floats(0, 240)),
    st.booleans(),
    st.lists(minutes, min_size=1, max_size=5),
)
def test_a_verdict_is_the_same_until_then(
    said: tuple[Observation, Observation],
    exceptions: Exceptions,
    policy: Policy,
    times: tuple[timedelta, timedelta],
    waits: tuple[float, float],
    held: bool,
    later: list[timedelta],
) -> None:
    """Whatever it rests on: at any time before, and one moment before, the evaluation gives the same."""
    held_by = {AMD64: (Hold("live/nginx:1", NOW, (HIGH,)),)} if held else {}
    rules = Rules(
        policy=policy,
        platforms=("linux/amd64",),
        sources=SOURCES,
        exceptions=exceptions,
        provenance=tuple((path, "commit 1") for path, _ in exceptions.files),
        holds=held_by,
    )
    patience, deadline = waits
    wait = Wait(at=NOW, since=NOW + times[0], started=NOW + times[1], patience=patience, deadline=deadline)
    until = next_change([said], rules, wait)
    assert until > NOW
    now = evaluate_image(IMAGE, {AMD64: said}, rules, wait)
    instants = [NOW + abs(by) for by in later] + [until - timedelta.resolution, *turns(said, policy)]
    for at in instants:
        if NOW <= at < until:
            assert evaluate_image(IMAGE, {AMD64: said}, rules, replace(wait, at=at)) == now


@pytest.mark.parametrize(
    ("age", "changes", "before", "after"),
    [
        (-10, timedelta(minutes=5), VerdictState.PENDING, VerdictState.PENDING),
        (2, timedelta(minutes=3), VerdictState.PENDING, VerdictState.HEALTHY),
        (100, timedelta(minutes=20) + timedelta.resolution, VerdictState.HEALTHY, VerdictState.PENDING),
        (130, timedelta(minutes=240), VerdictState.PENDING, VerdictState.UNVERIFIED),
    ],
    ids=["dated in the future", "too young", "too old soon", "too old"],
)
def test_the_next_change(age: float, changes: timedelta, before: VerdictState, after: VerdictState) -> None:
    """It is neither later than the change nor earlier."""
    policy = Policy(minimum_age=5, maximum_age=2, unverified="block")
    rules = Rules(policy=policy, platforms=("linux/amd64",), sources=SOURCES)
    wait = Wait(at=NOW, since=NOW, started=NOW - timedelta(minutes=300), patience=240, deadline=240)
    said = [nothing(RECOMMENDATIONS), artifact(age=age)]
    until = next_change([said], rules, wait)
    assert until - NOW == changes
    for at, state in ((until - timedelta.resolution, before), (until, after)):
        assert evaluate_image(IMAGE, {AMD64: said}, rules, replace(wait, at=at)).state is state
