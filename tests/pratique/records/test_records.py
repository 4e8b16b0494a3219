"""What is kept between runs: files that say the same in the same words, on a branch that several runs write to."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pratique.errors import NotFound, UnreadableAnswer
from pratique.findings import Severity
from pratique.gate.exceptions.break_glass import BreakGlass, BreakGlassUse
from pratique.git.checkout import CommitAuthor, Repository
from pratique.images import ImageReference, PlatformManifest
from pratique.records.branch import RecordsBranch
from pratique.records.cases import Case, Cases, Condition, FindingState, Tracked
from pratique.records.promotions import PromotionRecord, Promotions
from pratique.replicas import ReplicaState
from tests.pratique.repositories import git

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
INDEX, CHILD, OTHER = (f"sha256:{letter * 64}" for letter in "abc")
HOST = "acraks123.azurecr.io"
BUSYBOX = PromotionRecord(
    source="docker.io/library/busybox:1.37.0",
    digest=INDEX,
    registry=HOST,
    repository="live/library/busybox",
    tag="1.37.0",
    platforms=(PlatformManifest("linux/amd64", CHILD),),
    at=NOW,
    run="run-1",
    policy="sha256:policy",
    how="promoted",
)
USE = BreakGlassUse(
    glass=BreakGlass(
        origin="exceptions.yaml",
        image=ImageReference.parse(f"docker.io/library/busybox:1.37.0@{INDEX}"),
        requested_by="Ada",
        reason="The shop is down.",
        incident="INC-1",
        opened=NOW,
        until=NOW + timedelta(hours=4),
    ),
    approved_by="Grace",
    approval="I have looked.",
    at=NOW,
    run="run-1",
)
FINDING = Tracked(
    vulnerability="CVE-2026-1",
    package="musl",
    fixed_version="1.2.6",
    severity=Severity.HIGH,
    first_seen=NOW,
    due=NOW + timedelta(days=30),
    state=FindingState.OPEN,
    at=NOW,
    notified=False,
)
CASE = Case(
    registry=HOST,
    repository="live/library/busybox",
    tags=("1.37.0",),
    digest=INDEX,
    condition=Condition.BAD,
    since=NOW,
    findings=(FINDING,),
    manifests=(CHILD,),
    held_since=NOW,
)


@pytest.fixture
def remote(tmp_path: Path) -> Path:
    """A bare repository with one commit on main."""
    bare, seed = tmp_path / "remote.git", tmp_path / "seed"
    git("init", "--quiet", "--initial-branch=main", str(seed), cwd=tmp_path)
    git("commit", "--quiet", "--allow-empty", "--message=first", cwd=seed)
    git("clone", "--quiet", "--bare", str(seed), str(bare), cwd=tmp_path)
    return bare


def branch(remote: Path) -> RecordsBranch:
    return RecordsBranch(
        Repository(remote=str(remote), branch="pratique-records", orphan=True),
        CommitAuthor("Pratique", "pratique@localhost"),
    )


instants = st.datetimes(datetime(2026, 1, 1), datetime(2030, 1, 1), timezones=st.just(UTC)).map(
    lambda at: at.replace(microsecond=0)
)
records = st.builds(
    replace,
    st.just(BUSYBOX),
    repository=st.sampled_from(["live/a", "live/a/b", "live/b"]),
    digest=st.sampled_from([INDEX, OTHER]),
    tag=st.sampled_from(["1", "2"]),
    at=instants,
    run=st.text(max_size=5),
    how=st.sampled_from(["promoted", "found"]),
    platforms=st.sampled_from([BUSYBOX.platforms, (PlatformManifest("linux/386", CHILD, ("linux/amd64",)),)]),
    contents=st.sampled_from([(), (CHILD, OTHER)]),
    replicas=st.sampled_from([None, ReplicaState(regions=("eastus2", "westus2")), ReplicaState(not_observable="why")]),
    break_glass=st.sampled_from([(), (USE,), (USE, replace(USE, run="run-2", verdict="Healthy", verdict_at=NOW))]),
)


@given(st.lists(records), st.randoms())
def test_equal_records_give_equal_text(some: list[PromotionRecord], random: Any) -> None:
    """The order of records does not matter, reading returns what was written, and no place and digest is twice."""
    promotions = Promotions().with_records(some)
    shuffled = list(promotions.records)
    random.shuffle(shuffled)
    assert Promotions(tuple(shuffled)).text() == promotions.text()
    assert Promotions.parse(promotions.text()) == promotions
    assert {one.key for one in promotions.records} == {one.key for one in some}
    assert len(promotions.text().splitlines()) == (len(promotions.records) + 2 if some else 1)


def test_a_record_is_not_replaced() -> None:
    """The first run that recorded an image stays on record, whoever finds the image later."""
    later = replace(BUSYBOX, run="run-2", at=NOW + timedelta(days=1), how="found")
    assert Promotions().with_records([BUSYBOX]).with_records([later]).records == (BUSYBOX,)


def test_the_newest_look_at_replicas_is_on_record() -> None:
    """Of a later run only that is taken over; a run that did not look takes nothing back."""
    blind, seen = ReplicaState(not_observable="why"), ReplicaState(regions=("eastus2",))
    promotions = Promotions().with_records([BUSYBOX])
    for replicas, known in ((blind, blind), (None, blind), (seen, seen), (None, seen)):
        promotions = promotions.with_records([replace(BUSYBOX, run="run-2", replicas=replicas)])
        assert promotions.records == (replace(BUSYBOX, replicas=known),)


@pytest.mark.parametrize("replicas", [5, {}, True])
def test_malformed_replicas(replicas: object) -> None:
    """They are an error, and never taken for replicas in which an image was seen."""
    text = Promotions((BUSYBOX,)).text().replace('"source"', f'"replicas": {json.dumps(replicas)}, "source"')
    with pytest.raises(UnreadableAnswer):
        Promotions.parse(text)


def test_break_glass_is_on_record_before_the_promotion_and_stays() -> None:
    """The run that promotes adds what it saw, and another use is added. A run that finds the image takes none away."""
    before = replace(BUSYBOX, break_glass=(USE,))
    split = replace(USE, glass=replace(USE.glass, until=USE.glass.until + timedelta(microseconds=5)), at=NOW)
    after = replace(before, verified=True, at=NOW + timedelta(minutes=2), break_glass=(split,))
    again = replace(BUSYBOX, run="run-2", how="found", break_glass=(replace(USE, run="run-2"),))
    found = replace(BUSYBOX, run="run-3", how="found", verified=True)
    (record,) = Promotions().with_records([before]).with_records([after, again, after, found]).records
    assert record == replace(before, verified=True, break_glass=(USE, *again.break_glass))
    (record,) = Promotions().with_records([found]).with_records([before]).records
    assert record == replace(found, break_glass=(USE,))


def test_the_first_verdict_since_break_glass_stays_on_record() -> None:
    """It closes every use of that digest in that place, and no other; until then the use that ends last is open."""
    later = replace(USE, run="run-2", glass=replace(USE.glass, until=NOW + timedelta(hours=9)))
    promotions = Promotions(
        (replace(BUSYBOX, break_glass=(USE, later)), replace(BUSYBOX, digest=OTHER, break_glass=(USE,)))
    )
    place = (HOST, BUSYBOX.repository)
    assert promotions.break_glass(*place, INDEX) == later
    assert promotions.break_glass(*place, CHILD) is None
    judged = promotions.with_verdicts({(*place, INDEX): "Healthy"}, NOW).with_verdicts({(*place, INDEX): "Bad"}, NOW)
    assert judged.break_glass(*place, INDEX) is None
    assert {use.verdict for use in judged.break_glass_uses(*place, INDEX)} == {"Healthy"}
    assert judged.break_glass(*place, OTHER) == USE
    assert Promotions.parse(judged.text()) == judged


def test_records_of_earlier_versions() -> None:
    """A record of an index that does not say what is below it is read, and says that it is not the whole."""
    old = {name: value for name, value in BUSYBOX.entry().items() if name != "contents"}
    assert not PromotionRecord.read(old).resolved
    assert PromotionRecord.read(old).replicas is None
    assert "replicas" not in BUSYBOX.entry()
    single = replace(BUSYBOX, platforms=(PlatformManifest("linux/amd64", INDEX),))
    assert single.resolved
    assert PromotionRecord.read(replace(BUSYBOX, contents=(CHILD,)).entry()).resolved


def test_a_record_is_found_by_digest() -> None:
    """A digest, and the platforms' manifests below it, are found in their own repository and registry only."""
    promotions = Promotions((BUSYBOX,))
    assert promotions.find("live/library/busybox", INDEX) == BUSYBOX
    assert promotions.find("live/library/busybox", CHILD, HOST) == BUSYBOX
    assert promotions.find("live/library/busybox", OTHER) is None
    assert promotions.find("live/other", INDEX) is None
    assert promotions.find("live/library/busybox", INDEX, "other.azurecr.io") is None


