"""The HTTP client of a run keeps connections and hosts apart."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx
import pytest

from pratique import http_pool
from pratique.http_pool import AT_ONCE, open_http
from tests.conftest import RunningSandbox
from tests.waiting import HANGS

KUBERNETES = "https://registry.k8s.io/v2/"
GITHUB = "https://ghcr.io/v2/"


class Server:
    """Answers each request when it is told to, and counts its connections.

    :ivar waiting: requests without an answer
    """

    def __init__(self) -> None:
        self.connections = self.waiting = self.most = 0
        self.open, self.arrivals = asyncio.Event(), asyncio.Semaphore(0)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            while await reader.readuntil(b"\r\n\r\n"):
                self.waiting += 1
                self.most = max(self.most, self.waiting)
                self.arrivals.release()
                await self.open.wait()
                self.waiting -= 1
                writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok")
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()


@asynccontextmanager
async def served() -> AsyncIterator[tuple[Server, str]]:
    server = Server()
    listening = await asyncio.start_server(server.serve, "127.0.0.1", 0)
    try:
        yield server, f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}/"
    finally:
        listening.close()


async def until(server: Server, requests: int) -> None:
    """Wait until so many requests have arrived since the last call."""
    async with asyncio.timeout(HANGS):
        for _ in range(requests):
            await server.arrivals.acquire()


async def test_the_sandbox_over_tls(sandbox: RunningSandbox) -> None:
    """Through the proxy, and with the authority, that the environment names; with each host's own answer."""
    async with open_http(HANGS) as http:
        answers = await asyncio.gather(*(http.get(url) for url in (KUBERNETES, GITHUB) for _ in range(60)))
    assert {(answer.url.host, answer.status_code) for answer in answers} == {("registry.k8s.io", 200), ("ghcr.io", 401)}
    assert len(sandbox.azure.requests.since()) == 120


async def test_no_proxy_and_connections(monkeypatch: pytest.MonkeyPatch) -> None:
    """A host in NO_PROXY is asked directly; requests wait in front of its connections, which are used again."""
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    async with served() as (server, url), open_http(HANGS) as http:
        work = asyncio.gather(*(http.get(url) for _ in range(10 * AT_ONCE)))
        await until(server, AT_ONCE)
        server.open.set()
        assert {answer.text for answer in await work} == {"ok"}
        assert (server.connections, server.most) == (AT_ONCE, AT_ONCE)


async def test_a_proxy_that_is_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    """Errors are httpx's own, and a request that failed leaves its place to others."""
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    monkeypatch.delenv("NO_PROXY", raising=False)
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.setattr(http_pool, "AT_ONCE", 1)
    async with open_http(HANGS) as http:
        for _ in range(3):
            with pytest.raises(httpx.ConnectError):
                await http.get("http://registry.example/")


async def test_places_are_given_back(monkeypatch: pytest.MonkeyPatch) -> None:
    """After a cancelled request, a body that nobody reads, and a time-out, the next request is sent."""
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setattr(http_pool, "AT_ONCE", 1)
    async with served() as (server, url), open_http(HANGS) as http:
        cancelled = asyncio.create_task(http.get(url))
        await until(server, 1)
        cancelled.cancel()
        with pytest.raises(asyncio.CancelledError):
            await cancelled
        with pytest.raises(httpx.ReadTimeout):
            await http.get(url, timeout=0.05)
        server.open.set()
        async with http.stream("GET", url) as unread:
            assert unread.status_code == 200
        assert (await http.get(url)).text == "ok"


async def test_a_slow_host_does_not_delay_others(monkeypatch: pytest.MonkeyPatch) -> None:
    """However many requests wait for one host, another one is asked at once."""
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    async with served() as (slow, slow_url), served() as (quick, quick_url), open_http(HANGS) as http:
        waiting = asyncio.gather(*(http.get(slow_url) for _ in range(5 * AT_ONCE)))
        await until(slow, AT_ONCE)
        quick.open.set()
        assert (await http.get(quick_url)).text == "ok"
        slow.open.set()
        await waiting
