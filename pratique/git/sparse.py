"""Checks out of a repository only what its manifests are made of.

That is the manifests' folder, the folders above it without their other folders, and whatever kustomizations in there
refer to with ``../``: bases, components and patches that several clusters share. Git fetches no other file, where the
server knows partial clones.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from pathlib import Path, PurePosixPath
from posixpath import normpath

from pratique.git.command import Git
from pratique.manifests.kustomize import KUSTOMIZATIONS

# Paths that lead upwards, however YAML quotes them. One too many does no harm.
_UPWARDS = re.compile(rb"(?:\.{1,2}/)*\.\./[^\s\"',\]}#]*|\.\.(?=[\s\"',\]}]|$)")


async def check_out(git: Git, root: Path, branch: str, folder: str, *, attempted: str) -> None:
    """Fill a clone that has no files yet.

    :param folder: below the root
    :raises PratiqueError: as :meth:`~pratique.git.command.Git.output`
    """

    async def run(*command: str) -> str:
        return await git.output(*command, cwd=root, attempted=attempted)

    await run("sparse-checkout", "init", "--cone")
    await run("sparse-checkout", "set", folder)
    await run("checkout", "--quiet", "--force", branch, "--")
    known = {normpath(folder)}
    while new := _referred(root, known) - known:
        known |= new
        listed = await run("ls-tree", "-z", "HEAD", "--", *sorted(new))
        if folders := sorted({*_folders(listed)} - {"."}):
            await run("sparse-checkout", "add", *folders)


def _referred(root: Path, known: Iterable[str]) -> set[str]:
    """Paths that kustomizations refer to outside of the known ones, from the root."""
    found: set[str] = set()
    for name in KUSTOMIZATIONS:
        for file in root.rglob(name):
            here = file.parent.relative_to(root)
            if here.parts[:1] != (".git",) and file.is_file():
                found |= {
                    normpath(here / match.decode(errors="replace")) for match in _UPWARDS.findall(file.read_bytes())
                }
    return {path for path in found if not path.startswith("..") and path != "." and not _within(path, known)}


def _within(path: str, known: Iterable[str]) -> bool:
    return any(PurePosixPath(path).is_relative_to(one) for one in known)


def _folders(listed: str) -> Iterator[str]:
    """The folders among the entries of ``ls-tree -z``, and those that its files are in."""
    for entry in filter(None, listed.split("\0")):
        told, _, path = entry.partition("\t")
        yield path if " tree " in told else str(PurePosixPath(path).parent)
