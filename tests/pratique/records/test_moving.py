"""Records of earlier versions are read as they are, and records move to a repository of their own."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from pratique.errors import ConfigurationError, Conflict, NotFound
from pratique.records.cases import Cases
from pratique.records.moving import copy_records, require_moved
from pratique.records.promotions import Promotions
from pratique.records.seals import Seals
from pratique.rescan.proposals import with_proposal
from tests.pratique.records.test_records import BUSYBOX, CASE, HOST, OTHER
from tests.pratique.records.test_registration import BLUE, GREEN, STRICT, branch, policy_of, registering
from tests.pratique.records.test_seals import SEAL
from tests.pratique.repositories import git, make_remote, somebody_pushes

STORED = Path(__file__).parent / "stored"
PROPOSAL = "pratique/live-0123456789ab@" + "a" * 40


@pytest.fixture
def remotes(tmp_path: Path) -> tuple[Path, Path]:
    """The manifests' repository, and one for the records."""
    for name in ("old", "new"):
        (tmp_path / name).mkdir()
    return make_remote(tmp_path / "old"), make_remote(tmp_path / "new")


def test_files_of_earlier_versions() -> None:
    """Files without clusters: whoever rescans first takes over holds, blocks and proposals."""
    cases = Cases.parse((STORED / "findings-1.json").read_text())
    (case,) = cases.cases
    assert replace(case, blocked_since=None, proposals={}) == CASE
    assert (case.held_by, case.blocked_by, case.proposal(BLUE.cluster)) == ("", "", PROPOSAL)
    assert Cases.parse(cases.text()) == cases
    taken = with_proposal(cases, {}, None, HOST, BLUE.cluster)
    assert taken.cases[0].proposals == {}
    promotions = Promotions.parse((STORED / "promotions-1.json").read_text())
    assert (promotions.records, promotions.text()) == ((BUSYBOX,), (STORED / "promotions-1.json").read_text())


async def test_records_that_were_left_behind(remotes: tuple[Path, Path]) -> None:
    """A new, empty repository is refused while the manifests' has records; without any, or once copied, it is used."""
    old, new = (branch(remote) for remote in remotes)
    await require_moved(new.repository, old.repository)
    await old.record([BUSYBOX], run="run-1")
    with pytest.raises(ConfigurationError, match="pratique records copy"):
        await require_moved(new.repository, old.repository)
    await copy_records(new, old)
    await require_moved(new.repository, old.repository)


async def test_copying_records(remotes: tuple[Path, Path]) -> None:
    """Everything is copied, the commit says from where, and what the new repository has stays as it is."""
    old, new = (branch(remote) for remote in remotes)
    with pytest.raises(NotFound):
        await copy_records(new, old)
    await registering(old, BLUE, STRICT)
    await old.record([BUSYBOX], run="run-1")
    await old.write({"findings.json": lambda _: Cases((CASE, replace(CASE, digest=OTHER))).text()}, "bad", run="run-1")
    newer = replace(CASE, held_since=None)
    await new.write({"findings.json": lambda _: Cases((newer,)).text()}, "newer", run="run-2")
    await registering(new, GREEN, STRICT)
    assert (await copy_records(new, old)).commits
    assert (await new.promotions()).records == (BUSYBOX,)
    assert set((await new.cases()).cases) == {newer, replace(CASE, digest=OTHER)}
    assert {cluster.name for cluster in (await new.clusters()).clusters} == {"rg-blue", "rg-green"}
    assert await policy_of(remotes[1]) == STRICT
    head = git("rev-parse", "pratique-records", cwd=remotes[0])
    assert head in git("log", "-1", "--format=%B", "pratique-records", cwd=remotes[1])
    assert (await copy_records(new, old)).unchanged


async def test_seals_on_both_sides(remotes: tuple[Path, Path]) -> None:
    """Those of the new repository stay as they are, and others are added."""
    old, new = (branch(remote) for remote in remotes)
    newer, other = replace(SEAL, unused_since=None), replace(SEAL, digest=OTHER)
    await old.write({"seals.json": lambda _: Seals((SEAL, other)).text()}, "old", run="run-1")
    await new.write({"seals.json": lambda _: Seals((newer,)).text()}, "new", run="run-2")
    await copy_records(new, old)
    assert Seals.parse((await new.texts("seals.json"))["seals.json"]) == Seals((newer, other))


async def test_drills_on_both_sides(remotes: tuple[Path, Path]) -> None:
    """What cannot be merged is left to a person, and nothing is copied."""
    old, new = (branch(remote) for remote in remotes)
    for records, remote, text in ((old, remotes[0], "1"), (new, remotes[1], "2")):
        await records.record([replace(BUSYBOX, tag=text)], run="run-1")
        somebody_pushes(remote, "drills.json", text, branch="pratique-records")
    with pytest.raises(Conflict, match=r"drills\.json"):
        await copy_records(new, old)
    assert [record.tag for record in (await new.promotions()).records] == ["2"]
