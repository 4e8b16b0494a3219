"""Until when a verdict stays the same if its evidence does."""

from __future__ import annotations

import tempfile
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from pratique.findings import Finding
from pratique.gate.evaluate import evaluate_image
from pratique.gate.evidence import Observation, SourceStatus
from pratique.gate.exceptions.lookup import Exceptions
from pratique.gate.holds import Hold
from pratique.gate.policy import FINDINGS_ARTIFACT, RECOMMENDATIONS, Policy
from pratique.gate.rules import Rules, Wait
from pratique.gate.validity import next_change
from tests.pratique.gate.kit import (
    AMD64,
    CRITICAL,
    HIGH,
    LOW,
    NGINX,
    NOW,
    acceptance,
    break_glass,
    exception,
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
    extreme = st.sampled_from([datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC)])
    at = draw(st.none() | minutes.map(lambda by: NOW + by) | st.just(NOW - timedelta(minutes=10)) | extreme)
    own: frozenset[Finding] = draw(findings)
    return Observation(source=source, status=draw(st.sampled_from(SourceStatus)), findings=own, at=at)


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
    instants = [NOW + abs(by) for by in later] + [until - timedelta.resolution]
    for at in instants:
        if at < until:
            assert evaluate_image(IMAGE, {AMD64: said}, rules, replace(wait, at=at)) == now
