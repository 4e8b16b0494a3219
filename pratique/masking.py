"""Removes secrets from text that people, logs and records will see.

>>> masked("Failed: https://me:pass@git.example/x?ref=main and https://store.example/b?se=1&sig=abc%3D")
'Failed: https://***@git.example/x?ref=main and https://store.example/b?***'
>>> masked("the registry said: hello open-sesame", ["open-sesame"])
'the registry said: hello ***'
>>> masked('{"refresh_token": "abc", "scope": "push"}')
'{"refresh_token": "***", "scope": "push"}'

What a service answers may repeat what it was sent, and addresses may be signed: whoever has such a URL needs no login.
A text is masked where it becomes part of an error (:class:`~pratique.errors.PratiqueError`) or of a log
(:func:`mask_logs`), and before it is shortened: half a secret no longer looks like one. Text without secrets stays as
it is. The time is linear in the length of the text, whoever wrote it.

Facts: RFC 3986, section 3.2.1; Azure Storage, "Create a service SAS"; AWS, "Authenticating Requests: Using Query
Parameters"; Google Cloud Storage, "Signed URLs"; RFC 6749; RFC 6750; RFC 7519.
"""

from __future__ import annotations

import base64
import json
import logging
import re
from collections.abc import Callable, Iterable, Iterator
from typing import Any
from urllib.parse import quote, quote_plus

