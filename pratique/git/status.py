"""Where a local file stands under git, read without running anything that the repository around it configures."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Iterator
from pathlib import Path

from pratique.git.command import Git


async def git_status(path: Path) -> str:
    """The git status of a local file, for records: ``commit <sha>`` when the last commit has it with this content.

    The repository may belong to somebody else, so git only looks up objects in it, and the file is compared here.

    :raises PratiqueError: as :meth:`~pratique.git.command.Git.run`
    """
    path = await asyncio.to_thread(path.resolve)
    git = Git.for_reading(path)
    if (await git.run("rev-parse", "--is-inside-work-tree", cwd=path.parent)).output.strip() != "true":
        return "not under Git"
    committed = (await git.run("rev-parse", "--verify", "--quiet", f"HEAD:./{path.name}", cwd=path.parent)).output
    commit = (await git.run("rev-list", "-1", "HEAD", "--", path.name, cwd=path.parent)).output.strip()
    if commit and committed.strip() in await asyncio.to_thread(lambda: list(_object_ids(path))):
        return f"commit {commit}"
    return "not as committed"


async def is_tracked(path: Path) -> bool:
    """Whether git has a local file under version control, committed or about to be.

    :raises PratiqueError: as :meth:`~pratique.git.command.Git.run`
    """
    command = ("ls-files", "--error-unmatch", "--", path.name)  # reads the index alone: core.fsmonitor is off
    return (await Git.for_reading(path).run(*command, cwd=path.parent)).code == 0


def _object_ids(path: Path) -> Iterator[str]:
    """The object ids that a file can have: with its content as it is, or as it is without CRLF line endings."""
    try:
        content = path.read_bytes()
    except OSError:
        return
    for text in (content, content.replace(b"\r\n", b"\n")):
        blob = b"blob %d\0%b" % (len(text), text)
        yield hashlib.sha1(blob, usedforsecurity=False).hexdigest()
        yield hashlib.sha256(blob).hexdigest()  # in repositories with that object format
