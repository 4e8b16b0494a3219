"""Names of products by CPE, as far as OpenVEX statements use them.

>>> Cpe.parse("cpe:2.3:a:busybox:busybox:1.37.0:*:*:*:*:*:*:*")
Cpe(product='busybox', version='1.37.0', whole=True)

Grammar: NISTIR 7695, "Common Platform Enumeration: Naming Specification Version 2.3"; the URI of version 2.2 as well.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import unquote

_PREFIX = re.compile(r"cpe:2\.3:|cpe:/")
_ANY = ("", "*")


@dataclass(frozen=True)
class Cpe:
    """Product and version, in lower case.

    :ivar version: empty for any
    :ivar whole: whether it is about every update, edition and system of that version
    """

    product: str
    version: str
    whole: bool

    @classmethod
    def parse(cls, text: str) -> Cpe:
        """Read a name.

        :raises ValueError: when it is none, or names no product
        """
        text = text.strip().lower()
        prefix = _PREFIX.match(text)
        fields = [_plain(field) for field in re.split(r"(?<!\\):", text[prefix.end() :])] if prefix else []
        if len(fields) < 3 or fields[2] in _ANY:
            raise ValueError(f"{text!r} is not the CPE of a product")
        version, *others = fields[3:] or [""]
        return cls(fields[2], "" if version in _ANY else version, all(field in (*_ANY, "-") for field in others))


def _plain(field: str) -> str:
    return unquote(field).replace("\\", "")
