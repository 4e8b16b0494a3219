"""The contents of the workspaces: ingested events that had a diagnostic setting when they happened.

UNVERIFIED: a diagnostic setting takes effect as soon as it exists, and until it is deleted.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from typing import TypeVar

from sandbox.azure import Azure
from sandbox.core.rbac import contains
from sandbox.core.resources import Document
from sandbox.services.acr.models import LoginEvent, RepositoryEvent
from sandbox.services.loganalytics.tables import LOGIN_EVENTS, REPOSITORY_EVENTS, Event, LogTable, Record
from sandbox.services.oci.manifests import OCI_INDEX

WORKSPACE_TYPE = "Microsoft.OperationalInsights/workspaces"
IMPORT = "importImage"
LoggedEvent = TypeVar("LoggedEvent", RepositoryEvent, LoginEvent)
DIAGNOSTICS_TYPE = "Microsoft.Insights/diagnosticSettings"


class Logs:
    """Every record of every workspace, oldest first.

    :ivar turn: lock that runs one query at a time
    """

    def __init__(self, azure: Azure) -> None:
        self._azure = azure
        self._records: list[Record] = []
        self.turn = asyncio.Lock()
        azure.events.on(RepositoryEvent, self._repository_event)
        azure.events.on(LoginEvent, self._login_event)

    def workspace(self, customer_id: str) -> Document | None:
        """The workspace with this GUID."""
        return next(
            (
                document
                for document in self._azure.resources.list(WORKSPACE_TYPE)
                if document["properties"]["customerId"].lower() == customer_id.lower()
            ),
            None,
        )

    def records(self, scope: str, *, since: float = 0.0, as_of: float | None = None) -> list[Record]:
        """The records visible to queries, oldest first. A query now is what records on their way have time pass for.

        :param scope: id of a workspace, or of a resource, group or subscription whose records in any workspace count
        :param since: Azure seconds; excludes earlier events
        :param as_of: Azure seconds; excludes records that arrive later
        """
        clock = self._azure.clock
        found = [record for record in self._after(since) if _within(record, scope)][::-1]
        if as_of is None and found:
            clock.pass_until(max(record.arrives for record in found))
        moment = clock.elapsed() if as_of is None else as_of
        return [record for record in found if record.arrives <= moment]

    def _after(self, since: float) -> Iterator[Record]:
        for record in reversed(self._records):
            if record.happened < since:
                return
            yield record

    def _repository_event(self, event: RepositoryEvent) -> None:
        imports = self._azure.scenario.registry_log.imports
        if event.operation == IMPORT and imports == "Push":
            event = replace(event, operation="Push", media_type=OCI_INDEX)
        if event.operation != IMPORT or imports != "nothing":
            self._record(REPOSITORY_EVENTS, self._identified(event), event.registry_id)

    def _login_event(self, event: LoginEvent) -> None:
        self._record(LOGIN_EVENTS, self._identified(event), event.registry_id)

    def _identified(self, event: LoggedEvent) -> LoggedEvent:
        """The event with the identity in the scenario's form."""
        caller = self._azure.access.principals.get(event.identity)
        if caller is None:
            return event
        forms = {
            "object-id": event.identity,
            "application-id": caller.client_id or "",
            "name": caller.name,
            "empty": "",
        }
        return replace(event, identity=forms[self._azure.scenario.registry_log.identity])

    def _record(self, table: LogTable, event: Event, resource_id: str) -> None:
        clock, latency = self._azure.clock, self._azure.scenario.timings.log_ingestion
        happened = clock.elapsed()
        arrives = happened + latency
        ingested = event.time + timedelta(seconds=clock.wall(latency))
        for setting in self._azure.resources.list(DIAGNOSTICS_TYPE, scope=resource_id):
            workspace = self._azure.resources.get(setting["properties"].get("workspaceId") or "")
            if workspace is None or not _sends(setting, table.category):
                continue
            customer, tenant = workspace["properties"]["customerId"], self._azure.tenant_id
            self._records.append(
                Record(
                    table=table,
                    event=event,
                    resource_id=resource_id,
                    workspace_id=workspace["id"],
                    customer_id=customer,
                    tenant_id=tenant,
                    happened=happened,
                    arrives=arrives,
                    ingested=ingested,
                )
            )


def _sends(setting: Document, category: str) -> bool:
    return any(
        log.get("enabled") and (log.get("category") == category or log.get("categoryGroup") == "allLogs")
        for log in setting["properties"].get("logs") or ()
    )


def _within(record: Record, scope: str) -> bool:
    return contains(scope, record.resource_id) or contains(scope, record.workspace_id)
