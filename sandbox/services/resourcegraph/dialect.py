"""What sets Resource Graph's KQL apart from Kusto's, and the names of KQL that the sandbox lacks.

Tables have their names in any letter case, and a query that begins with an operator is about ``resources``. Facts:
Resource Graph, "Understanding the Azure Resource Graph query language" and its published sample queries; Kusto's list
of tabular operators.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from itertools import pairwise

_DEFAULT_TABLE = "resources"
_TOKEN = re.compile(
    r"""(?P<skip>\s+|//[^\n]*)|(?P<text>[hH]?@?"(?:[^"\\]|\\.)*"|[hH]?@?'(?:[^'\\]|\\.)*')"""
    r"""|(?P<name>[A-Za-z_][\w]*(?:-[A-Za-z]+)*)|(?P<sign>.)""",
    re.DOTALL,
)
#: What may stand before the name of a table, and after it.
_BEFORE = frozenset({"", ";", "(", ",", "=", "union"})
_AFTER = frozenset({"", ";", ")", ",", "|"})
_SOURCES = frozenset(
    {"let", "print", "range", "union", "datatable", "search", "find", "set", "declare", "externaldata"}
)
_NAMES = (
    "as assert-schema consume count distinct evaluate extend facet fork getschema graph-match graph-shortest-paths "
    "invoke join limit lookup make-graph make-series mv-apply mv-expand mvexpand order parse parse-kv parse-where "
    "partition project project-away project-keep project-rename project-reorder reduce render sample sample-distinct "
    "scan serialize sort summarize take top top-hitters top-nested union where"
)
#: Kusto's tabular operators that follow a pipe.
_OPERATORS = frozenset(_NAMES.split())
#: Tables of Resource Graph whose names do not end in "resources" or "changes" do not exist.
_TABLE = re.compile(r"[a-z]+(resources|changes)")


def adapt(query: str, tables: Collection[str]) -> str:
    """The query in Kusto's own terms: tables named as the sandbox names them, and none left out.

    :param tables: their names in lower case
    """
    tokens = [(match.lastgroup or "", match[0]) for match in _TOKEN.finditer(query)]
    solid = [index for index, (kind, _) in enumerate(tokens) if kind != "skip"]
    assigned = set(_assigned(tokens, solid))
    for before, index, after in zip([None, *solid], solid, [*solid[1:], None], strict=False):
        kind, token = tokens[index]
        if kind != "name" or token.lower() not in tables:
            continue
        left = tokens[before][1].lower() if before is not None else ""
        right = tokens[after][1] if after is not None else ""
        if left in _BEFORE and right in _AFTER and (right == "|" or token not in assigned):
            tokens[index] = (kind, token.lower())
    first = _start(tokens, solid)
    if first is not None and tokens[first][1].lower() in _OPERATORS - _SOURCES:
        tokens.insert(first, ("name", f"{_DEFAULT_TABLE} | "))
    return "".join(token for _, token in tokens)


def operators(query: str) -> Iterator[str]:
    """The tabular operators that a query uses, in order."""
    tokens = [match for match in _TOKEN.finditer(query) if match.lastgroup != "skip"]
    for before, token in pairwise(tokens):
        if before[0] == "|" and token[0].lower() in _OPERATORS:
            yield token[0].lower()


def construct_name(construct: str) -> str:
    """KQL's own name of what the translator calls ``MvapplyOperator``, ``function:bag_keys`` or the like."""
    kind, _, name = construct.partition(":")
    if name:
        return f"{name}()" if kind in ("function", "aggregate") else name
    plain = construct.lower().removesuffix("operator").removesuffix("by")
    return next((operator for operator in sorted(_OPERATORS) if operator.replace("-", "") == plain), construct)


def is_table(name: str) -> bool:
    """Whether Resource Graph may have a table of that name, which the sandbox does not play."""
    return _TABLE.fullmatch(name.lower()) is not None


def _assigned(tokens: list[tuple[str, str]], solid: list[int]) -> Iterator[str]:
    """The names that the query gives to columns or values."""
    for name, sign, after in zip(solid, solid[1:], [*solid[2:], None], strict=False):
        following = tokens[after][1] if after is not None else ""
        if tokens[name][0] == "name" and tokens[sign][1] == "=" and following not in ("=", "~"):
            yield tokens[name][1]


def _start(tokens: list[tuple[str, str]], solid: list[int]) -> int | None:
    """The first token of the last statement that is not empty."""
    starts = [index for before, index in zip([None, *solid], solid, strict=False) if _is_end(tokens, before)]
    return next((index for index in reversed(starts) if tokens[index][1] != ";"), None)


def _is_end(tokens: list[tuple[str, str]], index: int | None) -> bool:
    return index is None or tokens[index] == ("sign", ";")
