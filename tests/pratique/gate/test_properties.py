"""What holds for every decision: it gets no better by anything bad, nor by leaving something out."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from random import Random
from typing import TypeVar

from hypothesis import given, settings
from hypothesis import strategies as st

from pratique.findings import END_OF_LIFE, Finding, Fix, Severity
from pratique.gate.evaluate import evaluate_image
from pratique.gate.evidence import Observation, SourceStatus, with_earlier_findings, with_findings_of_index
from pratique.gate.exceptions.lookup import Exceptions, Waiver
from pratique.gate.policy import FINDINGS_ARTIFACT, RECOMMENDATIONS, Policy
from pratique.gate.rules import Rules, Wait
from pratique.gate.verdict import ImageVerdict, VerdictState
from pratique.images import ResolvedImage
from tests.pratique.gate.kit import AMD64, ARM64, NGINX, NOW, acceptance, exception, on_file, vex

T = TypeVar("T")

SOURCES = (RECOMMENDATIONS, FINDINGS_ARTIFACT, "trivy")
PLATFORMS = {"linux/amd64": AMD64, "linux/arm64": ARM64}
PATIENCE, DEADLINE = 30.0, 240.0
EXPIRED = "2026-11-22"

with tempfile.TemporaryDirectory() as folder:
    FILES = on_file(
        Path(folder),
        [exception("CVE-1", package="openssl"), exception("CVE-1", digest=AMD64), exception("CVE-2", expires=EXPIRED)],
        [
            acceptance("unverified", "not-applicable"),
            acceptance("unverified", digest=AMD64),
            acceptance("not-applicable", digest=ARM64, expires=EXPIRED),
        ],
        [vex("not_affected", "CVE-3", package="pkg:deb/debian/openssl@1")],
    )


@dataclass(frozen=True)
class Situation:
    """Everything that a decision is made from."""

    said: dict[str, tuple[Observation, ...]]
    policy: Policy
    platforms: tuple[str, ...]
    exceptions: Exceptions
    waited: float
    running: float
    image: ResolvedImage = NGINX

    def verdict(self) -> ImageVerdict:
        since, started = (NOW - timedelta(minutes=minutes) for minutes in (self.waited, self.running))
        rules = Rules(
            policy=self.policy, platforms=self.platforms, sources=frozenset(SOURCES), exceptions=self.exceptions
        )
        return evaluate_image(
            self.image,
            self.said,
            rules,
            Wait(at=NOW, since=since, started=started, patience=PATIENCE, deadline=DEADLINE),
        )

    @property
    def passes(self) -> bool:
        return self.verdict().state.passes

    def saying(self, digest: str, observations: Iterable[Observation]) -> Situation:
        return replace(self, said={**self.said, digest: tuple(observations)})


def policies(
    critical: int, more: list[int | None], named: tuple[set[str], set[str]], rest: dict[str, object]
) -> Policy:
    """A valid policy: its limits rise, and it names a source."""
    limits: dict[str, int | None] = {"critical": critical}
    most: int | None = critical
    for severity, step in zip(("high", "medium", "low"), more, strict=True):
        most = None if most is None or step is None else most + step
        limits[severity] = most
    required, sufficient = named
    return Policy.model_validate(
        {
            "limits": limits,
            "required_sources": sorted(required),
            "sufficient_sources": sorted(sufficient or SOURCES[1:2]),
            **rest,
        }
    )


findings = st.builds(
    Finding,
    vulnerability=st.sampled_from(["CVE-1", "cve-1", "CVE-2", "CVE-3", "CVE-4", END_OF_LIFE]),
    severity=st.sampled_from(Severity),
    package=st.sampled_from(["openssl", "OpenSSL", "libssl", ""]),
    version=st.sampled_from(["", "1", "2", "1, 2"]),
    fixed_version=st.sampled_from(["", "3"]),
    fix=st.sampled_from(Fix),
)
few = st.frozensets(findings, max_size=2)
#: Mostly as it has to be for an image to pass: otherwise hardly any example would.
answers = st.sampled_from([SourceStatus.ASSESSED] * 6 + [SourceStatus.NOTHING] * 3 + [*SourceStatus])
moments = st.sampled_from([None, *(NOW - timedelta(hours=hours) for hours in (1, 1, 1, 30, -3, -0.05))])
databases = st.sampled_from([None, *(NOW - timedelta(hours=hours) for hours in (2, 2, 2, 2, 60, -1))])
observations = st.tuples(
    *(
        st.builds(
            Observation,
            source=st.just(source),
            status=answers,
            findings=st.just(frozenset()) | few,
            at=moments,
            database_at=databases,
        )
        for source in SOURCES
    )
)
step = st.sampled_from([0, 1, None])
some_sources = st.sets(st.sampled_from(SOURCES), max_size=2)
rest = st.fixed_dictionaries(
    {
        "ignore_unfixed": st.booleans(),
        "minimum_age": st.sampled_from([0, 90]),
        "maximum_age": st.sampled_from([24, 168]),
        "maximum_database_age": st.sampled_from([48, 96]),
        "unknown_database_age": st.sampled_from(["allow", "block"]),
        "end_of_life": st.sampled_from(["block", "warn"]),
        "unverified": st.sampled_from(["block", "ask"]),
        "not_applicable": st.sampled_from(["block", "ask"]),
    }
)
files = st.builds(
    lambda exemptions, acceptances, statements: replace(
        FILES, exemptions=tuple(exemptions), acceptances=tuple(acceptances), statements=statements
    ),
    st.lists(st.sampled_from(FILES.exemptions), unique=True),
    st.lists(st.sampled_from(FILES.acceptances), unique=True),
    st.sampled_from([FILES.statements, Exceptions().statements]),
)
situations = st.builds(
    Situation,
    st.fixed_dictionaries({AMD64: observations, ARM64: observations}),
    st.builds(
        policies, st.integers(0, 1), st.lists(step, min_size=3, max_size=3), st.tuples(some_sources, some_sources), rest
    ),
    st.sampled_from([("linux/amd64",), ("linux/arm64", "linux/amd64"), ("linux/amd64", "linux/s390x")]),
    files,
    st.sampled_from([0.0, PATIENCE, DEADLINE]),
    st.sampled_from([0.0, PATIENCE]),
)
digests = st.sampled_from([AMD64, ARM64])
places = st.integers(0, len(SOURCES) - 1)


@settings(max_examples=300)
@given(situations, digests, places, findings)
def test_adding_a_finding_never_helps(situation: Situation, digest: str, place: int, finding: Finding) -> None:
    """Whoever reports it, with whatever severity, waived or not: an image that did not pass still does not."""
    said = list(situation.said[digest])
    said[place] = replace(said[place], findings=said[place].findings | {finding})
    assert situation.passes or not situation.saying(digest, said).passes


@settings(max_examples=300)
@given(situations, digests, places, st.sampled_from(Severity))
def test_a_worse_severity_never_helps(situation: Situation, digest: str, place: int, severity: Severity) -> None:
    """Also where the policy has room for one that bad."""
    said = list(situation.said[digest])
    worse = frozenset(replace(one, severity=max(one.severity, severity)) for one in said[place].findings)
    said[place] = replace(said[place], findings=worse)
    assert situation.passes or not situation.saying(digest, said).passes


@settings(max_examples=300)
@given(situations, digests, places)
def test_an_observation_that_is_missing_never_helps(situation: Situation, digest: str, place: int) -> None:
    """Not even one with bad findings: a source that did not answer is no source that found nothing."""
    said = [one for number, one in enumerate(situation.said[digest]) if number != place]
    assert situation.passes or not situation.saying(digest, said).passes


@given(situations, digests, places, st.sampled_from([SourceStatus.FAILED, SourceStatus.UNREADABLE]), st.booleans())
def test_a_source_that_fails_never_helps(
    situation: Situation, digest: str, place: int, answer: SourceStatus, forgets: bool
) -> None:
    """Whether or not its findings are still known."""
    said = list(situation.said[digest])
    said[place] = Observation(
        source=said[place].source, status=answer, findings=frozenset() if forgets else said[place].findings
    )
    assert situation.passes or not situation.saying(digest, said).passes


@given(situations, digests, places, observations, places)
def test_what_is_said_about_an_index_never_helps(
    situation: Situation, digest: str, place: int, about: tuple[Observation, ...], which: int
) -> None:
    """Nor what was said earlier in the same wait. Each keeps the block, and none makes an answer a proof."""
    said = list(situation.said[digest])
    before = said[place]
    for answer in (
        with_findings_of_index(before, NGINX.digest, replace(about[which], source=before.source)),
        with_earlier_findings(before, replace(about[which], source=before.source)),
    ):
        assert before.findings | about[which].findings == answer.findings
        said[place] = answer
        assert situation.passes or not situation.saying(digest, said).passes


@given(situations, digests, places)
def test_a_forgotten_date_never_helps(situation: Situation, digest: str, place: int) -> None:
    """Neither that of the scan nor, but for Defender's word where the policy allows it, that of the database."""
    said = list(situation.said[digest])
    undated = [replace(said[place], at=None)]
    if said[place].source == "trivy" or situation.policy.unknown_database_age == "block":
        undated.append(replace(said[place], database_at=None))
    for answer in undated:
        said[place] = answer
        assert situation.passes or not situation.saying(digest, said).passes


