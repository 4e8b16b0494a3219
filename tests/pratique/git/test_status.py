"""The git status of a file, for records: what it says, and that no repository's configuration starts a program."""

from __future__ import annotations

import asyncio
import os
import subprocess
from pathlib import Path

import pytest

from pratique.git.checkout import Repository, checkout
from pratique.git.command import credential_helpers
from pratique.git.status import git_status, is_tracked
from tests.foreign_repository import booby_trap
from tests.pratique.repositories import AUTHOR, git, write

TEXT = "acceptances: []\n"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A file that is committed in a repository."""
    path = tmp_path / "repository" / "gate" / "exceptions.yaml"
    path.parent.mkdir(parents=True)
    path.write_text(TEXT)
    git("init", "--quiet", cwd=path.parent.parent)
    commit(path)
    return path


def commit(file: Path) -> None:
    git("add", "--all", cwd=file.parent)
    git("commit", "--quiet", "--message", "Change", cwd=file.parent)


def head(file: Path) -> str:
    return git("rev-parse", "HEAD", cwd=file.parent)


def status(file: Path) -> str:
    return asyncio.run(git_status(file))


def test_only_a_committed_file_has_a_commit(file: Path) -> None:
    """It is the last commit that changed the file; untracked, staged, changed and ignored files have none."""
    first = head(file)
    (file.parent / ".gitignore").write_text("ignored.yaml\n")
    commit(file)
    assert status(file) == f"commit {first}"
    for name in ("ignored.yaml", "untracked.yaml", ":(top)staged.yaml"):
        (file.parent / name).write_text(TEXT)
        assert status(file.parent / name) == "not as committed"
    git("add", "--all", cwd=file.parent)
    assert status(file.parent / ":(top)staged.yaml") == "not as committed"
    commit(file)
    assert status(file.parent / ":(top)staged.yaml") == f"commit {head(file)}"
    file.write_text("acceptances: [ ]\n")
    assert status(file) == "not as committed"
    file.unlink()
    assert status(file) == "not as committed"


def test_outside_of_work_trees(tmp_path: Path, file: Path) -> None:
    """Files outside a repository and in ``.git`` are not under Git; before the first commit nothing is committed."""
    for path in (tmp_path / "exceptions.yaml", file.parent.parent / ".git" / "exceptions.yaml"):
        path.write_text(TEXT)
        assert status(path) == "not under Git"
    git("init", "--quiet", cwd=tmp_path)
    assert status(tmp_path / "exceptions.yaml") == "not as committed"


def test_other_kinds_of_repositories(file: Path, tmp_path: Path) -> None:
    """Work trees beside the repository and SHA-256 repositories are read alike, also through a symbolic link."""
    git("worktree", "add", "--quiet", str(tmp_path / "beside"), cwd=file.parent)
    assert status(tmp_path / "beside" / "gate" / "exceptions.yaml") == f"commit {head(file)}"
    (tmp_path / "link.yaml").symlink_to(file)
    assert status(tmp_path / "link.yaml") == f"commit {head(file)}"
    other = tmp_path / "sha256" / "exceptions.yaml"
    other.parent.mkdir()
    git("init", "--quiet", "--object-format=sha256", cwd=other.parent)
    other.write_text(TEXT)
    commit(other)
    assert status(other) == f"commit {head(other)}"


def test_line_endings_of_the_checkout(file: Path) -> None:
    """A file that was checked out with CRLF line endings is as committed; other content with them is not."""
    file.write_bytes(TEXT.replace("\n", "\r\n").encode())
    assert status(file) == f"commit {head(file)}"
    file.write_bytes(b"acceptances: []\r\n\r\n")
    assert status(file) == "not as committed"


@pytest.fixture
def log(tmp_path: Path) -> Path:
    """What the programs of :func:`booby_trap` write their names into."""
    path = tmp_path / "ran"
    path.touch()
    return path


def programs(log: Path) -> set[str]:
    """The programs that have run."""
    return {*log.read_text().split()}


def test_a_foreign_repository_starts_no_program(file: Path, log: Path) -> None:
    """The repository belongs to another user, and git still runs nothing that it configures."""
    sha = head(file)
    booby_trap(file.parent.parent, log)
    os.utime(file, (1, 1))  # git status would have to compare the content
    if os.getuid() == 0:
        for path in (file.parent.parent, *file.parent.parent.rglob("*")):
            os.chown(path, 12345, 12345)
    assert status(file) == f"commit {sha}"
    (file.parent / "other.yaml").write_text(TEXT)
    assert status(file.parent / "other.yaml") == "not as committed"
    assert programs(log) == set()


async def test_whether_a_file_is_tracked(file: Path, log: Path) -> None:
    """Its own name counts, even with wildcards in it, and the repository starts no program."""
    pattern, other = file.parent / "exceptions*", file.parent / "other.yaml"
    for path in (pattern, other):
        path.touch()
    booby_trap(file.parent.parent, log)
    assert [await is_tracked(path) for path in (file, pattern, other)] == [True, False, False]
    assert not await is_tracked(log)
    assert programs(log) == set()


def test_the_traps_work(file: Path, log: Path) -> None:
    """``git status`` does run what the repository configures."""
    booby_trap(file.parent.parent, log)
    os.utime(file, (1, 1))
    subprocess.run(["git", "status"], cwd=file.parent, check=False, capture_output=True)
    assert {"core.-.fsmonitor", "filter.foreign.process"} <= programs(log)


def test_a_partial_clone_fetches_nothing(remote: Path, tmp_path: Path, log: Path) -> None:
    """Missing objects are not fetched with the programs of the repository: the file counts as not committed."""
    clone = tmp_path / "partial"
    command = ("clone", "--quiet", "--filter=tree:0", "--no-checkout", remote.as_uri(), str(clone))
    git(*command, cwd=tmp_path)
    (clone / "value.txt").write_text("0\n")
    booby_trap(clone, log)
    assert status(clone / "value.txt") == "not as committed"
    assert programs(log) == set()
    subprocess.run(["git", "rev-parse", "HEAD:value.txt"], cwd=clone, check=False, capture_output=True)
    assert "remote.origin.uploadpack" in programs(log), "without protection git runs it"


async def test_a_repository_above_the_temporary_folder(
    file: Path, log: Path, remote: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither its programs run nor its credential helpers are used, and its URL rewrites do not redirect the push."""
    booby_trap(file.parent.parent, log)
    rewrite = f"url.file:///nowhere/{remote.name}.insteadOf"
    git("config", "--file", str(file.parent.parent / ".git" / "included"), rewrite, remote.as_uri(), cwd=remote)
    monkeypatch.setattr("tempfile.tempdir", str(file.parent))
    monkeypatch.setenv("GIT_CONFIG_NOSYSTEM", "1")
    monkeypatch.setenv("HOME", str(file.parent))
    assert await credential_helpers(file.parent) == []
    for orphan in (False, True):
        branch = "records" if orphan else "main"
        async with checkout(Repository(remote=remote.as_uri(), branch=branch, orphan=orphan)) as tree:
            write("a.txt", "1\n")(tree.root)
            await tree.commit("one", AUTHOR, ["a.txt"])
            await tree.push()
        assert git("log", "-1", "--format=%s", branch, cwd=remote) == "one"
    assert programs(log) == set()
