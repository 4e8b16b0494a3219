"""What people and auditors read: complete, true to the decision, and proof against what others write."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pratique.errors import GateBlocked
from pratique.gate import report as pages
from pratique.gate.approval import Approval as Word
from pratique.gate.approval_request import Question
from pratique.gate.evaluate import evaluate_image
from pratique.gate.evidence import Observation
from pratique.gate.exceptions.lookup import Exceptions
from pratique.gate.policy import FINDINGS_ARTIFACT, RECOMMENDATIONS, Policy
from pratique.gate.record import record
from pratique.gate.rules import Rules, Wait
from pratique.gate.verdict import VerdictState
from pratique.gate.wait import GateReport
from pratique.images import ImageReference, PlatformManifest, ResolvedImage
from tests.pratique.gate.kit import (
    AMD64,
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
    UNRATED,
    acceptance,
    artifact,
    exception,
    failed,
    fixable,
    flaw,
    many,
    nothing,
    on_file,
    rows,
    unfixed,
    vex,
)

HOSTILE = "a|b\n\r\n# c <script>alert(1)</script> `d` [e](http://f) **g** \0 \x1b[31m \u2028 \\ z"
REDIS = ResolvedImage(
    ImageReference.parse("docker.io/library/redis:7"), AMD64, (PlatformManifest("linux/amd64", AMD64),)
)
ASKED = frozenset({RECOMMENDATIONS, FINDINGS_ARTIFACT})
WORD = Word(approved=True, reason="the portal shows it as healthy", name="Ada Lovelace", expires=date(2026, 12, 1))


def word_on(report: GateReport) -> Word:
    """The answer to the question about this report."""
    return replace(WORD, shown=Question.about(report).items)


def reported(
    *says: Sequence[Observation],
    images: Sequence[ResolvedImage] = (NGINX, REDIS),
    policy: Policy | None = None,
    exceptions: Exceptions | None = None,
    sources: frozenset[str] = ASKED,
    platforms: tuple[str, ...] = ("linux/amd64",),
    waited: float = 0,
) -> GateReport:
    """The report on a release of one or two images, from the observations on each one's manifest for linux/amd64."""
    held = exceptions or Exceptions()
    provenance = tuple((path, "commit c0ffee") for path, _ in held.files)
    rules = Rules(
        policy=policy or Policy(), platforms=platforms, sources=sources, exceptions=held, provenance=provenance
    )
    since = NOW - timedelta(minutes=waited)
    wait = Wait(at=NOW, since=since, started=since, patience=30, deadline=240)
    verdicts = tuple(
        evaluate_image(image, {AMD64: said}, rules, wait) for image, said in zip(images, says, strict=False)
    )
    return GateReport(release="web", verdicts=verdicts, rules=rules, at=NOW)


def blocked(report: GateReport) -> str:
    with pytest.raises(GateBlocked) as caught:
        pages.require_passed(report)
    return str(caught.value)


def cells(markdown: str) -> list[list[str]]:
    """The rows of all tables."""
    lines = [line for line in markdown.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]] for line in lines]


# Why it said no


def test_a_release_that_passes_raises_no_error() -> None:
    """Also with tolerated findings."""
    pages.require_passed(reported((NO_ROWS, artifact(MEDIUM, LOW))))


def test_the_error_says_what_to_upgrade() -> None:
    """Image, vulnerability, severity, package, version and the version with the fix; and the images that are clean are
    not mentioned."""
    bad = flaw(CRITICAL.severity, "CVE-2026-77", "libxml2", "2.9.1", "2.9.14")
    text = blocked(reported((rows(bad), NO_ARTIFACT), (NO_ROWS, CLEAN)))
    for word in ("docker.io/library/nginx:1.27", "CVE-2026-77", "Critical", "libxml2", "2.9.1", "fixed in 2.9.14"):
        assert word in text
    assert "Nothing of this release was promoted" in text
    assert "redis" not in text


