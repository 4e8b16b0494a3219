"""Queries a resource's logs in Log Analytics, whichever workspace stores them.

::

    rows = await query_logs(session, registry.id, "ContainerRegistryRepositoryEvents | count", since, until)

An answer that Azure reports as incomplete is an error here, because half a log proves nothing.

Facts: Azure Monitor Logs query API, "Azure resource logs" (resource-centric queries require the right to read the
resource's logs, and no right on a workspace); partial results come with status 200 and ``error.code`` PartialError.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from pratique.azure.faults import azure_faults
from pratique.azure.session import AzureSession
from pratique.errors import PermissionDenied, PratiqueError, UnreadableAnswer

Row = dict[str, Any]

_ATTEMPTED = "query the logs"
_REMEDIES: dict[type[PratiqueError], str] = {
    PermissionDenied: "Give the worker's identity a role with Microsoft.Insights/logs/read on the resource's group."
}


async def query_logs(
    session: AzureSession, resource_id: str, query: str, since: datetime | None = None, until: datetime | None = None
) -> list[Row]:
    """Query the logs of one resource.

    :param query: in KQL
    :param since: with ``until``, the time span to query; without both, the query covers everything that is kept
    :returns: rows by column name; times have a UTC offset
    :raises UnreadableAnswer: when the answer is incomplete or has no table
    :raises OperationFailed: when the query is invalid
    """
    from azure.monitor.query import LogsQueryPartialResult, LogsQueryResult

    timespan = (since, until) if since is not None and until is not None else None
    with azure_faults(_ATTEMPTED, resource_id, remedies=_REMEDIES):
        answer = await session.logs.query_resource(resource_id, query, timespan=timespan)
    if isinstance(answer, LogsQueryPartialResult):
        error = answer.partial_error
        raise _unreadable(resource_id, f"The answer is incomplete: {getattr(error, 'message', None) or error}.")
    if not isinstance(answer, LogsQueryResult) or not answer.tables:
        raise _unreadable(resource_id, "The answer has no table.")
    table = answer.tables[0]
    return [dict(zip(table.columns, row, strict=True)) for row in table.rows]


def timestamp(value: object) -> datetime:
    """A row's time in UTC.

    :raises UnreadableAnswer: when the value is not a time
    """
    if not isinstance(value, datetime):
        raise _unreadable("a row's time", f"It is {value!r:.80}.")
    return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


def _unreadable(resource_id: str, observed: str) -> UnreadableAnswer:
    remedy = "Run again; if it persists, query a shorter time span."
    return UnreadableAnswer(_ATTEMPTED, resource_id, observed, remedy)
