"""The tables of a workspace: their columns, and the row of an event.

Source: Azure Monitor table reference, "ContainerRegistryRepositoryEvents" and "ContainerRegistryLoginEvents". The first
documents only the logging of push, pull, untag, delete and purge. UNVERIFIED, and chosen so that the walkthrough's
alert rule works as described: an import is logged as ``importImage`` with the source image in ``MediaType``, and
``Identity`` is an object id; a scenario's ``registry_log`` selects other forms. ``ResultType`` is ``HttpStatusCode``
and ``ResultDescription`` is the code. ``_ResourceId`` is lower-case, as everywhere in Log Analytics.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, TypeAlias

from sandbox.core.kql import INGESTED, Table
from sandbox.services.acr.models import LoginEvent, RepositoryEvent

Row = dict[str, Any]
Event: TypeAlias = RepositoryEvent | LoginEvent

_TEXTS = (
    "ArtifactType",
    "CallerIpAddress",
    "Category",
    "CorrelationId",
    "Digest",
    "DurationMs",
    "Identity",
    "LoginServer",
    "MediaType",
    "OperationName",
    "Region",
    "Repository",
    "ResultDescription",
    "ResultType",
    "SourceSystem",
    "Tag",
    "TenantId",
    "Type",
    "UserAgent",
    "UserTenantId",
    "_ResourceId",
    "_SubscriptionId",
)
_LOGIN_TEXTS = (
    "CallerIpAddress",
    "Category",
    "CorrelationId",
    "DurationMs",
    "Identity",
    "JwtId",
    "LoginServer",
    "OperationName",
    "Region",
    "ResultDescription",
    "ResultType",
    "SourceSystem",
    "TenantId",
    "Type",
    "UserAgent",
    "UserTenantId",
    "_ResourceId",
    "_SubscriptionId",
)
_STATUS = {"Push": "201", "Delete": "202", "Untag": "202"}


@dataclass(frozen=True, eq=False)
class LogTable:
    """A table and the diagnostic category that fills it.

    :ivar columns: DuckDB's type by name
    :ivar row: builds the columns that come from the event itself
    """

    name: str
    category: str
    columns: Mapping[str, str]
    row: Callable[[Any], Row]


@dataclass(frozen=True, eq=False, kw_only=True)
class Record:
    """An event on its way into a workspace, and later in it.

    :ivar resource_id: id of the resource that the event is about
    :ivar workspace_id: resource id of the workspace
    :ivar customer_id: the workspace's GUID
    :ivar happened: Azure seconds (:meth:`.Clock.elapsed`)
    :ivar arrives: Azure seconds from which queries see it
    :ivar ingested: the same as a timestamp, unless the clock jumped in between
    """

    table: LogTable
    event: Event
    resource_id: str
    workspace_id: str
    customer_id: str
    tenant_id: str
    happened: float
    arrives: float
    ingested: datetime

    def row(self, origin: datetime | None = None) -> Row:
        """The record as queries see it.

        :param origin: the time of Azure second 0, for queries on Azure's time scale (:mod:`.alerts.watch`); by default
            timestamps are in real time, as in all the sandbox's responses
        """
        generated, ingested = self.event.time, self.ingested
        if origin is not None:
            generated, ingested = (origin + timedelta(seconds=at) for at in (self.happened, self.arrives))
        return {
            **self.table.row(self.event),
            "Category": self.table.category,
            "TimeGenerated": _plain(generated),
            INGESTED: _plain(ingested),
            "SourceSystem": "Azure",
            "TenantId": self.customer_id,
            "Type": self.table.name,
            "UserTenantId": self.tenant_id,
            "_ResourceId": self.resource_id.lower(),
            "_SubscriptionId": self.resource_id.split("/")[2].lower(),
        }


def _plain(moment: datetime) -> datetime:
    return moment.astimezone(UTC).replace(tzinfo=None)


def _repository_row(event: RepositoryEvent) -> Row:
    return {
        "CallerIpAddress": event.address,
        "CorrelationId": event.correlation_id,
        "Digest": event.digest,
        "DurationMs": str(round(event.duration * 1000)),
        "Identity": event.identity,
        "LoginServer": event.login_server,
        "MediaType": event.media_type,
        "OperationName": event.operation,
        "Region": event.region,
        "Repository": event.repository,
        "ResultDescription": _STATUS.get(event.operation, "200"),
        "ResultType": "HttpStatusCode",
        "Size": event.size,
        "Tag": event.tag,
        "UserAgent": event.user_agent,
    }


def _login_row(event: LoginEvent) -> Row:
    return {
        "CallerIpAddress": event.address,
        "CorrelationId": event.correlation_id,
        "DurationMs": "0",
        "Identity": event.identity,
        "LoginServer": event.login_server,
        "OperationName": "Login",
        "Region": event.region,
        "ResultDescription": "200",
        "ResultType": "HttpStatusCode",
        "UserAgent": event.user_agent,
    }


REPOSITORY_EVENTS = LogTable(
    "ContainerRegistryRepositoryEvents",
    "ContainerRegistryRepositoryEvents",
    {**dict.fromkeys(_TEXTS, "VARCHAR"), "Size": "INTEGER", "TimeGenerated": "TIMESTAMP", INGESTED: "TIMESTAMP"},
    _repository_row,
)
LOGIN_EVENTS = LogTable(
    "ContainerRegistryLoginEvents",
    "ContainerRegistryLoginEvents",
    {**dict.fromkeys(_LOGIN_TEXTS, "VARCHAR"), "TimeGenerated": "TIMESTAMP", INGESTED: "TIMESTAMP"},
    _login_row,
)
TABLES = (REPOSITORY_EVENTS, LOGIN_EVENTS)


def tables_of(records: Iterable[Record], origin: datetime | None = None) -> list[Table]:
    """Every table of a workspace, with the rows of the given records.

    :param origin: as for :meth:`Record.row`
    """
    rows: dict[str, list[Row]] = {table.name: [] for table in TABLES}
    for record in records:
        rows[record.table.name].append(record.row(origin))
    return [Table(table.name, table.columns, rows[table.name]) for table in TABLES]
