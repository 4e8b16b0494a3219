"""Removes secrets from text that people, logs and records will see.

>>> masked("Failed: https://me:pass@git.example/x?ref=main and https://store.example/b?se=1&sig=abc%3D")
'Failed: https://***@git.example/x?ref=main and https://store.example/b?***'
>>> masked("the registry said: hello open-sesame", ["open-sesame"])
'the registry said: hello ***'

What a service answers may repeat what it was sent, and addresses may be signed: whoever has such a URL needs no login.
A text is masked where it becomes part of an error (:class:`~pratique.errors.PratiqueError`) or of a log
(:class:`MaskingFilter`); text without secrets stays as it is.

Facts: RFC 3986, section 3.2.1; Azure Storage, "Create a service SAS"; AWS, "Authenticating Requests: Using Query
Parameters"; RFC 6750; RFC 7519.
"""

from __future__ import annotations

import base64
import json
import logging
import re
from collections.abc import Iterable, Iterator
from urllib.parse import quote, quote_plus

MASK = "***"
SHORTEST = 4  # characters of a secret that is searched for: shorter ones are in every text
_URL = re.compile(r"\b[A-Za-z][A-Za-z0-9+.-]*://[^\s<>\"'`\\]+")
#: A login up to the last @ of the address, or, where a password holds characters of a path or a query, of the URL.
_LOGIN = re.compile(r"(?<=://)(?:[^/?#]*@|[^/?#@:]*:\S*@(?!sha[0-9]+:))")
#: A user name alone, as in ssh://git@host: no secret there, while for HTTP it may be a token.
_USER = re.compile(r"(?!https?://)[A-Za-z0-9+.-]+://[^/?#@:]*@", re.IGNORECASE)
#: Names of parameters of a query or a fragment that hold a signature, a token or a password.
_SECRET_NAME = re.compile(
    r"(?:^|[&;?#])[^=&;]*(?:sig|secret|token|passw|pwd|api-?key|access-?key|credential|assertion|verify|hmac|auth|code)"
    r"[^=&;]*=",
    re.IGNORECASE,
)
#: The parameters by which Resource Manager signs the addresses of operations.
_OPERATION = re.compile(r"(?=.*[?&]t=)(?=.*[?&]c=)(?=.*[?&]s=)")
_TOKENS = (
    re.compile(r"\beyJ[\w-]{8,}\.[\w-]{8,}(?:\.[\w-]*)?"),  # a JSON web token
    re.compile(r"(?<=\bBearer )[\w.~+/-]{16,}=*|(?<=\bBasic )[A-Za-z0-9+/]{16,}=*", re.IGNORECASE),
    re.compile(r"\b(?:gh[opsur]_\w{20,}|github_pat_\w{20,}|glpat-[\w-]{16,})"),
    re.compile(r"(?<=AccountKey=)[^;\s]+|(?<=SharedAccessKey=)[^;\s]+|(?<=SharedAccessSignature=)\S+"),
    re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(?:-----END [A-Z ]*PRIVATE KEY-----|$)", re.DOTALL),
)


def masked(text: str, secrets: Iterable[str] = ()) -> str:
    """The text without secrets: logins and signatures in URLs, tokens, private keys, and the given ones.

    :param secrets: known secrets; also found encoded, as in URLs, JSON and base64
    """
    known = {form for secret in secrets if len(secret) >= SHORTEST for form in _forms(secret)}
    for form in sorted(known, key=len, reverse=True):
        text = text.replace(form, MASK)
    text = _URL.sub(lambda url: _masked_url(url[0]), text)
    for pattern in _TOKENS:
        text = pattern.sub(MASK, text)
    return text


class MaskingFilter(logging.Filter):
    """Masks the records of a logger, with their tracebacks."""

    def filter(self, record: logging.LogRecord) -> bool:
        record.msg, record.args = masked(record.getMessage()), None
        if record.exc_info and not record.exc_text:
            record.exc_text = logging.Formatter().formatException(record.exc_info)
        if record.exc_text:
            record.exc_text = masked(record.exc_text)
        return True


def _masked_url(url: str) -> str:
    if not _USER.match(url):
        url = _LOGIN.sub(f"{MASK}@", url, count=1)
    address, mark, query = url.partition("?")
    if not mark:
        address, mark, query = url.partition("#")
    if mark and (_SECRET_NAME.search(query) or _OPERATION.match(mark + query)):
        query = MASK
    return f"{address}{mark}{query}"


def _forms(secret: str) -> Iterator[str]:
    """The secret as a service may repeat it."""
    yield secret
    yield quote(secret, safe="")
    yield quote_plus(secret)
    yield json.dumps(secret)[1:-1]
    yield repr(secret)[1:-1]
    encoded = base64.b64encode(secret.encode("utf-8", "surrogateescape")).decode()
    yield encoded
    yield encoded.rstrip("=")
