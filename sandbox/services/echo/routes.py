"""Services that return the client's public address; the walkthrough needs it for the vault's firewall."""

from __future__ import annotations

from starlette.responses import PlainTextResponse, Response

from sandbox.core.routing import Call, Service

echo = Service("echo", ("ifconfig.io", "api.ipify.org", "checkip.amazonaws.com"))


@echo.get("/")
@echo.head("/")
@echo.get("/ip")
async def address(call: Call) -> Response:
    """The address, followed by a newline where the real service sends one."""
    return PlainTextResponse(call.client.address + ("" if call.host == "api.ipify.org" else "\n"))
