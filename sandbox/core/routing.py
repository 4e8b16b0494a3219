"""Services, their routes, and the calls that they handle.

A route declares its RBAC action beside its path, so that no handler can forget the check::

    registries = Service("containerregistry", ("management.azure.com",), authenticate=arm_caller)

    @registries.get("/subscriptions/{sub}/…/registries/{name}", action="Microsoft.ContainerRegistry/registries/read")
    async def get_registry(call: Call) -> Response: ...
"""

from __future__ import annotations

import fnmatch
import json
import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, unquote

from starlette.responses import JSONResponse, Response

from sandbox.core.conditions import NO_ATTRIBUTES, Attributes
from sandbox.core.errors import Envelope, arm_envelope, arm_fault
from sandbox.core.rbac import Principal
from sandbox.core.requests import Request
from sandbox.scenario import Client

if TYPE_CHECKING:
    from sandbox.azure import Azure


@dataclass(kw_only=True)
class Call:
    """One request on its way through a service.

    :ivar path: without the query; decoded once the host is known
    :ivar raw_path: the path as sent, which some signatures cover
    :ivar plain: whether it came without TLS
    :ivar params: values of the route's placeholders
    :ivar caller: the authenticated principal; ``None`` on anonymous services
    :ivar claims: of the caller's token
    :ivar client: the client's place in the network
    :ivar service: the service for the host; if there are several, the one with the route
    :ivar answer_headers: headers for any response, success or failure
    """

    azure: Azure
    method: str
    host: str
    path: str
    query_string: str
    headers: dict[str, str]
    body: bytes
    client: Client
    entry: Request
    raw_path: str = ""
    plain: bool = False
    params: dict[str, str] = field(default_factory=dict)
    caller: Principal | None = None
    claims: dict[str, Any] = field(default_factory=dict)
    service: Service | None = None
    route: Route | None = None
    answer_headers: dict[str, str] = field(default_factory=dict)

    @property
    def query(self) -> dict[str, str]:
        """The query's parameters; the last value of a repeated one."""
        return {key: values[-1] for key, values in parse_qs(self.query_string, keep_blank_values=True).items()}

    @property
    def principal(self) -> Principal:
        """The caller, on services that always have one."""
        if self.caller is None:
            raise RuntimeError(f"{self.method} {self.path} has no authenticated caller")
        return self.caller

    def json(self) -> dict[str, Any]:
        """:raises HttpFault: 400 when the body is not a JSON object"""
        try:
            document = json.loads(self.body)
        except ValueError as error:
            raise arm_fault(400, "InvalidRequestContent", f"The request content was invalid: {error}") from None
        if not isinstance(document, dict):
            raise arm_fault(400, "InvalidRequestContent", "The request content is not a JSON object.")
        return document

    def form(self) -> dict[str, str]:
        """The fields of a URL-encoded form."""
        return {key: values[-1] for key, values in parse_qs(self.body.decode(), keep_blank_values=True).items()}

    def bearer(self) -> str | None:
        """The bearer token, if the request has one."""
        scheme, _, token = self.headers.get("authorization", "").partition(" ")
        return token.strip() if scheme.lower() == "bearer" and token else None

    def url(self, path: str) -> str:
        """An absolute URL on the requested host."""
        return f"https://{self.host}{path}"

    def require(self, action: str, scope: str, attributes: Attributes = NO_ATTRIBUTES) -> None:
        """:raises HttpFault: ARM's 403 when the caller may not do ``action`` at ``scope``"""
        self.azure.access.require(self.principal, action, scope, attributes)


Handler = Callable[[Call], Awaitable[Response]]
Authenticator = Callable[[Call], Awaitable[None]]
#: Builds an error response from body, status and headers.
Renderer = Callable[[dict[str, Any], int, dict[str, str]], Response]


