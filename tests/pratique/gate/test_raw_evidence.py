"""From what others wrote to the verdict: bad news never lets an image in, and neither does what is taken away."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from random import Random
from typing import Any, TypeVar

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from pratique.evidence import findings_artifact
from pratique.gate.policy import FINDINGS_ARTIFACT, Policy
from pratique.gate.verdict import VerdictState
from pratique.images import digest_of
from pratique.oci.media_types import OCI_INDEX, OCI_MANIFEST
from sandbox import scenario
from sandbox.scenario import DefenderPlan
from sandbox.services.defender.recommendations import recommendations
from tests.pratique.evidence.parsers import test_grype as grypes
from tests.pratique.evidence.parsers import test_trivy as trivies
from tests.pratique.evidence.parsers.mutations import JSON, mutated
from tests.pratique.evidence.test_attribution import report
from tests.pratique.gate.kit import exception, vex
from tests.pratique.gate.raw import (
    AMD64,
    ARM64,
    DIGEST,
    ENTRY,
    FORMS,
    REPORTS,
    REPOSITORY,
    SEVERITIES,
    UNASSESSED,
    UNKNOWN,
    Attested,
    Raw,
    blob_of,
)

T = TypeVar("T")
Change = Callable[[Raw], Raw]

#: Of these, CVE-1 has an exception and CVE-2 an OpenVEX statement in some of the files.
NAMES = ["CVE-1", "CVE-2", "CVE-3"]
BAD = ("CVE-9", "Critical")
pairs = st.tuples(st.sampled_from(NAMES), st.sampled_from(SEVERITIES))
few: st.SearchStrategy[list[tuple[str, str]]] = st.just([]) | st.lists(pairs, max_size=2)
#: Hours since a scan; the future, and longer ago than the policy allows, included.
hours = st.sampled_from([1, 2, 3, 24, 400, -30])
garbage = st.sampled_from([b"", b"garbage", b"[" * 100_000, b"{}", b"\xff", b'{"predicate": 1e999}'])
forms = st.just("") | st.sampled_from(FORMS)
statements = st.builds(Attested, hours, few.map(tuple), form=forms)
strangers = st.builds(
    Attested,
    hours,
    few.map(tuple),
    st.sampled_from(["", "stranger"]),
    st.none() | garbage,
    lost=st.booleans(),
    huge=st.booleans(),
    form=forms,
)


def rows_about(found: Sequence[tuple[str, str]], digest: str = DIGEST) -> tuple[dict[str, Any], ...]:
    flaws = [scenario.Finding(cve=name, severity=severity, package="openssl", version="1") for name, severity in found]
    return tuple(recommendations(report(flaws, REPOSITORY, digest), DefenderPlan()))


def reports_of(written: Callable[..., tuple[Any, ...]]) -> st.SearchStrategy[tuple[Any, ...]]:
    return st.builds(lambda shown, hidden: written(*shown, ignored=hidden), few, few)


reports = st.fixed_dictionaries({}, optional={name: reports_of(written) for name, written in REPORTS.items()})
policies = st.builds(
    Policy,
    limits=st.sampled_from([{"critical": 0, "high": 0}, {"critical": 0, "high": 1}, {"low": 1}]),
    ignore_unfixed=st.booleans(),
    sufficient_sources=st.sampled_from([(FINDINGS_ARTIFACT,), ("trivy", "grype"), (FINDINGS_ARTIFACT, "trivy")]),
)
worlds = st.builds(
    Raw,
    attested=st.lists(statements | strangers, max_size=3).map(tuple),
    rows=few.map(rows_about),
    reports=reports,
    vex=st.sampled_from([(), (vex("not_affected", "CVE-2"),)]),
    exceptions=st.sampled_from([(), (exception("CVE-1"),)]),
    policy=policies,
)
CLEAN = Raw(attested=(Attested(1),))
SEEN = replace(CLEAN, attested=(Attested(1), Attested(24, (BAD,), "")))


def _with_match(name: str, hidden: bool) -> Change:
    """A scanner that reports more, or hides it by a rule of the user's."""

    def change(world: Raw) -> Raw:
        if name not in world.reports:
            return world
        documents = copy.deepcopy(world.reports[name])
        if name == "trivy":
            found = trivies.vulnerability(VulnerabilityID=BAD[0], Severity=BAD[1])
            modified = {"Type": "vulnerability", "Finding": found}
            key = "ExperimentalModifiedFindings" if hidden else "Vulnerabilities"
            documents[0]["Results"][0][key].append(modified if hidden else found)
        else:
            match = grypes.match(id=BAD[0], severity=BAD[1])
            rules = {"appliedIgnoreRules": [{"vulnerability": BAD[0]}]} if hidden else {}
            documents[0]["ignoredMatches" if hidden else "matches"].append(match | rules)
        return replace(world, reports={**world.reports, name: documents})

    return change


