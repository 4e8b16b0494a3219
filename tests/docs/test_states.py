"""States, events and errors that a page names exist, and those that exist are on a page."""

from __future__ import annotations

import ast
import functools
import re
from collections.abc import Iterator
from typing import get_args

import prefect.states
import pytest

from pratique import errors
from tasks.events import Event
from tests.docs.texts import Text, column, everything, pages, trees
from tests.run_states import RESULTS, failures

#: How a text puts a state's name: in code or emphasised, a sentence's beginning without its end.
_NAMED = re.compile(r"(?<![*\w`])(?:\*|`{1,2})([A-Z][a-z]+(?: [a-z]+)+)(?:\*|`{1,2})(?![*\w`])")
_CODE = re.compile(r"`([^`]+)`")
_ERROR = re.compile(r"`([A-Z]\w+)`")
_EVENT = re.compile(r"`pratique\.([a-z-]+\.[a-z-]+)`")


def states() -> frozenset[str]:
    """The names that this project gives to states."""
    return RESULTS | failures()


@functools.cache
def constants() -> frozenset[str]:
    """Every string of the programs: how far an image has come at the gate is one of them."""
    return frozenset(
        text for file, tree in trees().items() if not file.startswith("tests/") for text in _constants(tree)
    )


def _constants(tree: ast.AST) -> Iterator[str]:
    return (node.value for node in ast.walk(tree) if isinstance(node, ast.Constant) and isinstance(node.value, str))


def misnamed_states(text: Text) -> set[str]:
    """States that do not exist: in prose, and in tables of ours, of Prefect's and of the gate's."""
    named = [(match.start(), match[1]) for match in _NAMED.finditer(text.text)]
    lies = set()
    for position, cell in column(text, "state"):
        named += [(position, name) for name in _CODE.findall(cell)]
        plain = _CODE.sub("", cell).strip(" ,")
        others = {plain} if plain in constants() else {name.strip() for name in plain.split(",")} - {""}
        lies |= {(position, name) for name in others - constants() if not hasattr(prefect.states, name)}
    lies |= {(position, name) for position, name in named if name not in states()}
    return {f"{text.at(position)}: {name}" for position, name in lies}


def misnamed_errors(page: Text) -> set[str]:
    """What stands as code in a column of errors and is none."""
    named = {(page.at(position), name) for position, cell in column(page, "error") for name in _ERROR.findall(cell)}
    return {f"{at}: {name}" for at, name in named if not _is_an_error(name)}


def misnamed_events(page: Text) -> set[str]:
    """What stands as code in a column of events and is none."""
    named = {(page.at(position), name) for position, cell in column(page, "event") for name in _EVENT.findall(cell)}
    return {f"{at}: pratique.{name}" for at, name in named if name not in get_args(Event)}


def _is_an_error(name: str) -> bool:
    found = getattr(errors, name, None)
    return isinstance(found, type) and issubclass(found, errors.PratiqueError)


def documented(heading: str) -> set[str]:
    """What stands as code in the columns of all pages that have this heading."""
    return {name for page in pages() for _, cell in column(page, heading) for name in _CODE.findall(cell)}


def test_states_exist_and_are_documented() -> None:
    """Whatever puts a state's name names one; each of ours is in a table of states."""
    lies = {lie for text in everything() for lie in misnamed_states(text)}
    assert not lies, "\n".join(sorted(lies))
    assert states() <= documented("state")


def test_events_exist_and_are_documented() -> None:
    """In the tables of events; what names one elsewhere is checked with all other names."""
    lies = {lie for page in pages() for lie in misnamed_events(page)}
    assert not lies, "\n".join(sorted(lies))
    assert {f"pratique.{event}" for event in get_args(Event)} <= documented("event")


def test_errors_exist() -> None:
    """In the tables of errors; what names one elsewhere is checked with all other names."""
    lies = {lie for page in pages() for lie in misnamed_errors(page)}
    assert not lies, "\n".join(sorted(lies))


@pytest.mark.parametrize(
    ("text", "lies"),
    [
        ("It ends as `Nothing to do`, or *Blocked by gate*.", set()),
        ("It ends as `Nothing was done`.", {"Nothing was done"}),
        ("It ends as *Blocked by gates*.", {"Blocked by gates"}),
        ("Notes: *this is stressed*, **Bold as well**, `Single`, `CamelCase word`.", set()),
    ],
)
def test_a_state_that_does_not_exist_is_noticed(text: str, lies: set[str]) -> None:
    """In code and emphasised, on a page as in a docstring."""
    assert misnamed_states(Text("x.py", 1, text, "docstring")) == {f"x.py:1: {lie}" for lie in lies}


def test_wrong_names_in_tables_are_noticed() -> None:
    """States of ours, of Prefect's and of the gate's; errors; events."""
    ours = (
        "| `Planned`, `Plnaned` | x |\n| Scheduled, Late, Latte | x |\n| Unhealthy, within policy | x |\n| Unwell | x |"
    )
    page = Text("x.md", 1, f"| state | means |\n|---|---|\n{ours}\n\n| Other | `Name` |\n", "page")
    assert misnamed_states(page) == {"x.md:3: Plnaned", "x.md:4: Latte", "x.md:6: Unwell"}
    page = Text("x.md", 1, "| what | error |\n|---|---|\n| it | `Conflict`, `Conflcit` |\n", "page")
    assert misnamed_errors(page) == {"x.md:3: Conflcit"}
    page = Text("x.md", 1, "| event |\n|---|\n| `pratique.gate.asked` |\n| `pratique.gate.aksed` |\n", "page")
    assert misnamed_events(page) == {"x.md:4: pratique.gate.aksed"}


def test_our_states_are_found() -> None:
    """Those that results have, and those that errors have."""
    assert {"Nothing to do", "Planned", "Blocked by gate", "Configuration refused"} <= states()
