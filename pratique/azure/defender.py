"""Microsoft Defender for Containers: its plan, and its findings in Azure Resource Graph.

::

    plan = await read_plan(session)
    rows = await recommendations(session, {"sha256:…", "sha256:…"})

All digests of a release go into one query, because Resource Graph counts queries: 15 in 5 seconds per caller. A digest
without a row is unknown, not clean. Malformed rows that mention a digest are returned too: the parser of the row
decides what they mean.

Facts: Defender for Cloud pricings REST API 2024-01-01; Resource Graph "Work with large data sets" and "Guidance for
throttled requests"; Defender's individual recommendations (generation of 2026) and sub-assessments (retired 2026-07-31,
except in sovereign clouds that are still to be moved).
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, cast

from azure.mgmt.resourcegraph import models

from pratique.azure.faults import azure_faults
from pratique.azure.session import AzureSession
from pratique.errors import Throttled, UnreadableAnswer
from pratique.images import DIGEST_PATTERN

PAGE = 1000  # rows; Resource Graph's maximum
DIGESTS_A_QUERY = 1000  # of 75 characters each: the query stays below 100 kB
MAX_THROTTLED = 5  # consecutive throttled answers
_WINDOW_SECONDS = 5.0
_RESETS_AFTER = re.compile(r"(\d+):(\d\d):(\d\d(?:\.\d+)?)")
_ATTEMPTED = "read Defender's findings"
_SERVICE = "Azure Resource Graph"
_RECOMMENDATIONS = """
| where type =~ 'microsoft.security/assessments'
| where tostring(properties.metadata) contains 'SoftwareUpdate'
| where tostring(properties.resourceDetails) contains '.containerimage'
| extend about = parse_json(tostring(properties.resourceAdditionalData))
""".strip()
# Images in Azure's registries, assessed by Microsoft's own scanner.
_SUB_ASSESSMENTS = """
| where type =~ 'microsoft.security/assessments/subassessments'
| where id contains '/assessments/c0b7cfc6-3172-465a-b378-53c7ff2cc0d5/'
| extend about = parse_json(tostring(properties.additionalData)).artifactDetails
""".strip()
# The digest from the row's own field where there is one, otherwise the first digest anywhere in the row.
_QUERY = """
securityresources
{rows}
| extend own = tostring(coalesce(about.Digest, about.digest))
| extend digest = extract('sha256:[0-9a-f]{{64}}', 0, tolower(strcat(own, ' ', tostring(properties))))
| where digest in ({digests})
| project id, digest, properties
| order by id asc
""".strip()


@dataclass(frozen=True)
class DefenderPlan:
    """The subscription's plan for containers.

    :ivar enabled: whether the plan is switched on (its tier is Standard)
    :ivar registry_assessment: whether images in registries are assessed
    :ivar findings_artifact: whether the signed findings are attached to the images
    """

    enabled: bool
    registry_assessment: bool
    findings_artifact: bool


@dataclass(frozen=True)
class _Page:
    rows: list[dict[str, Any]]
    token: str | None
    quota: float | None


async def read_plan(session: AzureSession) -> DefenderPlan:
    """Read the plan ``Containers`` of the session's subscription."""
    subject = f"subscriptions/{session.subscription_id}"
    with azure_faults("read the Defender plan", subject):
        plan = await session.security.pricings.get(subject, "Containers")
    on = {extension.name for extension in plan.extensions or () if str(extension.is_enabled).lower() == "true"}
    enabled = plan.pricing_tier == "Standard"
    return DefenderPlan(
        enabled,
        enabled and "ContainerRegistriesVulnerabilityAssessments" in on,
        enabled and "ContainerIntegrityContribution" in on,
    )


async def recommendations(session: AzureSession, digests: Collection[str]) -> list[dict[str, Any]]:
    """Query the rows about software updates in images, as ``{"id", "digest", "properties"}``.

    :param digests: digests of image manifests
    :returns: rows whose digest is one of ``digests``; their other values have not been checked
    :raises ValueError: when a digest is malformed
    :raises UnreadableAnswer: when Resource Graph truncates the result, or the result is not a list of such rows
    :raises Throttled: when Resource Graph keeps throttling although the waits that it asked for were kept
    """
    return await _rows(session, _RECOMMENDATIONS, digests)


async def sub_assessments(session: AzureSession, digests: Collection[str]) -> list[dict[str, Any]]:
    """Query the rows about vulnerabilities in images; otherwise like :func:`recommendations`."""
    return await _rows(session, _SUB_ASSESSMENTS, digests)


async def _rows(session: AzureSession, which: str, digests: Collection[str]) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = []
    for query in _queries(which, digests):
        tokens: list[str] = []
        while True:
            page = await _query_page(session, query, tokens[-1] if tokens else None)
            rows += page.rows
            if page.token is None:
                break
            if page.token in tokens:
                raise _unreadable("A page leads back to an earlier page.")
            tokens.append(page.token)
    wanted = set(digests)
    if not all(isinstance(digest := row.get("digest"), str) and digest in wanted for row in rows):
        raise _unreadable("A row does not name one of the requested digests.")
    return rows


def _queries(which: str, digests: Collection[str]) -> Iterator[str]:
    wanted = sorted(set(digests))
    if wrong := [text for text in wanted if not re.fullmatch(DIGEST_PATTERN, text)]:
        raise ValueError(f"not a digest: {wrong[0]!r}")
    for start in range(0, len(wanted), DIGESTS_A_QUERY):
        batch = wanted[start : start + DIGESTS_A_QUERY]
        yield _QUERY.format(rows=which, digests=", ".join(f"'{digest}'" for digest in batch))


async def _query_page(session: AzureSession, query: str, token: str | None) -> _Page:
    """Query one page. Keeps the lock while waiting: other queries would be throttled too."""
    options = models.QueryRequestOptions(top=PAGE, skip_token=token, result_format="objectArray")
    request = models.QueryRequest(subscriptions=[session.subscription_id], query=query, options=options)
    async with session.graph_lock:
        for _ in range(MAX_THROTTLED):
            try:
                with azure_faults(_ATTEMPTED, _SERVICE):
                    # With "cls", the SDK's method returns the result of that function on the answer and its headers.
                    page = cast(_Page, await session.graph.resources(request, cls=_page))
            except Throttled as error:
                last = error
                await asyncio.sleep(error.retry_after or _WINDOW_SECONDS)
                continue
            if page.quota is not None:
                await asyncio.sleep(page.quota)
            return page
    raise last


def _page(response: Any, answer: models.QueryResponse, _: Mapping[str, Any]) -> _Page:
    """Check the answer's form: the SDK accepts any JSON."""
    data, token = getattr(answer, "data", None), getattr(answer, "skip_token", None)
    if not isinstance(data, list) or not all(isinstance(row, dict) for row in data):
        raise _unreadable("The result is not a list of rows.")
    if str(answer.result_truncated) == "true" and not token:
        raise _unreadable("The result is truncated and has no continuation token.")
    headers = response.http_response.headers
    spent = headers.get("x-ms-user-quota-remaining") == "0"
    return _Page(data, token or None, _resets_after(headers) if spent else None)


def _resets_after(headers: Mapping[str, str]) -> float:
    match = _RESETS_AFTER.fullmatch(headers.get("x-ms-user-quota-resets-after", ""))
    return int(match[1]) * 3600 + int(match[2]) * 60 + float(match[3]) if match else _WINDOW_SECONDS


def _unreadable(observed: str) -> UnreadableAnswer:
    return UnreadableAnswer(_ATTEMPTED, _SERVICE, observed, "Run again; if it persists, report this.")