MASK = "***"
SHORTEST = 4  # characters of a secret that is searched for: shorter ones are in every text
_SHORTEST_BASE64 = 8  # characters of a secret's base64 that are searched for within other base64
_MARGIN = 8 * 1024  # characters, within which a secret that begins before a cut ends
_URLSAFE = str.maketrans("+/", "-_")
_URL = re.compile(r"(?<![A-Za-z0-9+.-])[A-Za-z][A-Za-z0-9+.-]*://[^\s<>\"'`\\]+")
#: A login up to the last @ of the address, or, where a password holds characters of a path or a query, of the URL.
_LOGIN = re.compile(r"(?:[^/?#]*@|[^/?#@:]*:\S*@(?!sha[0-9]+:))")
#: The same in an address within the path or the query of another one.
_INNER_LOGIN = re.compile(r"(?<=://)[^/?#@:]{0,200}:[^/?#@]{0,200}@")
#: A user name alone, as in ssh://git@host: no secret there, while for HTTP it may be a token.
_USER = re.compile(r"(?!https?://)[A-Za-z0-9+.-]+://[^/?#@:]*@", re.IGNORECASE)
#: Part of the name of a parameter, of a query or a fragment, that holds a signature, a token or a password.
_SECRET_NAME = re.compile(
    r"sig|secret|token|passw|pwd|api-?key|access-?key|credential|assertion|verify|hmac|auth|code", re.IGNORECASE
)
_PARAMETERS = re.compile(r"[&;?#]")
#: The parameters by which Resource Manager signs the addresses of operations.
_OPERATION = re.compile(r"(?=.*[?&]t=)(?=.*[?&]c=)(?=.*[?&]s=)")
#: Names of fields of forms, JSON and headers that hold a secret, unlike token_type, skiptoken or secret_name.
_FIELD = (
    r"(?:(?<![A-Za-z])(?:(?:access|refresh|id|identity|bearer|private|job|deploy|auth|security|registry)[_-]?)?token"
    r"|(?<![A-Za-z])(?:client[_-]?|shared[_-]?)?(?:secret|assertion)|(?:account|shared[_-]?access|api|access)[_-]?key"
    r"|pass(?:word|wd|phrase)|(?<![A-Za-z])pwd|(?<![A-Za-z])sig|signature|authorization)"
)
_AT = r"(?:@|%(?:25)*40)"
_SLASHES = r"(?::(?:\\+/){2}|%(?:25)*3A(?:%(?:25)*2F){2})"  # as JSON and as URLs escape them
#: What names the place of a secret, as errors about secrets do.
_LOCATION = re.compile(r"(?:env|file|prefect-secret)(?::|%3A)", re.IGNORECASE)
_NAMED = re.compile(r"(?:token|secret|assertion|key|word|wd|phrase|sig|signature|authorization)(?:\\*[\"'])?\s*[:=%]")
#: What introduces a secret, and the secret.
_FIELDS = (
    re.compile(
        r"(authorization\s*[:=]\s*)((?:Basic|Bearer|Token|Negotiate|Digest|SharedKey|AWS4-HMAC-SHA256)\s[^\r\n\"']+)",
        re.IGNORECASE,
    ),
    re.compile(rf"({_FIELD}\"\s*[:=]\s*\")((?:[^\"\\]|\\.)+)", re.IGNORECASE | re.DOTALL),
    re.compile(rf"({_FIELD}'\s*[:=]\s*')((?:[^'\\]|\\.)+)", re.IGNORECASE | re.DOTALL),
    # JSON within JSON: the value ends at the first quote with as few backslashes as the one at its beginning.
    re.compile(rf"({_FIELD}\\\"\s*[:=]\s*\\\")(.+?)(?=(?<!\\)\\\"|$)", re.IGNORECASE | re.DOTALL),
    re.compile(rf"({_FIELD}(?:=|%(?:25)*3D)[\"']?)([^\s&;,\"'<>\\)\]}}]+)", re.IGNORECASE),
)
#: The same for a login in an escaped URL, and in an address without a scheme.
_ESCAPED_LOGINS = (
    re.compile(rf"({_SLASHES})([^\s/?#&\"'<>\\@]{{1,200}}?)(?={_AT})", re.IGNORECASE),
    re.compile(
        r"((?<![^\s\"'(<=,])(?!(?:file|env|prefect-secret):)[\w.+~-]+:)"
        r"([^\s/:@\"']+)(?=@(?!sha[0-9]+:)[A-Za-z0-9-]+(?:\.[A-Za-z0-9-]+)+[:/])"
    ),
)
#: What a text in lower case contains if it may hold such a secret; the secret.
_SECRETS = (
    (
        "-----begin ",
        re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(?:-----END [A-Z ]*PRIVATE KEY-----|$)", re.DOTALL),
    ),
    # The same as base64; certificates are public.
    ("ls0tls1crudjti", re.compile(r"LS0tLS1CRUdJTi(?!BDRVJU)[A-Za-z0-9+/=_-]{8,}")),
    ("eyj", re.compile(r"(?<![\w-])eyJ[\w-]{8,}\.[\w-]{8,}(?:\.[\w-]*)?")),  # a JSON web token
    ("bearer ", re.compile(r"(?<=\bBearer )[\w.~+/-]{16,}=*", re.IGNORECASE)),
    ("basic ", re.compile(r"(?<=\bBasic )[A-Za-z0-9+/]{16,}=*", re.IGNORECASE)),
    ("gh", re.compile(r"\b(?:gh[opsur]_\w{20,}|github_pat_\w{20,})")),
    ("glpat-", re.compile(r"\bglpat-[\w-]{16,}")),
    ("key=", re.compile(r"(?<=AccountKey=)[^;\s]+|(?<=SharedAccessKey=)[^;\s]+")),
    ("signature=", re.compile(r"(?<=SharedAccessSignature=)\S+")),
)


def masked(text: str, secrets: Iterable[str] = ()) -> str:
    """The text without secrets: logins and signatures in URLs, tokens, private keys, and the given ones.

    :param secrets: known secrets; also found encoded, as in URLs, JSON and base64
    """
    known = {form for secret in secrets if len(secret) >= SHORTEST for form in _forms(secret)}
    for form in sorted(known, key=len, reverse=True):
        text = text.replace(form, MASK)
    if "://" in text:
        text = _URL.sub(lambda url: _masked_url(url[0]), text)
    lower = text.lower()
    for hint, pattern in _SECRETS:
        if hint in lower:
            text = pattern.sub(MASK, text)
    if "@" in text or "40" in text:
        text = _replaced(_ESCAPED_LOGINS, text)
    return _replaced(_FIELDS, text) if _NAMED.search(lower) else text