def test_the_worst_findings_are_named_first_and_the_rest_counted() -> None:
    """The error lists ten findings."""
    text = blocked(reported((rows(*many(LOW, 30), *many(HIGH, 3), UNRATED), NO_ARTIFACT)))
    named = re.findall(r"CVE-[0-9-]+", text)
    assert named[0] == UNRATED.vulnerability
    assert sorted(named[1:4]) == sorted(one.vulnerability for one in many(HIGH, 3))
    assert len(named) == 10
    assert "and 24 more" in text


def test_a_finding_without_a_fix_says_so() -> None:
    """The error says that there is no fix, so nobody looks for one."""
    assert "no fix" in blocked(reported((rows(unfixed(HIGH)), NO_ARTIFACT)))


def test_expired_exceptions_are_named(tmp_path: Path) -> None:
    """With their file, owner and expiry, because somebody has to renew or remove them."""
    held = on_file(tmp_path, [exception(HIGH.vulnerability, "2026-11-20")])
    report = reported((NO_ROWS, artifact(HIGH)), exceptions=held)
    for text in (blocked(report), pages.markdown(report)):
        for word in (HIGH.vulnerability, "accepted.yaml", "platform@contoso.com", "valid until 2026-11-20"):
            assert word in text.replace("\\", "")
    (recorded,) = record(report)["images"][0]["platforms"][0]["expired"]
    assert (recorded["subject"], recorded["expires"]) == (HIGH.vulnerability, "2026-11-21T00:00:00+00:00")


def test_the_error_says_why_an_image_is_unverified() -> None:
    """It also says where to read more."""
    text = blocked(reported((NO_ROWS, nothing(FINDINGS_ARTIFACT, "run from a private endpoint")), waited=240))
    for word in ("Unverified", "private endpoint", "docs/gate.md"):
        assert word in text


def test_every_image_that_does_not_pass_is_named() -> None:
    """Also pending images."""
    text = blocked(reported((rows(HIGH), NO_ARTIFACT), (NO_ROWS, NO_ARTIFACT)))
    assert "nginx:1.27 is Unhealthy" in text
    assert "redis:7 is Pending" in text


def test_the_worst_image_is_named_first() -> None:
    """An image with findings comes before one without proof, wherever the catalogue has it."""
    text = blocked(reported((NO_ROWS, NO_ARTIFACT), (rows(CRITICAL), NO_ARTIFACT), waited=300))
    assert text.index("redis") < text.index("nginx")


def test_the_message_is_one_line_of_printable_text() -> None:
    """Whatever a scanner reports, the message fits a terminal and a log; only a proposed acceptance has lines."""
    hostile = flaw(CRITICAL.severity, f"CVE {HOSTILE}", HOSTILE, HOSTILE, HOSTILE)
    for report in (
        reported((rows(hostile), NO_ARTIFACT)),
        reported((failed(RECOMMENDATIONS), replace(NO_ARTIFACT, detail=HOSTILE)), waited=240),
        reported((NO_ROWS, replace(NO_ARTIFACT, detail=HOSTILE)), waited=240),
    ):
        assert all(line.isprintable() for line in blocked(report).split("\n"))
        assert blocked(report).partition("\nacceptances:\n")[0].isprintable()


# The table while it waits


def test_the_table_has_a_row_for_each_platform() -> None:
    """A row has image, platform, state, since when, findings by severity, the worst finding and the reason."""
    found = (fixable(CRITICAL), HIGH, *many(LOW, 3))
    (first, second), since = (
        pages.rows(
            reported((rows(*found), NO_ARTIFACT), (NO_ROWS, NO_ARTIFACT)),
            {("library/nginx:1.27", "linux/amd64"): NOW - timedelta(hours=1)},
        ),
        "2026-11-23",
    )
    assert first | {"why": ""} == {
        "image": "library/nginx:1.27",
        "platform": "linux/amd64",
        "state": "Unhealthy",
        "since": f"{since} 11:00:00",
        "findings": "1 Critical, 1 High, 3 Low",
        "worst": "CVE-2026-4 (Critical) in openssl 3.0.1, fixed in 3.0.2",
        "why": "",
        "digest": AMD64,
    }
    assert "2 findings beyond the limits" in first["why"]
    assert (second["state"], second["since"], second["worst"]) == ("Pending", f"{since} 12:00:00", "")


