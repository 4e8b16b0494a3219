"""Markdown tables with cells of untrusted text.

>>> table(("image",), [("a|b",)])
'| image |\\n|---|\\n| a\\\\|b |'
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from pratique.masking import shortened

_LONGEST = 1000  # characters of one cell
_FORMATTING = frozenset("\\`*_[]<>|~#")


def one_line(text: str) -> str:
    """The text on one line, with unprintable characters replaced."""
    return "".join(char if char.isprintable() else "\N{REPLACEMENT CHARACTER}" for char in " ".join(text.split()))


def plain(text: str) -> str:
    """The text on one printable line, without secrets, shortened if it is too long."""
    return one_line(shortened(text, _LONGEST)) + "…" * (len(text) > _LONGEST)


def literal(text: str) -> str:
    """The text with Markdown escaped, so that it neither breaks a table nor formats anything."""
    return "".join(f"\\{char}" if char in _FORMATTING else char for char in plain(text))


def table(headings: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table whose cells are escaped."""
    body = (f"| {' | '.join(map(literal, row))} |" for row in rows)
    return "\n".join((f"| {' | '.join(headings)} |", "|" + "---|" * len(headings), *body))
