"""The working branch: several runs add their commits to it, and no waiting commit is lost."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from pratique.change import Change
from pratique.errors import Conflict
from pratique.git.publish import Edit, Publication, publish
from tests.pratique.repositories import AUTHOR, content, git, lines, somebody_pushes, subjects, there

OWN = "pratique/rg-bu0001a0008"
VALUES = {f"image{number}": "0" for number in range(10)}


@pytest.fixture
def ten(remote: Path) -> Path:
    """The repository with a file of ten values, all 0."""
    somebody_pushes(remote, "values.txt", "".join(f"{key}: {value}\n" for key, value in VALUES.items()))
    return remote


async def run(remote: Path, edit: Edit, name: str = "one") -> Publication:
    return await publish(
        there(remote), [(name, edit)], author=AUTHOR, trailers={"Pratique-Run": name}, working_branch=OWN
    )


def values(remote: Path, branch: str = OWN) -> dict[str, str]:
    found = dict(line.split(": ") for line in content(remote, "values.txt", branch).splitlines())
    return {key: value for key, value in found.items() if value != "0"}


async def test_the_branch_is_made_and_the_target_stays(ten: Path) -> None:
    """The commit is only on the working branch; a second run finds it there and adds nothing."""
    first = await run(ten, lines("values.txt", image1="1"))
    assert (first.branch, first.awaits_merge, len(first.commits)) == (OWN, True, 1)
    assert subjects(ten, OWN) == ["one", *subjects(ten)]
    assert "image1: 0" in content(ten, "values.txt")
    again = await run(ten, lines("values.txt", image1="1"))
    assert (again.head, again.awaits_merge, again.unchanged) == (first.head, True, True)
    assert git("rev-parse", OWN, cwd=ten) == first.head


async def test_without_changes_no_branch_is_created(ten: Path) -> None:
    """If the target already has the values, nothing waits to be merged."""
    published = await run(ten, lines("values.txt", image1="0"))
    assert (published.branch, published.awaits_merge, published.unchanged) == ("main", False, True)
    assert OWN not in git("branch", "--list", cwd=ten)


async def test_releases_wait_side_by_side(ten: Path) -> None:
    """A second release is put on top of the first, even if the target has moved meanwhile."""
    await run(ten, lines("values.txt", image1="1"))
    somebody_pushes(ten, "other.txt")
    await run(ten, lines("values.txt", image8="1"), "two")
    assert values(ten) == {"image1": "1", "image8": "1"}
    assert subjects(ten, OWN) == ["two", "one", "write other.txt", "write values.txt", "first"]
    trailers = git("log", "-2", "--format=%(trailers:key=Pratique-Run,valueonly)", OWN, cwd=ten).split()
    assert trailers == ["two", "one"]


@pytest.mark.parametrize("how", ["--ff-only", "--no-ff", "--squash"])
async def test_merged_commits_no_longer_wait(ten: Path, how: str) -> None:
    """After any kind of merge, with the branch still there, the next release goes on top of the target."""
    await run(ten, lines("values.txt", image1="1"))
    clone = ten.parent / "merging"
    git("clone", "--quiet", str(ten), str(clone), cwd=ten.parent)
    git("merge", "--quiet", how, f"origin/{OWN}", cwd=clone)
    if how == "--squash":
        git("commit", "--quiet", "-m", "squashed", cwd=clone)
    git("push", "--quiet", "origin", "main", cwd=clone)
    assert not (await run(ten, lines("values.txt", image1="1"))).awaits_merge
    merged = subjects(ten)
    await run(ten, lines("values.txt", image8="1"), "two")
    assert subjects(ten, OWN) == ["two", *merged]
    assert values(ten) == {"image1": "1", "image8": "1"}


async def test_the_target_wins_over_waiting_changes(ten: Path) -> None:
    """If somebody changes a value on the target that waits for another change, the target's stays; the rest waits."""
    await run(ten, lines("values.txt", image1="1"))
    await run(ten, lines("values.txt", image8="1"), "two")
    theirs = content(ten, "values.txt").replace("image1: 0", "image1: 7") + "\n"
    somebody_pushes(ten, "values.txt", theirs)
    await run(ten, lines("values.txt", image5="1"), "three")
    assert values(ten) == {"image1": "7", "image5": "1", "image8": "1"}


async def test_a_target_merged_into_the_branch(ten: Path) -> None:
    """The merge commit that a forge's button creates is not made by a run, and does not stop the next one."""
    await run(ten, lines("values.txt", image1="1"))
    somebody_pushes(ten, "other.txt")
    clone = ten.parent / "updating"
    git("clone", "--quiet", "--branch", OWN, str(ten), str(clone), cwd=ten.parent)
    git("merge", "--quiet", "--no-edit", "origin/main", cwd=clone)
    git("push", "--quiet", "origin", OWN, cwd=clone)
    assert (await run(ten, lines("values.txt", image1="1"))).unchanged
    await run(ten, lines("values.txt", image8="1"), "two")
    assert subjects(ten, OWN)[:3] == ["two", "one", "write other.txt"]


async def test_commits_of_others_are_not_replaced(ten: Path) -> None:
    """A person's commit on the working branch stops the run; the error names it and a fix, and the branch stays."""
    await run(ten, lines("values.txt", image1="1"))
    somebody_pushes(ten, "by-hand.txt", branch=OWN)
    before = git("rev-parse", OWN, cwd=ten)
    with pytest.raises(Conflict, match=rf"{before[:12]} \(write by-hand.txt\) was not made by a run"):
        await run(ten, lines("values.txt", image8="1"), "two")
    assert git("rev-parse", OWN, cwd=ten) == before


async def test_a_deleted_file_is_a_conflict(ten: Path) -> None:
    """A waiting commit that changes a file which the target no longer has stops the run; the error names the file."""
    await run(ten, lines("values.txt", image1="1"))
    clone = ten.parent / "removing"
    git("clone", "--quiet", str(ten), str(clone), cwd=ten.parent)
    git("rm", "--quiet", "values.txt", cwd=clone)
    git("commit", "--quiet", "-m", "gone", cwd=clone)
    git("push", "--quiet", "origin", "main", cwd=clone)
    with pytest.raises(Conflict, match=rf"branch {OWN}, values.txt.*Delete the branch"):
        await run(ten, _nothing)


async def test_ten_at_once(ten: Path) -> None:
    """Ten runs for one cluster add a commit each to the same branch: all of them wait there afterwards."""
    await asyncio.gather(*(run(ten, lines("values.txt", **{key: "1"}), key) for key in VALUES))
    assert values(ten) == dict.fromkeys(VALUES, "1")
    assert sorted(subjects(ten, OWN)[:-2]) == sorted(VALUES)
    assert "1" not in values(ten, "main")


def _nothing(root: Path) -> list[Change]:
    return []
