"""Writes a string as a YAML scalar that every parser reads as that string.

>>> render("v1.11.3"), render("1.37"), render("1.37", "'")
('v1.11.3', '"1.37"', "'1.37'")
"""

from __future__ import annotations

import json
import re

from ruamel.yaml import YAML

_STRING = "tag:yaml.org,2002:str"
_PLAIN = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._/:@-]*[A-Za-z0-9._/@-])?")


def render(value: str, style: str | None = None) -> str:
    """The value in single quotes if the style is ``'``; plain if the style is ``None`` and the value stays a string;
    otherwise in double quotes.

    :param style: as ruamel.yaml names the styles of scalars
    """
    if style == "'":
        return "'" + value.replace("'", "''") + "'"
    return value if style is None and _reads_as_string(value) else json.dumps(value, ensure_ascii=False)


def quote(value: str) -> str:
    """The value in double quotes, with escapes for characters beyond ASCII."""
    return json.dumps(value)


def _reads_as_string(value: str) -> bool:
    """Whether YAML 1.1 and 1.2 both read a plain scalar as a string: true for ``v1.11.3``, false for ``1.37``."""
    if not _PLAIN.fullmatch(value):
        return False
    for version in (1, 1), (1, 2):
        reader = YAML(typ="safe", pure=True)
        reader.version = version
        if reader.compose(value).tag != _STRING:
            return False
    return True
