"""Whether a configuration is laxer than its registry's policy, field by field, and what that means for images."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pratique.gate.exceptions.lookup import Exceptions
from pratique.gate.policy import FINDINGS_ARTIFACT, RECOMMENDATIONS, Policy
from pratique.gate.strictness import COMPARED, RegistryPolicy, laxer
from pratique.gate.verdict import VerdictState
from tests.pratique.gate.kit import NOW
from tests.pratique.gate.test_properties import (
    SOURCES,
    Situation,
    files,
    policies,
    rest,
    situations,
    some_sources,
    step,
)

STRICT = RegistryPolicy(
    policy=Policy(sufficient_sources=(FINDINGS_ARTIFACT, "trivy")),
    platforms=("linux/amd64",),
    sources={FINDINGS_ARTIFACT: frozenset({"root 1"}), RECOMMENDATIONS: frozenset(), "trivy": frozenset({"command 1"})},
    sla={"critical": 30, "low": None},
    exceptions={"CVE-1 in any package of docker.io/library/*": NOW},
    vex=frozenset({"1"}),
)


def under(policy: dict[str, Any] | None = None, **changes: Any) -> RegistryPolicy:
    changed = Policy.model_validate(STRICT.policy.model_dump() | (policy or {}))
    return replace(STRICT, policy=changed, **changes)


def test_every_field_of_a_policy_is_compared() -> None:
    """A new field has to be given an order before it can be used."""
    assert set(Policy.model_fields) == COMPARED


@pytest.mark.parametrize(
    ("own", "field", "values"),
    [
        (under({"limits": {"critical": 0, "high": 2}}), "gate.policy.limits.high", ("2", "0")),
        (under({"limits": {"critical": 0, "high": None}}), "gate.policy.limits.high", ("without a limit", "0")),
        (under({"ignore_unfixed": True}), "gate.policy.ignore_unfixed", ("true", "false")),
        (under({"maximum_age": 169}), "gate.policy.maximum_age", ("169", "168")),
        (under({"maximum_verdict_age": 31}), "gate.policy.maximum_verdict_age", ("31", "30")),
        (under({"maximum_database_age": 49}), "gate.policy.maximum_database_age", ("49", "48")),
        (under({"end_of_life": "warn"}), "gate.policy.end_of_life", ("warn", "block")),
        (under({"unverified": "ask"}), "gate.policy.unverified", ("ask", "block")),
        (under({"not_applicable": "ask"}), "gate.policy.not_applicable", ("ask", "block")),
        (under({"defender_off": "skip"}), "gate.policy.defender_off", ("skip", "fail")),
        (under({"exception_days": 366}), "gate.policy.exception_days", ("366", "365")),
        (under({"break_glass_hours": 4}), "gate.policy.break_glass_hours", ("4", "0")),
        (
            under({"sufficient_sources": [FINDINGS_ARTIFACT, RECOMMENDATIONS]}),
            "gate.policy.sufficient_sources",
            ("findings-artifact, recommendations", "findings-artifact, trivy"),
        ),
        (under(platforms=("linux/arm64",)), "gate.platforms", ("linux/arm64", "linux/amd64")),
        (under(sla={"critical": 31, "low": None}), "scanning.sla.critical", ("31", "30")),
        (under(sla={}), "scanning.sla.critical", ("without a limit", "30")),
        (under(vex=frozenset({"2"})), "gate.vex", ("2", "1")),
        (under(vex=frozenset({"1", "2"})), "gate.vex", ("1, 2", "1")),
        (
            under(sources=dict(STRICT.sources) | {FINDINGS_ARTIFACT: frozenset({"root 1", "root 2"})}),
            "gate's trust in findings-artifact",
            ("root 2", "root 1"),
        ),
        (
            under(sources={FINDINGS_ARTIFACT: frozenset(), "trivy": frozenset({"command 1"})}),
            "gate's sources",
            ("findings-artifact, trivy", "findings-artifact, recommendations, trivy"),
        ),
    ],
)
def test_a_laxer_field_is_named(own: RegistryPolicy, field: str, values: tuple[str, str]) -> None:
    """With both values; the other direction is stricter, and is accepted."""
    (found,) = laxer(own, STRICT)
    assert (found.name, (found.own, found.registry)) == (field, values)


@pytest.mark.parametrize(
    "own",
    [
        STRICT,
        under({"limits": {"critical": 0, "high": 0, "low": 5}}),
        under({"limits": {"critical": None, "high": 0}}),  # the limit of high counts critical findings as well
        under({"required_sources": ["trivy"], "sufficient_sources": []}),
        under({"sufficient_sources": ["trivy"]}),
        under({"maximum_age": 24, "minimum_age": 5, "unknown_database_age": "block"}),
        under(platforms=("linux/amd64", "linux/arm64")),
        under(sla={"critical": 7, "low": 90}),
        under(exceptions={}, vex=frozenset()),
        under(exceptions={name: until - timedelta(days=1) for name, until in STRICT.exceptions.items()}),
        under(sources=dict(STRICT.sources) | {"grype": frozenset({"command 2"})}),
    ],
)
def test_a_stricter_configuration_is_accepted(own: RegistryPolicy) -> None:
    """Also where it says the same in another way."""
    assert laxer(own, STRICT) == []


def test_policies_round_trip() -> None:
    """What is recorded is what was compared; equal policies have equal digests."""
    assert RegistryPolicy.read(STRICT.entry()) == STRICT
    assert RegistryPolicy.read(STRICT.entry()).digest == STRICT.digest != under({"maximum_age": 24}).digest


def values_of(situation: Situation) -> RegistryPolicy:
    """A situation's rules as the values that are compared. All statements of the tests are in one document."""
    held = situation.exceptions
    return RegistryPolicy(
        policy=situation.policy,
        platforms=situation.platforms,
        sources={name: frozenset() for name in SOURCES},
        exceptions={str(waiver): waiver.expires for waiver, _ in (*held.exemptions, *held.acceptances)},
        vex=frozenset({"vex"} if held.statements.all else ()),
    )