def _with_entry(entry: Any, nested: Any = None) -> Change:
    return lambda world: replace(
        world, entries=(*world.entries, entry), nested=(*world.nested, *([] if nested is None else [nested]))
    )


def unassessed(platform: Mapping[str, Any] | None) -> dict[str, Any]:
    """An entry whose image nobody has assessed."""
    content = blob_of(UNASSESSED)
    entry = {"mediaType": OCI_MANIFEST, "digest": digest_of(content), "size": len(content)}
    return entry if platform is None else {**entry, "platform": platform}


def _nested(platform: Mapping[str, Any] | None) -> Change:
    index = {"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": [unassessed(platform)]}
    content = blob_of(index)
    return _with_entry({"mediaType": OCI_INDEX, "digest": digest_of(content), "size": len(content)}, content)


platforms = st.sampled_from([None, AMD64, ARM64, UNKNOWN, {"os": "Linux", "architecture": "x86_64"}, {}])
spoilt = st.sampled_from(rows_about([BAD])).flatmap(mutated) | JSON.map(
    lambda value: {"id": DIGEST, "properties": value}
)
BAD_NEWS: dict[str, st.SearchStrategy[Change]] = {
    "attestation": strangers.map(lambda one: lambda world: replace(world, attested=(*world.attested, one))),
    "trusted attestation": st.builds(
        lambda ago, form: lambda world: replace(world, attested=(*world.attested, Attested(ago, (BAD,), form=form))),
        hours,
        forms,
    ),
    "empty attestation": st.builds(
        lambda ago, form: lambda world: replace(world, attested=(*world.attested, Attested(ago, form=form))),
        hours,
        st.sampled_from(["elsewhere", "filtered", "old database", "no date", "two layers"]),
    ),
    "rows": few.map(lambda found: lambda world: replace(world, rows=(*world.rows, *rows_about([*found, BAD])))),
    "spoilt row": spoilt.map(lambda row: lambda world: replace(world, rows=(*world.rows, row))),
    "match": st.builds(_with_match, st.sampled_from(sorted(REPORTS)), st.just(False)),
    "ignored match": st.builds(_with_match, st.sampled_from(sorted(REPORTS)), st.just(True)),
    "OpenVEX": st.builds(
        lambda status, name, at: lambda world: replace(world, vex=(*world.vex, vex(status, name, at=at))),
        st.sampled_from(["affected", "under_investigation"]),
        st.sampled_from(NAMES),
        st.sampled_from(["2020-01-01T00:00:00Z", "2026-11-20T08:00:00Z", "2026-11-21T08:00:00Z"]),
    ),
    "entry": platforms.map(lambda platform: _with_entry(unassessed(platform))),
    "nested entry": platforms.map(_nested),
    "broken entry": (JSON | mutated(unassessed(AMD64))).map(_with_entry),
}
LOSSES: dict[str, Change] = {
    "no signatures": lambda world: replace(
        world, attested=tuple(replace(one, signer="") if one.content is None else one for one in world.attested)
    ),
    "lost statements": lambda world: replace(
        world,
        attested=tuple(
            replace(one, lost=one.lost or (one.signer == "trusted" and bool(one.results))) for one in world.attested
        ),
    ),
    "no clean attestation": lambda world: replace(
        world, attested=tuple(one for one in world.attested if one.results or one.content is not None)
    ),
    "unreadable reports": lambda world: replace(world, reports=dict.fromkeys(world.reports, (b"garbage",))),
    "no exceptions": lambda world: replace(world, exceptions=()),
    "no OpenVEX": lambda world: replace(world, vex=()),
    "no entries": lambda world: replace(world, entries=()),
}


@settings(max_examples=150, deadline=None)
@given(worlds, st.sampled_from(sorted(BAD_NEWS)).flatmap(BAD_NEWS.__getitem__))
@example(SEEN, lambda world: replace(world, attested=(*world.attested, Attested(2, huge=True, signer=""))))
async def test_bad_news_lets_nothing_in(world: Raw, told: Change) -> None:
    """Whoever adds what to the evidence or to the index: an image that is blocked without it is blocked with it."""
    assert not await told(world).passes() or await world.passes()


@settings(max_examples=100, deadline=None)
@given(worlds, st.sampled_from(sorted(LOSSES)))
@example(Raw(attested=(Attested(1, (BAD,)), Attested(24))), "lost statements")
async def test_a_loss_lets_nothing_in(world: Raw, name: str) -> None:
    """What proves or excuses is taken away, or what says more cannot be read: nothing passes that did not before."""
    assert not await LOSSES[name](world).passes() or await world.passes()


