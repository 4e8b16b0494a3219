"""Runs a KQL query over tables in memory: translated by duckdb-kql, executed by DuckDB.

The database knows the given rows and nothing else: no files, no network, none of this process's variables.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

import duckdb
import duckdb_kql
from duckdb_kql import Diagnostic, KqlError, KqlSyntaxError, KqlUnsupportedError, SourceSpan

from sandbox.services.resourcegraph.tables import DYNAMIC_COLUMNS, TEXT_COLUMNS, Row, Tables

_TYPES = {"VARCHAR": "string", "BOOLEAN": "boolean", "DOUBLE": "number", "BIGINT": "integer", "INTEGER": "integer"}
_INVALID = {
    "code": "InvalidQuery",
    "message": "Query is invalid. Please refer to the documentation for the Azure Resource Graph service and fix the "
    "error before retrying.",
}


@dataclass(frozen=True)
class Result:
    """All rows of an answer.

    :ivar columns: pairs of name and ARG's type
    """

    columns: tuple[tuple[str, str], ...]
    rows: list[tuple[Any, ...]]


class QueryRefused(Exception):
    """The query is wrong.

    :ivar details: objects for the error's ``details``
    """

    def __init__(self, *details: dict[str, Any]) -> None:
        super().__init__(details)
        self.details = details


class QueryNotPlayed(Exception):
    """Resource Graph would know what to do; the text says what is missing here."""


def run(query: str, tables: Tables) -> Result:
    """Answer a query.

    :raises QueryRefused: when it is not KQL, or names what does not exist
    :raises QueryNotPlayed: when it uses KQL that is not translated
    """
    if query.lstrip().startswith("."):
        raise QueryRefused(_INVALID, _parser_failure(Diagnostic(SourceSpan(1, 0), "extraneous input '.'")))
    try:
        return _execute(query, tables)
    except KqlSyntaxError as error:
        raise QueryRefused(_INVALID, *(_parser_failure(diagnostic) for diagnostic in error.diagnostics)) from error
    except KqlUnsupportedError as error:
        raise QueryNotPlayed(str(error)) from error
    except duckdb.CatalogException as error:
        table = str(error).partition("Table with name ")[2].partition(" ")[0]
        message = f"Table {table} is invalid, unsupported or disallowed."
        raise QueryRefused({"code": "DisallowedLogicalTableName", "message": message}) from error
    except (KqlError, duckdb.Error) as error:
        raise QueryRefused(_INVALID, {"code": "Default", "message": str(error).partition("\n")[0]}) from error


def _execute(query: str, tables: Tables) -> Result:
    with duckdb_kql.connect(config={"enable_external_access": "false"}) as database:
        database.execute("SET python_enable_replacements = false")
        for name, rows in tables.items():
            if name in query.lower():
                _load(database, name, rows)
        relation = duckdb_kql.query(database, query, allow_write=False)
        types = [str(column) for column in relation.types]
        readers = [_dynamic if column == "JSON" else _plain for column in types]
        columns = tuple((name, _TYPES.get(kind, "object")) for name, kind in zip(relation.columns, types, strict=True))
        found = [tuple(read(value) for read, value in zip(readers, row, strict=True)) for row in relation.fetchall()]
        return Result(columns, found)


def _load(database: duckdb.DuckDBPyConnection, table: str, rows: Sequence[Row]) -> None:
    names = (*TEXT_COLUMNS, *DYNAMIC_COLUMNS)
    kinds = ["VARCHAR"] * len(TEXT_COLUMNS) + ["JSON"] * len(DYNAMIC_COLUMNS)
    columns = ", ".join(f'"{name}" {kind}' for name, kind in zip(names, kinds, strict=True))
    database.execute(f'CREATE TABLE "{table}" ({columns})')
    if not rows:
        return
    values: list[list[str | None]] = [[str(row.get(name) or "") for row in rows] for name in TEXT_COLUMNS]
    values += [[_json(row.get(name)) for row in rows] for name in DYNAMIC_COLUMNS]
    unnested = ", ".join(f"unnest(?::VARCHAR[])::{kind}" for kind in kinds)
    database.execute(f'INSERT INTO "{table}" SELECT {unnested}', values)


def _json(value: object) -> str | None:
    return None if value is None else json.dumps(value)


def _dynamic(value: str | None) -> Any:
    return None if value is None else json.loads(value)


def _plain(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.strftime("%Y-%m-%dT%H:%M:%S.%f0Z")
    if isinstance(value, Decimal):
        return float(value)
    return value if isinstance(value, str | int | float | list | dict | None) else str(value)


def _parser_failure(diagnostic: Diagnostic) -> dict[str, Any]:
    return {
        "code": "ParserFailure",
        "message": "ParserFailure",
        "line": diagnostic.span.line,
        "characterPositionInLine": diagnostic.span.column,
        "token": diagnostic.message.partition("input '")[2].partition("'")[0],
    }