@pytest.mark.parametrize("size", [300, 3000])
def test_a_long_table_is_cut(size: int) -> None:
    """It has what asks, blocks and waits first, and counts the rest in one row: it is sent again for each change."""
    states = {7: VerdictState.PENDING, 100: VerdictState.ASKING, 200: VerdictState.UNHEALTHY, 250: VerdictState.HELD}
    one = reported((NO_ROWS, CLEAN))
    verdicts = tuple(
        replace(
            one.verdicts[0],
            platforms=(replace(one.verdicts[0].platforms[0], state=states.get(number, VerdictState.HEALTHY)),),
        )
        for number in range(size)
    )
    shown = pages.rows(replace(one, verdicts=verdicts), {})
    assert [row["state"] for row in shown[:5]] == ["Asking a person", "Unhealthy", "Held", "Pending", "Healthy"]
    assert len(shown) == pages.MOST_SHOWN + 1
    assert (shown[-1]["image"], shown[-1]["state"]) == (f"… and {size - 100} more", f"{size - 100} Healthy")
    assert all(row.keys() == shown[0].keys() for row in shown)


def test_a_long_table_has_everything_that_a_person_is_asked_about() -> None:
    """The question names the first images, and the table for the others."""
    one = reported((NO_ROWS, CLEAN))
    asking = replace(one.verdicts[0], platforms=(replace(one.verdicts[0].platforms[0], state=VerdictState.ASKING),))
    shown = pages.rows(replace(one, verdicts=(*one.verdicts, *[asking] * 150)), {})
    assert [row["state"] for row in shown] == ["Asking a person"] * 150 + ["1 Healthy"]


def test_the_table_is_printable() -> None:
    """Whatever a scanner reports."""
    hostile = flaw(CRITICAL.severity, f"CVE {HOSTILE}", HOSTILE, HOSTILE)
    (row,) = pages.rows(reported((rows(hostile), replace(NO_ARTIFACT, detail=HOSTILE))), {})
    assert all(cell.isprintable() for cell in row.values())


# The summary


def everything(folder: Path) -> GateReport:
    """A release with one of each: findings, exceptions of all kinds, contradictions, notes, other platforms."""
    held = on_file(
        folder,
        [exception("CVE-2026-10", image="docker.io/library/*"), exception("CVE-2026-11", "2026-11-01")],
        [acceptance(image=f"docker.io/library/redis:7@{AMD64}")],
        [vex("not_affected", "CVE-2026-12", package="pkg:deb/debian/package-2")],
    )
    found = [flaw(HIGH.severity, f"CVE-2026-1{number}", f"package-{number}") for number in range(3)]
    artifacts = replace(
        artifact(*found, unfixed(LOW)), detail="MDVM 1.0, signed by Defender", notes=("one was forged",)
    )
    return reported(
        (rows(found[0]), artifacts),
        (NO_ROWS, NO_ARTIFACT),
        policy=Policy(ignore_unfixed=True),
        exceptions=held,
        waited=30,
    )


def test_the_summary_has_everything(tmp_path: Path) -> None:
    """Each finding and its sources, each waiver and its owner, each source and its answer."""
    report = everything(tmp_path)
    text = pages.markdown(report).replace("\\", "")
    for word in (
        "release web",
        "Blocked",
        *("CVE-2026-10", "CVE-2026-11", "CVE-2026-12", "package-0", "package-1", "package-2", LOW.vulnerability),
        *("waived by security@contoso.com until 2026-12-31", "it was looked into", "nginx maintainers"),
        *(
            "the policy ignores findings without a fix",
            "exception expired: CVE-2026-11",
            "accepted by security@contoso.com",
        ),
        *("findings-artifact", "recommendations", "MDVM 1.0, signed by Defender", "2026-11-23 11:00", "no row yet"),
        *("one was forged", "findings-artifact reports", "linux/arm64", "2 attestation manifests"),
        *(AMD64, report.rules.policy.digest, "accepted.yaml", "vex-0.json", "commit c0ffee"),
    ):
        assert word in text
    assert ["CVE-2026-11 (High) in package-1 3.0.1, unknown", "findings-artifact"] in cells(text)


