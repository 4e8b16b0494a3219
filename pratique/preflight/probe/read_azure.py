"""Reads what the answers about Azure's resources, rows and logs need, with a bounded number of requests each."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any

from pratique.audit.registry_log import from_quarantine
from pratique.azure.alerts import list_alerts
from pratique.azure.documents import read_document
from pratique.azure.graph_samples import API_VERSIONS, CVE_DETAILS, GENERATIONS, sample
from pratique.azure.logs import query_logs
from pratique.azure.monitor import read_rule
from pratique.azure.permissions import require_actions
from pratique.azure.replications import PREVIEW, READ_REPLICAS, region_name
from pratique.azure.resource_ids import ResourceId
from pratique.errors import NotFound, OperationFailed, PermissionDenied, PratiqueError, UnreadableAnswer
from pratique.evidence.setup import READ_FINDINGS
from pratique.preflight.probe import defender_rows, registry_log, surroundings
from pratique.preflight.probe.answers import Answer
from pratique.preflight.probe.place import Place

MOST_GRAPH_ROWS = 200  # of one generation
MOST_LOG_ROWS = 500
MOST_ALERTS = 50
DAYS = 29  # of the log and the alerts; Azure keeps alerts for thirty days
REGISTRY_VERSIONS = ("2025-11-01", PREVIEW)

_EVENTS = f"""
ContainerRegistryRepositoryEvents
| where Repository startswith "quarantine/" or Repository startswith "live/"
| where not(OperationName =~ "Pull")
| extend Ingested = ingestion_time()
| project TimeGenerated, Ingested, OperationName, ResultType, ResultDescription, Category, MediaType, Identity
| top {MOST_LOG_ROWS} by TimeGenerated desc
""".strip()
# What the template's rule looks for, without its limit to the last minutes.
_PAST_QUARANTINE = f"""
ContainerRegistryRepositoryEvents
| where Repository startswith "live/"
| where OperationName =~ "Push"
    or (OperationName =~ "importImage" and not({{promoted}}))
| project TimeGenerated
| top {MOST_LOG_ROWS} by TimeGenerated desc
""".strip()
_LOGINS = f"""
ContainerRegistryLoginEvents
| project TimeGenerated, OperationName, Identity
| top {MOST_LOG_ROWS} by TimeGenerated desc
""".strip()


async def defender_rows_answers(place: Place) -> list[Answer]:
    """The answers about Defender's rows."""
    await _require_findings(place)
    found = await asyncio.gather(*(sample(place.judged, query, MOST_GRAPH_ROWS) for query in GENERATIONS.values()))
    samples = {
        name: defender_rows.Sample(answer.rows, answer.total) for name, answer in zip(GENERATIONS, found, strict=True)
    }
    login_server = place.infrastructure.registry.login_server if place.infrastructure else ""
    return defender_rows.answers(samples, place.redactor, login_server)


async def paging_answer(place: Place) -> list[Answer]:
    """The answer about pages of Resource Graph, from two pages of one row."""
    await _require_findings(place)
    query = GENERATIONS["recommendations"]
    first = await sample(place.judged, query, 1)
    pages = [first, *([await sample(place.judged, query, 1, token=first.token)] if first.token else [])]
    shown = [surroundings.GraphPage(page.fields, len(page.rows), page.headers) for page in pages]
    return [surroundings.paging_answer(shown, place.redactor)]


async def cve_details_answer(place: Place) -> list[Answer]:
    """The answer about details of CVEs, by each API version of Resource Graph."""
    found: dict[str, Sequence[Mapping[str, Any]] | str] = {}
    for version in API_VERSIONS:
        try:
            found[version] = (await sample(place.session, CVE_DETAILS, 20, tenant=True, version=version)).rows
        except (OperationFailed, UnreadableAnswer):
            found[version] = "refused"
    return [surroundings.cve_details_answer(found, place.redactor)]


async def plan_answer(place: Place) -> list[Answer]:
    """The answer about Defender's plan."""
    path = f"{place.judged.subscription}/providers/Microsoft.Security/pricings/Containers"
    document = await read_document(place.session, "read the Defender plan", path, "2024-01-01")
    return [surroundings.plan_answer(document, place.redactor)]


