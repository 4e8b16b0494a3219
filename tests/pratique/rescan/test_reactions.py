"""Two clusters' rescans change the pulls of one image at once, from servers that know nothing of each other."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast

import httpx
import pytest

from pratique.config import Bootstrap, load
from pratique.git.publish import Publication
from pratique.images import ImageReference
from pratique.oci.client import OciClient
from pratique.records.branch import RecordsBranch
from pratique.records.cases import Case, Cases, Condition
from pratique.rescan.assessment import ImageAssessment
from pratique.rescan.cases import with_pulls_allowed
from pratique.rescan.inventory import Inventory, LiveImageEntry
from pratique.rescan.reactions import Reactions, record_cases
from pratique.rescan.report import Rescan
from pratique.rescan.users import OtherUse
from tests.pratique.records.test_registration import EXAMPLE, branch
from tests.pratique.repositories import make_remote, there
from tests.pratique.rescan.test_cases import BLUE, GREEN, HOST, bad, day, good, image

OLD, NEW = image(users=()), image(version="2")


@dataclass
class Registry:
    """Whether the image may be pulled; each change of it passes a door."""

    readable: bool = True
    doors: dict[bool, asyncio.Event] = field(default_factory=dict)
    changed: dict[bool, asyncio.Event] = field(default_factory=lambda: {True: asyncio.Event(), False: asyncio.Event()})

    async def set_pulls(self, _: OciClient, __: ImageReference, *, allowed: bool) -> None:
        if allowed in self.doors:
            await self.doors.pop(allowed).wait()
        self.readable = allowed
        self.changed[allowed].set()


@dataclass(frozen=True)
class Slow(RecordsBranch):
    """A branch that is written only once a door is open."""

    door: asyncio.Event = field(kw_only=True)

    async def write(
        self, files: Mapping[str, Callable[[str | None], str | None]], message: str, *, run: str
    ) -> Publication:
        await self.door.wait()
        return await super().write(files, message, run=run)


def configured(**scanning: Any) -> Bootstrap:
    config = load(EXAMPLE)
    return config.model_copy(update={"scanning": config.scanning.model_copy(update=scanning)})


@dataclass(frozen=True)
class Cluster:
    """One cluster's rescan."""

    key: str
    config: Bootstrap
    records: RecordsBranch
    remote: Path

    async def follow_up(self, number: float, *assessments: ImageAssessment) -> Rescan:
        images: tuple[LiveImageEntry, ...] = tuple(assessment.image for assessment in assessments)
        inventory = Inventory(
            registry=HOST, images=images, complete=True, cluster=self.key, clusters=frozenset({BLUE, GREEN})
        )
        outcome = await record_cases(self.records, self.config, inventory, assessments, at=day(number), run="run-1")
        return Rescan(
            at=day(number),
            inventory=inventory,
            assessments=assessments,
            outcome=outcome,
            rules=cast(Any, None),
            scanning=self.config.scanning,
        )

    async def react(self, rescan: Rescan, records: RecordsBranch | None = None) -> None:
        async with httpx.AsyncClient() as http:
            reactions = Reactions(
                config=self.config,
                client=cast(OciClient, None),
                http=http,
                manifests=there(self.remote),
                records=records or self.records,
                token=None,
                run="run-1",
                replication=cast(Any, None),
            )
            await reactions.apply(rescan)


@pytest.mark.parametrize("order", ["blocked after the record", "blocked before the record"])
async def test_what_one_blocks_and_the_other_allows(
    order: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Blue decides to block an image that nobody uses; green, which has begun to use it, allows it meanwhile. However
    the two overlap, in the end the image may be pulled, and the records say so: green's pods start."""
    remote, registry = make_remote(tmp_path), Registry()
    monkeypatch.setattr("pratique.rescan.reactions.set_pulls", registry.set_pulls)
    blue = Cluster(BLUE, configured(reactions=("block-pulls",)), branch(remote), remote)
    green = Cluster(GREEN, configured(), branch(remote), remote)
    blocking = await blue.follow_up(0, bad(OLD), good(NEW))
    allowing = await green.follow_up(1, bad(replace(OLD, users=("app.yaml",))), good(NEW))
    assert (len(blocking.outcome.to_block), len(allowing.outcome.to_allow)) == (1, 1)
    if order == "blocked after the record":
        registry.doors[False] = asyncio.Event()
        door = registry.doors[False]
        late = asyncio.create_task(blue.react(blocking))
        await green.react(allowing)
        door.set()
        await late
    else:
        slow = Slow(green.records.repository, green.records.author, door=asyncio.Event())
        late = asyncio.create_task(green.react(allowing, slow))
        await registry.changed[True].wait()
        await blue.react(blocking)
        assert not registry.readable
        slow.door.set()
        await late
    assert registry.readable
    assert all(case.blocked_since is None for case in (await branch(remote).cases()).cases)


async def test_a_block_that_nobody_objects_to(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It stays, whichever cluster rescans next."""
    remote, registry = make_remote(tmp_path), Registry()
    monkeypatch.setattr("pratique.rescan.reactions.set_pulls", registry.set_pulls)
    blue = Cluster(BLUE, configured(reactions=("block-pulls",)), branch(remote), remote)
    green = Cluster(GREEN, configured(), branch(remote), remote)
    await blue.react(await blue.follow_up(0, bad(OLD), good(NEW)))
    blocked = replace(OLD, readable=False)
    uses = OtherUse("rg-blue", "app.yaml", BLUE)
    await green.react(await green.follow_up(1, bad(blocked), good(replace(NEW, users=(), elsewhere=(uses,)))))
    assert not registry.readable
    assert [case.blocked_by for case in (await branch(remote).cases()).cases if case.blocked_since] == [BLUE]


def test_a_block_is_taken_off_the_record_that_has_whole_seconds() -> None:
    """The decision has microseconds, and the record does not: they are the same case all the same."""
    at = datetime(2026, 11, 23, 5, 0, 0, 123456, tzinfo=UTC)
    case = Case(
        registry="acraks123.azurecr.io",
        repository="live/kured",
        tags=("1.14.0",),
        digest="sha256:" + "1" * 64,
        condition=Condition.CURED,
        since=at,
        blocked_since=at,
    )
    (after,) = with_pulls_allowed(Cases.parse(Cases((case,)).text()), [case]).cases
    assert after.blocked_since is None
