"""What is locked, what is unlocked and when, and what is left alone."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pratique.gate.exceptions.break_glass import BreakGlass, BreakGlassUse
from pratique.images import ImageReference, PlatformManifest
from pratique.manifests.usage import Use
from pratique.oci.acr import Flags, StoredManifest, StoredTag
from pratique.oci.locks import Content, Part
from pratique.records.cases import Case, Cases, Condition
from pratique.records.promotions import PromotionRecord, Promotions
from pratique.records.seals import SealAction, Seals
from pratique.rescan.users import OtherUse, Users
from pratique.seal.images import Recorded, recorded_images
from pratique.seal.needs import OPEN_CASE, Needs
from pratique.seal.plan import SealPlan, plan_seal

START = datetime(2026, 11, 23, 12, tzinfo=UTC)
HOST = "acraks123.azurecr.io"
APP, DAYS = "live/team/app", 30
OLD, NEW, OLD_CHILD, SHARED, NEW_CHILD, STRAY, UNKNOWN = (f"sha256:{digit * 64}" for digit in "1234567")
LOCKED = Flags(delete=False, write=False)


def manifest(digest: str, *children: str, flags: Flags = Flags()) -> StoredManifest:  # noqa: B008  # it is frozen
    return StoredManifest(
        digest=digest,
        tags=(),
        created=START,
        is_index=bool(children),
        platforms=() if children else (PlatformManifest("linux/amd64", digest),),
        children=children,
        flags=flags,
    )


def promoted(tag: str, digest: str, *contents: str, **changes: Any) -> PromotionRecord:
    record = PromotionRecord(
        source=f"docker.io/team/app:{tag}",
        digest=digest,
        registry=HOST,
        repository=APP,
        tag=tag,
        platforms=tuple(PlatformManifest("linux/amd64", child) for child in contents[:1]),
        contents=contents,
        at=START,
        run="run-1",
        policy="sha256:policy",
        how="promoted",
    )
    return replace(record, **changes)


RECORDS = (promoted("1", OLD, OLD_CHILD, SHARED), promoted("2", NEW, NEW_CHILD, SHARED))
MANIFESTS = (
    manifest(OLD, OLD_CHILD, SHARED),
    manifest(NEW, NEW_CHILD, SHARED),
    *(manifest(digest) for digest in (OLD_CHILD, SHARED, NEW_CHILD)),
)


def content(**tags: str) -> Content:
    named = {name.removeprefix("t"): digest for name, digest in (tags or {"t1": OLD, "t2": NEW}).items()}
    return Content(
        APP,
        {name: StoredTag(name, digest) for name, digest in named.items()},
        {each.digest: each for each in MANIFESTS},
    )


class Registry:
    """A registry whose locks follow the plans, and its seals on record."""

    def __init__(self, *contents: Content, records: tuple[PromotionRecord, ...] = RECORDS, days: int = DAYS) -> None:
        self.contents = {each.repository: each for each in contents or (content(),)}
        self.promotions, self.days, self.seals = Promotions(records), days, Seals()

    @property
    def recorded(self) -> Recorded:
        return recorded_images(HOST, list(self.contents.values()), self.promotions)

    def run(self, day: float, needs: Needs) -> SealPlan:
        """Plan a run, and carry it out."""
        action = SealAction(START + timedelta(days=day), "sp-seal", f"run-{day}")
        plan = plan_seal(
            HOST, list(self.contents.values()), self.recorded, needs, self.seals, days=self.days, action=action
        )
        for parts, flags in ((plan.lock, LOCKED), (plan.unlock, Flags())):
            for part in parts:
                self.mark(part, flags)
        self.seals = self.seals.with_changes(plan.records, plan.gone).with_changes(plan.unsealed)
        self.seals = Seals.parse(self.seals.text())
        return plan

    def mark(self, part: Part, flags: Flags) -> None:
        there = self.contents[part.repository]
        tags, manifests = dict(there.tags), dict(there.manifests)
        if part.is_tag:
            tags[part.name] = replace(tags[part.name], flags=flags)
        else:
            manifests[part.name] = replace(manifests[part.name], flags=flags)
        self.contents[part.repository] = replace(there, tags=tags, manifests=manifests)

    @property
    def locked(self) -> set[str]:
        """Tags and digests that are locked."""
        return {
            name
            for there in self.contents.values()
            for name in (*there.tags, *there.manifests)
            if there.is_locked(Part(there.repository, name))
        }


def needs(
    *uses: Use,
    unreadable: tuple[OtherUse, ...] = (),
    cases: Cases = Cases(),  # noqa: B008  # it is frozen
    catalogues: Mapping[str, frozenset[str] | None] | None = None,
) -> Needs:
    return Needs(Users(uses, unreadable), cases, catalogues or {})


USES_NEW = Use("kustomization.yaml", APP, "2", NEW)
EVERYTHING = {"1", "2", OLD, NEW, OLD_CHILD, SHARED, NEW_CHILD}
OF_NEW = {"2", NEW, NEW_CHILD, SHARED}


def test_what_is_on_record_is_locked_once() -> None:
    """Tags, the manifests that they name, and everything below; the next run has nothing to do."""
    registry = Registry()
    plan = registry.run(0, needs(USES_NEW))
    assert {part.name for part in plan.lock} == registry.locked == EVERYTHING
    again = registry.run(1, needs(USES_NEW))
    assert (again.lock, again.unlock, again.records, again.unsealed) == ((), (), (), ())


def test_unlocked_after_the_days_and_no_sooner() -> None:
    """What nothing needs is unlocked when that has been so for the whole time, without what another image shares."""
    registry = Registry()
    registry.run(0, needs(USES_NEW))
    registry.run(DAYS - 0.01, needs(USES_NEW))
    assert registry.locked == EVERYTHING
    plan = registry.run(DAYS, needs(USES_NEW))
    assert {part.name for part in plan.unlock} == EVERYTHING - OF_NEW
    assert registry.locked == OF_NEW
    quiet = registry.run(DAYS + 1, needs(USES_NEW))
    assert (quiet.lock, quiet.unlock, quiet.records, quiet.unsealed) == ((), (), (), ())


def test_the_time_begins_again() -> None:
    """With each use in between; an image that is used again after it was unlocked is locked again."""
    registry, uses_old = Registry(), Use("old.yaml", APP, "1", "")
    registry.run(0, needs(USES_NEW))
    registry.run(DAYS - 1, needs(USES_NEW, uses_old))
    registry.run(DAYS, needs(USES_NEW))
    assert registry.locked == EVERYTHING
    registry.run(2 * DAYS, needs(USES_NEW))
    assert registry.locked == OF_NEW
    registry.run(2 * DAYS + 1, needs(USES_NEW, uses_old))
    assert registry.locked == EVERYTHING


def case(condition: Condition, **changes: Any) -> Cases:
    of_old = Case(registry=HOST, repository=APP, tags=("1",), digest=OLD, condition=condition, since=START)
    return Cases((replace(of_old, **changes),))


UNREADABLE = OtherUse("rg-green", "manifests that cannot be read", "0000/rg-green")
KEPT = {
    "by tag": needs(USES_NEW, Use("deploy.yaml", APP, "1", "")),
    "by digest": needs(USES_NEW, Use("deploy.yaml", APP, "", OLD)),
    "by what is below": needs(USES_NEW, Use("deploy.yaml", APP, "", OLD_CHILD)),
    "by neither": needs(USES_NEW, Use("deploy.yaml", APP, "", "")),
    "by a tag of somebody's": needs(USES_NEW, Use("deploy.yaml", APP, "theirs", "")),
    "by a tag below": needs(USES_NEW, Use("deploy.yaml", APP, "child", "")),
    "by another cluster": needs(USES_NEW, Use("deploy.yaml", APP, "1", "", "0000/rg-green", "rg-green")),
    "unreadable": needs(USES_NEW, unreadable=(UNREADABLE,)),
    "catalogue": needs(USES_NEW, catalogues={"this configuration": frozenset({"team/app:1"})}),
    "unknown catalogue": needs(USES_NEW, catalogues={"0000/rg-green": None}),
    "bad": needs(USES_NEW, cases=case(Condition.BAD)),
    "watched": needs(USES_NEW, cases=case(Condition.WATCHED)),
    "held": needs(USES_NEW, cases=case(Condition.REPLACED, held_since=START)),
    "blocked": needs(USES_NEW, cases=case(Condition.REPLACED, blocked_since=START)),
}


@pytest.mark.parametrize("why", KEPT)
def test_what_keeps_an_image_locked(why: str) -> None:
    """Any use, also one that is possible only; a catalogue; an open case. However long it lasts."""
    registry = Registry(content(t1=OLD, t2=NEW, ttheirs=OLD, tchild=OLD_CHILD))
    for day in (0, DAYS, 10 * DAYS):
        registry.run(day, KEPT[why])
    assert registry.locked == EVERYTHING
    registry.run(10 * DAYS + 1, needs(USES_NEW))
    registry.run(11 * DAYS, needs(USES_NEW))
    assert registry.locked == EVERYTHING  # the time has begun only now


@pytest.mark.parametrize("condition", [Condition.REPLACED, Condition.STALE, Condition.UNVERIFIED, Condition.CURED])
def test_a_case_that_keeps_nothing(condition: Condition) -> None:
    """What is replaced can be removed, and what nobody pulls turns stale."""
    registry = Registry()
    for day in (0, DAYS):
        registry.run(day, needs(USES_NEW, cases=case(condition)))
    assert registry.locked == OF_NEW


def test_the_reason_names_the_case() -> None:
    """An image that only a case keeps locked can be told from others."""
    (standing, _) = Registry().run(0, KEPT["bad"]).images
    assert [reason.startswith(OPEN_CASE) for reason in standing.needed_by] == [True]


def test_a_lock_that_was_undone() -> None:
    """It is set again, and told from what was never locked."""
    registry = Registry()
    first = registry.run(0, needs(USES_NEW))
    assert not first.undone
    registry.mark(Part(APP, "2"), Flags())
    plan = registry.run(1, needs(USES_NEW))
    assert plan.undone == {*plan.lock} == {Part(APP, "2")}
    assert registry.locked == EVERYTHING


def test_locks_of_others_stay() -> None:
    """What was locked before Pratique came is never unlocked by it."""
    registry = Registry()
    registry.mark(Part(APP, OLD), LOCKED)
    for day in (0, DAYS):
        registry.run(day, needs(USES_NEW))
    assert registry.locked == {*OF_NEW, OLD}


def test_a_part_that_images_shared() -> None:
    """It is unlocked with the last of them, although another one had it locked."""
    registry = Registry(content(t1=OLD), records=RECORDS[:1])
    registry.run(0, needs())
    registry.contents[APP] = replace(registry.contents[APP], tags={**registry.contents[APP].tags, **content().tags})
    registry.promotions = Promotions(RECORDS)
    for part in ("1", OLD, OLD_CHILD, SHARED):
        registry.mark(Part(APP, part), LOCKED)
    registry.run(1, needs(USES_NEW))
    registry.run(DAYS + 1, needs(USES_NEW))
    assert SHARED in registry.locked
    registry.run(DAYS + 2, needs())
    registry.run(2 * DAYS + 2, needs())
    assert registry.locked == set()


def test_a_tag_that_was_moved() -> None:
    """It is reported with both digests, and neither locked nor unlocked; what it should name stays locked."""
    registry = Registry()
    registry.run(0, needs(USES_NEW))
    moved = replace(registry.contents[APP].tags["2"], digest=OLD)
    registry.contents[APP] = replace(registry.contents[APP], tags={**registry.contents[APP].tags, "2": moved})
    (found,) = registry.recorded.moved
    assert (found.part, found.promoted, found.current, found.locked) == (Part(APP, "2"), NEW, OLD, True)
    assert "although it is locked" in str(found)
    assert not registry.run(1, needs(USES_NEW)).lock


def test_a_tag_that_was_promoted_twice() -> None:
    """The last promotion counts: a tag that names the digest of an earlier one was moved."""
    records = (
        promoted("1", OLD, OLD_CHILD, SHARED),
        promoted("1", NEW, NEW_CHILD, SHARED, at=START + timedelta(days=1)),
    )
    there = recorded_images(HOST, [content(t1=NEW)], Promotions(records))
    assert [(image.digest, image.tags) for image in there.images] == [(OLD, ()), (NEW, ("1",))]
    assert not there.moved
    assert recorded_images(HOST, [content(t1=OLD)], Promotions(records)).moved


def test_what_is_not_on_record() -> None:
    """Other tags, also of a recorded digest, and images without a tag; it is reported, and never locked."""
    there = content(t1=OLD, tevil=STRAY, tagain=NEW)
    extra = {digest: manifest(digest) for digest in (STRAY, UNKNOWN)}
    there = replace(there, manifests={**there.manifests, **extra})
    registry = Registry(
        there, replace(there, repository="live/somebody"), replace(there, repository="live/quarantine-drill/x")
    )
    names = {str(part) for part in registry.recorded.unrecorded}
    assert {f"{APP}:evil", f"{APP}:again", f"{APP}@{UNKNOWN}", "live/somebody:1"} <= names
    assert not [name for name in names if "quarantine-drill" in name]
    plan = registry.run(0, needs())
    assert {part.repository for part in plan.lock} == {APP}
    assert not {part.name for part in plan.lock} & {"evil", "again", STRAY, UNKNOWN}


def test_what_break_glass_has_let_in() -> None:
    """It is not locked before it was assessed; what it shares with a retired image stays locked for it, and is unlocked
    with it."""
    glass = BreakGlass(
        origin="gate-exceptions.yaml",
        image=ImageReference("docker.io", "team/app", "2", NEW),
        requested_by="ada@contoso.example",
        reason="The shop is down.",
        incident="INC-1",
        opened=START,
        until=START + timedelta(hours=4),
    )
    use = BreakGlassUse(glass=glass, approved_by="bob@contoso.example", approval="Agreed.", at=START, run="run-1")
    registry = Registry(records=(RECORDS[0], replace(RECORDS[1], break_glass=(use,))))
    for day in (0, DAYS):
        assert [image.digest for image in registry.recorded.unassessed] == [NEW]
        assert registry.recorded.unrecorded == ()
        registry.run(day, needs())
        assert registry.locked == ({"1", OLD, OLD_CHILD, SHARED} if day == 0 else {SHARED})
    registry.promotions = registry.promotions.with_verdicts({(HOST, APP, NEW): "Healthy"}, START)
    registry.run(DAYS + 1, needs(USES_NEW))
    assert registry.locked == OF_NEW
    for day in (DAYS + 2, 2 * DAYS + 2):
        registry.run(day, needs())
    assert registry.locked == set()


def test_records_that_do_not_say_what_is_below() -> None:
    """The registry's own list does: everything below is locked. What the record has and the registry lacks is named."""
    (image,) = recorded_images(HOST, [content(t1=OLD)], Promotions((promoted("1", OLD),))).images
    assert set(image.below) == {OLD_CHILD, SHARED}
    (image,) = recorded_images(HOST, [content(t1=OLD)], Promotions((promoted("1", OLD, STRAY),))).images
    assert image.missing == (STRAY,)


