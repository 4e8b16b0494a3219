"""The gate's decision table.

A row says what the sources say of the image, what the policy and the files say, and how long has been waited; then the
state that has to follow and words of the reason. What a row does not mention is the default: an index of linux/amd64
and linux/arm64 of which linux/amd64 is required, the default policy (no Critical, no High; Defender's findings artifact
proves the scan), no exceptions, no time waited, 30 minutes of patience, a deadline after 240. It is 2026-11-23,
12:00 UTC. The expectations are written by hand from docs/gate.md, and not computed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from pratique.findings import Finding
from pratique.gate.evidence import Observation
from pratique.gate.holds import Hold, Holds
from pratique.gate.policy import FINDINGS_ARTIFACT, RECOMMENDATIONS, SUB_ASSESSMENTS
from pratique.gate.verdict import VerdictState
from pratique.images import PlatformManifest, ResolvedImage
from tests.pratique.gate.kit import (
    AMD64,
    ARM64,
    CLEAN,
    CRITICAL,
    HIGH,
    INDEX,
    LOW,
    MEDIUM,
    NGINX,
    NO_ARTIFACT,
    NO_ROWS,
    NOW,
    OTHER,
    UNRATED,
    Entry,
    acceptance,
    acme,
    artifact,
    assessed,
    exception,
    exempt,
    failed,
    fixable,
    many,
    nothing,
    of_manifests,
    old_rows,
    rows,
    trivy,
    undated,
    unfixed,
    unreadable,
    vex,
)

HEALTHY, TOLERATED, SKIPPED, ACCEPTED = (
    VerdictState.HEALTHY,
    VerdictState.TOLERATED,
    VerdictState.SKIPPED,
    VerdictState.ACCEPTED,
)
PENDING, ASKING = VerdictState.PENDING, VerdictState.ASKING
UNHEALTHY, UNVERIFIED, NOT_APPLICABLE = VerdictState.UNHEALTHY, VerdictState.UNVERIFIED, VerdictState.NOT_APPLICABLE

Says = Sequence[Observation]


@dataclass(frozen=True)
class Row:
    """One case.

    :ivar says: of the manifest for linux/amd64
    :ivar state: what has to follow
    :ivar words: part of the reason
    :ivar policy: what differs from the default policy
    :ivar elsewhere: what is said of other digests
    :ivar asked: the configured sources; by default Defender's two and whoever says something
    :ivar left: the sources that are left when Defender is off and the policy says ``skip``
    :ivar holds: what a rescan of live/ refuses
    :ivar waited: minutes since the image arrived
    :ivar running: minutes since the gate began to ask; by default as long
    :ivar note: part of what the report notes
    """

    name: str
    says: Says
    state: VerdictState
    words: str = ""
    policy: Mapping[str, Any] = field(default_factory=dict)
    exceptions: Sequence[Entry] = ()
    acceptances: Sequence[Entry] = ()
    vex: Sequence[Entry] = ()
    elsewhere: Mapping[str, Says] = field(default_factory=dict)
    image: ResolvedImage = NGINX
    platforms: tuple[str, ...] = ("linux/amd64",)
    asked: frozenset[str] | None = None
    left: frozenset[str] | None = None
    holds: Holds = field(default_factory=dict)
    waited: float = 0
    running: float | None = None
    patience: float = 30
    deadline: float = 240
    note: str = ""


def by(*sources: str, **policy: Any) -> Mapping[str, Any]:
    """A policy in which any one of the sources suffices."""
    return {"sufficient_sources": sources, **policy}


def needs(*sources: str, **policy: Any) -> Mapping[str, Any]:
    """A policy in which each of the sources is required, and no other."""
    return {"required_sources": sources, "sufficient_sources": (), **policy}


def rated(like: Finding, finding: Finding) -> Finding:
    """The same finding with the severity of another."""
    return replace(finding, severity=like.severity)


BOTH = ("linux/amd64", "linux/arm64")
TWICE = of_manifests(("linux/amd64", AMD64), ("linux/amd64", OTHER))
SINGLE = replace(NGINX, digest=ARM64, platforms=(PlatformManifest("linux/arm64", ARM64),))
UNPROVEN = (NO_ROWS, NO_ARTIFACT)
NO_FINDINGS = rows()
BLIND = nothing(FINDINGS_ARTIFACT, "run from a worker with a private endpoint")
FORGED = nothing(FINDINGS_ARTIFACT, notes=("the attestation sha256:f00 does not count: forged",))
EARLIER = nothing(RECOMMENDATIONS, notes=("rows about an earlier push: 2",))
UNFIXED_HIGH = unfixed(HIGH)
HIGH_IN_LIBSSL = replace(HIGH, package="libssl")
HIGH_IN_CAPITALS = replace(HIGH, vulnerability=HIGH.vulnerability.lower(), package="OPENSSL")
FIRST, SECOND = many(HIGH, 2)

HELD = VerdictState.HELD
HOLD = Hold("acraks123.azurecr.io/live/library/nginx:1.27", NOW, (HIGH,))
HOLD_OF_TWO = Hold("acraks123.azurecr.io/live/library/nginx:1.27", NOW, (HIGH, CRITICAL))

EITHER = by(RECOMMENDATIONS, FINDINGS_ARTIFACT)
EACH = needs(RECOMMENDATIONS, FINDINGS_ARTIFACT)
ASK = {"unverified": "ask"}
IGNORE = {"ignore_unfixed": True}
ONE_HIGH, TWO_HIGH = {"limits": {"high": 1}}, {"limits": {"high": 2}}
ONE_CRITICAL = {"limits": {"critical": 1, "high": 1}}
TRIVY, ACME = frozenset({"trivy"}), frozenset({"acme"})
DAY = 24 * 60.0
WEEK = 7 * DAY

TABLE: dict[str, tuple[Row, ...]] = {
    "silence": (
        Row("nothing is known yet", UNPROVEN, PENDING, "no proof of a scan"),
        Row("nothing is known when patience ends", UNPROVEN, PENDING, waited=30),
        Row("nothing is known just before the deadline", UNPROVEN, PENDING, waited=239.9),
        Row("nothing is known at the deadline", UNPROVEN, UNVERIFIED, "no proof of a scan", waited=240),
        Row("nothing is known long after the deadline", UNPROVEN, UNVERIFIED, waited=10_000),
        Row("a run that starts after the deadline", UNPROVEN, UNVERIFIED, waited=300, running=0),
        Row("the reason is the source's own", UNPROVEN, UNVERIFIED, "no attestation with a trusted signature",
            waited=240),
        Row("the worker cannot see the registry", (NO_ROWS, BLIND), UNVERIFIED, "private endpoint", waited=240),
        Row("an artifact that nobody trusted signed", (NO_ROWS, FORGED), UNVERIFIED, "has no proof",
            waited=240, note="forged"),
        Row("rows about an earlier push of the digest", (EARLIER, NO_ARTIFACT), PENDING, note="earlier push"),
    ),
    "who proves a scan": (
        Row("a clean artifact", (NO_ROWS, CLEAN), HEALTHY, "nothing found"),
        Row("a clean artifact that came late", (NO_ROWS, CLEAN), HEALTHY, waited=1000),
        Row("an artifact with tolerable findings", (NO_ROWS, artifact(MEDIUM)), TOLERATED, "1 finding within"),
        Row("an artifact with bad findings", (NO_ROWS, artifact(HIGH)), UNHEALTHY, "1 finding beyond the limits"),
        Row("rows without findings prove nothing", (NO_FINDINGS, NO_ARTIFACT), PENDING, "findings-artifact"),
        Row("rows without findings, at the deadline", (NO_FINDINGS, NO_ARTIFACT), UNVERIFIED, waited=240),
        Row("tolerable rows prove no complete scan", (rows(LOW), NO_ARTIFACT), PENDING),
        Row("tolerable rows, at the deadline", (rows(LOW), NO_ARTIFACT), UNVERIFIED, "not proven complete", waited=240),
        Row("bad rows need no proof", (rows(HIGH), NO_ARTIFACT), UNHEALTHY, "1 finding beyond the limits"),
        Row("bad rows of the old generation", (old_rows(HIGH), *UNPROVEN), UNHEALTHY),
        Row("the old generation proves nothing", (old_rows(), *UNPROVEN), PENDING),
        Row("rows suffice if the policy says so", (NO_FINDINGS, NO_ARTIFACT), HEALTHY, policy=by(RECOMMENDATIONS)),
        Row("tolerable rows suffice then", (rows(LOW), NO_ARTIFACT), TOLERATED, policy=by(RECOMMENDATIONS)),
        Row("no rows never suffice", UNPROVEN, PENDING, "recommendations", policy=by(RECOMMENDATIONS)),
        Row("old rows suffice", (old_rows(LOW), *UNPROVEN), TOLERATED, policy=by(SUB_ASSESSMENTS)),
        Row("an artifact that the policy does not name", (NO_ROWS, CLEAN), PENDING, policy=by(RECOMMENDATIONS)),
        Row("the same at the deadline", (NO_ROWS, CLEAN), UNVERIFIED, policy=by(RECOMMENDATIONS), waited=240),
        Row("one of two suffices: artifact", (NO_ROWS, CLEAN), HEALTHY, policy=EITHER),
        Row("one of two suffices: rows", (NO_FINDINGS, NO_ARTIFACT), HEALTHY, policy=EITHER),
        Row("neither of two", UNPROVEN, UNVERIFIED, "recommendations", policy=EITHER, waited=240),
        Row("somebody else's clean attestation", (*UNPROVEN, acme()), HEALTHY, policy=by("acme")),
        Row("somebody else whom the policy does not name", (*UNPROVEN, acme()), PENDING, "findings-artifact"),
        Row("a scanner's clean report", (*UNPROVEN, trivy()), HEALTHY, policy=by("trivy")),
        Row("a scanner whom the policy does not name", (*UNPROVEN, trivy()), PENDING),
        Row("a scanner's silence", (*UNPROVEN, nothing("trivy")), UNVERIFIED, "trivy", policy=by("trivy"), waited=240),
        Row("bad findings of somebody unnamed count", (NO_ROWS, CLEAN, trivy(HIGH)), UNHEALTHY),
        Row("tolerable findings of somebody unnamed count", (NO_ROWS, CLEAN, acme(LOW)), TOLERATED),
        Row("silence of somebody unnamed does not matter", (NO_ROWS, CLEAN, nothing("trivy")), HEALTHY),
    ),
    "required": (
        Row("both required, both there", (NO_FINDINGS, CLEAN), HEALTHY, policy=EACH),
        Row("both required, one silent", (NO_ROWS, CLEAN), PENDING, "recommendations has no proof", policy=EACH),
        Row("both required, one silent at the deadline", (NO_FINDINGS, NO_ARTIFACT), UNVERIFIED, "findings-artifact",
            policy=EACH, waited=240),
        Row("both required, one bad", (NO_FINDINGS, artifact(HIGH)), UNHEALTHY, policy=EACH),
        Row("both required, one tolerable", (rows(LOW), CLEAN), TOLERATED, policy=EACH),
        Row("required and sufficient, both there", (NO_ROWS, CLEAN, acme()), HEALTHY,
            policy={"required_sources": ["acme"]}),
        Row("the required one is silent", (NO_ROWS, CLEAN, nothing("acme")), PENDING, "acme",
            policy={"required_sources": ["acme"]}),
        Row("only the required one speaks", (*UNPROVEN, acme()), PENDING, "findings-artifact",
            policy={"required_sources": ["acme"]}),
        Row("a required one alone is enough", (*UNPROVEN, trivy()), HEALTHY, policy=needs("trivy")),
        Row("the required one is too old", (NO_ROWS, CLEAN, acme(age=WEEK + 1)), PENDING, "acme's assessment of",
            policy={"required_sources": ["acme"]}),
        Row("the required one is exempt", (exempt(), CLEAN), NOT_APPLICABLE, policy=needs(RECOMMENDATIONS), waited=30),
    ),
    "age of the proof": (
        Row("too young", (NO_ROWS, artifact(age=59)), PENDING, "younger than 60 minutes", policy={"minimum_age": 60}),
        Row("just old enough", (NO_ROWS, artifact(age=60)), HEALTHY, policy={"minimum_age": 60}),
        Row("too young at the deadline", (NO_ROWS, artifact(age=59)), UNVERIFIED,
            policy={"minimum_age": 60}, waited=240),
        Row("too young, and bad", (NO_ROWS, artifact(HIGH, age=1)), UNHEALTHY, policy={"minimum_age": 60}),
        Row("just young enough", (NO_ROWS, artifact(age=DAY)), HEALTHY, policy={"maximum_age": 24}),
        Row("too old", (NO_ROWS, artifact(age=DAY + 1)), PENDING, "older than 24 hours", policy={"maximum_age": 24}),
        Row("too old at the deadline", (NO_ROWS, artifact(age=DAY + 1)), UNVERIFIED,
            policy={"maximum_age": 24}, waited=240),
        Row("a week is young enough by default", (NO_ROWS, artifact(age=WEEK)), HEALTHY),
        Row("more than a week is too old by default", (NO_ROWS, artifact(age=WEEK + 1)), PENDING, "168 hours"),
        Row("bad findings count at any age", (NO_ROWS, artifact(HIGH, age=10 * WEEK)), UNHEALTHY),
        Row("too old, with tolerable findings", (NO_ROWS, artifact(LOW, age=2 * WEEK)), UNVERIFIED, "not proven",
            waited=240),
        Row("undated", (NO_ROWS, undated(CLEAN)), PENDING, "does not say when"),
        Row("undated at the deadline", (NO_ROWS, undated(CLEAN)), UNVERIFIED, waited=240),
        Row("undated, and bad", (NO_ROWS, undated(artifact(HIGH))), UNHEALTHY),
        Row("one old and one young", (NO_ROWS, artifact(age=2 * WEEK), acme()), HEALTHY,
            policy=by(FINDINGS_ARTIFACT, "acme")),
        Row("both old", (NO_ROWS, artifact(age=2 * WEEK), acme(age=2 * WEEK)), PENDING,
            policy=by(FINDINGS_ARTIFACT, "acme")),
        Row("clocks differ a little", (NO_ROWS, artifact(age=-5)), HEALTHY),
        Row("in the future", (NO_ROWS, artifact(age=-6)), PENDING, "in the future"),
        Row("in the future at the deadline", (NO_ROWS, artifact(age=-DAY)), UNVERIFIED, "in the future", waited=240),
        Row("in the future, and bad", (NO_ROWS, artifact(HIGH, age=-DAY)), UNHEALTHY),
        Row("a little in the future has no age", (NO_ROWS, artifact(age=-2)), PENDING, "60 minutes",
            policy={"minimum_age": 60}),
        Row("too old, but accepted", (NO_ROWS, artifact(age=2 * WEEK)), ACCEPTED,
            acceptances=[acceptance()], waited=30),
        Row("the age of an unnamed source", (NO_ROWS, CLEAN, trivy(age=9 * WEEK)), HEALTHY),
    ),
    "severities": (
        Row("proven: Low", (NO_ROWS, artifact(LOW)), TOLERATED),
        Row("proven: Medium", (NO_ROWS, artifact(MEDIUM)), TOLERATED),
        Row("proven: High", (NO_ROWS, artifact(HIGH)), UNHEALTHY),
        Row("proven: Critical", (NO_ROWS, artifact(CRITICAL)), UNHEALTHY),
        Row("proven: unknown", (NO_ROWS, artifact(UNRATED)), UNHEALTHY),
        Row("unproven: Low", (rows(LOW), NO_ARTIFACT), PENDING),
        Row("unproven: Medium", (rows(MEDIUM), NO_ARTIFACT), PENDING),
        Row("unproven: High", (rows(HIGH), NO_ARTIFACT), UNHEALTHY),
        Row("unproven: Critical", (rows(CRITICAL), NO_ARTIFACT), UNHEALTHY),
        Row("unproven: unknown", (rows(UNRATED), NO_ARTIFACT), UNHEALTHY),
        Row("unproven at the deadline: Medium", (rows(MEDIUM), NO_ARTIFACT), UNVERIFIED, waited=240),
        Row("unproven at the deadline: High", (rows(HIGH), NO_ARTIFACT), UNHEALTHY, waited=240),
        Row("a thousand Low", (NO_ROWS, artifact(*many(LOW, 1000))), TOLERATED, "1000 findings within"),
        Row("one Critical among many Low", (NO_ROWS, artifact(CRITICAL, *many(LOW, 9))), UNHEALTHY, "1 finding beyond"),
    ),
    "limits": (
        Row("as many High as allowed", (NO_ROWS, artifact(*many(HIGH, 2))), TOLERATED, policy=TWO_HIGH),
        Row("one High more", (NO_ROWS, artifact(*many(HIGH, 3))), UNHEALTHY, "3 findings", policy=TWO_HIGH),
        Row("any number of High", (NO_ROWS, artifact(*many(HIGH, 50))), TOLERATED, policy={"limits": {"high": None}}),
        Row("no limit on High leaves that on Critical", (NO_ROWS, artifact(CRITICAL)), UNHEALTHY,
            policy={"limits": {"high": None}}),
        Row("no Medium", (NO_ROWS, artifact(MEDIUM)), UNHEALTHY, policy={"limits": {"medium": 0}}),
        Row("no Medium leaves Low", (NO_ROWS, artifact(LOW)), TOLERATED, policy={"limits": {"medium": 0}}),
        Row("nothing at all", (NO_ROWS, artifact(LOW)), UNHEALTHY, policy={"limits": {"medium": 0, "low": 0}}),
        Row("nothing at all, and clean", (NO_ROWS, CLEAN), HEALTHY, policy={"limits": {"medium": 0, "low": 0}}),
        Row("five Low", (NO_ROWS, artifact(*many(LOW, 5))), TOLERATED, policy={"limits": {"medium": 5, "low": 5}}),
        Row("six Low", (NO_ROWS, artifact(*many(LOW, 6))), UNHEALTHY, "6 findings",
            policy={"limits": {"medium": 5, "low": 5}}),
        Row("one Critical is allowed", (NO_ROWS, artifact(CRITICAL)), TOLERATED, policy=ONE_CRITICAL),
        Row("unknown takes Critical's place", (NO_ROWS, artifact(UNRATED)), TOLERATED, policy=ONE_CRITICAL),
        Row("unknown and Critical share a limit", (NO_ROWS, artifact(UNRATED, CRITICAL)), UNHEALTHY, "2 findings",
            policy=ONE_CRITICAL),
        Row("a Critical takes up the limit on High too", (NO_ROWS, artifact(CRITICAL, HIGH)), UNHEALTHY, "2 findings",
            policy=ONE_CRITICAL),
        Row("a Critical and a High, with room for both", (NO_ROWS, artifact(CRITICAL, HIGH)), TOLERATED,
            policy={"limits": {"critical": 1, "high": 2}}),
        Row("within the limits, but unproven", (rows(*many(HIGH, 2)), NO_ARTIFACT), PENDING, policy=TWO_HIGH),
        Row("one in two packages counts twice", (NO_ROWS, artifact(HIGH, HIGH_IN_LIBSSL)), UNHEALTHY, "2 findings",
            policy=ONE_HIGH),
    ),
    "ignore_unfixed": (
        Row("unfixed counts by default", (NO_ROWS, artifact(UNFIXED_HIGH)), UNHEALTHY),
        Row("unfixed is ignored", (NO_ROWS, artifact(UNFIXED_HIGH)), TOLERATED, "1 waived", policy=IGNORE),
        Row("fixable counts", (NO_ROWS, artifact(fixable(HIGH))), UNHEALTHY, policy=IGNORE),
        Row("nobody knows of a fix: counts", (NO_ROWS, artifact(HIGH)), UNHEALTHY, policy=IGNORE),
        Row("unfixed Critical is ignored", (NO_ROWS, artifact(unfixed(CRITICAL))), TOLERATED, policy=IGNORE),
        Row("unfixed of unknown severity is ignored", (NO_ROWS, artifact(unfixed(UNRATED))), TOLERATED, policy=IGNORE),
        Row("one unfixed, one fixable", (NO_ROWS, artifact(UNFIXED_HIGH, fixable(CRITICAL))), UNHEALTHY, "1 finding",
            policy=IGNORE),
        Row("another source knows a fix", (rows(fixable(HIGH)), artifact(UNFIXED_HIGH)), UNHEALTHY, policy=IGNORE),
        Row("another source does not know", (rows(HIGH), artifact(UNFIXED_HIGH)), UNHEALTHY, policy=IGNORE),
        Row("both say unfixed", (rows(UNFIXED_HIGH), artifact(UNFIXED_HIGH)), TOLERATED, policy=IGNORE),
        Row("unfixed and unproven", (rows(UNFIXED_HIGH), NO_ARTIFACT), PENDING, policy=IGNORE),
        Row("unfixed and unproven at the deadline", (rows(UNFIXED_HIGH), NO_ARTIFACT), UNVERIFIED,
            policy=IGNORE, waited=240),
    ),
    "exceptions": (
        Row("in force", (NO_ROWS, artifact(HIGH)), TOLERATED, "1 waived", exceptions=[exception(HIGH.vulnerability)]),
        Row("on its last day", (NO_ROWS, artifact(HIGH)), TOLERATED,
            exceptions=[exception(HIGH.vulnerability, "2026-11-23")]),
        Row("the day after", (NO_ROWS, artifact(HIGH)), UNHEALTHY, "1 exception",
            exceptions=[exception(HIGH.vulnerability, "2026-11-22")]),
        Row("in its last second", (NO_ROWS, artifact(HIGH)), TOLERATED,
            exceptions=[exception(HIGH.vulnerability, "2026-11-23T12:00:01Z")]),
        Row("at its very end", (NO_ROWS, artifact(HIGH)), UNHEALTHY, "expired",
            exceptions=[exception(HIGH.vulnerability, "2026-11-23T12:00:00Z")]),
        Row("its end in another time zone", (NO_ROWS, artifact(HIGH)), UNHEALTHY, "expired",
            exceptions=[exception(HIGH.vulnerability, "2026-11-23T13:59:00+02:00")]),
        Row("expired, for a tolerable finding", (NO_ROWS, artifact(LOW)), TOLERATED,
            exceptions=[exception(LOW.vulnerability, "2026-11-22")]),
        Row("another vulnerability", (NO_ROWS, artifact(HIGH)), UNHEALTHY, exceptions=[exception(LOW.vulnerability)]),
        Row("its letter case does not matter", (NO_ROWS, artifact(HIGH)), TOLERATED,
            exceptions=[exception("cve-2026-3")]),
        Row("the package", (NO_ROWS, artifact(HIGH)), TOLERATED,
            exceptions=[exception(HIGH.vulnerability, package="OpenSSL")]),
        Row("another package", (NO_ROWS, artifact(HIGH)), UNHEALTHY,
            exceptions=[exception(HIGH.vulnerability, package="libssl")]),
        Row("a package, for a finding without one", (NO_ROWS, artifact(replace(HIGH, package=""))), UNHEALTHY,
            exceptions=[exception(HIGH.vulnerability, package="openssl")]),
        Row("one package of two", (NO_ROWS, artifact(HIGH, HIGH_IN_LIBSSL)), UNHEALTHY, "1 finding",
            exceptions=[exception(HIGH.vulnerability, package="openssl")]),
        Row("without a package, for two", (NO_ROWS, artifact(HIGH, HIGH_IN_LIBSSL)), TOLERATED, "2 waived",
            exceptions=[exception(HIGH.vulnerability)]),
        Row("a pattern", (NO_ROWS, artifact(HIGH)), TOLERATED,
            exceptions=[exception(HIGH.vulnerability, image="docker.io/library/*")]),
        Row("a pattern for another registry", (NO_ROWS, artifact(HIGH)), UNHEALTHY,
            exceptions=[exception(HIGH.vulnerability, image="ghcr.io/*")]),
        Row("another image", (NO_ROWS, artifact(HIGH)), UNHEALTHY,
            exceptions=[exception(HIGH.vulnerability, image="docker.io/library/redis:7")]),
        Row("another tag", (NO_ROWS, artifact(HIGH)), UNHEALTHY,
            exceptions=[exception(HIGH.vulnerability, image="docker.io/library/nginx:1.26")]),
        Row("a name that begins alike", (NO_ROWS, artifact(HIGH)), UNHEALTHY,
            exceptions=[exception(HIGH.vulnerability, image="docker.io/library/ngin")]),
        Row("the index's digest", (NO_ROWS, artifact(HIGH)), TOLERATED,
            exceptions=[exception(HIGH.vulnerability, digest=INDEX)]),
        Row("the platform's digest", (NO_ROWS, artifact(HIGH)), TOLERATED,
            exceptions=[exception(HIGH.vulnerability, digest=AMD64)]),
        Row("another platform's digest", (NO_ROWS, artifact(HIGH)), UNHEALTHY,
            exceptions=[exception(HIGH.vulnerability, digest=ARM64)]),
        Row("another digest", (NO_ROWS, artifact(HIGH)), UNHEALTHY,
            exceptions=[exception(HIGH.vulnerability, digest=OTHER)]),
        Row("one finding of two", (NO_ROWS, artifact(HIGH, CRITICAL)), UNHEALTHY, "1 finding",
            exceptions=[exception(HIGH.vulnerability)]),
        Row("both findings", (NO_ROWS, artifact(HIGH, CRITICAL)), TOLERATED, "2 waived",
            exceptions=[exception(HIGH.vulnerability), exception(CRITICAL.vulnerability)]),
        Row("unknown severity", (NO_ROWS, artifact(UNRATED)), TOLERATED, exceptions=[exception(UNRATED.vulnerability)]),
        Row("what is waived takes no limit up", (NO_ROWS, artifact(*many(HIGH, 2))), TOLERATED,
            policy=ONE_HIGH, exceptions=[exception("CVE-2026-300")]),
        Row("waived is not proven", (rows(HIGH), NO_ARTIFACT), PENDING, exceptions=[exception(HIGH.vulnerability)]),
        Row("waived is not proven at the deadline", (rows(HIGH), NO_ARTIFACT), UNVERIFIED, "findings-artifact",
            exceptions=[exception(HIGH.vulnerability)], waited=240),
        Row("an exception is no acceptance", UNPROVEN, UNVERIFIED,
            exceptions=[exception(HIGH.vulnerability)], waited=240),
        Row("whoever reports it", (rows(HIGH), artifact(HIGH)), TOLERATED, "1 waived",
            exceptions=[exception(HIGH.vulnerability)]),
    ),
    "OpenVEX": (
        Row("not affected", (NO_ROWS, artifact(HIGH)), TOLERATED, "1 waived", vex=[vex("not_affected")]),
        Row("fixed", (NO_ROWS, artifact(HIGH)), TOLERATED, vex=[vex("fixed")]),
        Row("affected", (NO_ROWS, artifact(HIGH)), UNHEALTHY, vex=[vex("affected")]),
        Row("under investigation", (NO_ROWS, artifact(HIGH)), UNHEALTHY, vex=[vex("under_investigation")]),
        Row("another vulnerability", (NO_ROWS, artifact(HIGH)), UNHEALTHY, vex=[vex("not_affected", "CVE-2026-9")]),
        Row("the package", (NO_ROWS, artifact(HIGH)), TOLERATED,
            vex=[vex("not_affected", package="pkg:deb/debian/openssl@3.0.1")]),
        Row("another version of the package", (NO_ROWS, artifact(HIGH)), UNHEALTHY,
            vex=[vex("not_affected", package="pkg:deb/debian/openssl@3.0.9")]),
        Row("another package", (NO_ROWS, artifact(HIGH)), UNHEALTHY,
            vex=[vex("not_affected", package="pkg:deb/debian/libssl")]),
        Row("another image", (NO_ROWS, artifact(HIGH)), UNHEALTHY,
            vex=[vex("not_affected", image="pkg:oci/redis?repository_url=docker.io/library/redis")]),
        Row("another tag", (NO_ROWS, artifact(HIGH)), UNHEALTHY,
            vex=[vex("fixed", image="pkg:oci/nginx?repository_url=docker.io/library/nginx&tag=1.28")]),
        Row("an image without a place", (NO_ROWS, artifact(HIGH)), UNHEALTHY,
            vex=[vex("not_affected", image="pkg:oci/nginx")]),
        Row("taken back since", (NO_ROWS, artifact(HIGH)), UNHEALTHY,
            vex=[vex("not_affected"), vex("affected", at="2026-11-21T08:00:00Z")]),
        Row("said since", (NO_ROWS, artifact(HIGH)), TOLERATED,
            vex=[vex("affected"), vex("not_affected", at="2026-11-21T08:00:00Z")]),
        Row("older than the policy allows", (NO_ROWS, artifact(HIGH)), UNHEALTHY, "expired",
            policy={"exception_days": 30}, vex=[vex("not_affected", at="2026-10-01T08:00:00Z")]),
        Row("proves no scan", UNPROVEN, UNVERIFIED, vex=[vex("not_affected")], waited=240),
    ),
    "acceptances": (
        Row("within patience", UNPROVEN, PENDING, acceptances=[acceptance()], waited=29.9),
        Row("after patience", UNPROVEN, ACCEPTED, "security@contoso.com", acceptances=[acceptance()], waited=30),
        Row("its last day is named", UNPROVEN, ACCEPTED, "until 2026-12-31", acceptances=[acceptance()], waited=30),
        Row("its reason is named", UNPROVEN, ACCEPTED, "it was looked into", acceptances=[acceptance()], waited=30),
        Row("without any patience", UNPROVEN, ACCEPTED, acceptances=[acceptance()], patience=0),
        Row("more patience than the deadline has", UNPROVEN, ACCEPTED,
            acceptances=[acceptance()], patience=999, waited=240),
        Row("on its last day", UNPROVEN, ACCEPTED, acceptances=[acceptance(expires="2026-11-23")], waited=30),
        Row("expired: waits like any image", UNPROVEN, PENDING,
            acceptances=[acceptance(expires="2026-11-22")], waited=30),
        Row("expired, at the deadline", UNPROVEN, UNVERIFIED, "acceptance expired",
            acceptances=[acceptance(expires="2026-11-22")], waited=240),
        Row("another image", UNPROVEN, UNVERIFIED,
            acceptances=[acceptance(image=f"docker.io/library/redis:7@{INDEX}")], waited=240),
        Row("another tag", UNPROVEN, UNVERIFIED,
            acceptances=[acceptance(image=f"docker.io/library/nginx:1.26@{INDEX}")], waited=240),
        Row("another registry", UNPROVEN, UNVERIFIED,
            acceptances=[acceptance(image=f"ghcr.io/library/nginx:1.27@{INDEX}")], waited=240),
        Row("the index's digest", UNPROVEN, ACCEPTED, acceptances=[acceptance(digest=INDEX)], waited=30),
        Row("the platform's digest", UNPROVEN, ACCEPTED, acceptances=[acceptance(digest=AMD64)], waited=30),
        Row("another platform's digest", UNPROVEN, UNVERIFIED, acceptances=[acceptance(digest=ARM64)], waited=240),
        Row("the tag moved since", UNPROVEN, UNVERIFIED,
            acceptances=[acceptance(image=f"docker.io/library/nginx:1.27@{OTHER}")], waited=240),
        Row("tag and digest", UNPROVEN, ACCEPTED,
            acceptances=[acceptance(image=f"docker.io/library/nginx:1.27@{INDEX}")], waited=30),
        Row("tag and a platform's digest", UNPROVEN, ACCEPTED,
            acceptances=[acceptance(image=f"docker.io/library/nginx:1.27@{AMD64}")], waited=30),
        Row("tag and another platform's digest", UNPROVEN, UNVERIFIED,
            acceptances=[acceptance(image=f"docker.io/library/nginx:1.27@{ARM64}")], waited=240),
        Row("proof is better", (NO_ROWS, CLEAN), HEALTHY, "nothing found", acceptances=[acceptance()]),
        Row("bad findings", (rows(HIGH), NO_ARTIFACT), UNHEALTHY, acceptances=[acceptance()], waited=240),
        Row("tolerable findings: it can be assessed", (rows(LOW), NO_ARTIFACT), PENDING,
            acceptances=[acceptance()], waited=30),
        Row("tolerable findings at the deadline", (rows(LOW), NO_ARTIFACT), UNVERIFIED,
            acceptances=[acceptance()], waited=240),
        Row("rows without findings", (NO_FINDINGS, NO_ARTIFACT), ACCEPTED, acceptances=[acceptance()], waited=30),
        Row("for not-applicable only", UNPROVEN, UNVERIFIED, acceptances=[acceptance("not-applicable")], waited=240),
        Row("nobody is asked about what is accepted", UNPROVEN, ACCEPTED,
            policy=ASK, acceptances=[acceptance()], waited=30),
    ),
    "NotApplicable": (
        Row("at first", (exempt(), NO_ARTIFACT), PENDING, "Exempt"),
        Row("within patience", (exempt(), NO_ARTIFACT), PENDING, waited=29.9),
        Row("after patience", (exempt(), NO_ARTIFACT), NOT_APPLICABLE, "recommendations: Exempt", waited=30),
        Row("after the deadline", (exempt(), NO_ARTIFACT), NOT_APPLICABLE, waited=240),
        Row("by the old generation", (exempt(SUB_ASSESSMENTS), *UNPROVEN), NOT_APPLICABLE, waited=30),
        Row("by a sufficient source", (exempt(), NO_ARTIFACT), NOT_APPLICABLE, policy=by(RECOMMENDATIONS), waited=30),
        Row("assessed all the same", (exempt(), CLEAN), HEALTHY, note="excludes it from assessment"),
        Row("assessed all the same, and bad", (exempt(), artifact(HIGH)), UNHEALTHY),
        Row("bad findings in the exempt row", (exempt(RECOMMENDATIONS, HIGH), NO_ARTIFACT), UNHEALTHY),
        Row("bad findings in the exempt row, clean elsewhere", (exempt(RECOMMENDATIONS, HIGH), CLEAN), UNHEALTHY),
        Row("tolerable findings in the exempt row", (exempt(RECOMMENDATIONS, LOW), NO_ARTIFACT), NOT_APPLICABLE,
            waited=30),
        Row("accepted", (exempt(), NO_ARTIFACT), ACCEPTED, acceptances=[acceptance("not-applicable")], waited=30),
        Row("accepted, within patience", (exempt(), NO_ARTIFACT), PENDING,
            acceptances=[acceptance("not-applicable")], waited=29.9),
        Row("accepted for unverified only", (exempt(), NO_ARTIFACT), NOT_APPLICABLE,
            acceptances=[acceptance("unverified")], waited=30),
        Row("accepted for both", (exempt(), NO_ARTIFACT), ACCEPTED,
            acceptances=[acceptance("unverified", "not-applicable")], waited=30),
        Row("accepted, with findings", (exempt(RECOMMENDATIONS, LOW), NO_ARTIFACT), NOT_APPLICABLE,
            acceptances=[acceptance("not-applicable")], waited=30),
        Row("its acceptance expired", (exempt(), NO_ARTIFACT), NOT_APPLICABLE, "expired",
            acceptances=[acceptance("not-applicable", expires="2026-11-22")], waited=30),
        Row("ask about it", (exempt(), NO_ARTIFACT), ASKING, "Exempt", policy={"not_applicable": "ask"}, waited=30),
        Row("ask about it, within patience", (exempt(), NO_ARTIFACT), PENDING, policy={"not_applicable": "ask"}),
        Row("asking about unverified does not ask about it", (exempt(), NO_ARTIFACT), NOT_APPLICABLE,
            policy=ASK, waited=240),
    ),
    "ask": (
        Row("not before the deadline", UNPROVEN, PENDING, policy=ASK, waited=239.9),
        Row("at the deadline", UNPROVEN, ASKING, "no proof of a scan", policy=ASK, waited=240),
        Row("never about bad findings", (rows(HIGH), NO_ARTIFACT), UNHEALTHY, policy=ASK, waited=240),
        Row("never about what is proven", (NO_ROWS, CLEAN), HEALTHY, policy=ASK, waited=240),
        Row("about tolerable findings without proof", (rows(LOW), NO_ARTIFACT), ASKING, "not proven",
            policy=ASK, waited=240),
        Row("about a proof that is too old", (NO_ROWS, artifact(age=2 * WEEK)), ASKING, policy=ASK, waited=240),
        Row("about a source that fails", (failed(RECOMMENDATIONS), CLEAN), ASKING, "503", policy=ASK, waited=240),
        Row("after an acceptance expired", UNPROVEN, ASKING, "expired",
            policy=ASK, acceptances=[acceptance(expires="2026-11-22")], waited=240),
        Row("asking about not-applicable does not ask about unverified", UNPROVEN, UNVERIFIED,
            policy={"not_applicable": "ask"}, waited=240),
        Row("never about a platform that is not there", (NO_ROWS, CLEAN), UNVERIFIED, "s390x",
            policy=ASK, platforms=("linux/amd64", "linux/s390x"), waited=240),
        Row("not while another platform is waited for", (exempt(), NO_ARTIFACT), PENDING,
            policy={"not_applicable": "ask"}, platforms=BOTH, elsewhere={ARM64: UNPROVEN}, waited=30),
        Row("not when another platform blocks", UNPROVEN, UNHEALTHY,
            policy=ASK, platforms=BOTH, elsewhere={ARM64: (rows(HIGH), NO_ARTIFACT)}, waited=240),
    ),
    "in doubt": (
        Row("a source fails, another proves", (failed(RECOMMENDATIONS), CLEAN), PENDING, "503"),
        Row("a source fails until the deadline", (failed(RECOMMENDATIONS), CLEAN), UNVERIFIED, "503", waited=240),
        Row("the proving source fails", (NO_FINDINGS, failed(FINDINGS_ARTIFACT)), PENDING, "findings-artifact"),
        Row("every source fails", (failed(RECOMMENDATIONS), failed(FINDINGS_ARTIFACT)), PENDING),
        Row("every one fails at the deadline", (failed(RECOMMENDATIONS), failed(FINDINGS_ARTIFACT)), UNVERIFIED, "503",
            waited=240),
        Row("a late run gives it time", (failed(RECOMMENDATIONS), CLEAN), PENDING, waited=999, running=29.9),
        Row("but not for ever", (failed(RECOMMENDATIONS), CLEAN), UNVERIFIED, waited=999, running=30),
        Row("a late run gives silence no time", UNPROVEN, UNVERIFIED, waited=999, running=0),
        Row("a source has not answered", (CLEAN,), PENDING, "recommendations has not answered"),
        Row("a source has not answered by the deadline", (CLEAN,), UNVERIFIED, "has not answered", waited=240),
        Row("nobody has answered", (), PENDING, "has not answered"),
        Row("a row is unreadable, another proves", (unreadable(RECOMMENDATIONS), CLEAN), PENDING, "cannot be read"),
        Row("a row is unreadable until the deadline", (unreadable(RECOMMENDATIONS), CLEAN), UNVERIFIED, "cut off",
            waited=240),
        Row("the artifact is unreadable", (NO_ROWS, unreadable(FINDINGS_ARTIFACT)), UNVERIFIED, waited=240),
        Row("an unnamed source is unreadable", (NO_ROWS, CLEAN, unreadable("trivy")), PENDING, "trivy"),
        Row("an unnamed source fails", (NO_ROWS, CLEAN, failed("trivy")), PENDING, "trivy"),
        Row("an unnamed source fails until the deadline", (NO_ROWS, CLEAN, failed("trivy")), UNVERIFIED, waited=240),
        Row("an acceptance does not help", (failed(RECOMMENDATIONS), NO_ARTIFACT), PENDING,
            acceptances=[acceptance()], waited=30),
        Row("nor at the deadline", (failed(RECOMMENDATIONS), NO_ARTIFACT), UNVERIFIED,
            acceptances=[acceptance()], waited=240),
        Row("nor for what is unreadable", (NO_ROWS, unreadable(FINDINGS_ARTIFACT)), UNVERIFIED,
            acceptances=[acceptance()], waited=240),
        Row("what was found before it failed counts", (failed(RECOMMENDATIONS, HIGH), CLEAN), UNHEALTHY),
        Row("what can be read of it counts", (unreadable(RECOMMENDATIONS, HIGH), CLEAN), UNHEALTHY),
        Row("tolerable findings beside it", (failed(RECOMMENDATIONS), artifact(LOW)), PENDING),
        Row("exempt beside it", (exempt(), failed(FINDINGS_ARTIFACT)), PENDING, "503", waited=30),
        Row("exempt beside it at the deadline", (exempt(), failed(FINDINGS_ARTIFACT)), UNVERIFIED, waited=240),
    ),
    "contradictions": (
        Row("rows report what the artifact does not", (rows(HIGH), CLEAN), UNHEALTHY,
            note="recommendations reports CVE-2026-3, but findings-artifact does not"),
        Row("the artifact reports what rows do not", (NO_FINDINGS, artifact(HIGH)), UNHEALTHY,
            note="findings-artifact reports CVE-2026-3"),
        Row("a scanner reports what Defender does not", (NO_ROWS, CLEAN, trivy(CRITICAL)), UNHEALTHY,
            note="trivy reports CVE-2026-4"),
        Row("a tolerable one", (rows(LOW), CLEAN), TOLERATED, note="the worse answer counts"),
        Row("two severities, one of them bad", (rows(rated(HIGH, LOW)), artifact(LOW)), UNHEALTHY,
            note="High by recommendations"),
        Row("two severities, one of them unknown", (rows(rated(UNRATED, LOW)), artifact(LOW)), UNHEALTHY,
            note="Unknown by recommendations"),
        Row("two tolerable severities", (rows(rated(MEDIUM, LOW)), artifact(LOW)), TOLERATED,
            note="Medium by recommendations"),
        Row("three sources, the worst counts", (rows(LOW), CLEAN, acme(HIGH)), UNHEALTHY,
            note="acme reports CVE-2026-3"),
        Row("an waived contradiction", (rows(HIGH), CLEAN), TOLERATED,
            exceptions=[exception(HIGH.vulnerability)], note="recommendations reports"),
    ),
    "several findings become one": (
        Row("one finding by two sources counts once", (rows(HIGH), artifact(HIGH)), TOLERATED, "1 finding",
            policy=ONE_HIGH),
        Row("letter case makes no second finding", (rows(HIGH_IN_CAPITALS), artifact(HIGH)), TOLERATED, "1 finding",
            policy=ONE_HIGH),
        Row("different findings add up", (rows(FIRST), artifact(SECOND)), UNHEALTHY, "2 findings", policy=ONE_HIGH),
        Row("the worst severity counts", (rows(rated(CRITICAL, MEDIUM)), artifact(MEDIUM)), UNHEALTHY, policy=ONE_HIGH),
        Row("an upgrade in severity makes no room", (rows(rated(CRITICAL, FIRST)), artifact(FIRST, SECOND)), UNHEALTHY,
            policy=ONE_CRITICAL),
        Row("OpenVEX about one version of two", (rows(replace(HIGH, version="3.0.9")), artifact(HIGH)), UNHEALTHY,
            vex=[vex("not_affected", package="pkg:deb/debian/openssl@3.0.1")]),
        Row("one package without a name", (NO_ROWS, artifact(HIGH, replace(HIGH, package=""))), UNHEALTHY, "2 findings",
            policy=ONE_HIGH),
        Row("fixed here, unfixed there", (rows(fixable(CRITICAL)), artifact(unfixed(CRITICAL))), UNHEALTHY,
            policy=IGNORE),
    ),
    "platforms": (
        Row("both required, both clean", (NO_ROWS, CLEAN), HEALTHY,
            platforms=BOTH, elsewhere={ARM64: (NO_ROWS, CLEAN)}),
        Row("both required, one unknown", (NO_ROWS, CLEAN), PENDING, platforms=BOTH, elsewhere={ARM64: UNPROVEN}),
        Row("both required, one unknown at the deadline", (NO_ROWS, CLEAN), UNVERIFIED,
            platforms=BOTH, elsewhere={ARM64: UNPROVEN}, waited=240),
        Row("both required, one bad", (NO_ROWS, CLEAN), UNHEALTHY,
            platforms=BOTH, elsewhere={ARM64: (rows(HIGH), NO_ARTIFACT)}),
        Row("both required, one tolerable", (NO_ROWS, CLEAN), TOLERATED,
            platforms=BOTH, elsewhere={ARM64: (NO_ROWS, artifact(LOW))}),
        Row("both required, one accepted", (NO_ROWS, CLEAN), ACCEPTED,
            platforms=BOTH, elsewhere={ARM64: UNPROVEN}, acceptances=[acceptance()], waited=30),
        Row("both required, one of them accepted by digest", (NO_ROWS, NO_ARTIFACT), UNVERIFIED,
            platforms=BOTH, elsewhere={ARM64: UNPROVEN}, acceptances=[acceptance(digest=AMD64)], waited=240),
        Row("an exception for the other platform's digest", (NO_ROWS, CLEAN), UNHEALTHY,
            platforms=BOTH, elsewhere={ARM64: (NO_ROWS, artifact(HIGH))},
            exceptions=[exception(HIGH.vulnerability, digest=AMD64)]),
        Row("both required, one in doubt", (NO_ROWS, CLEAN), PENDING,
            platforms=BOTH, elsewhere={ARM64: (failed(RECOMMENDATIONS), CLEAN)}),
        Row("unasked-for platforms do not matter", (NO_ROWS, CLEAN), HEALTHY,
            elsewhere={ARM64: (rows(CRITICAL), NO_ARTIFACT)}),
        Row("only the other platform is proven", (), PENDING, elsewhere={ARM64: (NO_ROWS, CLEAN)}),
        Row("what is said of the index proves nothing", (), PENDING, elsewhere={INDEX: (NO_ROWS, CLEAN)}),
        Row("a platform is lacking", (NO_ROWS, CLEAN), UNVERIFIED, "no manifest for linux/s390x",
            platforms=("linux/amd64", "linux/s390x")),
        Row("a platform is lacking, another is bad", (rows(HIGH), CLEAN), UNHEALTHY,
            platforms=("linux/amd64", "linux/s390x")),
        Row("a platform is lacking, and accepted", UNPROVEN, UNVERIFIED,
            platforms=("linux/s390x",), acceptances=[acceptance()], waited=240),
        Row("an index of another platform only", (), UNVERIFIED, "linux/amd64",
            image=of_manifests(("linux/arm64", ARM64)), elsewhere={ARM64: (NO_ROWS, CLEAN)}),
        Row("an image for one platform is judged as it is", (), HEALTHY,
            image=SINGLE, elsewhere={ARM64: (NO_ROWS, CLEAN)}),
        Row("an image for one platform, bad", (), UNHEALTHY, image=SINGLE, elsewhere={ARM64: (rows(HIGH), CLEAN)}),
        Row("two manifests for one platform, both clean", (NO_ROWS, CLEAN), HEALTHY,
            image=TWICE, elsewhere={OTHER: (NO_ROWS, CLEAN)}),
        Row("two manifests for one platform, the first bad", (rows(HIGH), CLEAN), UNHEALTHY,
            image=TWICE, elsewhere={OTHER: (NO_ROWS, CLEAN)}),
        Row("two manifests for one platform, the last unknown", (NO_ROWS, CLEAN), PENDING,
            image=TWICE, elsewhere={OTHER: UNPROVEN}),
        Row("one manifest for two platforms", (NO_ROWS, CLEAN), HEALTHY,
            platforms=BOTH, image=of_manifests(("linux/amd64", AMD64), ("linux/arm64", AMD64))),
        Row("a platform stands for its only variant", (NO_ROWS, CLEAN), HEALTHY,
            platforms=("linux/arm64",), image=of_manifests(("linux/arm64/v8", AMD64))),
        Row("a platform stands for all of its variants", (NO_ROWS, CLEAN), UNHEALTHY,
            platforms=("linux/arm",), image=of_manifests(("linux/arm/v6", OTHER), ("linux/arm/v7", AMD64)),
            elsewhere={OTHER: (rows(HIGH), CLEAN)}),
        Row("a variant does not stand for the platform", (NO_ROWS, CLEAN), UNVERIFIED, "linux/arm/v7",
            platforms=("linux/arm/v7",), image=of_manifests(("linux/arm", AMD64))),
    ),
    "Defender is off": (
        Row("nobody else is there", (), SKIPPED, "Defender is off", left=frozenset()),
        Row("nobody else is there, a platform is lacking", (), UNVERIFIED,
            left=frozenset(), platforms=("linux/s390x",)),
        Row("a scanner is clean", (trivy(),), HEALTHY, left=TRIVY),
        Row("a scanner is silent", (nothing("trivy"),), PENDING, "trivy", left=TRIVY),
        Row("a scanner is silent at the deadline", (nothing("trivy"),), UNVERIFIED, left=TRIVY, waited=240),
        Row("a scanner finds something bad", (trivy(HIGH),), UNHEALTHY, left=TRIVY),
        Row("a scanner fails", (failed("trivy"),), PENDING, left=TRIVY),
        Row("any one of several suffices", (trivy(), nothing("acme")), HEALTHY, left=TRIVY | ACME),
        Row("the one that the policy names", (trivy(), nothing("acme")), PENDING, "acme",
            policy=needs(RECOMMENDATIONS, "acme"), left=TRIVY | ACME),
        Row("the one that the policy names is clean", (nothing("trivy"), acme()), HEALTHY,
            policy=needs(RECOMMENDATIONS, "acme"), left=TRIVY | ACME),
        Row("a sufficient one that the policy names", (trivy(), nothing("acme")), HEALTHY,
            policy=by(FINDINGS_ARTIFACT, "trivy"), left=TRIVY | ACME),
        Row("its proof is too old", (trivy(age=2 * WEEK),), PENDING, "older", left=TRIVY),
        Row("accepted", (nothing("trivy"),), ACCEPTED, left=TRIVY, acceptances=[acceptance()], waited=30),
    ),
    "holds": (
        Row("clean here, bad in live/", (NO_ROWS, CLEAN), HELD, "held since 2026-11-23", holds={AMD64: HOLD}),
        Row("by the index's digest", (NO_ROWS, CLEAN), HELD, "nginx:1.27 has CVE-2026-3", holds={INDEX: HOLD}),
        Row("of a platform that nobody asked for", (NO_ROWS, CLEAN), HEALTHY, holds={ARM64: HOLD}),
        Row("of another image", (NO_ROWS, CLEAN), HEALTHY, holds={OTHER: HOLD}),
        Row("at once, not at the deadline", UNPROVEN, HELD, "held since", holds={AMD64: HOLD}),
        Row("accepted unassessed", UNPROVEN, HELD, "held since", holds={AMD64: HOLD},
            acceptances=[acceptance()], waited=30),
        Row("without Defender", (), HELD, "held since", left=frozenset(), holds={AMD64: HOLD}),
        Row("findings say more than a hold", (NO_ROWS, artifact(HIGH)), UNHEALTHY, holds={AMD64: HOLD}),
        Row("excepted", (NO_ROWS, CLEAN), HEALTHY, holds={AMD64: HOLD}, exceptions=[exception(HIGH.vulnerability)]),
        Row("one of two excepted", (NO_ROWS, CLEAN), HELD, holds={AMD64: HOLD_OF_TWO},
            exceptions=[exception(HIGH.vulnerability)]),
        Row("the exception has expired", (NO_ROWS, CLEAN), HELD, holds={AMD64: HOLD},
            exceptions=[exception(HIGH.vulnerability, "2026-11-01")]),
        Row("for nothing in particular", (NO_ROWS, CLEAN), HELD, "has findings", holds={AMD64: Hold("web", NOW, ())},
            exceptions=[exception(HIGH.vulnerability)]),
    ),
    "one source, every answer": (
        Row("assessed", (assessed("s"),), HEALTHY, policy=by("s"), asked=frozenset("s")),
        Row("assessed, with Low", (assessed("s", LOW),), TOLERATED, policy=by("s"), asked=frozenset("s")),
        Row("assessed, with High", (assessed("s", HIGH),), UNHEALTHY, policy=by("s"), asked=frozenset("s")),
        Row("not applicable", (exempt("s"),), NOT_APPLICABLE, policy=by("s"), asked=frozenset("s"), waited=240),
        Row("nothing", (nothing("s"),), UNVERIFIED, policy=by("s"), asked=frozenset("s"), waited=240),
        Row("unreadable", (unreadable("s"),), UNVERIFIED, policy=by("s"), asked=frozenset("s"), waited=240),
        Row("failed", (failed("s"),), UNVERIFIED, policy=by("s"), asked=frozenset("s"), waited=240),
        Row("no answer", (), UNVERIFIED, policy=by("s"), asked=frozenset("s"), waited=240),
    ),
}  # fmt: skip