#: Rules of a registry, independent of a configuration's.
others = st.tuples(
    st.builds(
        policies, st.integers(0, 1), st.lists(step, min_size=3, max_size=3), st.tuples(some_sources, some_sources), rest
    ),
    st.sampled_from([("linux/amd64",), ("linux/arm64", "linux/amd64")]),
    files,
)
#: Which parts of the registry's rules are its own, and which the configuration's: otherwise most would be laxer.
chosen = st.sets(st.sampled_from([*Policy.model_fields, "platforms", "exceptions"]), max_size=4)


def registry_of(own: Situation, other: tuple[Policy, tuple[str, ...], Exceptions], parts: set[str]) -> Situation | None:
    policy, platforms, exceptions = other
    fields = {name: getattr(policy if name in parts else own.policy, name) for name in Policy.model_fields}
    try:
        mixed = Policy.model_validate(fields)
    except ValueError:
        return None
    return replace(
        own,
        policy=mixed,
        platforms=platforms if "platforms" in parts else own.platforms,
        exceptions=exceptions if "exceptions" in parts else own.exceptions,
    )


@settings(max_examples=500)
@given(situations, others, chosen)
def test_what_a_stricter_configuration_lets_pass_passes_in_the_registry(
    own: Situation, other: tuple[Policy, tuple[str, ...], Exceptions], parts: set[str]
) -> None:
    """Whatever sources say, and whatever the exceptions cover: if no field is laxer, no image passes under the
    configuration that does not pass under the registry's policy; nor does it ask about one that the registry blocks."""
    registry = registry_of(own, other, parts)
    if registry is None or laxer(values_of(own), values_of(registry)):
        return
    if own.passes:
        assert registry.passes
    elif own.verdict().state is VerdictState.ASKING:
        state = registry.verdict().state
        assert state.passes or state is VerdictState.ASKING