async def registry_answers(place: Place) -> list[Answer]:
    """The answers about the registry's settings, by each API version."""
    registry = place.deployed().registry
    documents: dict[str, Mapping[str, Any] | str] = {}
    problem: PratiqueError | None = None
    for version in REGISTRY_VERSIONS:
        try:
            document = await read_document(place.session, "read the registry", registry.id, version)
            properties = document.get("properties")
            documents[version] = properties if isinstance(properties, dict) else "no properties"
        except (NotFound, OperationFailed, UnreadableAnswer) as error:
            documents[version], problem = "refused", error
    if problem is not None and all(isinstance(found, str) for found in documents.values()):
        raise problem
    return surroundings.registry_answers(documents, place.redactor)


async def replica_answer(place: Place) -> list[Answer]:
    """The answer about the registry's replicas."""
    registry = place.deployed().registry
    # Without the right, a list may be empty in place of refused.
    await require_actions(place.session, ResourceId.parse(registry.id).group_id, [READ_REPLICAS])
    path = f"{registry.id}/replications"
    document = await read_document(place.session, "read the registry's replicas", path, REGISTRY_VERSIONS[0])
    listed = document.get("value")
    replicas = [replica for replica in listed if isinstance(replica, dict)] if isinstance(listed, list) else []
    return [surroundings.replica_answer(replicas, region_name(registry.location), place.redactor)]


async def versions_answer(place: Place) -> list[Answer]:
    """The answer about API versions."""

    async def offered(namespace: str) -> dict[str, list[str]]:
        path = f"{place.session.subscription}/providers/{namespace}"
        document = await read_document(place.session, "read the resource provider", path, "2025-04-01")
        types = [kind for kind in document.get("resourceTypes") or () if isinstance(kind, dict)]
        return {
            str(kind.get("resourceType")).casefold(): list(map(str, kind.get("apiVersions") or ())) for kind in types
        }

    found = await asyncio.gather(*map(offered, surroundings.USED))
    names = (namespace.casefold() for namespace in surroundings.USED)
    return [surroundings.versions_answer(dict(zip(names, found, strict=True)))]


async def log_answers(place: Place) -> list[Answer]:
    """The answers about the registry's log of repositories."""
    since, until = _span()
    rows = await query_logs(place.session, place.deployed().registry.id, _EVENTS, since, until)
    return registry_log.log_answers(rows, DAYS, place.me, place.config.drill.deadline, place.redactor)


async def login_answer(place: Place) -> list[Answer]:
    """The answer about the registry's log of logins."""
    since, until = _span()
    rows = await query_logs(place.session, place.deployed().registry.id, _LOGINS, since, until)
    return [registry_log.login_answer(rows, DAYS, place.me, place.redactor)]


async def alert_answer(place: Place) -> list[Answer]:
    """The answer about the delay of the alert."""
    found, session, drill = place.deployed(), place.session, place.config.drill
    registry, group = found.registry, ResourceId.parse(found.registry.id).group_id
    rule = await read_rule(session, group, drill.rule)
    if rule is None:
        raise NotFound("read the alert rule", drill.rule, "There is no rule of that name.", "Set drill.rule.")
    since, until = _span()
    alerts = (await list_alerts(session, group, rule.id, since=since))[-MOST_ALERTS:]
    query = _PAST_QUARANTINE.format(promoted=from_quarantine(found.quarantine))
    events: list[datetime] | None = None
    if alerts:
        with suppress(OperationFailed, PermissionDenied, UnreadableAnswer):  # the alerts are worth telling without
            rows = await query_logs(session, registry.id, query, since, until)
            events = [at for row in rows if isinstance(at := row["TimeGenerated"], datetime)]
    matched = registry_log.matched([alert.started for alert in alerts], events)
    return [registry_log.alert_answer(matched, DAYS, drill.deadline)]


async def _require_findings(place: Place) -> None:
    """Without this right, Resource Graph leaves rows out in silence."""
    for group in place.registry_groups.all:
        await require_actions(place.session, group, [READ_FINDINGS])


def _span() -> tuple[datetime, datetime]:
    at = datetime.now(UTC)
    return at - timedelta(days=DAYS), at + timedelta(hours=1)
