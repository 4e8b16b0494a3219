"""Modules, functions, classes and attributes that a text names exist."""

from __future__ import annotations

import functools
import re
from collections.abc import Mapping
from pathlib import PurePosixPath
from typing import get_args

import pytest

from tasks.events import Event
from tests.docs.names import defined, module_of, visible
from tests.docs.references import dotted, dotted_here, identifiers, unknown
from tests.docs.texts import Text, everything, files, pages, python_texts, source

#: What looks like a name of ours and is none.
OTHERS: Mapping[str, str] = {
    "sandbox.localhost": "the control host of the local Azure",
    "pg_dump": "PostgreSQL's",
    "TimeoutStopSec": "systemd's",
    "NODE_USE_ENV_PROXY": "Node.js's",
    "kube-system": "a namespace of Kubernetes",
    "gatekeeper-system": "a namespace of Azure Policy",
    "prefect-kubernetes": "not installed, and the page says so",
}


def events() -> frozenset[str]:
    return frozenset(f"pratique.{event}" for event in get_args(Event))


@functools.cache
def words() -> frozenset[str]:
    """Every word of the files that do something, and every file's own name."""
    working = [file for file in files() if not file.endswith((".md", ".png")) and not file.startswith("tests/docs/")]
    found = {PurePosixPath(file).stem for file in working}
    for file in working:
        found.update(re.findall(r"\w+(?:-\w+)*", source(file)), re.findall(r"\w+", source(file)))
    return frozenset(found)


def misnamed(text: Text) -> list[tuple[str, str]]:
    """Where names of ours stand that mean nothing, and which."""
    lies = [(position, name) for position, name in dotted(text) if not defined(name) and name not in events()]
    if text.kind == "page":
        lies += [(position, name) for position, name in identifiers(text) if name not in words()]
    if text.file.endswith(".py"):
        module = module_of(text.file)
        lies += unknown(text)
        lies += [(position, name) for position, name in dotted_here(text) if not visible(name, module, text.scope)]
    return [(text.at(position), name) for position, name in sorted(lies)]


def test_names_exist() -> None:
    """In pages, docstrings and comments; each exception is still needed."""
    lies = [lie for text in everything() for lie in misnamed(text)]
    wrong = [f"{at}: {name}" for at, name in lies if name not in OTHERS]
    assert not wrong, "\n".join(wrong)
    assert {name for _, name in lies} >= OTHERS.keys()


def test_texts_are_read() -> None:
    """Docstrings and comments of Python are found, in the scope in which they stand."""
    file = "tests/docs/names.py"
    found = {(text.kind, text.scope, text.text.split()[0]) for text in python_texts() if text.file == file}
    assert ("docstring", (), "The") in found
    assert ("docstring", ("Scope",), "What") in found
    assert ("comment", ("_in_scope",), "What") in found
    assert {"README.md", "docs/gate.md", "CONTRIBUTING.md"} <= {page.file for page in pages()}


@pytest.mark.parametrize(
    ("text", "lies"),
    [
        ("`tests.docs.names.defined`, `tests.docs.names.Scope.has`, `tests.docs`", []),
        ("See tests.docs.nmaes, or `tests.docs.names.deifned`.", ["tests.docs.nmaes", "tests.docs.names.deifned"]),
        ("`tests.docs.names.Scope.hass`", ["tests.docs.names.Scope.hass"]),
        ("`pratique.gate.blocked` and `pratique.gate.blokced`", ["pratique.gate.blokced"]),
        ("`pratique.image.<name>`, `pratique.live.*`, sandbox.md", []),
        ("`AccessNotRevoked`, `AccessNotRevokedd`, `most_blokcs`", ["AccessNotRevokedd", "most_blokcs"]),
        ("`PREFECT_API_URL`, `PREFECT_API_ULR`, `findings-artefact-x`", ["PREFECT_API_ULR", "findings-artefact-x"]),
    ],
)
def test_a_wrong_name_on_a_page_is_noticed(text: str, lies: list[str]) -> None:
    """Dotted names wherever they stand, other names in inline code."""
    assert [name for _, name in misnamed(Text("page.md", 1, text, "page"))] == lies


@pytest.mark.parametrize(
    ("text", "scope", "lies"),
    [
        (":func:`defined`, :class:`Scope`, :meth:`Scope.has`, :mod:`~tests.docs.texts`, :func:`trees`", (), []),
        (":func:`deifned`", (), [":func:`deifned`"]),
        (":attr:`Scope.baess`", (), [":attr:`Scope.baess`"]),
        (":meth:`has`, :meth:`hass`", ("Scope",), [":meth:`hass`"]),
        (":mod:`tests.docs.nmaes`", (), [":mod:`tests.docs.nmaes`"]),
        (":mod:`.docs.texts`, :mod:`.docs.txets`", (), [":mod:`.docs.txets`"]),
        (":class:`ast.Module`, :class:`ast.Modul`", (), [":class:`ast.Modul`"]),
        ("``Scope.has``, ``Scope.hass``, ``ast.parsse``, ``match.start``", (), ["Scope.hass", "ast.parsse"]),
        ("Text.\n\n:param name: true\n:param nmae: not", ("defined",), [":param nmae:"]),
        ("Text.\n\n:ivar bases: true\n:ivar baess: not", ("Scope",), [":ivar baess:"]),
        ("Text.\n\n:raises ValueError: true\n:raises NotFuond: not", ("defined",), [":raises NotFuond:"]),
    ],
)
def test_a_wrong_name_in_a_docstring_is_noticed(text: str, scope: tuple[str, ...], lies: list[str]) -> None:
    """Names mean what they mean where they stand: in a class, in its module, among what that imports."""
    docstring = Text("tests/docs/names.py", 1, text, "docstring", scope)
    assert [name for _, name in misnamed(docstring)] == lies