@given(situations, digests, places)
def test_an_older_database_never_helps(situation: Situation, digest: str, place: int) -> None:
    """However old it already is, unless it was dated after the scan, which nothing explains."""
    said = list(situation.said[digest])
    at, before = said[place].at, said[place].database_at
    if at is not None and before is not None and before <= at:
        said[place] = replace(said[place], database_at=before - timedelta(days=3))
    assert situation.passes or not situation.saying(digest, said).passes


@given(situations, digests, places)
def test_an_assessment_that_is_taken_back_never_helps(situation: Situation, digest: str, place: int) -> None:
    """The findings stay, the proof goes."""
    said = list(situation.said[digest])
    if said[place].status is SourceStatus.ASSESSED:
        said[place] = replace(said[place], status=SourceStatus.NOTHING)
    assert situation.passes or not situation.saying(digest, said).passes


@given(situations, st.integers(0, 5))
def test_a_removed_exception_never_helps(situation: Situation, which: int) -> None:
    """Neither a removed exception, acceptance nor OpenVEX document."""
    held = situation.exceptions
    fewer = replace(
        held,
        exemptions=tuple(one for number, one in enumerate(held.exemptions) if number != which),
        acceptances=tuple(one for number, one in enumerate(held.acceptances) if number != which),
        statements=held.statements if which else Exceptions().statements,
    )
    assert situation.passes or not replace(situation, exceptions=fewer).passes


