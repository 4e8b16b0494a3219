"""Finds the service and the route for a request."""

from __future__ import annotations

import re
from collections.abc import Sequence
from urllib.parse import unquote

from starlette.responses import Response

from sandbox.core.errors import not_supported
from sandbox.core.routing import Call, Handler, Service


class Hosts:
    """The services by the hosts that they answer for.

    :param services: in the order in which requests are matched
    """

    def __init__(self, services: Sequence[Service]) -> None:
        self._services = services
        self._by_host: dict[tuple[str, bool], tuple[Service, ...]] = {}

    def services(self, host: str, *, plain: bool = False) -> tuple[Service, ...]:
        """The services for the host; empty when the sandbox does not support it.

        :param plain: those without TLS
        """
        known = self._by_host.get((host, plain))
        if known is None:
            known = tuple(one for one in self._services if one.plain == plain and one.serves(host))
            if known:
                self._by_host[host, plain] = known
        return known

    async def find(self, call: Call, inner: Handler) -> Response:
        """:raises NotSupported: when no service of the host has such a route"""
        # Generic SDK calls leave a segment empty for a resource without a parent; ARM ignores empty segments.
        path = re.sub("/{2,}", "/", call.path)
        call.path = unquote(path)
        for service in self.services(call.host, plain=call.plain):
            call.service = call.service or service
            if (match := service.match(call.method, path)) is not None:
                call.service = service
                call.route, call.params = match
                call.entry.service, call.entry.operation = service.name, call.route.name
                return await inner(call)
        raise not_supported(call.method, call.host, call.path)