@pytest.mark.parametrize(
    ("text", "observed"),
    [
        ("{", "not JSON"),
        ("[]", "not a document"),
        ('{"version": 1}', "not a document"),
        ('{"version": 2, "promotions": []}', "version 2; this program reads version 1"),
        ('{"promotions": []}', "version None"),
        ('{"version": 1, "promotions": [5]}', "Entry 0"),
        ('{"version": 1, "promotions": [{"how": "forced"}]}', "Entry 0"),
    ],
    ids=["no JSON", "no object", "no list", "newer", "without", "no entry", "unknown word"],
)
def test_unreadable_records_are_an_error(text: str, observed: str) -> None:
    """A malformed file, or one of another version, is an error that says what to do."""
    with pytest.raises(UnreadableAnswer, match=r"promotions\.json") as refused:
        Promotions.parse(text)
    assert observed in refused.value.observed


def test_cases_round_trip() -> None:
    """Reading returns what was written; a hold is found by the image's digest and by those of its bad manifests."""
    cases = Cases(
        (
            CASE,
            replace(CASE, digest=OTHER, held_since=None, manifests=(), proposals={"0000/rg": "b@1"}, blocked_since=NOW),
        )
    )
    assert Cases.parse(cases.text()) == cases
    assert cases.holds.keys() == {INDEX, CHILD}
    (hold,) = cases.holds[CHILD]
    for part in ("2026-11-23", f"{HOST}/live/library/busybox:1.37.0", "CVE-2026-1"):
        assert part in hold.description
    unassessed = replace(CASE, condition=Condition.BREAK_GLASS, findings=(), proof_due=NOW)
    assert Cases.parse(Cases((unassessed,)).text()) == Cases((unassessed,))
    (hold,) = Cases((unassessed,)).holds[INDEX]
    assert "came in by break glass" in hold.description
    assert Cases.parse(None) == Cases()
    with pytest.raises(UnreadableAnswer, match=r"findings\.json"):
        Cases.parse('{"version": 7, "images": []}')