def test_a_repository_that_is_locked_itself() -> None:
    """It is named: nothing can be promoted into it."""
    closed = replace(content(), flags=Flags(write=False))
    assert recorded_images(HOST, [closed], Promotions(RECORDS)).closed == (APP,)


def test_images_that_are_gone() -> None:
    """Their seals go off the record; a list without anything, or a repository that lists nothing, is no proof."""
    registry = Registry()
    registry.run(0, needs(USES_NEW))
    registry.contents[APP] = Content(APP, {}, {})
    assert not registry.run(1, needs()).gone
    registry.contents[APP] = replace(content(), manifests={OLD_CHILD: manifest(OLD_CHILD)}, tags={})
    assert registry.run(1, needs()).gone == {(HOST, APP, NEW)}  # of the other one something is still there
    whole = registry.contents
    registry.contents = {}
    assert not registry.run(2, needs()).gone
    registry.contents = whole | {APP: replace(content(t2=NEW), manifests={NEW: manifest(NEW)})}
    assert registry.run(3, needs()).gone == {(HOST, APP, OLD)}
    registry.contents = {"live/other": Content("live/other", {}, {})}
    assert registry.run(4, needs()).gone == {(HOST, APP, NEW)}


someones = st.sampled_from(sorted(KEPT)).map(KEPT.__getitem__) | st.just(needs()) | st.just(needs(USES_NEW))
steps = st.lists(
    st.tuples(st.integers(0, DAYS), someones, st.sets(st.sampled_from(sorted(EVERYTHING)), max_size=3)), max_size=8
)


@given(steps)
def test_whatever_happens(history: list[tuple[int, Needs, set[str]]]) -> None:
    """After each run everything that anything needs is locked; what was needed within the time is, too, and a second
    run at the same time changes nothing, whoever lifts locks in between."""
    registry, day, last_needed = Registry(), 0, dict.fromkeys((OLD, NEW), 0)
    for days, who, lifted in history:
        day += days
        for name in lifted:
            registry.mark(Part(APP, name), Flags())
        plan = registry.run(day, who)
        for standing in plan.images:
            if standing.needed_by:
                last_needed[standing.image.digest] = day
            if standing.needed_by or day - last_needed[standing.image.digest] < DAYS:
                assert {part.name for part in standing.image.parts} <= registry.locked
        again = registry.run(day, who)
        assert (again.lock, again.unlock, again.records, again.unsealed) == ((), (), (), ())