def shortened(text: str, longest: int) -> str:
    """The beginning of a text, masked before it is cut, as half a secret no longer looks like one.

    :param longest: characters
    """
    return masked(text[: longest + _MARGIN])[:longest]


def mask_logs() -> None:
    """Mask every record that this process logs from now on, with its traceback, whatever the logger.

    Prefect sends the records of several loggers to its server, among them those that its users add
    (``PREFECT_LOGGING_EXTRA_LOGGERS``), which may be those of HTTP clients and Azure's SDKs.
    """
    create = logging.getLogRecordFactory()
    if not isinstance(create, _MaskedRecords):
        logging.setLogRecordFactory(_MaskedRecords(create))


class _MaskedRecords:
    def __init__(self, create: Callable[..., logging.LogRecord]) -> None:
        self._create = create

    def __call__(self, *args: Any, **kwargs: Any) -> logging.LogRecord:
        record = self._create(*args, **kwargs)
        try:
            said = record.getMessage()
        except Exception:  # logging reports arguments that do not fit, where the record is handled
            return record
        if (shown := masked(said)) != said:
            record.msg, record.args = shown, None
        if record.exc_info and record.exc_info[0] is not None:
            trace = logging.Formatter().formatException(record.exc_info)
            if (shown := masked(trace)) != trace:
                record.exc_text = shown
        return record


def _replaced(patterns: Iterable[re.Pattern[str]], text: str) -> str:
    for pattern in patterns:
        text = pattern.sub(_masked_value, text)
    return text


def _masked_value(found: re.Match[str]) -> str:
    return found[0] if _LOCATION.match(found[2]) else f"{found[1]}{MASK}"


def _masked_url(url: str) -> str:
    start = url.index("://") + 3
    if not _USER.match(url) and (login := _LOGIN.match(url, start)):
        url = f"{url[:start]}{MASK}@{url[login.end() :]}"
    url = _INNER_LOGIN.sub(f"{MASK}@", url)
    address, mark, query = url.partition("?")
    if not mark:
        address, mark, query = url.partition("#")
    if mark and (_has_secret_parameter(query) or _OPERATION.match(mark + query)):
        query = MASK
    return f"{address}{mark}{query}"


def _has_secret_parameter(query: str) -> bool:
    named = (parameter.partition("=") for parameter in _PARAMETERS.split(query))
    return any(equals and _SECRET_NAME.search(name) for name, equals, _ in named)


def _forms(secret: str) -> Iterator[str]:
    """The secret as a service may repeat it."""
    yield secret
    yield quote(secret, safe="")
    yield quote_plus(secret)
    yield quote(quote(secret, safe=""), safe="")
    yield json.dumps(secret)[1:-1]
    yield json.dumps(secret, ensure_ascii=False)[1:-1]
    yield json.dumps(json.dumps(secret)[1:-1])[1:-1]
    yield repr(secret)[1:-1]
    data = secret.encode("utf-8", "surrogateescape")
    encoded = base64.b64encode(data).decode()
    for form in (encoded, encoded.rstrip("="), *_inside_base64(data)):
        yield form
        yield form.translate(_URLSAFE)


def _inside_base64(data: bytes) -> Iterator[str]:
    """What base64 of anything that contains the data has in common, wherever the data begins: ``user:password``."""
    for shift in range(3):
        encoded = base64.b64encode(b"\0" * shift + data).decode()
        inner = encoded[4 if shift else 0 : (shift + len(data)) // 3 * 4]
        if len(inner) >= _SHORTEST_BASE64:
            yield inner
