"""What the entries of exceptions files have in common."""

from __future__ import annotations

from typing import Annotated

from pydantic import BeforeValidator

from pratique.markdown import one_line

#: Stands for what a person has to fill in. An entry with it is refused.
PLACEHOLDER = "REPLACE_ME"


def _filled(value: object) -> object:
    if not isinstance(value, str):
        return value
    if PLACEHOLDER in value:
        raise ValueError(f"replace {PLACEHOLDER}")
    return one_line(value)


#: Text on one line, filled in.
Line = Annotated[str, BeforeValidator(_filled)]
