"""Services that tell a client its public address: what the walkthrough asks before it opens the vault's firewall."""

from __future__ import annotations

from starlette.responses import PlainTextResponse, Response

from sandbox.core.routing import Call, Service

echo = Service("echo", ("ifconfig.io", "api.ipify.org", "checkip.amazonaws.com"))


@echo.get("/")
@echo.head("/")
@echo.get("/ip")
async def address(call: Call) -> Response:
    """The address, on a line of its own where the real service does so."""
    return PlainTextResponse(call.client.address + ("" if call.host == "api.ipify.org" else "\n"))
