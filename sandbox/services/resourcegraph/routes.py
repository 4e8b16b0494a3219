"""Azure Resource Graph: KQL over everything that the caller may read.

Wire shape: Microsoft.ResourceGraph/resources, 2021-03-01. Facets and management groups are not supported.
"""

from __future__ import annotations

import asyncio
import base64
import json
import re
import uuid
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

from starlette.responses import Response

from sandbox.azure import Azure
from sandbox.core.errors import HttpFault, arm_fault
from sandbox.core.routing import Call, Service, answer
from sandbox.services.entra.state import arm_caller
from sandbox.services.resourcegraph.engine import QueryNotSupported, QueryRefused, Result, run
from sandbox.services.resourcegraph.quota import Quota
from sandbox.services.resourcegraph.tables import readable_subscriptions, readable_tables

#: A query with a limit of its own is not paged ("Working with large data sets").
_LIMITED = re.compile(r"\|\s*(limit|take|sample)\b", re.IGNORECASE)
_LARGEST_PAGE = 1000

resource_graph = Service(
    "resourcegraph", ("management.azure.com",), authenticate=arm_caller, api_versions=("2021-03-01",)
)


class ResourceGraph:
    """The users' quotas, and a lock that runs one query at a time."""

    def __init__(self, _: Azure) -> None:
        self.quota = Quota()
        self.turn = asyncio.Lock()


@dataclass(frozen=True, kw_only=True)
class Request:
    """A query request.

    :ivar subscriptions: ``None`` for all
    :ivar skip: rows before the page
    """

    query: str
    subscriptions: list[str] | None
    top: int
    skip: int
    table: bool

    @classmethod
    def of(cls, body: dict[str, Any]) -> Request:
        """:raises HttpFault: 400 when an option is out of range, 501 for an unsupported one"""
        options = body.get("options") or {}
        if body.get("facets") or body.get("managementGroups"):
            raise arm_fault(501, "NotSupportedBySandbox", "The sandbox supports neither facets nor management groups.")
        query, top = body.get("query"), options.get("$top", 100)
        if not isinstance(query, str) or not query.strip():
            raise _bad_request({"code": "InvalidQuery", "message": "The query is empty."})
        if not isinstance(top, int) or not 1 <= top <= _LARGEST_PAGE:
            raise _bad_request({"code": "InvalidTop", "message": f"$top must lie between 1 and {_LARGEST_PAGE}."})
        token = options.get("$skipToken")
        skip = _read_token(token, query) if token else int(options.get("$skip", 0))
        subscriptions, table = body.get("subscriptions"), options.get("resultFormat") == "table"
        return cls(query=query, subscriptions=subscriptions, top=top, skip=skip, table=table)


@resource_graph.post("/providers/Microsoft.ResourceGraph/resources", unchecked="each row requires the right to read it")
async def query_resources(call: Call) -> Response:
    """Run a query, and return the whole result or one page."""
    graph, user = call.azure.state(ResourceGraph), call.principal.object_id
    allowed = graph.quota.take(user)
    headers = graph.quota.headers(user)
    try:
        if not allowed:
            raise _throttled()
        document = await _answer(call, Request.of(call.json()), graph.turn)
    except HttpFault as fault:
        fault.headers.update(headers)
        raise
    return answer(document, headers=headers)


async def _answer(call: Call, request: Request, turn: asyncio.Lock) -> dict[str, Any]:
    if not readable_subscriptions(call.azure, call.principal, request.subscriptions):
        detail = "Access is denied to the requested resource. The user might not have enough permission."
        raise arm_fault(403, "AccessDenied", _support(), details=[{"code": "AccessDenied", "message": detail}])
    tables = readable_tables(call.azure, call.principal, request.subscriptions)
    try:
        async with turn:
            result = await asyncio.to_thread(run, request.query, tables)
    except QueryRefused as refused:
        raise _bad_request(*refused.details) from None
    except QueryNotSupported as missing:
        raise arm_fault(501, "NotSupportedBySandbox", f"The sandbox does not support this KQL: {missing}.") from None
    return _page(request, result)


def _page(request: Request, result: Result) -> dict[str, Any]:
    rows = result.rows[request.skip : request.skip + request.top]
    rest = len(result.rows) - request.skip - len(rows)
    names = [name for name, _ in result.columns]
    document: dict[str, Any] = {
        "totalRecords": len(result.rows),
        "count": len(rows),
        "resultTruncated": "true" if rest > 0 else "false",
        "facets": [],
    }
    if rest > 0 and "id" in names and not _LIMITED.search(request.query):
        document["$skipToken"] = _token(request.query, request.skip + len(rows))
    if request.table:
        columns = [{"name": name, "type": kind} for name, kind in result.columns]
        document["data"] = {"columns": columns, "rows": [list(row) for row in rows]}
    else:
        document["data"] = [dict(zip(names, row, strict=True)) for row in rows]
    return document


def _token(query: str, skip: int) -> str:
    content = json.dumps({"skip": skip, "query": sha256(query.encode()).hexdigest()})
    return base64.urlsafe_b64encode(content.encode()).decode()


def _read_token(token: str, query: str) -> int:
    try:
        content = json.loads(base64.urlsafe_b64decode(token))
        if content["query"] == sha256(query.encode()).hexdigest():
            return int(content["skip"])
    except (ValueError, TypeError, KeyError):
        pass
    raise _bad_request({"code": "InvalidSkipToken", "message": "The $skipToken does not belong to this query."})


def _throttled() -> HttpFault:
    detail = (
        "Client application has been throttled and should not attempt to repeat the request until an amount of time "
        "has elapsed. Please see https://aka.ms/resourcegraph-throttling for help."
    )
    return arm_fault(429, "RateLimiting", _support(), details=[{"code": "RateLimiting", "message": detail}])


def _bad_request(*details: dict[str, Any]) -> HttpFault:
    return arm_fault(400, "BadRequest", _support(), details=details)


def _support() -> str:
    return f"Please provide below info when asking for support: correlationId = {uuid.uuid4()}."
