"""Answers of HTTP services that may be broken or hostile: limited in size, and JSON that is read without surprises."""

from __future__ import annotations

import json
import re
from typing import Any

import httpx

from pratique.errors import UnreadableAnswer
from pratique.http_errors import connection_faults
from pratique.masking import shortened

_PAGE = re.compile(rb"\s*<(?:!doctype\s+html|html)\b", re.IGNORECASE)


async def send(
    http: httpx.AsyncClient, method: str, url: str, *, attempted: str, subject: str, largest: int, **options: Any
) -> httpx.Response:
    """Send a request, and read the response with its body.

    :param largest: bytes of the body, after it is decompressed
    :param options: of :meth:`httpx.AsyncClient.stream`
    :raises UnreadableAnswer: when the body is larger, or the address, which an answer may have given, is not one
    :raises NetworkDenied: when the network's proxy denies the host
    :raises Unavailable: when there is no response
    """
    address = _with_host(url)
    if address is None:
        observed = f"The address {shortened(url, 100)!r} is not one."
        raise UnreadableAnswer(attempted, subject, observed, "Check the reference.")
    content = bytearray()
    with connection_faults(attempted, subject):
        async with http.stream(method, address, **options) as response:
            async for chunk in response.aiter_bytes():
                content += chunk
                if len(content) > largest:
                    observed = f"It is larger than {largest} bytes."
                    raise UnreadableAnswer(attempted, subject, observed, "Check the reference.")
    return httpx.Response(
        response.status_code, headers=_decoded(response.headers), content=bytes(content), request=response.request
    )


def json_of(response: httpx.Response) -> Any:
    """The JSON value of a body; ``None`` when it is not JSON, or nested too deeply to read."""
    try:
        return json.loads(response.content)
    except (ValueError, RecursionError):
        return None


def is_web_page(response: httpx.Response) -> bool:
    """Whether a response is a page for a browser, such as a login page."""
    declared = response.headers.get("Content-Type", "").partition(";")[0].strip().lower()
    return declared in ("text/html", "application/xhtml+xml") or bool(_PAGE.match(response.content))


def _with_host(url: str) -> httpx.URL | None:
    """The parsed address; ``None`` when it is not one, or names no host. Parsing is a tenth of a request's cost."""
    try:
        address = httpx.URL(url)
    except httpx.InvalidURL:
        return None
    return address if address.host else None


def _decoded(headers: httpx.Headers) -> httpx.Headers:
    """The headers, as bytes that need not be ASCII, without those that describe the encoded body."""
    dropped = (b"content-encoding", b"content-length", b"transfer-encoding")
    return httpx.Headers([(name, value) for name, value in headers.raw if name.lower() not in dropped])
