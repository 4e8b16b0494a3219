"""The transport that all Azure clients share: one connection pool, and no wait that is as long as a service likes.

The SDKs wait for as long as ``Retry-After`` says, and fail on one that they cannot read. So answers are corrected
before the SDKs see them::

    with brief_waits():
        await revoke_role(session, assignment_id)

Facts: azure-core's retry policy and polling, which read the headers of the response.
"""

from __future__ import annotations

import math
import ssl
from collections.abc import AsyncIterator, Iterator, MutableMapping
from contextlib import asynccontextmanager, contextmanager
from contextvars import ContextVar
from typing import Any

import aiohttp
from azure.core.pipeline.transport import AioHttpTransport

from pratique.azure.pacing import Paces, shared_paces
from pratique.http_errors import retry_after

#: A service may ask for a longer wait, and is asked again after this one.
LONGEST_SECONDS = 60.0
#: The same for cleanup, which must not take long.
BRIEF_SECONDS = 5.0

_MILLISECONDS = ("retry-after-ms", "x-ms-retry-after-ms")
_brief: ContextVar[bool] = ContextVar("pratique_brief_waits", default=False)


@contextmanager
def brief_waits() -> Iterator[None]:
    """Wait only briefly for services that ask to wait, in this block."""
    token = _brief.set(True)
    try:
        yield
    finally:
        _brief.reset(token)


class Transport(AioHttpTransport):  # type: ignore[misc]  # the SDK exports it lazily, without a type
    """azure-core's transport, with bounded ``Retry-After`` headers.

    :ivar paces: counts the requests to Resource Manager
    """

    def __init__(self, paces: Paces, **options: Any) -> None:
        super().__init__(**options)
        self.paces = paces

    async def send(self, request: Any, **options: Any) -> Any:
        counted = self.paces.sent(request.method, request.url)
        try:
            response = await super().send(request, **options)
        except BaseException:
            if counted is not None:
                counted.answered()
            raise
        limit_waits(response.headers, BRIEF_SECONDS if _brief.get() else LONGEST_SECONDS)
        if counted is not None:
            counted.answered(response.status_code, response.headers)
        return response


@asynccontextmanager
async def open_transport(principal: str, *, connect_seconds: float, read_seconds: float) -> AsyncIterator[Transport]:
    """Open the connection pool.

    :param principal: whose requests are counted together, see :func:`~pratique.azure.pacing.shared_paces`
    """
    # aiohttp creates its own TLS context when it is imported; this one uses the current SSL_CERT_FILE.
    connector = aiohttp.TCPConnector(ssl=ssl.create_default_context())
    async with aiohttp.ClientSession(
        connector=connector, trust_env=True, cookie_jar=aiohttp.DummyCookieJar(), auto_decompress=False
    ) as pool:
        yield Transport(
            shared_paces(principal),
            session=pool,
            session_owner=False,
            connection_timeout=connect_seconds,
            read_timeout=read_seconds,
        )


def limit_waits(headers: MutableMapping[str, str], longest: float) -> None:
    """Shorten the waits that the headers ask for, and remove those that are no time.

    :param longest: in seconds
    """
    for name in ("retry-after", *_MILLISECONDS):
        if name not in headers:
            continue
        seconds = retry_after({"Retry-After" if name == "retry-after" else name: headers[name]})
        del headers[name]
        if seconds is not None:
            # Some of the SDKs' operations read only whole numbers.
            headers[name] = str(math.ceil(min(seconds, longest) * (1000 if name in _MILLISECONDS else 1)))