@given(situations, st.integers(0, 2))
def test_an_expired_exception_never_helps(situation: Situation, which: int) -> None:
    """From its expiry on, the verdict is as without it."""
    held = situation.exceptions
    expired = replace(
        held,
        exemptions=tuple((_ended(one, number == which), entry) for number, (one, entry) in enumerate(held.exemptions)),
        acceptances=tuple(
            (_ended(one, number == which), entry) for number, (one, entry) in enumerate(held.acceptances)
        ),
    )
    assert situation.passes or not replace(situation, exceptions=expired).passes


@given(situations, st.randoms(use_true_random=False))
def test_order_never_matters(situation: Situation, random: Random) -> None:
    """Neither the order of observations, entries in files, platforms, nor manifests in the index."""

    def shuffled(items: Sequence[T]) -> tuple[T, ...]:
        return tuple(random.sample(items, len(items)))

    held = situation.exceptions
    mixed = replace(
        situation,
        said={digest: shuffled(said) for digest, said in situation.said.items()},
        platforms=shuffled(situation.platforms),
        exceptions=replace(held, exemptions=shuffled(held.exemptions), acceptances=shuffled(held.acceptances)),
        image=replace(NGINX, platforms=shuffled(NGINX.platforms)),
    )
    one, other = situation.verdict(), mixed.verdict()
    assert one.state is other.state
    assert set(one.platforms) == set(other.platforms)
    assert one.findings == other.findings


