"""Conditions of role assignments, version 2.0: parsed when an assignment is put, evaluated with each check.

::

    condition = parse("!(ActionMatches{'a/read'}) OR @Request[things:name] StringStartsWithIgnoreCase 'live/'")
    condition.holds("a/read", Attributes(request={"things:name": "live/busybox"}))

An attribute that the checked request does not have fits no comparison. A condition that this module cannot evaluate is
refused by the name of what is missing: AND and OR side by side without parentheses as well, because no document says
which binds first.

Source: "Azure role assignment condition format and syntax" (Microsoft Learn).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache

from sandbox.core.errors import NotSupported

VERSION = "2.0"

_TOKEN = re.compile(
    r"\s*(?:(?P<operator>&&|\|\||[!(){},:])|(?P<attribute>@\w+\s*\[[^\]]+\])|(?P<text>'[^']*')|(?P<word>[\w.-]+))"
)
_ATTRIBUTE = re.compile(r"@(\w+)\s*\[([^\]]+)\]")
_WORDS = {"&&": "AND", "||": "OR", "NOT": "!"}
_SOURCES = ("request", "resource")


@dataclass(frozen=True)
class Attributes:
    """What a condition can read: attributes by lower-case name, such as ``…/repositories:name``."""

    request: Mapping[str, str] = field(default_factory=dict)
    resource: Mapping[str, str] = field(default_factory=dict)

    def value(self, source: str, name: str) -> str | None:
        return (self.request if source == "request" else self.resource).get(name.lower())


NO_ATTRIBUTES = Attributes()
_Test = Callable[[str, Attributes], bool]


@dataclass(frozen=True)
class Condition:
    """A condition that can be evaluated."""

    text: str
    _test: _Test = field(repr=False, compare=False)

    def holds(self, action: str, attributes: Attributes) -> bool:
        return self._test(action, attributes)


@lru_cache(maxsize=256)
def parse(text: str) -> Condition:
    """Parse a condition.

    :raises NotSupported: when it uses what this module does not evaluate, or is not a condition
    """
    parser = _Parser(text)
    test = parser.expression()
    parser.end()
    return Condition(text, test)


#: Comparisons of an attribute's value with one other value; letter case never counts in Azure's GUIDs.
_COMPARISONS: Mapping[str, Callable[[str, str], bool]] = {
    "StringEquals": lambda value, other: value == other,
    "StringEqualsIgnoreCase": lambda value, other: value.lower() == other.lower(),
    "StringStartsWith": lambda value, other: value.startswith(other),
    "StringStartsWithIgnoreCase": lambda value, other: value.lower().startswith(other.lower()),
    "GuidEquals": lambda value, other: value.lower() == other.lower(),
    "GuidNotEquals": lambda value, other: value.lower() != other.lower(),
}
#: Comparisons with a list: the attributes that are known here have one value, so only the last part matters.
_QUANTIFIERS: Mapping[str, Callable[[list[bool]], bool]] = {
    "ForAnyOfAnyValues": any,
    "ForAllOfAnyValues": any,
    "ForAnyOfAllValues": all,
    "ForAllOfAllValues": all,
}


class _Parser:
    def __init__(self, text: str) -> None:
        self._text = text
        self._tokens = _tokens(text)

    def expression(self) -> _Test:
        """One or more terms, joined by AND only or by OR only."""
        tests, joined = [self._term()], ""
        while self._next() in ("AND", "OR"):
            word = self._take()
            if joined not in ("", word):
                raise self._refused("AND and OR side by side without parentheses")
            joined = word
            tests.append(self._term())
        combine = any if joined == "OR" else all
        return lambda action, attributes: combine(test(action, attributes) for test in tests)

    def end(self) -> None:
        if self._tokens:
            raise self._refused(f"{self._tokens[0]!r} after its end")

    def _term(self) -> _Test:
        word = self._take()
        if word == "!":
            negated = self._term()
            return lambda action, attributes: not negated(action, attributes)
        if word == "(":
            inner = self.expression()
            self._expect(")")
            return inner
        if word == "ActionMatches":
            return self._action_matches()
        if word.startswith("@"):
            return self._comparison(word)
        raise self._refused(repr(word) if word else "a missing expression")

    def _action_matches(self) -> _Test:
        self._expect("{")
        pattern = re.compile(".*".join(map(re.escape, self._literal().lower().split("*"))))
        self._expect("}")
        return lambda action, _: pattern.fullmatch(action.lower()) is not None

    def _comparison(self, token: str) -> _Test:
        found = _ATTRIBUTE.fullmatch(token)
        if found is None or (source := found[1].lower()) not in _SOURCES:
            raise self._refused(f"the attribute {token}")
        name, operator = found[2].strip(), self._take()
        combine: Callable[[list[bool]], bool] = all
        if operator in _QUANTIFIERS:
            combine = _QUANTIFIERS[operator]
            self._expect(":")
            operator = self._take()
        compare = _COMPARISONS.get(operator)
        if compare is None:
            raise self._refused(f"the operator {operator!r}")
        others = self._literals()

        def test(action: str, attributes: Attributes) -> bool:
            value = attributes.value(source, name)
            return value is not None and combine([compare(value, other) for other in others])

        return test

    def _literals(self) -> list[str]:
        if self._next() != "{":
            return [self._literal()]
        self._take()
        found = [self._literal()]
        while self._next() == ",":
            self._take()
            found.append(self._literal())
        self._expect("}")
        return found

    def _literal(self) -> str:
        token = self._take()
        if token.startswith("'"):
            return token[1:-1]
        if re.fullmatch(r"[\w-]+", token):
            return token  # GUIDs and numbers are written without quotation marks
        raise self._refused(f"{token!r} in place of a value")

    def _next(self) -> str:
        return self._tokens[0] if self._tokens else ""

    def _take(self) -> str:
        return self._tokens.pop(0) if self._tokens else ""

    def _expect(self, token: str) -> None:
        if (found := self._take()) != token:
            raise self._refused(f"{found!r} where {token!r} is expected")

    def _refused(self, what: str) -> NotSupported:
        return unsupported(what)


def unsupported(what: str) -> NotSupported:
    """The refusal of a condition, by what is not evaluated."""
    return NotSupported(f"The sandbox does not evaluate {what} in a condition of a role assignment.")


def _tokens(text: str) -> list[str]:
    found, at = [], 0
    while text[at:].strip():
        match = _TOKEN.match(text, at)
        if match is None:
            raise unsupported(repr(text[at:].strip()[:20]))
        token = match[match.lastgroup or 0]
        found.append(_WORDS.get(token.upper(), token) if not token.startswith("'") else token)
        at = match.end()
    return found
