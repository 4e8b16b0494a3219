"""Text for terminals and messages.

>>> first_few(["a", "b", "c"], most=2)
'a, b and 1 more'
"""

from __future__ import annotations

import textwrap
from collections.abc import Sequence

COLUMNS = 80  # of a terminal


def wrap(
    text: str, first: str = "", rest: str = "", *, columns: int = COLUMNS, break_long_words: bool = False
) -> list[str]:
    """The text in lines. By default a longer word stays whole, so that it can be copied.

    :param first: before the first line
    :param rest: before the other lines
    """
    return textwrap.wrap(
        text,
        columns,
        initial_indent=first,
        subsequent_indent=rest,
        break_long_words=break_long_words,
        break_on_hyphens=False,
    )


def first_few(names: Sequence[str], most: int = 5) -> str:
    """The first names, and how many there are besides."""
    rest = len(names) - most
    return ", ".join(names[:most]) + (f" and {rest} more" if rest > 0 else "")
