"""Checks out only the files that the manifests need.

These are the manifests' folder, the files directly in the folders above it, and whatever kustomizations in them refer
to with ``../``: bases, components and patches that several clusters share. If the server supports partial clones, git
fetches no other file.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from pathlib import Path, PurePosixPath
from posixpath import normpath

from pratique.git.command import Git
from pratique.manifests.kustomize import KUSTOMIZATIONS

# Paths that lead upwards, however YAML quotes them. A false match does no harm.
_UPWARDS = re.compile(rb"(?:\.{1,2}/)*\.\./[^\s\"',\]}#]*|\.\.(?=[\s\"',\]}]|$)")


async def check_out(git: Git, root: Path, branch: str, folder: str, *, attempted: str) -> None:
    """Check out files into a clone that has none yet.

    :param folder: below the root
    :raises PratiqueError: as :meth:`~pratique.git.command.Git.output`
    """

    async def run(*command: str) -> str:
        return await git.output(*command, cwd=root, attempted=attempted)

    await run("sparse-checkout", "init", "--cone")
    await run("sparse-checkout", "set", folder)
    await run("checkout", "--quiet", "--force", branch, "--")
    known = {normpath(folder)}
    while new := _references(root, known) - known:
        known |= new
        listed = await run("ls-tree", "-z", "HEAD", "--", *sorted(new))
        if folders := sorted({*_folders(listed)} - {"."}):
            await run("sparse-checkout", "add", *folders)


def _references(root: Path, known: Iterable[str]) -> set[str]:
    """Paths from the root that kustomizations refer to, outside the known ones."""
    found: set[str] = set()
    for name in KUSTOMIZATIONS:
        for file in root.rglob(name):
            folder = file.parent.relative_to(root)
            if folder.parts[:1] != (".git",) and file.is_file():
                found |= {
                    normpath(folder / match.decode(errors="replace")) for match in _UPWARDS.findall(file.read_bytes())
                }
    return {path for path in found if not path.startswith("..") and path != "." and not _within(path, known)}


def _within(path: str, known: Iterable[str]) -> bool:
    return any(PurePosixPath(path).is_relative_to(parent) for parent in known)


def _folders(listed: str) -> Iterator[str]:
    """The folders among the entries of ``ls-tree -z``, and the folders of the files among them."""
    for entry in filter(None, listed.split("\0")):
        attributes, _, path = entry.partition("\t")
        yield path if " tree " in attributes else str(PurePosixPath(path).parent)
