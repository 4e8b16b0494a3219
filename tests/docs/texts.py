"""What the repository says about itself: its pages, the docstrings of its modules, and the comments of its files."""

from __future__ import annotations

import ast
import fnmatch
import functools
import inspect
import io
import os
import re
import tokenize
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

ROOT = Path(__file__).parents[2]
FENCED = re.compile(r"^```(\w*)\n(.*?)^```", re.DOTALL | re.MULTILINE)
INDENTED = re.compile(r"(?:^ {4}\S.*\n?)(?:^(?: {4}.*)?\n?)*", re.MULTILINE)
INLINE = re.compile(r"(`{1,2})([^`\n]+(?:\n[^`\n]+)?)\1")
_COMMENT = re.compile(r"^\s*#\s?(.*)|^[^\"'\n]*\s#\s(.*)")
#: Files whose comments are written by hand, besides Python's own.
_COMMENTED = (".yaml", ".yml", ".toml", ".sh", "Makefile", "Dockerfile", ".ci/run")


@dataclass(frozen=True)
class Text:
    """One piece of documentation.

    :ivar file: where it stands, relative to the repository
    :ivar line: its first line in that file
    :ivar scope: names of the classes and functions around a docstring or a comment of Python
    """

    file: str
    line: int
    text: str
    kind: Literal["page", "docstring", "comment"]
    scope: tuple[str, ...] = ()

    def at(self, position: int) -> str:
        """File and line of a position in the text, as editors understand them."""
        return f"{self.file}:{self.line + self.text.count(chr(10), 0, position)}"


@functools.cache
def files() -> tuple[str, ...]:
    """Every file that git would take: what ``.gitignore`` names is left out, and so is what others have installed."""
    ignored = [".git", *(line.rstrip("/") for line in (ROOT / ".gitignore").read_text().split())]
    found = []
    for folder, folders, names in os.walk(ROOT):
        folders[:] = [name for name in folders if not _matches(name, ignored)]
        found += [(Path(folder) / name).relative_to(ROOT).as_posix() for name in names if not _matches(name, ignored)]
    return tuple(sorted(found))


def _matches(name: str, patterns: Iterable[str]) -> bool:
    return any(fnmatch.fnmatch(name, pattern) for pattern in patterns)


@functools.cache
def source(file: str) -> str:
    return (ROOT / file).read_text()


def pages() -> list[Text]:
    """Every Markdown page."""
    return [Text(file, 1, source(file), "page") for file in files() if file.endswith(".md")]


@functools.cache
def trees() -> Mapping[str, ast.Module]:
    """Every Python file, parsed."""
    return {file: ast.parse(source(file)) for file in files() if file.endswith(".py")}


@functools.cache
def python_texts() -> list[Text]:
    """Docstrings and comments of every Python file."""
    return [text for file, tree in trees().items() for text in texts_of(file, source(file), tree)]


@functools.cache
def comments() -> list[Text]:
    """Comments of the other files that have some."""
    named = [file for file in files() if file.endswith(_COMMENTED)]
    return [text for file in named for text in _blocks(file, _comment_lines(source(file)))]


def everything() -> list[Text]:
    """Pages, docstrings and comments."""
    return [*pages(), *python_texts(), *comments()]


def texts_of(file: str, code: str, tree: ast.Module) -> Iterator[Text]:
    """Docstrings and comments of one Python file, each with the classes and functions around it."""
    scopes: list[tuple[int, int, tuple[str, ...]]] = []
    yield from _docstrings(file, tree, (), scopes)
    tokens = tokenize.generate_tokens(io.StringIO(code).readline) if "#" in code else ()
    lines = [
        (token.start[0], token.string.lstrip("#:").removeprefix(" "))
        for token in tokens
        if token.type == tokenize.COMMENT
    ]
    for text in _blocks(file, lines):
        around = [scope for first, last, scope in scopes if first <= text.line <= last]
        yield replace(text, scope=max(around, key=len, default=()))


def _docstrings(
    file: str, node: ast.AST, scope: tuple[str, ...], scopes: list[tuple[int, int, tuple[str, ...]]]
) -> Iterator[Text]:
    if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
        if not isinstance(node, ast.Module):
            scope = (*scope, node.name)
            scopes.append((node.lineno, node.end_lineno or node.lineno, scope))
        if (docstring := ast.get_docstring(node, clean=False)) is not None:
            yield Text(file, node.body[0].lineno, inspect.cleandoc(docstring), "docstring", scope)
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.stmt | ast.ExceptHandler):
            yield from _docstrings(file, child, scope, scopes)


def _comment_lines(code: str) -> Iterator[tuple[int, str]]:
    for number, line in enumerate(code.splitlines(), 1):
        if match := _COMMENT.match(line):
            yield number, match[1] or match[2] or ""


def _blocks(file: str, lines: Iterable[tuple[int, str]]) -> Iterator[Text]:
    """Comments on consecutive lines are one text."""
    block: list[str] = []
    first = last = 0
    for number, line in lines:
        if block and number != last + 1:
            yield Text(file, first, "\n".join(block), "comment")
            block = []
        first = first if block else number
        block.append(line)
        last = number
    if block:
        yield Text(file, first, "\n".join(block), "comment")


def blocks(text: str) -> Iterator[tuple[int, str, str]]:
    """Position, language and content of each block of code, fenced or indented."""
    for match in FENCED.finditer(text):
        yield match.start(2), match[1], match[2]
    for match in INDENTED.finditer(_without_fenced(text)):
        yield match.start(), "", match[0]


def inline_code(text: str) -> Iterator[tuple[int, str]]:
    """Position and content of what stands between backticks, outside of code blocks."""
    for match in INLINE.finditer(_without_fenced(text)):
        yield match.start(2), match[2]


def column(page: Text, heading: str) -> Iterator[tuple[int, str]]:
    """Position of the row, and the cell, in each of a page's columns that has this heading."""
    headings: list[str] = []
    for match in re.finditer(r"^(?:\|(.*)\|)?", page.text, re.MULTILINE):
        cells = [cell.strip() for cell in re.split(r"(?<!\\)\|", match[1] or "")]
        if match[1] is None:
            headings = []
        elif not headings:
            headings = cells
        elif heading in headings and not cells[0].startswith("--"):
            yield match.start(), cells[headings.index(heading)]


def _without_fenced(text: str) -> str:
    """The same text, of the same length, with blanks in place of fenced blocks."""
    return FENCED.sub(lambda match: re.sub(r"[^\n]", " ", match[0]), text)
