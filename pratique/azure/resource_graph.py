"""Queries Azure Resource Graph, and reads every page of a result or raises.

::

    rows = await query_rows(session, "resources | project id | order by id asc", "list the resources")

A query that is to be read in pages projects ``id`` and is ordered. Resource Graph counts queries: 15 in 5 seconds per
caller.

Facts: Resource Graph REST API 2021-03-01, "Work with large data sets" and "Guidance for throttled requests".
"""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

from pratique.azure.faults import azure_faults
from pratique.azure.session import AzureSession
from pratique.errors import Throttled, UnreadableAnswer

if TYPE_CHECKING:
    from azure.mgmt.resourcegraph import models

PAGE = 1000  # rows; Resource Graph's maximum
MAX_THROTTLED = 5  # consecutive throttled answers
_WINDOW_SECONDS = 5.0
_LONGEST_WAIT = 60.0  # seconds, whatever the service asks for
_RESETS_AFTER = re.compile(r"(\d+):(\d\d):(\d\d(?:\.\d+)?)")
_SERVICE = "Azure Resource Graph"
_NOT_TRUNCATED = ("false", "0", "none", "")


@dataclass(frozen=True)
class _Page:
    """One page of a result.

    :ivar token: leads to the next page
    :ivar truncated: whether rows are missing, by the service's word
    :ivar total: the number of rows of the whole result; ``None`` when it is not given
    :ivar quota: seconds until the caller may query again; ``None`` when it may at once
    """

    rows: list[dict[str, Any]]
    token: str | None
    truncated: bool
    total: int | None
    quota: float | None


async def query_rows(
    session: AzureSession,
    query: str,
    attempted: str,
    *,
    subscriptions: Collection[str] = (),
    whole_tenant: bool = False,
) -> list[dict[str, Any]]:
    """All rows of a result.

    :param attempted: what the query is for, as a verb phrase
    :param subscriptions: ids of the subscriptions to query; default: the session's
    :param whole_tenant: queries everything that the identity may read in its tenant
    :raises UnreadableAnswer: when rows are missing, or the result is not a list of rows
    :raises Throttled: when Resource Graph keeps throttling although the waits that it asked for were kept
    """
    from azure.mgmt.resourcegraph import models

    asked = None if whole_tenant else list(subscriptions or [session.subscription_id])
    rows: list[dict[str, Any]] = []
    tokens: list[str] = []
    total = 0
    while True:
        options = models.QueryRequestOptions(
            top=PAGE, skip_token=tokens[-1] if tokens else None, result_format="objectArray"
        )
        request = models.QueryRequest(subscriptions=asked, query=query, options=options)
        page = await _query_page(session, request, attempted)
        rows += page.rows
        total = max(total, page.total or 0)
        if page.token is None:
            break
        if page.token in tokens:
            raise _unreadable(attempted, "A page leads back to an earlier page.")
        tokens.append(page.token)
    if page.truncated:
        raise _unreadable(attempted, "The result is truncated and has no continuation token.")
    if len(rows) < total:
        raise _unreadable(attempted, f"The result has {total} rows, but only {len(rows)} of them came.")
    return rows


async def _query_page(session: AzureSession, request: models.QueryRequest, attempted: str) -> _Page:
    """Query one page. Keeps the lock while waiting: other queries would be throttled too."""

    def page(response: Any, _: object, __: Mapping[str, Any]) -> _Page:
        return _page(response.http_response, attempted)

    async with session.graph_lock:
        for _ in range(MAX_THROTTLED):
            try:
                with azure_faults(attempted, _SERVICE):
                    # With "cls", the SDK's method returns the result of that function on the answer and its headers.
                    found = cast(_Page, await session.graph.resources(request, cls=page))
            except Throttled as error:
                last = error
                await asyncio.sleep(min(error.retry_after or _WINDOW_SECONDS, _LONGEST_WAIT))
                continue
            if found.quota is not None:
                await asyncio.sleep(min(found.quota, _LONGEST_WAIT))
            return found
    raise last


def _page(response: Any, attempted: str) -> _Page:
    """Read an answer in whatever letter case its members are: the SDK takes an unknown one for an absent one."""
    members = _members(response)
    data = members.get("data")
    if not isinstance(data, list) or not all(isinstance(row, dict) for row in data):
        raise _unreadable(attempted, "The result is not a list of rows.")
    count, total = _number(members, "count", attempted), _number(members, "totalrecords", attempted)
    if count is not None and count != len(data):
        raise _unreadable(attempted, f"A page says that it has {count} rows, but has {len(data)}.")
    truncated = str(members.get("resulttruncated", "")).strip().lower() not in _NOT_TRUNCATED
    token = members.get("skiptoken") or None
    if token is not None and not isinstance(token, str):
        raise _unreadable(attempted, "The continuation token is not text.")
    spent = response.headers.get("x-ms-user-quota-remaining") == "0"
    return _Page(data, token, truncated, total, _resets_after(response.headers) if spent else None)


def _members(response: Any) -> dict[str, Any]:
    try:
        document = json.loads(response.body())
    except (ValueError, RecursionError):
        document = None
    members = document.items() if isinstance(document, dict) else ()
    return {re.sub("[^a-z]", "", name.lower()): value for name, value in members}


def _number(members: Mapping[str, Any], name: str, attempted: str) -> int | None:
    value = members.get(name)
    if value is None:
        return None
    try:
        return int(value)
    except (TypeError, ValueError, OverflowError):
        raise _unreadable(attempted, f"Its {name} is not a number: {value!r:.40}.") from None


def _resets_after(headers: Mapping[str, str]) -> float:
    match = _RESETS_AFTER.fullmatch(headers.get("x-ms-user-quota-resets-after", ""))
    return int(match[1]) * 3600 + int(match[2]) * 60 + float(match[3]) if match else _WINDOW_SECONDS


def _unreadable(attempted: str, observed: str) -> UnreadableAnswer:
    return UnreadableAnswer(attempted, _SERVICE, observed, "Run again; if it persists, report this.")
