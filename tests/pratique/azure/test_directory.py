"""The worker's public address, as others see it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from ipaddress import IPv4Address

import httpx
import pytest
from aiohttp import web

from pratique.azure.directory import egress_address
from pratique.config import Access
from pratique.errors import ConfigurationError, PratiqueError, Unavailable, UnreadableAnswer
from tests.conftest import RunningSandbox


@asynccontextmanager
async def services(*texts: str) -> AsyncIterator[list[str]]:
    """Servers on loopback, each with its answer; an empty one fails."""

    async def answer(request: web.Request) -> web.Response:
        text = texts[int(request.match_info["number"])]
        return web.Response(text=text) if text else web.Response(status=503)

    app = web.Application()
    app.router.add_get("/{number}", answer)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    port = runner.addresses[0][1]
    yield [f"http://127.0.0.1:{port}/{number}" for number in range(len(texts))]
    await runner.cleanup()


async def test_the_default_services(sandbox: RunningSandbox) -> None:
    """The walkthrough's own and two more, over TLS: all are asked, and they agree."""
    services = Access().address_services
    assert len(services) == 3
    async with httpx.AsyncClient() as http:
        assert await egress_address(http, services) == IPv4Address("203.0.113.10")
        for service in services:
            assert await egress_address(http, [service]) == IPv4Address("203.0.113.10")


async def test_those_that_fail_are_passed_over() -> None:
    """One answer is enough."""
    async with services("", "203.0.113.7\n", "203.0.113.7") as urls, httpx.AsyncClient() as http:
        assert await egress_address(http, urls) == IPv4Address("203.0.113.7")


async def test_a_service_that_is_reached_by_ipv6_has_no_say() -> None:
    """A worker with both kinds of addresses is told apart from one that has no other."""
    async with services("2001:db8::1", "203.0.113.7") as urls, httpx.AsyncClient() as http:
        assert await egress_address(http, urls) == IPv4Address("203.0.113.7")


@pytest.mark.parametrize(
    ("texts", "expected", "says"),
    [
        (("", ""), Unavailable, "None of the services answers: "),
        (("203.0.113.7", "203.0.113.7", "203.0.113.8"), ConfigurationError, "203.0.113.7 and 203.0.113.8"),
        (("10.1.2.3", "203.0.113.7"), ConfigurationError, "not a public address"),
        (("2001:db8::1", ""), ConfigurationError, "IPv4"),
        (("203.0.113.7", "203.0.113.8"), ConfigurationError, "203.0.113.7 and 203.0.113.8"),
        (("10.1.2.3",), ConfigurationError, "not a public address"),
        (("100.64.0.1",), ConfigurationError, "not a public address"),
        (("2001:db8::1",), ConfigurationError, "IPv4"),
        (("<html>",), UnreadableAnswer, "<html>"),
        (("203.0.113.7", "<html>"), UnreadableAnswer, "<html>"),
        ((), ConfigurationError, "address_services is empty"),
    ],
)
async def test_what_is_no_answer(texts: tuple[str, ...], expected: type[PratiqueError], says: str) -> None:
    """No guess is made: the address will stand in a firewall."""
    async with services(*texts) as urls, httpx.AsyncClient() as http:
        with pytest.raises(expected) as refused:
            await egress_address(http, urls)
    assert says in refused.value.observed
