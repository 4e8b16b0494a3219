"""Errors of the SDK, made from real answers."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from aiohttp import web
from azure.core import AsyncPipelineClient, exceptions
from azure.core.rest import HttpRequest

Answer = Callable[[int, Any, dict[str, str]], Any]
URL = "http://127.0.0.1"


@pytest.fixture
async def refusal() -> AsyncIterator[Answer]:
    """Gives the SDK's error for an answer that a server on loopback really sent."""
    answers: list[web.Response] = []
    runner = web.AppRunner(app := web.Application())

    async def first(_: web.Request) -> web.Response:
        return answers.pop(0)

    app.router.add_get("/", first)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    port = runner.addresses[0][1]
    async with AsyncPipelineClient[HttpRequest, Any](f"{URL}:{port}", policies=[]) as client:

        async def refuse(status: int, body: Any, headers: dict[str, str]) -> exceptions.HttpResponseError:
            answers.append(web.Response(status=status, text=json.dumps(body), headers=headers))
            response = await client.send_request(HttpRequest("GET", f"{URL}:{port}/"))
            return exceptions.HttpResponseError(response=response)

        yield refuse
    await runner.cleanup()
