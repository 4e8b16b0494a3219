"""Bare repositories for tests, and what others do to them."""

from __future__ import annotations

import subprocess
import uuid
from collections.abc import Callable
from pathlib import Path

from pratique.change import Change
from pratique.git.checkout import CommitAuthor, Repository
from tests.isolated_git import git_environment

AUTHOR = CommitAuthor("Pratique", "pratique@contoso.com")


def git(*arguments: str, cwd: Path) -> str:
    """What somebody else does with git; with its own identity."""
    identity = ["-c", "user.name=Somebody", "-c", "user.email=somebody@contoso.com"]
    command, environment = ["git", *identity, *arguments], git_environment()
    done = subprocess.run(command, cwd=cwd, env=environment, check=True, capture_output=True, text=True)
    return done.stdout.strip()


def make_remote(folder: Path) -> Path:
    """A bare repository whose branch main holds one file."""
    bare, seed = folder / "remote.git", folder / "seed"
    git("init", "--quiet", "--bare", "--initial-branch=main", str(bare), cwd=folder)
    git("config", "uploadpack.allowFilter", "true", cwd=bare)  # as the forges allow it
    git("clone", "--quiet", str(bare), str(seed), cwd=folder)
    git("checkout", "--quiet", "-B", "main", cwd=seed)
    (seed / "value.txt").write_text("0\n")
    git("add", ".", cwd=seed)
    git("commit", "--quiet", "-m", "first", cwd=seed)
    git("push", "--quiet", "origin", "main", cwd=seed)
    return bare


def somebody_pushes(remote: Path, name: str, text: str = "theirs\n", branch: str = "main") -> None:
    """Another clone writes a file and pushes it."""
    clone = remote.parent / f"clone-{uuid.uuid4()}"
    git("clone", "--quiet", "--branch", branch, str(remote), str(clone), cwd=remote.parent)
    (clone / name).parent.mkdir(parents=True, exist_ok=True)
    (clone / name).write_text(text)
    git("add", ".", cwd=clone)
    git("commit", "--quiet", "-m", f"write {name}", cwd=clone)
    git("push", "--quiet", "origin", branch, cwd=clone)


def hook(remote: Path, script: str) -> None:
    path = remote / "hooks" / "pre-receive"
    path.parent.mkdir(exist_ok=True)
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)


def write(name: str, text: str) -> Callable[[Path], list[Change]]:
    """An edit that makes a file hold a text."""

    def edit(root: Path) -> list[Change]:
        path = root / name
        before = path.read_text() if path.exists() else None
        if before == text:
            return []
        path.write_text(text)
        return [Change(name, "text", before, text)]

    return edit


def lines(name: str, **values: str) -> Callable[[Path], list[Change]]:
    """An edit that sets some of a file's ``key: value`` lines, and leaves the others."""

    def edit(root: Path) -> list[Change]:
        path = root / name
        before = dict(line.split(": ") for line in path.read_text().splitlines())
        path.write_text("".join(f"{key}: {value}\n" for key, value in (before | values).items()))
        return [Change(name, key, before.get(key), new) for key, new in values.items() if before.get(key) != new]

    return edit


def there(remote: Path) -> Repository:
    return Repository(remote=remote.as_uri(), branch="main")


def subjects(remote: Path, branch: str = "main") -> list[str]:
    return git("log", "--format=%s", branch, cwd=remote).splitlines()


def content(remote: Path, name: str, branch: str = "main") -> str:
    return git("show", f"{branch}:{name}", cwd=remote)
