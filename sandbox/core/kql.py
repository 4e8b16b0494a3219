"""Runs KQL queries over tables in memory: translated by duckdb-kql, executed by DuckDB.

The database sees only the given rows: no files, no network, no variables of this process. Resource Graph and Log
Analytics share this module, and each words its own errors.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import duckdb
import duckdb_kql

#: Column that holds ``ingestion_time()``; no answer shows it.
INGESTED = "_IngestionTime"
_INGESTION_TIME = re.compile(r"\bingestion_time\s*\(\s*\)")


@dataclass(frozen=True)
class Table:
    """A named table.

    :ivar columns: DuckDB's type by column name
    :ivar rows: values by column name; a missing string is empty, as in Kusto, anything else is null
    """

    name: str
    columns: Mapping[str, str]
    rows: Sequence[Mapping[str, Any]]


@dataclass(frozen=True)
class Result:
    """All rows of an answer, as DuckDB returns them.

    :ivar columns: pairs of name and DuckDB's type
    """

    columns: tuple[tuple[str, str], ...]
    rows: list[tuple[Any, ...]]


def execute(query: str, tables: Iterable[Table], at: datetime | None = None) -> Result:
    """Run a query.

    :param at: the time that ``now()`` and ``ago()`` start from
    :raises duckdb_kql.KqlSyntaxError: when it is not valid KQL
    :raises duckdb_kql.KqlUnsupportedError: when it uses KQL that is not translated
    :raises duckdb.CatalogException: when it names a table that does not exist; see :func:`missing_table`
    :raises duckdb_kql.KqlError: for any other error in the query
    :raises duckdb.Error: for errors found at run time, such as a column that does not exist
    """
    tables = list(tables)
    if any(INGESTED in table.columns for table in tables):
        query = _INGESTION_TIME.sub(INGESTED, query)
    config = {"enable_external_access": "false", "threads": "1"}
    with duckdb_kql.connect(config=config) as database:
        database.execute("SET python_enable_replacements = false")
        for table in tables:
            if table.name.lower() in query.lower():
                _load(database, table)
        relation = duckdb_kql.query(database, query, allow_write=False, query_now=at)
        columns = zip(relation.columns, (str(kind) for kind in relation.types), strict=True)
        return _without_hidden(tuple(columns), relation.fetchall())


def missing_table(error: duckdb.CatalogException) -> str:
    """The table that a query names and that does not exist."""
    return str(error).partition("Table with name ")[2].partition(" ")[0]


def _without_hidden(columns: tuple[tuple[str, str], ...], rows: list[tuple[Any, ...]]) -> Result:
    visible = [position for position, (name, _) in enumerate(columns) if name != INGESTED]
    if len(visible) == len(columns):
        return Result(columns, rows)
    return Result(tuple(columns[at] for at in visible), [tuple(row[at] for at in visible) for row in rows])


def _load(database: duckdb.DuckDBPyConnection, table: Table) -> None:
    columns = ", ".join(f'"{name}" {kind}' for name, kind in table.columns.items())
    database.execute(f'CREATE TABLE "{table.name}" ({columns})')
    if not table.rows:
        return
    values = [[_text(row.get(name), kind) for row in table.rows] for name, kind in table.columns.items()]
    unnested = ", ".join(f"unnest(?::VARCHAR[])::{kind}" for kind in table.columns.values())
    database.execute(f'INSERT INTO "{table.name}" SELECT {unnested}', values)


def _text(value: Any, kind: str) -> str | None:
    if kind == "VARCHAR":
        return str(value or "")
    return None if value is None else str(value)
