"""What Log Analytics holds about a resource, in whatever workspace its records are.

::

    rows = await query_logs(session, registry.id, "ContainerRegistryRepositoryEvents | count", since, until)

An answer that Azure itself calls incomplete is an error here: half a log is no evidence.

Facts: Azure Monitor Logs query API, "Azure resource logs" (resource-centric queries ask for the right to read the
resource's logs, and for none on a workspace); partial results come with status 200 and ``error.code`` PartialError.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from azure.monitor.query import LogsQueryPartialResult, LogsQueryResult

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
    """Answer a query over the logs of one resource.

    :param query: in KQL
    :param since: together with ``until``: only what happened between the two; without, all that is kept
    :returns: rows by column, times with their offset
    :raises UnreadableAnswer: when the answer is incomplete, or holds no table
    :raises OperationFailed: when the query is wrong
    """
    timespan = (since, until) if since is not None and until is not None else None
    with azure_faults(_ATTEMPTED, resource_id, remedies=_REMEDIES):
        answer = await session.logs.query_resource(resource_id, query, timespan=timespan)
    if isinstance(answer, LogsQueryPartialResult):
        told = answer.partial_error
        raise _unreadable(resource_id, f"It is incomplete: {getattr(told, 'message', None) or told}.")
    if not isinstance(answer, LogsQueryResult) or not answer.tables:
        raise _unreadable(resource_id, "It holds no table.")
    table = answer.tables[0]
    return [dict(zip(table.columns, row, strict=True)) for row in table.rows]


def moment(value: object) -> datetime:
    """A time of a row.

    :raises UnreadableAnswer: when it is none
    """
    if not isinstance(value, datetime):
        raise _unreadable("a row's time", f"It is {value!r:.80}.")
    return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


def _unreadable(resource_id: str, observed: str) -> UnreadableAnswer:
    remedy = "Run again; if it persists, ask for a shorter time."
    return UnreadableAnswer(_ATTEMPTED, resource_id, observed, remedy)
