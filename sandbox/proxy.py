"""The CONNECT proxy: terminates the client's TLS itself, with a certificate for the requested host.

The proxy answers the CONNECT, starts TLS on the same transport, and hands the connection to the HTTP server. It
refuses hosts that no service answers for, so nothing leaves the machine. Requests without TLS are handed to the HTTP
server as they are, if a service without TLS answers for their host.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import logging
import socket
import struct
from collections.abc import Callable
from typing import Any, cast

from uvicorn.config import Config
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.server import ServerState

from sandbox.tls import CertificateAuthority

_log = logging.getLogger(__name__)
_LONGEST_HEAD = 16_384
_HANDSHAKE_SECONDS = 600.0  # ends what hangs, and no client that is slow
_IDLE_SECONDS = 600  # longer than clients keep a connection: else one is closed while a request is on its way


class Proxy:
    """Accepts CONNECT requests, and plain ones.

    :param application: the ASGI application behind the proxy
    :param serves: whether the sandbox serves a host
    :param serves_plainly: whether it serves a host without TLS
    :param blocks: whether the network's policy denies a host to a client, by the user name that it gave to the proxy
    """

    def __init__(
        self,
        application: Any,
        authority: CertificateAuthority,
        serves: Callable[[str], bool],
        serves_plainly: Callable[[str], bool],
        blocks: Callable[[str, str], bool],
    ) -> None:
        self._config = Config(
            application,
            lifespan="off",
            log_config=None,
            access_log=False,
            ws="none",
            date_header=False,
            timeout_keep_alive=_IDLE_SECONDS,
        )
        self._config.load()
        self._server_state = ServerState()
        self._authority = authority
        self.serves = serves
        self.serves_plainly = serves_plainly
        self.blocks = blocks
        self._users: dict[tuple[str, int], str] = {}
        self._server: asyncio.Server | None = None
        self._tunnels: dict[tuple[str, int], _Tunnel] = {}

    async def start(self, address: str, port: int) -> int:
        """Listen on an IP address; port 0 picks a free one. Returns the port."""
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(lambda: _Tunnel(self), address, port)
        return int(self._server.sockets[0].getsockname()[1])

    async def stop(self) -> None:
        if self._server is not None:
            self._server.close()
        for tunnel in list(self._tunnels.values()):
            tunnel.abort()
        for task in list(self._server_state.tasks):
            task.cancel()
        await asyncio.gather(*self._server_state.tasks, return_exceptions=True)

    def user(self, peer: tuple[str, int]) -> str:
        """The user name that the client on this connection gave to the proxy; empty without one."""
        return self._users.get(peer, "")

    def users(self) -> set[str]:
        """The user names of all connected clients."""
        return set(self._users.values())

    def abort(self, peer: tuple[str, int]) -> None:
        """Reset the client's connection (TCP RST)."""
        if (tunnel := self._tunnels.get(peer)) is not None:
            at_once = struct.pack("ii", 1, 0)
            tunnel.transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, at_once)
            tunnel.abort()

    async def upgrade(self, tunnel: _Tunnel, transport: asyncio.Transport, host: str, user: str) -> None:
        """Turn an accepted tunnel into a TLS connection of the HTTP server."""
        # For IPv6, drop flow info and scope id: the HTTP server names its clients without them.
        peer = transport.get_extra_info("peername")[:2]
        self._users[peer] = user
        transport.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
        http = _EarlyDataHttp(self._config, self._server_state, app_state={}, closed=lambda: self._closed(peer))
        self._tunnels[peer] = tunnel
        try:
            secure = await asyncio.get_running_loop().start_tls(
                transport,
                http,
                self._authority.context(host),
                server_side=True,
                ssl_handshake_timeout=_HANDSHAKE_SECONDS,
            )
        except (OSError, asyncio.CancelledError) as error:
            _log.info("TLS handshake for %s failed: %s", host, error)
            self._closed(peer)
            return
        if secure is not None:
            tunnel.transport = secure
            http.begin(secure)

    def hand_over(self, tunnel: _Tunnel, transport: asyncio.Transport, received: bytes, user: str) -> None:
        """Let the HTTP server answer on a connection without TLS."""
        peer = transport.get_extra_info("peername")[:2]
        self._users[peer], self._tunnels[peer] = user, tunnel
        http = _EarlyDataHttp(self._config, self._server_state, app_state={}, closed=lambda: self._closed(peer))
        transport.set_protocol(http)
        http.begin(transport)
        http.data_received(received)

    def _closed(self, peer: tuple[str, int]) -> None:
        self._users.pop(peer, None)
        self._tunnels.pop(peer, None)