@settings(max_examples=150, deadline=None)
@given(worlds, st.integers(0, 40))
@example(Raw(attested=(Attested(1, (BAD,)), Attested(24))), 1)
@example(Raw(attested=(Attested(1, content=b"garbage"), Attested(24))), 2)
async def test_a_lost_part_lets_nothing_in(world: Raw, number: int) -> None:
    """Whichever part of what is attached the registry lists and does not have: nothing passes that did not before."""
    assert not await replace(world, lost=number).passes() or await world.passes()


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("signer", ["trusted", "stranger", ""])
@pytest.mark.parametrize("ago", [0, 2])
async def test_bad_news_counts_in_every_form(form: str, signer: str, ago: int) -> None:
    """An attestation that says something bad blocks, however it is written, attached, listed and signed."""
    clean = Raw(attested=(Attested(3),))
    assert await clean.passes()
    told = replace(clean, attested=(*clean.attested, Attested(ago, (BAD,), signer, form=form)))
    verdict = await told.verdict()
    assert verdict is not None
    assert verdict.state is VerdictState.UNHEALTHY


@pytest.mark.parametrize("form", ["elsewhere", "filtered", "old database"])
async def test_what_proves_nothing_replaces_nothing(form: str) -> None:
    """After bad news, only a fit scan of a trusted signer is good news."""
    bad = Raw(attested=(Attested(3, (BAD,)),))
    assert not await replace(bad, attested=(*bad.attested, Attested(1, form=form))).passes()
    assert not await Raw(attested=(Attested(1, form=form),)).passes()
    assert await replace(bad, attested=(*bad.attested, Attested(1, form=form), Attested(2))).passes()


@settings(max_examples=50, deadline=None)
@given(worlds, st.randoms(use_true_random=False))
async def test_order_changes_nothing(world: Raw, random: Random) -> None:
    """Neither that of attestations, rows, entries, documents, nor of what a report lists."""

    def shuffled(items: Sequence[T]) -> tuple[T, ...]:
        return tuple(random.sample(items, len(items)))

    world = replace(world, entries=(ENTRY, unassessed(ARM64), unassessed(UNKNOWN)))
    mixed = replace(
        world,
        entries=shuffled(world.entries),
        attested=shuffled(world.attested),
        rows=shuffled(world.rows),
        vex=shuffled(world.vex),
        reports={name: _mixed(documents, random) for name, documents in world.reports.items()},
    )
    one, other = await world.verdict(), await mixed.verdict()
    assert one is not None
    assert other is not None
    assert (one.state, one.findings) == (other.state, other.findings)


def _mixed(documents: Sequence[Any], random: Random) -> tuple[Any, ...]:
    changed = copy.deepcopy(tuple(documents))
    for found in (changed[0].get("matches"), *(result["Vulnerabilities"] for result in changed[0].get("Results", ()))):
        if found is not None:
            random.shuffle(found)
    return changed if len(changed) == 1 else tuple(random.sample(changed, len(changed)))


@pytest.mark.parametrize("signer", ["trusted", "stranger", ""])
@pytest.mark.parametrize("ago", [1, -30])
async def test_a_later_bad_word_is_not_hidden(signer: str, ago: int) -> None:
    """A clean scan of a trusted signer passes, until anybody reports something after it."""
    clean = Raw(attested=(Attested(2),))
    assert await clean.passes()
    assert not await replace(clean, attested=(*clean.attested, Attested(ago, (BAD,), signer))).passes()


async def test_a_lost_statement_is_a_doubt() -> None:
    """When the registry has lost the newest statement, whoever signed it, the one before it does not pass instead."""
    earlier, latest = Attested(24), Attested(1, (BAD,))
    assert await Raw(attested=(earlier,)).passes()
    for lost in (latest, replace(latest, results=())):
        assert not await Raw(attested=(earlier, replace(lost, lost=True))).passes()
    assert not await Raw(attested=(earlier, replace(latest, lost=True, signer="stranger"))).passes()


async def test_a_flood_hides_no_bad_news(monkeypatch: pytest.MonkeyPatch) -> None:
    """Attestations of others, between a clean one and bad news of others, do not make the latter unknown."""
    assert not await SEEN.passes()
    monkeypatch.setattr(findings_artifact, "MOST_ARTIFACTS", 3)
    flooded = replace(SEEN, attested=(*SEEN.attested, *(Attested(ago, signer="") for ago in (2, 3, 4))))
    assert not await flooded.passes()
    own = Raw(attested=tuple(Attested(ago) for ago in (1, 2, 3, 4, 5)))
    assert await own.passes()


@pytest.mark.parametrize("name", sorted(REPORTS))
async def test_a_rule_of_the_users_hides_nothing(name: str) -> None:
    """A finding that a scanner's own ignore rule hides counts as one that it shows."""
    policy = Policy(sufficient_sources=(name,))
    for shown, hidden, expected in (((), (), True), ((BAD,), (), False), ((), (BAD,), False)):
        world = Raw(reports={name: REPORTS[name](*shown, ignored=hidden)}, policy=policy)
        assert await world.passes() is expected