async def test_the_first_record_creates_the_branch(remote: Path) -> None:
    """Reading creates no branch; the first record creates one without main's history, and its commit names the run."""
    records = branch(remote)
    assert await records.promotions() == Promotions()
    assert git("branch", "--list", "--format=%(refname:short)", cwd=remote) == "main"
    main = git("rev-parse", "main", cwd=remote)
    made = await records.record([BUSYBOX], run="run-1")
    assert made.head == made.commits[0].sha
    assert git("log", "--format=%s|%(trailers:key=Pratique-Run,valueonly)", "pratique-records", cwd=remote) == (
        "Record promoted images: live/library/busybox:1.37.0.|run-1"
    )
    assert git("ls-tree", "--name-only", "pratique-records", cwd=remote) == "promotions.json"
    assert await records.promotions() == Promotions((BUSYBOX,))
    assert (await records.record([replace(BUSYBOX, run="run-2")], run="run-2")).unchanged
    assert git("rev-parse", "main", cwd=remote) == main


async def test_two_runs_create_the_branch_at_once(remote: Path) -> None:
    """The run that pushes second adds its record to the first run's branch."""
    several = [replace(BUSYBOX, tag=str(number)) for number in range(3)]
    await asyncio.gather(*(branch(remote).record([one], run=one.tag) for one in several))
    assert {one.tag for one in (await branch(remote).promotions()).records} == {"0", "1", "2"}
    assert git("rev-list", "--count", "pratique-records", cwd=remote) == "3"


async def test_a_missing_repository_is_an_error(tmp_path: Path) -> None:
    """A missing repository is an error, and is not taken for a missing branch."""
    with pytest.raises(NotFound):
        await branch(tmp_path / "nowhere.git").promotions()


async def test_an_unreadable_file_is_not_overwritten(remote: Path) -> None:
    """A file of a newer version stays as it is."""
    newer = json.dumps({"version": 9, "promotions": []})
    await branch(remote).write({"promotions.json": lambda _: newer}, "From the future.", run="")
    with pytest.raises(UnreadableAnswer, match="version 9"):
        await branch(remote).record([BUSYBOX], run="run-1")
    assert git("show", "pratique-records:promotions.json", cwd=remote) == newer
