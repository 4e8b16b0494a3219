"""How a registry asks for authentication: the ``WWW-Authenticate`` header of a 401 response.

Facts: RFC 9110, section 11.6; CNCF Distribution, "Token Authentication Specification".
"""

from __future__ import annotations

import re
from dataclasses import dataclass

_FIELD = re.compile(r'(\w+)="([^"]*)"')
_SCHEME = re.compile(r"\b(bearer|basic)\s+", re.IGNORECASE)


@dataclass(frozen=True)
class Challenge:
    """A ``WWW-Authenticate`` header.

    :ivar scheme: ``bearer`` or ``basic``
    :ivar realm: URL of the token endpoint, for bearer
    """

    scheme: str
    realm: str = ""
    service: str = ""
    scope: str = ""

    @classmethod
    def parse(cls, header: str) -> Challenge | None:
        """The bearer challenge of the header, else its basic one, or ``None``."""
        _, *parts = _SCHEME.split(header)  # scheme, its fields, the next scheme, …
        found = {}
        for scheme, text in zip(parts[::2], parts[1::2], strict=True):
            fields = {name.lower(): value for name, value in _FIELD.findall(text)}
            known = {name: fields.get(name, "") for name in ("realm", "service", "scope")}
            found[scheme.lower()] = cls(scheme.lower(), **known)
        return found.get("bearer") or found.get("basic")
