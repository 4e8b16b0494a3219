"""Which paths of this repository a text names, and which of them do not exist.

What counts as one of its paths:

- anything with a slash that begins with one of its top-level folders, or, on a page, with a folder beside the page;
- a file's bare name, or the end of its path, if it is of a kind that only this repository can mean (``FILES``);
- what a tree in a code block lists below such a folder.

``<name>``, ``{name}``, ``*`` and ``…`` stand for anything.
"""

from __future__ import annotations

import fnmatch
import functools
import posixpath
import re
from collections.abc import Iterator
from pathlib import PurePosixPath

from tests.docs.texts import FENCED, Text, files

#: Kinds of files that are named without their folder.
FILES = (".py", ".md", ".mjs", ".sh")
_SEGMENT = r"(?:[\w.*+…-]|<[^<>\n]*>|\{[^{}\n]*\})+"
_BEFORE = r"(?<![\w/.:@$~<>{}*…-])"
_SLASHED = re.compile(rf"{_BEFORE}(?:(?:\.\./)+|(?:\./)?[\w.-]*\w/)(?:{_SEGMENT}/?)*")
_BARE = re.compile(rf"{_BEFORE}[\w-]+(?:/[\w-]+)*(?:{'|'.join(map(re.escape, FILES))})(?![\w/])")
_LEAF = re.compile(r"[\w*-]+(?:/|\.[\w.*-]*\w)|…")


@functools.cache
def entries() -> frozenset[str]:
    """Every file and folder, relative to the repository."""
    folders = (str(folder) for file in files() for folder in PurePosixPath(file).parents)
    return frozenset([*files(), *folders])


@functools.cache
def _endings() -> frozenset[str]:
    """The end of every file's path, of any length."""
    parts = [file.split("/") for file in files() if file.endswith(FILES)]
    return frozenset("/".join(path[start:]) for path in parts for start in range(len(path)))


def exists(path: str) -> bool:
    """Whether a file or folder is there, or one that a pattern stands for."""
    plain = path.rstrip("/")
    if plain in entries():
        return True
    pattern = re.sub(r"<[^<>]*>|\{[^{}]*\}|…", "*", plain)
    return "*" in pattern and any(fnmatch.fnmatchcase(entry, pattern) for entry in entries())


def missing(text: Text) -> Iterator[tuple[int, str]]:
    """Position and name of each path that is named and does not exist."""
    for match in _SLASHED.finditer(text.text):
        path = match[0].rstrip(".").removeprefix("./")
        if _is_ours(path, text) and not (exists(path) or exists(_beside(text, path))):
            yield match.start(), path
    for match in _BARE.finditer(text.text):
        if match[0] not in _endings() and not _is_ours(match[0], text):
            yield match.start(), match[0]
    for match in FENCED.finditer(text.text):
        yield from ((match.start(2), path) for path in _listed(match[2]) if not exists(path))


def _is_ours(path: str, text: Text) -> bool:
    first, slash, _ = path.partition("/")
    return slash != "" and (first in entries() or _beside(text, first) in entries())


def _beside(text: Text, path: str) -> str:
    """The path from the repository on, for one from a page on."""
    folder = PurePosixPath(text.file).parent if text.kind == "page" else PurePosixPath()
    return posixpath.normpath(folder / path)


def _listed(block: str) -> Iterator[str]:
    """The paths in a tree: a block some of whose lines begin with a top-level folder."""
    lines = [(len(line) - len(line.lstrip(" ")), re.split(r"\s{2,}", line.strip())) for line in block.splitlines()]
    if not any(indent == 0 and columns[0].endswith("/") and exists(columns[0]) for indent, columns in lines):
        return
    above: list[tuple[int, str]] = []
    for indent, columns in lines:
        above = [(outer, folder) for outer, folder in above if outer < indent]
        named = [name for column in columns for name in column.split(" ") if _all_leaves(column)]
        yield from ("".join([*(folder for _, folder in above), name]) for name in named)
        if named and named[0].endswith("/"):
            above.append((indent, named[0]))


def _all_leaves(column: str) -> bool:
    """Whether a column names files and folders, and explains nothing."""
    return all(_LEAF.fullmatch(name) for name in column.removesuffix(" …").split(" "))
