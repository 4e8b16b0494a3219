"""Tables in Markdown whose cells hold somebody else's words.

>>> table(("image",), [("a|b",)])
'| image |\\n|---|\\n| a\\\\|b |'
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

_LONGEST = 1000  # characters of one cell
_FORMATTING = frozenset("\\`*_[]<>|~#")


def plain(text: str) -> str:
    """On one line, not too long, and without characters that a report could not show."""
    line = " ".join(text[:_LONGEST].split()) + "…" * (len(text) > _LONGEST)
    return "".join(char if char.isprintable() else "\N{REPLACEMENT CHARACTER}" for char in line)


def literal(text: str) -> str:
    """The text as it is: it neither breaks a table nor formats anything."""
    return "".join(f"\\{char}" if char in _FORMATTING else char for char in plain(text))


def table(headings: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table, its cells taken literally."""
    body = (f"| {' | '.join(map(literal, row))} |" for row in rows)
    return "\n".join((f"| {' | '.join(headings)} |", "|" + "---|" * len(headings), *body))