@dataclass(frozen=True, kw_only=True)
class Route:
    """A method and a path on a service's hosts.

    :ivar template: literal segments match in any letter case; ``{name}`` is one segment, ``{name:path}`` several
    :ivar action: the RBAC action that the caller needs at ``scope`` (by default the request's own path)
    :ivar unchecked: why an ARM route has no action
    :ivar attributes: of the request and its resource, for conditions of role assignments
    """

    method: str
    template: str
    handler: Handler
    action: str | None
    scope: Callable[[Call], str]
    pattern: re.Pattern[str]
    unchecked: str | None = None
    attributes: Callable[[Call], Attributes] | None = None

    @property
    def name(self) -> str:
        return self.handler.__name__


class Service:
    """A part of Azure behind one or more host names.

    :param hosts: exact names or ``*.suffix``
    :param authenticate: sets ``call.caller``, or raises the service's own 401
    :param envelope: for errors that are not the service's own: unsupported operations and injected faults
    :param render: writes error responses; JSON by default
    :param plain: whether it is reached without TLS, and only so
    :param api_versions: those that clients send, the newest SDK's first; any other is accepted as well
    :param ignores_locks: whether management locks restrict none of its operations
    """

    def __init__(
        self,
        name: str,
        hosts: tuple[str, ...],
        authenticate: Authenticator | None = None,
        envelope: Envelope = arm_envelope,
        api_versions: tuple[str, ...] = (),
        render: Renderer | None = None,
        *,
        plain: bool = False,
        ignores_locks: bool = False,
    ) -> None:
        self.plain = plain
        self.name = name
        self.hosts = hosts
        self.authenticate = authenticate
        self.envelope = envelope
        self.api_versions = api_versions
        self.render = render or answer
        self.ignores_locks = ignores_locks
        self.routes: list[Route] = []

    def serves(self, host: str) -> bool:
        return any(fnmatch.fnmatchcase(host, pattern) for pattern in self.hosts)

    def match(self, method: str, path: str) -> tuple[Route, dict[str, str]] | None:
        for route in self.routes:
            if route.method == method and (found := route.pattern.fullmatch(path)):
                return route, {key: unquote(value) for key, value in found.groupdict().items()}
        return None

    def route(
        self,
        method: str,
        template: str,
        *,
        action: str | None = None,
        scope: Callable[[Call], str] | None = None,
        unchecked: str | None = None,
        attributes: Callable[[Call], Attributes] | None = None,
    ) -> Callable[[Handler], Handler]:
        """Register the decorated coroutine; routes are matched in the order of their registration."""

        def register(handler: Handler) -> Handler:
            pattern = _compile(template)
            self.routes.append(
                Route(
                    method=method,
                    template=template,
                    handler=handler,
                    action=action,
                    scope=scope or _own_path,
                    pattern=pattern,
                    unchecked=unchecked,
                    attributes=attributes,
                )
            )
            return handler

        return register

    def get(self, template: str, **options: Any) -> Callable[[Handler], Handler]:
        return self.route("GET", template, **options)

    def head(self, template: str, **options: Any) -> Callable[[Handler], Handler]:
        return self.route("HEAD", template, **options)

    def put(self, template: str, **options: Any) -> Callable[[Handler], Handler]:
        return self.route("PUT", template, **options)

    def post(self, template: str, **options: Any) -> Callable[[Handler], Handler]:
        return self.route("POST", template, **options)

    def patch(self, template: str, **options: Any) -> Callable[[Handler], Handler]:
        return self.route("PATCH", template, **options)

    def delete(self, template: str, **options: Any) -> Callable[[Handler], Handler]:
        return self.route("DELETE", template, **options)


def answer(document: Any, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    """A JSON response."""
    return JSONResponse(document, status, headers)


def _own_path(call: Call) -> str:
    return call.path


def _compile(template: str) -> re.Pattern[str]:
    pieces = re.split(r"(\{\w+(?::path)?\})", template)
    pattern = ""
    for piece in pieces:
        if placeholder := re.fullmatch(r"\{(\w+)(:path)?\}", piece):
            pattern += f"(?P<{placeholder[1]}>{'.+?' if placeholder[2] else '[^/]+'})"
        elif piece:
            pattern += f"(?i:{re.escape(piece)})"
    return re.compile(pattern + "/?")
