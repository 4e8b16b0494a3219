"""The Log Analytics query API.

Wire shape: ``api.loganalytics.io/v1`` (azure-monitor-query 2.0); errors: Azure Monitor Logs API, "Errors". UNVERIFIED:
that both hosts accept both audiences, 404 for an unknown workspace, and an empty result instead of 204 from a workspace
without any data. Not supported: batches, metadata, and ``workspace()`` in a query.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any

import jwt
from starlette.responses import Response

from sandbox.core.errors import HttpFault, arm_fault
from sandbox.core.resources import Document
from sandbox.core.routing import Call, Service, answer
from sandbox.core.tokens import TokenRefused
from sandbox.services.entra.state import Entra
from sandbox.services.loganalytics.durations import interval
from sandbox.services.loganalytics.engine import QueryNotSupported, QueryRefused, Result, run
from sandbox.services.loganalytics.state import Logs
from sandbox.services.loganalytics.tables import Record

HOSTS = ("api.loganalytics.io", "api.loganalytics.azure.com")
AUDIENCES = tuple(f"https://{host}{slash}" for host in HOSTS for slash in ("", "/"))
#: Service limit: maximum number of rows that a query returns.
MAX_ROWS = 500_000
_WORKSPACE_READ = "Microsoft.OperationalInsights/workspaces/query/read"
_RESOURCE_READ = "Microsoft.Insights/logs/read"


async def logs_caller(call: Call) -> None:
    """:raises HttpFault: 401 without a token, 403 with an invalid one"""
    if "authorization" not in call.headers:
        raise arm_fault(401, "AuthenticationFailed", "Authentication failed. The 'Authorization' header is missing.")
    try:
        call.azure.state(Entra).caller(call, AUDIENCES)
    except TokenRefused as refused:
        if isinstance(refused.__cause__, jwt.InvalidAudienceError):
            message = "The access token has been obtained from wrong audience or resource."
            raise arm_fault(403, "InvalidAuthenticationTokenAudience", message) from None
        raise arm_fault(403, "InvalidAuthenticationToken", f"The access token is invalid. {refused}") from None


log_analytics = Service("loganalytics", HOSTS, authenticate=logs_caller, api_versions=("v1",))


@log_analytics.get("/v1/workspaces/{workspace}/query")
async def get_query_workspace(call: Call) -> Response:
    """Like the POST, with the body's members as query parameters."""
    return await _query_workspaces(call, dict(call.query))


@log_analytics.post("/v1/workspaces/{workspace}/query")
async def query_workspace(call: Call) -> Response:
    """Query a workspace, and the additional ``workspaces`` in the body."""
    return await _query_workspaces(call, _body(call)) if call.body.strip() else Response()


@log_analytics.post("/v1/{resource:path}/query")
async def query_resource(call: Call) -> Response:
    """Query the logs of one resource, or of all resources in a group or subscription, in any workspace."""
    scope = "/" + call.params["resource"]
    _require(call, _RESOURCE_READ, scope)
    return await _answer(call, _body(call), call.azure.state(Logs).records(scope))


async def _query_workspaces(call: Call, body: dict[str, Any]) -> Response:
    logs, records = call.azure.state(Logs), list[Record]()
    for customer_id in dict.fromkeys([call.params["workspace"], *(body.get("workspaces") or ())]):
        workspace = _workspace(logs, customer_id)
        _require(call, _WORKSPACE_READ, workspace["id"])
        records += logs.records(workspace["id"])
    return await _answer(call, body, records)


async def _answer(call: Call, body: dict[str, Any], records: list[Record]) -> Response:
    query, at = body.get("query"), call.azure.clock.now()
    if not isinstance(query, str) or not query.strip():
        raise _bad_argument({"code": "QueryValidationError", "message": "The query is missing."})
    if timespan := body.get("timespan"):
        try:
            start, end = interval(str(timespan), at)
        except ValueError as error:
            raise _bad_argument({"code": "InvalidTimespan", "message": f"The timespan is invalid: {error}."}) from None
        records = [record for record in records if start <= record.event.time <= end]
    started = time.perf_counter()
    result = await _run(call, lambda: run(query, records, at))
    prefer = call.headers.get("prefer", "").replace(" ", "")
    statistics = time.perf_counter() - started if "include-statistics=true" in prefer else None
    return answer(document(result, statistics))


async def _run(call: Call, work: Callable[[], Result]) -> Result:
    try:
        async with call.azure.state(Logs).turn:
            return await asyncio.to_thread(work)
    except QueryRefused as refused:
        raise _bad_argument(refused.inner) from None
    except QueryNotSupported as missing:
        raise arm_fault(501, "NotSupportedBySandbox", f"The sandbox does not support this KQL: {missing}.") from None


def document(result: Result, seconds: float | None = None, limit: int = MAX_ROWS) -> dict[str, Any]:
    """The response; with more than ``limit`` rows it is truncated and contains an error, with status 200.

    :param seconds: duration of the query for the statistics; ``None`` for no statistics
    """
    columns = [{"name": name, "type": kind} for name, kind in result.columns]
    body: dict[str, Any] = {
        "tables": [{"name": "PrimaryResult", "columns": columns, "rows": result.rows[:limit]}],
    }
    if seconds is not None:
        size = {"tableRowCount": len(body["tables"][0]["rows"]), "tableSize": 0}
        body["statistics"] = {"query": {"executionTime": round(seconds, 7), "datasetStatistics": [size]}}
    if len(result.rows) > limit:
        detail = {
            "code": "EngineError",
            "message": "Something went wrong processing your query on the server.",
            "innererror": {
                "code": "-2133196797",
                "message": f"The results of this query exceed the set limit of {limit} records.",
                "severity": 2,
                "severityName": "Error",
            },
        }
        message = "There were some errors when processing your query."
        body["error"] = {"code": "PartialError", "message": message, "details": [detail]}
    return body


def _body(call: Call) -> dict[str, Any]:
    try:
        return call.json()
    except HttpFault:
        raise _bad_argument({"code": "InvalidJsonBody", "message": "The body is not a JSON object."}) from None


def _workspace(logs: Logs, customer_id: str) -> Document:
    workspace = logs.workspace(customer_id)
    if workspace is None:
        raise arm_fault(404, "PathNotFoundError", "The requested path does not exist")
    return workspace


def _require(call: Call, action: str, scope: str) -> None:
    call.entry.action, call.entry.scope = action, scope
    if not call.azure.access.allowed(call.principal.object_id, action, scope):
        message = "The provided credentials have insufficient access to perform the requested operation"
        raise arm_fault(403, "InsufficientAccessError", message)


def _bad_argument(inner: dict[str, Any]) -> HttpFault:
    message = "The request had some invalid properties"
    return HttpFault(400, {"error": {"message": message, "code": "BadArgumentError", "innererror": inner}})
