"""Samples of what Azure Resource Graph shows, with the fields and headers of its answers.

A sample is one page and may be incomplete: it is no evidence about an image, unlike what
:mod:`pratique.azure.resource_graph` returns.

Facts: Resource Graph REST API, ``resources``; "Guidance for throttled requests"; ``microsoft.security/cvedetails`` has
rows at the tenant's scope only (Microsoft Learn, "Transition from grouped to individual recommendations").
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

from pratique.azure.faults import azure_faults
from pratique.azure.session import AzureSession
from pratique.errors import Throttled, UnreadableAnswer

if TYPE_CHECKING:
    from azure.mgmt.resourcegraph import models

API_VERSIONS = ("2021-03-01", "2022-10-01")
_ATTEMPTED = "sample the security rows"
_SERVICE = "Azure Resource Graph"
_WAIT_SECONDS = 5.0  # the window of the query quota

_ROWS = "securityresources | where type =~ '{type}'{more} | project id, properties | order by id asc"
_SUB_ASSESSMENTS = "microsoft.security/assessments/subassessments"
#: Queries for the rows about images in registries, by generation; the last two are retired.
GENERATIONS: Mapping[str, str] = {
    "recommendations": _ROWS.format(
        type="microsoft.security/assessments",
        more=" | extend text = tostring(properties)"
        " | where text contains 'SoftwareUpdate' and text contains '.containerimage'",
    ),
    "sub-assessments": _ROWS.format(
        type=_SUB_ASSESSMENTS, more=" | where id contains '/assessments/c0b7cfc6-3172-465a-b378-53c7ff2cc0d5/'"
    ),
    "Qualys": _ROWS.format(
        type=_SUB_ASSESSMENTS, more=" | where id contains '/assessments/dbd0cb49-b563-45e7-9724-889e799fa648/'"
    ),
}
CVE_DETAILS = _ROWS.format(type="microsoft.security/cvedetails", more="")


@dataclass(frozen=True)
class GraphSample:
    """One page of an answer.

    :ivar rows: on the page
    :ivar total: rows of the whole result, as the answer gives them
    :ivar token: continuation token; empty for none
    :ivar fields: the answer's fields besides its rows, as they were on the wire
    :ivar headers: names of its headers about quota and truncation
    """

    rows: tuple[Mapping[str, Any], ...]
    total: int
    token: str
    fields: Mapping[str, Any]
    headers: tuple[str, ...]


async def sample(
    session: AzureSession,
    query: str,
    top: int,
    *,
    token: str = "",
    tenant: bool = False,
    version: str = API_VERSIONS[0],
) -> GraphSample:
    """Query one page.

    :param top: rows of the page, 1 to 1000
    :param token: of the page before
    :param tenant: whether to query at the tenant's scope instead of the session's subscription
    :param version: API version
    :raises Throttled: when the quota is used up, although one wait was kept
    :raises UnreadableAnswer: when the answer is not a list of rows
    """
    from azure.mgmt.resourcegraph import models

    request = models.QueryRequest(
        query=query,
        subscriptions=None if tenant else [session.subscription_id],
        options=models.QueryRequestOptions(top=top, skip_token=token or None, result_format="objectArray"),
    )
    async with session.graph_lock:
        try:
            return await _query(session, request, version)
        except Throttled as error:
            await asyncio.sleep(min(error.retry_after or _WAIT_SECONDS, _WAIT_SECONDS))
            return await _query(session, request, version)


async def _query(session: AzureSession, request: models.QueryRequest, version: str) -> GraphSample:
    with azure_faults(_ATTEMPTED, _SERVICE):
        # With "cls", the SDK's method returns the result of that function on the answer and its headers.
        return cast(GraphSample, await session.graph.resources(request, cls=_sample, api_version=version))


def _sample(response: Any, *_: Any) -> GraphSample:
    document = response.http_response.json()
    rows = document.get("data") if isinstance(document, dict) else None
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise UnreadableAnswer(_ATTEMPTED, _SERVICE, "The result is not a list of rows.", "Report this.")
    fields = {name: value for name, value in document.items() if name != "data"}
    total, token = fields.get("totalRecords"), fields.get("$skipToken")
    headers = (str(name).lower() for name in response.http_response.headers)
    return GraphSample(
        rows=tuple(rows),
        total=total if isinstance(total, int) else len(rows),
        token=token if isinstance(token, str) else "",
        fields=fields,
        headers=tuple(sorted(name for name in headers if name.startswith(("x-ms-user-quota", "x-ms-tenant-sub")))),
    )