def test_the_summary_has_the_outcome(tmp_path: Path) -> None:
    """Passed, blocked, waiting for a person, or passed without a scan; never one for another."""
    asking = reported((NO_ROWS, NO_ARTIFACT), policy=Policy(unverified="ask"), waited=240)
    for report, outcome in (
        (reported((NO_ROWS, CLEAN)), "**Passed**"),
        (reported((rows(HIGH), CLEAN)), "**Blocked**"),
        (reported((NO_ROWS, NO_ARTIFACT)), "**Blocked**"),
        (asking, "**Waits for a person**"),
        (asking.with_approval(word_on(asking)), "**Passed**"),
        (asking.with_approval(replace(word_on(asking), approved=False)), "**Blocked**"),
        (reported((), sources=frozenset()), "**Passed without a scan: Defender is off**"),
        (reported((), sources=frozenset(), platforms=("linux/s390x",)), "**Blocked**"),
    ):
        assert outcome in pages.markdown(report)
        assert record(report)["outcome"] == outcome.strip("*")


def test_the_summary_names_who_answered() -> None:
    """The answer is marked as self-asserted: nothing proves the name."""
    asking = reported((NO_ROWS, NO_ARTIFACT), policy=Policy(unverified="ask"), waited=240)
    text = pages.markdown(asking.with_approval(word_on(asking)))
    for word in ("Ada Lovelace", "self-asserted", "the portal shows it as healthy", "2026-12-01"):
        assert word in text


def test_exceptions_that_expire_soon_are_reported(tmp_path: Path) -> None:
    """A week before, whether the exception was used or not."""
    held = on_file(tmp_path, [exception("CVE-2026-9", "2026-11-28")])
    assert "CVE-2026-9" in pages.markdown(reported((NO_ROWS, CLEAN), exceptions=held))


def test_the_summary_is_limited() -> None:
    """Findings beyond the limit of Prefect's page are in the record, and the summary says so."""
    report = reported((rows(*many(HIGH, 1500)), NO_ARTIFACT), (rows(*many(HIGH, 1500)), NO_ARTIFACT))
    text = pages.markdown(report)
    assert sum("CVE-2026-3" in line for line in text.splitlines()) == 2000
    assert "and 1000 more, in the record" in text
    assert sum(len(one["platforms"][0]["findings"]) for one in record(report)["images"]) == 3000


def test_the_limit_counts_all_platforms() -> None:
    """An image with two platforms has no more rows than an image with one."""
    index = replace(NGINX, platforms=(PlatformManifest("linux/amd64", AMD64), PlatformManifest("linux/arm64", AMD64)))
    report = reported((rows(*many(HIGH, 1500)), NO_ARTIFACT), images=[index], platforms=("linux/amd64", "linux/arm64"))
    assert sum("CVE-2026-3" in line for line in pages.markdown(report).splitlines()) == 2000


