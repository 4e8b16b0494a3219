"""Find out which database a Prefect server uses, and warn if automations need another.

The API does not report it: ``GET /admin/settings`` masks the connection URL, set or not, and the setting for the
driver is usually empty. But both databases support a search by name, and read its pattern differently:

- In PostgreSQL a backslash makes the next character of a ``LIKE`` pattern literal (PostgreSQL manual, 9.7.1).
- In SQLite it does so only after ``ESCAPE`` (SQLite, "The LIKE operator"), which Prefect 3.8.8 does not send.
"""

from __future__ import annotations

from enum import Enum, auto

from prefect.client.orchestration import PrefectClient
from prefect.client.schemas.filters import FlowFilter, FlowFilterName


class ServerDatabase(Enum):
    """The database of a Prefect server."""

    POSTGRESQL = auto()
    SQLITE = auto()
    UNKNOWN = auto()


_ADVICE = """\
  SQLite refuses writes when the server is busy ("database is locked"), and automations then lose events.
  A run that waits for a person can be marked Crashed, and a sweep or a notification can be missing.
  Move the server to PostgreSQL (docs/operating.md, "In production"). Until then, if runs wait for people,
  switch off the automation "pratique: runs whose process is gone" in Prefect's UI."""

#: For people who deploy automations to such a server.
WARNINGS = {
    ServerDatabase.SQLITE: f"""\
Warning: this Prefect server uses SQLite, and automations need PostgreSQL.
{_ADVICE}""",
    ServerDatabase.UNKNOWN: f"""\
Warning: could not determine whether this Prefect server uses PostgreSQL, which automations need.
  Prefect's API does not report its database. If it is SQLite:
{_ADVICE}""",
}


async def server_database(client: PrefectClient, flow: str) -> ServerDatabase:
    """Find out which database the server uses. Changes nothing.

    :param flow: name of a flow on the server, with at least one underscore
    """
    # Without this, a Prefect that escapes patterns, or a missing flow, would look like SQLite.
    if not await _finds(client, flow, flow.replace("_", "%")):
        return ServerDatabase.UNKNOWN
    escaped = await _finds(client, flow, flow.replace("_", r"\_"))
    return ServerDatabase.POSTGRESQL if escaped else ServerDatabase.SQLITE


async def _finds(client: PrefectClient, flow: str, pattern: str) -> bool:
    matches = await client.read_flows(flow_filter=FlowFilter(name=FlowFilterName(like_=pattern)))
    return flow in {match.name for match in matches}