@settings(max_examples=500)
@given(situations)
def test_nothing_passes_without_proof_or_acceptance(situation: Situation) -> None:
    """A passing manifest has an answer of every source, findings within the limits, and proof or acceptance."""
    verdict = situation.verdict()
    if not verdict.state.passes:
        return
    judged = {one.platform: one for one in verdict.platforms}
    assert judged.keys() == set(situation.platforms)
    for platform, platform_verdict in judged.items():
        digest = PLATFORMS[platform]
        assert platform_verdict.digest == digest
        said = {one.source: one for one in situation.said[digest]}
        assert all(said[source].status not in (SourceStatus.FAILED, SourceStatus.UNREADABLE) for source in SOURCES)
        counting = _counting(situation, digest)
        assert _within(counting, situation.policy)
        if platform_verdict.state is VerdictState.ACCEPTED:
            assert not counting
            assert situation.waited >= PATIENCE
            assert platform_verdict.acceptance is not None
            assert platform_verdict.acceptance.expires > NOW
            assert platform_verdict.acceptance in {waiver for waiver, _ in situation.exceptions.acceptances}
        else:
            proving = {source for source in SOURCES if _proves(said[source], situation.policy)}
            assert proving >= set(situation.policy.required_sources)
            assert not situation.policy.sufficient_sources or proving & set(situation.policy.sufficient_sources)


@given(situations)
def test_the_wait_always_ends(situation: Situation) -> None:
    """After the deadline, and after the time for failing sources to recover, every image has a final verdict."""
    late = replace(situation, waited=DEADLINE, running=PATIENCE)
    assert late.verdict().state.final


@given(situations)
def test_a_person_is_asked_only_where_the_policy_says_so(situation: Situation) -> None:
    """A person is never asked about findings beyond the limits."""
    for platform_verdict in situation.verdict().platforms:
        if platform_verdict.state is VerdictState.ASKING:
            assert "ask" in (situation.policy.unverified, situation.policy.not_applicable)
            assert _within(_counting(situation, platform_verdict.digest), situation.policy)


def _ended(waiver: Waiver, over: bool) -> Waiver:
    return replace(waiver, expires=NOW) if over else waiver


def _proves(said: Observation, policy: Policy) -> bool:
    if said.status is not SourceStatus.ASSESSED or said.at is None:
        return False
    minutes = (NOW - said.at).total_seconds() / 60
    dated = minutes >= -5 and policy.minimum_age <= max(minutes, 0) <= policy.maximum_age * 60
    if said.database_at is None:
        return dated and said.source != "trivy" and policy.unknown_database_age == "allow"
    old = (said.at - said.database_at).total_seconds() / 60
    return dated and -5 <= old <= policy.maximum_database_age * 60


def _counting(situation: Situation, digest: str) -> dict[tuple[str, str], Severity]:
    """The worst severity of findings that are not waived, by vulnerability and package, under this module's files."""
    reports: dict[tuple[str, str], list[Finding]] = {}
    for said in situation.said[digest]:
        for one in said.findings:
            reports.setdefault((one.vulnerability.upper(), one.package.lower()), []).append(one)
    entries = {(entry.vulnerability, entry.package, entry.digest) for _, entry in situation.exceptions.exemptions}
    worst: dict[tuple[str, str], Severity] = {}
    for (vulnerability, package), some in reports.items():
        versions = {version for one in some for version in one.version.split(", ")} - {""}
        waived = (
            (("CVE-1", "openssl", None) in entries and (vulnerability, package) == ("CVE-1", "openssl"))
            or (("CVE-1", None, AMD64) in entries and (vulnerability, digest) == ("CVE-1", AMD64))
            or (
                bool(situation.exceptions.statements.all)
                and (vulnerability, package) == ("CVE-3", "openssl")
                and versions <= {"1"}
            )
            or _ignored(situation.policy, vulnerability, some)
        )
        if not waived:
            worst[vulnerability, package] = max(one.severity for one in some)
    return worst


def _ignored(policy: Policy, vulnerability: str, some: Sequence[Finding]) -> bool:
    if vulnerability == END_OF_LIFE:
        return policy.end_of_life == "warn"
    return policy.ignore_unfixed and all(one.fix is Fix.NONE for one in some)


def _within(counting: dict[tuple[str, str], Severity], policy: Policy) -> bool:
    limits = policy.limits
    return all(vulnerability != END_OF_LIFE for vulnerability, _ in counting) and all(
        most is None or sum(severity >= least for severity in counting.values()) <= most
        for least, most in enumerate((limits.low, limits.medium, limits.high, limits.critical), start=1)
    )