class _Tunnel(asyncio.Protocol):
    """One client connection until its CONNECT is answered."""

    def __init__(self, proxy: Proxy) -> None:
        self._proxy = proxy
        self._head = b""
        self._task: asyncio.Task[None] | None = None
        self.transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        self._head += data
        if b"\r\n\r\n" in self._head:
            self._connect(self._head.split(b"\r\n\r\n")[0].decode("latin-1"))
        elif len(self._head) > _LONGEST_HEAD:
            self.abort()

    def abort(self) -> None:
        self.transport.abort()

    def _connect(self, head: str) -> None:
        request, *lines = head.split("\r\n")
        method, _, rest = request.partition(" ")
        host, _, port = rest.split(" ")[0].lower().rpartition(":")
        user = _proxy_user(lines)
        if method != "CONNECT" and self._proxy.serves_plainly(_plain_host(lines)):
            self._proxy.hand_over(self, self.transport, self._head, user)
        elif method != "CONNECT":
            self._refuse(405, "The sandbox proxies HTTPS only. Set HTTPS_PROXY, not HTTP_PROXY.")
        elif port != "443" or not self._proxy.serves(host):
            self._refuse(403, f"The sandbox does not support {host}:{port}, and nothing leaves this machine.")
        elif self._proxy.blocks(host, user):
            self._refuse(403, f"The network policy denies {host}.")
        else:
            upgrade = self._proxy.upgrade(self, self.transport, host, user)
            self._task = asyncio.get_running_loop().create_task(upgrade)

    def _refuse(self, status: int, reason: str) -> None:
        body = f"{reason}\n".encode()
        head = f"HTTP/1.1 {status} {reason}\r\nContent-Type: text/plain\r\nContent-Length: {len(body)}\r\n\r\n"
        self.transport.write(head.encode() + body)
        self.transport.close()


class _EarlyDataHttp(HttpToolsProtocol):
    """uvicorn's HTTP protocol on a transport that was upgraded to TLS.

    The first request may arrive with the end of the handshake, before ``start_tls`` has returned the transport:
    it is buffered until then.
    """

    def __init__(self, *arguments: Any, closed: Callable[[], None], **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._early: list[bytes] | None = []
        self._on_closed = closed

    def begin(self, transport: asyncio.Transport) -> None:
        early, self._early = self._early or [], None
        self.connection_made(transport)
        for data in early:
            super().data_received(data)

    def data_received(self, data: bytes) -> None:
        if self._early is not None:
            self._early.append(data)
        else:
            super().data_received(data)

    def eof_received(self) -> None:
        if self._early is None:
            super().eof_received()

    def connection_lost(self, exc: Exception | None) -> None:
        self._on_closed()
        if self._early is None:
            super().connection_lost(exc)


def _plain_host(lines: list[str]) -> str:
    """The host of a request that is no CONNECT."""
    headers = dict(line.lower().split(":", 1) for line in lines if ":" in line)
    return headers.get("host", "").strip().partition(":")[0]


def _proxy_user(lines: list[str]) -> str:
    for line in lines:
        name, _, value = line.partition(":")
        scheme, _, credentials = value.strip().partition(" ")
        if name.lower() == "proxy-authorization" and scheme.lower() == "basic":
            try:
                return base64.b64decode(credentials).decode().split(":")[0]
            except (binascii.Error, UnicodeDecodeError):
                return ""
    return ""
