"""What the documentation says exists: commands, their options, targets of make, and the pages that it links to."""

from __future__ import annotations

import functools
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
SCRIPTS = Path(sys.executable).parent
FENCED = re.compile(r"^```.*?^```", re.DOTALL | re.MULTILINE)
INDENTED = re.compile(r"^    \S.*", re.MULTILINE)
INLINE = re.compile(r"`([^`\n]+)`")
COMMAND = re.compile(r"(?:^|[;&|(])\s*(?:\.venv/bin/)?(pratique|azure-sandbox|make)\s+([^;&|)>#\n]+)", re.MULTILINE)
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")


def pages() -> list[Path]:
    """Every page of ours: hidden folders and installed packages hold those of others."""
    found = (path.relative_to(ROOT) for path in ROOT.rglob("*.md"))
    return sorted(path for path in found if not any(part.startswith((".", "node_modules")) for part in path.parts))


def commands(text: str) -> Iterator[tuple[str, list[str]]]:
    """Program and arguments of each command in a page's code."""
    code = [*FENCED.findall(text), *INDENTED.findall(FENCED.sub("", text)), *INLINE.findall(text)]
    for block in code:
        for program, arguments in COMMAND.findall(block):
            yield program, [word.strip("[]\"'") for word in arguments.split()]


@functools.cache
def help_of(program: str, command: str) -> str:
    """What ``--help`` prints; fails when there is no such command."""
    environment = {**os.environ, "COLUMNS": "200", "NO_COLOR": "1", "TERM": "dumb"}
    arguments = [str(SCRIPTS / program), command, "--help"]
    return subprocess.run(arguments, env=environment, check=True, stdout=subprocess.PIPE, text=True).stdout


@functools.cache
def makefile() -> str:
    return (ROOT / "Makefile").read_text()


def anchors(page: Path) -> set[str]:
    """The headings of a page, as links name them."""
    headings = re.findall(r"^#+ (.+)$", FENCED.sub("", page.read_text()), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", pages(), ids=str)
def test_commands_exist(page: Path) -> None:
    """Each command of ours in a page's code is one that can be typed, with options that it has."""
    for program, words in commands((ROOT / page).read_text()):
        if program == "make":
            variables = [word.partition("=")[0] for word in words if "=" in word]
            assert re.search(rf"^{re.escape(words[0])}:", makefile(), re.MULTILINE), words
            assert all(f"$({variable})" in makefile() for variable in variables), words
            continue
        known = help_of(program, words[0])
        for option in (word.partition("=")[0] for word in words if word.startswith("--")):
            assert re.search(rf"{option}\b", known), f"{program} {words[0]} has no {option}"


@pytest.mark.parametrize("page", pages(), ids=str)
def test_links_lead_somewhere(page: Path) -> None:
    """Each relative link names a file or folder that is there, and a heading that it has."""
    for link in LINK.findall((ROOT / page).read_text()):
        if re.match(r"[a-z]+:", link):
            continue
        path, _, anchor = link.partition("#")
        target = (ROOT / page).parent / path if path else ROOT / page
        assert target.exists(), link
        assert not anchor or anchor in anchors(target), link


def test_commands_are_found_wherever_code_stands() -> None:
    """The check would notice: code blocks of both kinds and inline code, not prose."""
    text = """make sure

    make test ARGS=-x; echo

`azure-sandbox serve [--port 1]` and
```
.venv/bin/pratique x
```
"""
    assert sorted(commands(text)) == [
        ("azure-sandbox", ["serve", "--port", "1"]),
        ("make", ["test", "ARGS=-x"]),
        ("pratique", ["x"]),
    ]
    with pytest.raises(subprocess.CalledProcessError):
        help_of("azure-sandbox", "no-such-command")
