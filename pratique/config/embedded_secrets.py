"""Finds secrets inside values of the configuration, such as a password in a URL.

>>> embedded_secret("https://me:pass@git.example/x", address=True)
'The address holds credentials: a user name or a password.'
>>> embedded_secret("git@git.example:x", address=True), embedded_secret("ssh://git@git.example/x", address=True)
(None, None)

Prefect stores the parameters of a run, and shows them. So no value may hold a secret:

- **An address** (URL, ``user@host:path``, image reference) has no password, no query and no fragment, in whatever
  scheme; a user name only for SSH, which needs one. Nothing in it is percent-encoded before its path.
- **Every other value** must be free of what would be masked in a log (:mod:`pratique.masking`).

Both are checked on the value as it is and percent-decoded. :data:`ADDRESS_PATTERN` is the part of the rule that a JSON
schema can express: Prefect's server refuses such a parameter before it stores anything.

Facts: RFC 3986, sections 2.1 and 3.2.1; git, ``git help fetch``, "GIT URLS".
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from urllib.parse import unquote

from pratique.masking import masked

_LOGIN = "The address holds credentials: a user name or a password."
_QUERY = "The address has a query or a fragment, in which tokens and signatures travel."
_ENCODED = "The address has percent-encoded characters before its path."
_SECRET = "It holds a secret, such as a token, a private key or a signed URL."  # noqa: S105

_AT = "(?:@|%(?:25)*40)"
_COLON = "(?::|%(?:25)*3[aA])"
_AUTHORITY = rf"{_COLON}(?:[\\/]|%(?:25)*(?:2[fF]|5[cC])){{2}}"  # what introduces it
_NO_DIGEST = "(?!sha[0-9]+:)"  # registry/repository:tag@sha256:…
#: In an address with a login. Bounded, so that the time is linear; masking finds longer passwords.
_LOGINS = (
    rf"(?<![sS][sS][hH]){_AUTHORITY}[^\s/?#\\]*{_AT}",
    rf"{_AUTHORITY}[^\s/?#@\\]*{_COLON}[^\s@]{{0,300}}@{_NO_DIGEST}",
    rf"^[\\/]{{2}}[^\s/?#\\]*{_AT}",
    rf"^[^\s/?#@:\\]+{_COLON}(?![\\/]{{2}})[^\s@]{{0,300}}{_AT}{_NO_DIGEST}",  # user:password@host:path
)
_ENCODINGS = (rf"{_AUTHORITY}[^\s/?#\\]*%", "^[^/:%]*%[^/]*:")
_QUERY_OF_URL = rf"(?=[\s\S]*[?#])[\s\S]*{_AUTHORITY}"
_TOKENS = r"PRIVATE KEY-----|\bgh[opsur]_\w{20}|\bglpat-[\w-]{16}|\beyJ[\w-]{8,200}\.[\w-]{8}"

#: In a JSON schema, for an address.
ADDRESS_PATTERN = rf"^(?!{_QUERY_OF_URL})(?![\s\S]*(?:{'|'.join((*_LOGINS, *_ENCODINGS, _TOKENS))}))"
#: In a JSON schema, for other values.
TEXT_PATTERN = rf"^(?![\s\S]*(?:{'|'.join((*_LOGINS[:2], _TOKENS))}))"

_SECRET_NAME = re.compile(
    r"(?:passw(?:or)?d|passphrase|secret|token|credentials?|signature|sas|pwd"
    r"|(?:private|access|account|api|shared|encryption|signing|storage)[_-]?key|connection[_-]?string)[0-9]*$",
    re.IGNORECASE,
)
_RULES = (
    (re.compile("|".join(_LOGINS)), _LOGIN),
    (re.compile(f"^{_QUERY_OF_URL}"), _QUERY),
    (re.compile("|".join(_ENCODINGS)), _ENCODED),
)


def embedded_secret(text: str, *, address: bool) -> str | None:
    """What is wrong with a value that holds a secret, without the value; ``None`` when it holds none.

    :param address: whether the value is an address
    """
    for form in _decoded(text):
        if address:
            for pattern, problem in _RULES:
                if pattern.search(form):
                    return problem
        if masked(form) != form:
            return _SECRET
    return None


def has_secret_name(name: str) -> bool:
    """Whether a value of this name is a secret, such as that of ``adminPassword``; not that of ``secretName``."""
    return _SECRET_NAME.search(name) is not None


def _decoded(text: str) -> Iterator[str]:
    """The text, and what it is after each round of percent-decoding."""
    for _ in range(5):
        yield text
        decoded = unquote(text)
        if decoded == text:
            return
        text = decoded