@given(st.text() | st.just(HOSTILE))
def test_reported_text_does_not_format_the_summary(text: str) -> None:
    """Pipes, newlines, HTML, headings, links and control characters are shown as text in a cell."""
    finding = flaw(MEDIUM.severity, f"CVE {text}", text, text, text, sources=(text,))
    source = replace(rows(finding), detail=text, notes=(text,))
    image = replace(
        REDIS,
        platforms=(PlatformManifest(f"linux/{text}", AMD64), PlatformManifest("linux/amd64", AMD64)),
        digest=INDEX,
    )
    single = replace(REDIS, platforms=(PlatformManifest(text, AMD64),))
    hostile = pages.markdown(reported((source, CLEAN), (source, CLEAN), images=[image, single]))
    tame = replace(source, findings=frozenset({flaw(MEDIUM.severity)}), detail="", notes=("x",))
    tame_image = replace(image, platforms=(PlatformManifest("linux/x", AMD64), PlatformManifest("linux/amd64", AMD64)))
    harmless = pages.markdown(reported((tame, CLEAN), (tame, CLEAN), images=[tame_image, REDIS]))
    assert all(line.isprintable() for line in hostile.split("\n"))
    assert [line[:2] for line in hostile.split("\n")] == [line[:2] for line in harmless.split("\n")]
    assert [len(row) for row in cells(hostile)] == [len(row) for row in cells(harmless)]
    assert not re.search(r"(?<!\\)<", hostile)


# The record


def test_the_record_is_complete_json(tmp_path: Path) -> None:
    """It survives a JSON round trip, and has policy, files, sources, evidence and waivers."""
    report = everything(tmp_path)
    recorded = json.loads(json.dumps(record(report)))
    assert recorded == record(report)
    assert recorded["policyDigest"] == report.rules.policy.digest
    assert Policy.model_validate(recorded["policy"]) == report.rules.policy
    assert recorded["sources"] == sorted(ASKED)
    assert [(Path(one["path"]).name, one["git"]) for one in recorded["exceptionsFiles"]] == [
        ("accepted.yaml", "commit c0ffee"),
        ("vex-0.json", "commit c0ffee"),
    ]
    nginx, redis = recorded["images"]
    assert (nginx["state"], nginx["digest"], nginx["platformsNotAsked"]) == ("Unhealthy", INDEX, ["linux/arm64"])
    assert nginx["attestationManifests"] == 2
    (platform,) = nginx["platforms"]
    assert [one["vulnerability"] for one in platform["findings"]] == ["CVE-2026-11"]
    assert platform["findings"][0] | {"sources": 0} == {
        "vulnerability": "CVE-2026-11",
        "severity": "High",
        "package": "package-1",
        "version": "3.0.1",
        "fixed_version": "",
        "fix": "unknown",
        "purls": ["pkg:deb/debian/package-1@3.0.1"],
        "rated": "",
        "sources": 0,
    }
    assert {one["finding"]["vulnerability"]: one["waiver"] and one["waiver"]["kind"] for one in platform["waived"]} == {
        "CVE-2026-10": "exception",
        "CVE-2026-12": "vex",
        LOW.vulnerability: None,
    }
    assert {one["source"]: (one["answer"], one["findings"], one["at"]) for one in platform["evidence"]} == {
        FINDINGS_ARTIFACT: ("assessed", 4, "2026-11-23T11:00:00+00:00"),
        RECOMMENDATIONS: ("assessed", 1, "2026-11-23T11:00:00+00:00"),
    }
    assert "one was forged" in platform["notes"]
    accepted = redis["platforms"][0]["acceptance"]
    assert (accepted["owner"], accepted["approver"]) == ("platform@contoso.com", "security@contoso.com")
    assert accepted["expires"] == "2027-01-01T00:00:00+00:00"


def test_the_record_has_the_persons_answer() -> None:
    """As JSON."""
    asking = reported((NO_ROWS, NO_ARTIFACT), policy=Policy(unverified="ask"), waited=240)
    answer = json.loads(json.dumps(record(asking.with_approval(word_on(asking)))))["answer"]
    assert (answer["approved"], answer["name"], answer["expires"]) == (True, "Ada Lovelace", "2026-12-01")
    assert record(asking)["answer"] is None


@given(st.text())
def test_any_text_can_be_recorded(text: str) -> None:
    """Any text is recorded unchanged."""
    report = reported((rows(flaw(HIGH.severity, text, text, text)), replace(NO_ARTIFACT, detail=text)))
    (platform,) = json.loads(json.dumps(record(report)))["images"][0]["platforms"]
    assert platform["findings"][0]["package"] == text
    assert platform["evidence"][0]["detail"] == text
