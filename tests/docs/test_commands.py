"""Commands that a text shows can be typed: programs of ours, their commands and options, and targets of make."""

from __future__ import annotations

import functools
import importlib
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
import typer
from typer.core import TyperGroup

from tests.docs.texts import Text, blocks, everything, inline_code, source

_PROGRAMS = re.compile(
    r"(?:^|[;&|(]|\s--\s)\s*(?:\.venv/bin/)?(pratique|azure-sandbox|make)[ \t]+((?:(?!\s--\s)[^;&|)>#\n])+)",
    re.MULTILINE,
)
#: A target in plain prose is taken for one if no English word can be meant, or if a list explains it.
_IN_PROSE = re.compile(r"(?<!`)\bmake ([a-z]+(?:-[a-z]+)+)\b|^make ([a-z-]+)[ ]{2,}", re.MULTILINE)


def commands(text: str) -> Iterator[tuple[int, str, list[str]]]:
    """Position, program and arguments of each command of ours."""
    code = [(position, block) for position, _, block in blocks(text)]
    for position, block in [*code, *inline_code(text)]:
        for match in _PROGRAMS.finditer(block):
            yield position + match.start(1), match[1], [word.strip("[]\"'") for word in match[2].split()]
    for match in _IN_PROSE.finditer(text):
        yield match.start(), "make", [match[1] or match[2]]


@functools.cache
def programs() -> Mapping[str, TyperGroup]:
    """The programs that the project installs, by name."""
    scripts = tomllib.loads(source("pyproject.toml"))["project"]["scripts"]
    found = {}
    for name, target in scripts.items():
        module, _, attribute = target.partition(":")
        command = typer.main.get_command(getattr(importlib.import_module(module), attribute))
        assert isinstance(command, TyperGroup)
        found[name] = command
    return found


@functools.cache
def options(program: str, command: str) -> frozenset[str]:
    """The options of a command; of one that hands them on to another program, what its help says."""
    known = programs()[program].commands[command]
    if isinstance(known, TyperGroup):
        return frozenset(
            name for part in known.commands.values() for parameter in part.params for name in parameter.opts
        )
    if not known.context_settings.get("ignore_unknown_options"):
        return frozenset(name for parameter in known.params for name in (*parameter.opts, *parameter.secondary_opts))
    arguments = [str(Path(sys.executable).parent / program), command, "--help"]
    return frozenset(
        re.findall(r"--[\w-]+", subprocess.run(arguments, check=True, capture_output=True, text=True).stdout)
    )


def own_options(program: str) -> frozenset[str]:
    """The options of the program itself, which stand before the command."""
    return frozenset(name for parameter in programs()[program].params for name in parameter.opts) | {"--help"}


def wrong(text: Text) -> Iterator[str]:
    """Where a command stands that cannot be typed, and why."""
    makefile = source("Makefile")
    for position, program, words in commands(text.text):
        at = text.at(position)
        while program != "make" and words and words[0] in own_options(program):
            words = words[1:]
        if not words:
            continue
        if program == "make":
            if not re.search(rf"^{re.escape(words[0])}:", makefile, re.MULTILINE):
                yield f"{at}: no target {words[0]}"
            variables = [word.partition("=")[0] for word in words if "=" in word]
            yield from (f"{at}: no variable {name}" for name in variables if f"$({name})" not in makefile)
        elif words[0] not in programs()[program].commands:
            yield f"{at}: {program} has no {words[0]}"
        else:
            given = {word.partition("=")[0] for word in words if word.startswith("--")} - {"--help"}
            yield from (f"{at}: {program} {words[0]} has no {name}" for name in given - options(program, words[0]))


def test_commands_exist() -> None:
    """Each command of ours in a page, a docstring or a comment can be typed, with options that it has."""
    lies = [lie for text in everything() for lie in wrong(text)]
    assert not lies, "\n".join(lies)


def test_commands_are_found_wherever_code_stands() -> None:
    """Code blocks of both kinds and inline code, and of prose what can be nothing else than a target."""
    text = """make sure

    make test ARGS=-x; echo

`azure-sandbox serve [--port 1]`, `azure-sandbox run --wait 1 -- pratique y`, make test-az and
```
.venv/bin/pratique x
```
make demo    all of it
"""
    assert sorted((program, words) for _, program, words in commands(text)) == [
        ("azure-sandbox", ["run", "--wait", "1"]),
        ("azure-sandbox", ["serve", "--port", "1"]),
        ("make", ["demo"]),
        ("make", ["test", "ARGS=-x"]),
        ("make", ["test-az"]),
        ("pratique", ["x"]),
        ("pratique", ["y"]),
    ]


@pytest.mark.parametrize(
    ("command", "lie"),
    [
        ("pratique prepaer my.yaml", "pratique has no prepaer"),
        ("azure-sandbox serve --prot 1", "azure-sandbox serve has no --prot"),
        ("pratique demo --exti", "pratique demo has no --exti"),
        ("make tset", "no target tset"),
        ("make test ARG=1", "no variable ARG"),
    ],
)
def test_a_command_that_cannot_be_typed_is_noticed(command: str, lie: str) -> None:
    """In a page as in a docstring."""
    assert list(wrong(Text("page.md", 3, f"Or `{command}`.", "page"))) == [f"page.md:3: {lie}"]
