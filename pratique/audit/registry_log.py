"""Reads the imports and pushes into ``live/`` from the registry's log, with few queries and rows.

Log Analytics counts equal events, so a promotion is one row however often it was repeated. Time is queried in slices,
and a slice with too many rows is halved. Five thousand images take a page or two.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection, Sequence
from datetime import datetime, timedelta

from pratique.audit.provenance import Audit, AuditReport, LiveEvent
from pratique.azure.logs import Row, query_logs, timestamp
from pratique.azure.registries import Registry
from pratique.azure.session import AzureSession
from pratique.errors import UnreadableAnswer
from pratique.images import ImageReference
from pratique.records.promotions import Promotions

SLICE = timedelta(days=30)
SHORTEST = timedelta(minutes=1)
MOST_ROWS = 10_000  # rows of one answer; Log Analytics returns at most 500,000, or 64 MB
#: How far Azure's clock may be ahead of the worker's.
_AHEAD = timedelta(hours=1)

_TABLE = "ContainerRegistryRepositoryEvents"
_BEGINS = f"{_TABLE} | summarize Begins = min(TimeGenerated)"
# A push or import that the registry refused is not an event of the image.
_EVENTS = f"""
{_TABLE}
| where Repository startswith "live/"
| where OperationName =~ "Push" or OperationName =~ "importImage"
| where not(ResultDescription startswith "4" or ResultDescription startswith "5")
| extend Imported = OperationName =~ "importImage"
| extend Promoted = Imported and ({{promoted}})
| extend Source = iff(Imported, MediaType, "")
| summarize arg_max(TimeGenerated, Tag, CallerIpAddress), First = min(TimeGenerated), Times = count()
    by Repository, Digest, OperationName, Promoted, Source, Identity
| take {MOST_ROWS + 1}
""".strip()


def from_quarantine(quarantine: Registry) -> str:
    """A condition of KQL: whether the source of an import is ``quarantine/`` of a registry.

    UNVERIFIED how the log names a source: by the registry's resource id, or by its login server. ``startswith`` ignores
    letter case.
    """
    sources = (f"{quarantine.id}/quarantine/", f"{quarantine.login_server}/quarantine/")
    return " or ".join(f'MediaType startswith "{source}"' for source in sources)


async def log_begins(session: AzureSession, registry: Registry) -> datetime | None:
    """Read the time of the oldest entry in the registry's log; ``None`` when the log is empty."""
    rows = await query_logs(session, registry.id, _BEGINS)
    begins = rows[0]["Begins"] if rows else None
    return None if begins is None else timestamp(begins)


async def live_events(
    session: AzureSession, registry: Registry, begins: datetime, at: datetime, *, quarantine: Registry
) -> AsyncIterator[LiveEvent]:
    """Yield every import and push into ``live/`` in the log, newest slice first.

    An event that occurs in several slices is yielded once for each.

    :param begins: time of the log's oldest entry
    :param at: the current time
    :param quarantine: the registry with ``quarantine/``, from which an import is a promotion
    :raises UnreadableAnswer: when one minute has more events than one answer can hold
    """
    until, query = max(at, begins) + _AHEAD, _EVENTS.format(promoted=from_quarantine(quarantine))
    while until > begins:
        since = max(begins, until - SLICE)
        async for event in _slice(session, registry, query, since, until):
            yield event
        until = since


async def explain_live(
    session: AzureSession,
    registry: Registry,
    images: Sequence[ImageReference],
    promotions: Promotions,
    *,
    quarantine: Registry,
    promoters: Collection[str] = (),
    at: datetime,
) -> AuditReport:
    """Find out why each image is in ``live/`` (:class:`Audit`).

    The session's identity counts as the pipeline's.

    :param images: all images in ``live/``, each with tag and digest
    :param quarantine: the registry with ``quarantine/``, which may be another one
    :param promoters: object ids of the other identities of pipelines that use the registry
    """
    begins, caller = await log_begins(session, registry), await session.caller()
    audit = Audit(registry.login_server, images, promotions, promoters=(caller.object_id, *promoters), at=at)
    if begins is not None:
        async for event in live_events(session, registry, begins, at, quarantine=quarantine):
            audit.add(event)
    return audit.report(begins)


async def _slice(
    session: AzureSession, registry: Registry, query: str, since: datetime, until: datetime
) -> AsyncIterator[LiveEvent]:
    pending = [(since, until)]
    while pending:
        since, until = pending.pop()
        rows = await query_logs(session, registry.id, query, since, until)
        if len(rows) <= MOST_ROWS:
            for row in rows:
                yield _event(row)
            continue
        if until - since <= SHORTEST:
            raise UnreadableAnswer(
                "read the registry's log",
                registry.name,
                f"One minute has more than {MOST_ROWS} different events.",
                "Check the registry's log.",
            )
        half = since + (until - since) / 2
        pending += [(since, half), (half, until)]


def _event(row: Row) -> LiveEvent:
    texts = {
        field: str(row[column] or "")
        for field, column in (
            ("repository", "Repository"),
            ("digest", "Digest"),
            ("tag", "Tag"),
            ("operation", "OperationName"),
            ("source", "Source"),
            ("identity", "Identity"),
            ("address", "CallerIpAddress"),
        )
    }
    return LiveEvent(
        **texts,
        promoted=row["Promoted"] in (True, 1),
        first=timestamp(row["First"]),
        last=timestamp(row["TimeGenerated"]),
        times=int(row["Times"]),
    )
