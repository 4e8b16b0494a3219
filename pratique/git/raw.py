"""Keeps the bytes of files as they are in the repository, whatever its attributes say.

Attributes (``text``, ``eol``, ``ident``, ``filter``, ``working-tree-encoding``) make git convert files when it checks
them out and when it adds them. A file that somebody committed with other line endings than its attributes ask for would
then be rewritten as a whole, along with files that nobody edited.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from posixpath import normpath

from pratique.errors import ManifestRejected
from pratique.git.command import Git

# This file has precedence over every .gitattributes, and over macros in them. The last two are no conversions: a merge
# by another driver could keep both of two contradicting values, and a plan shows differences of any file as text.
_ATTRIBUTES = "* -text -ident -filter -working-tree-encoding !merge !diff\n"
_FILE, _LINK = "100644", "120000"  # modes in the index


def disable_conversions(root: Path) -> None:
    """Let git convert no file of a clone. Call it before the first file is checked out."""
    folder = root / ".git" / "info"
    folder.mkdir(exist_ok=True)
    (folder / "attributes").write_text(_ATTRIBUTES)


async def stage(git: Git, root: Path, files: Iterable[str], *, attempted: str) -> bool:
    """Stage files byte for byte, and no others; whether the index then differs from the last commit.

    :param files: paths from the root; new files count, ignored or not
    :raises ManifestRejected: when one of them is a symbolic link in the repository
    :raises PratiqueError: as :meth:`~pratique.git.command.Git.output`
    """
    paths = sorted({normpath(file) for file in files})
    if not paths:
        return False
    modes = await _modes(git, root, paths, attempted=attempted)
    for path in paths:
        if modes.get(path) == _LINK:
            raise ManifestRejected(
                attempted, path, "It is a symbolic link in the repository.", "Replace the link with a file."
            )
    hashed = await git.output("hash-object", "-w", "--no-filters", "--", *paths, cwd=root, attempted=attempted)
    entries = [f"{modes.get(path, _FILE)},{blob},{path}" for path, blob in zip(paths, hashed.split(), strict=True)]
    options = [option for entry in entries for option in ("--cacheinfo", entry)]
    await git.output("update-index", "--add", *options, cwd=root, attempted=attempted)
    return await differs(git, root, attempted=attempted)


async def differs(git: Git, root: Path, *, attempted: str) -> bool:
    """Whether the index differs from the last commit.

    :raises PratiqueError: as :meth:`~pratique.git.command.Git.run`
    """
    result = await git.run("diff", "--cached", "--quiet", cwd=root)
    if result.code not in (0, 1):
        raise git.failure(attempted, result)
    return result.code == 1


async def _modes(git: Git, root: Path, paths: Iterable[str], *, attempted: str) -> dict[str, str]:
    """The modes of those files that are in the index."""
    listed = await git.output("ls-files", "--stage", "-z", "--", *paths, cwd=root, attempted=attempted)
    entries = (entry.partition("\t") for entry in listed.split("\0") if entry)
    return {path: attributes.split()[0] for attributes, _, path in entries}
