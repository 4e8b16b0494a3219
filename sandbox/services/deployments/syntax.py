"""The syntax of ARM template expressions: ``[format('acraks{0}', variables('unique'))]``.

A string that begins with ``[`` and ends with ``]`` is an expression; ``[[`` is an escaped bracket. Expressions consist
of function calls, strings in single quotes (doubled to escape them), integers, ``.property`` and ``[index]``. There are
no operators and no bare words.

Source: Azure Resource Manager, "Syntax and expressions in ARM templates".
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from sandbox.services.deployments.errors import TemplateError

MAX_EXPRESSION = 24_576  # characters; ARM's limit

_TOKEN = re.compile(
    r"\s*(?:(?P<string>'(?:[^']|'')*')|(?P<number>-?\d+)|(?P<name>[A-Za-z_]\w*)|(?P<mark>[()\[\],.])|(?P<end>$))"
)


@dataclass(frozen=True)
class Literal:
    """A string or an integer as written."""

    value: str | int


@dataclass(frozen=True)
class Call:
    """``name(arguments)``."""

    name: str
    arguments: tuple[Node, ...]


@dataclass(frozen=True)
class Access:
    """``target.key`` or ``target[key]``."""

    target: Node
    key: Node


Node = Literal | Call | Access


def is_expression(value: str) -> bool:
    return value.startswith("[") and value.endswith("]") and not value.startswith("[[")


@lru_cache(maxsize=4096)
def parse(source: str) -> Node:
    """The syntax tree of an expression, given with its brackets.

    :raises TemplateError: when it is invalid
    """
    if len(source) > MAX_EXPRESSION:
        raise TemplateError(f"The language expression length limit of {MAX_EXPRESSION} characters is exceeded.")
    return _Parser(source).expression()


def calls(value: Any) -> Iterator[Call]:
    """Every function call in a JSON value, at any depth.

    :raises TemplateError: when it contains an invalid expression
    """
    if isinstance(value, str) and is_expression(value):
        yield from _calls(parse(value))
    elif isinstance(value, list):
        for item in value:
            yield from calls(item)
    elif isinstance(value, Mapping):
        for key, item in value.items():
            yield from calls(key)
            yield from calls(item)


def _calls(node: Node) -> Iterator[Call]:
    if isinstance(node, Call):
        yield node
        for argument in node.arguments:
            yield from _calls(argument)
    elif isinstance(node, Access):
        yield from _calls(node.target)
        yield from _calls(node.key)


class _Parser:
    """Recursive descent over the tokens of one expression."""

    def __init__(self, source: str) -> None:
        self._source = source
        self._position = 1
        self._end = len(source) - 1
        self._kind = ""
        self._lexeme = ""
        self._next()

    def expression(self) -> Node:
        node = self._node()
        if self._kind != "end":
            raise self._unexpected()
        return node

    def _node(self) -> Node:
        node = self._head()
        while self._lexeme in (".", "[") and self._kind == "mark":
            if self._lexeme == ".":
                self._next()
                node = Access(node, Literal(self._take("name")))
            else:
                self._next()
                node = Access(node, self._node())
                self._mark("]")
        return node

    def _head(self) -> Node:
        if self._kind == "string":
            return Literal(self._take("string")[1:-1].replace("''", "'"))
        if self._kind == "number":
            return Literal(int(self._take("number")))
        name = self._take("name")
        self._mark("(")
        arguments: list[Node] = []
        if (self._kind, self._lexeme) != ("mark", ")"):
            arguments.append(self._node())
            while (self._kind, self._lexeme) == ("mark", ","):
                self._next()
                arguments.append(self._node())
        self._mark(")")
        return Call(name, tuple(arguments))

    def _take(self, kind: str) -> str:
        if self._kind != kind:
            raise self._unexpected()
        lexeme = self._lexeme
        self._next()
        return lexeme

    def _mark(self, mark: str) -> None:
        if (self._kind, self._lexeme) != ("mark", mark):
            raise self._unexpected()
        self._next()

    def _next(self) -> None:
        match = _TOKEN.match(self._source, self._position, self._end)
        if match is None or match.lastgroup is None:
            self._lexeme = self._source[self._position : self._end].split()[0]
            raise self._unexpected()
        self._position = match.end()
        self._kind, self._lexeme = match.lastgroup, match[match.lastgroup]

    def _unexpected(self) -> TemplateError:
        found = f"'{self._lexeme}'" if self._lexeme else "the end"
        return TemplateError(
            f"The language expression '{self._source[1:-1]}' is not valid: {found} was not expected at position "
            f"{self._position - 1}."
        )
