"""Resource Graph queries: tables, result types, and error messages in Resource Graph's own wording."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

import duckdb
from duckdb_kql import Diagnostic, KqlError, KqlSchemaError, KqlSyntaxError, KqlUnsupportedError, SourceSpan

from sandbox.core.kql import Table, execute, missing_table
from sandbox.services.resourcegraph.dialect import adapt, construct_name, is_table, operators
from sandbox.services.resourcegraph.tables import DYNAMIC_COLUMNS, TEXT_COLUMNS, Row, Tables

_TYPES = {"VARCHAR": "string", "BOOLEAN": "boolean", "DOUBLE": "number", "BIGINT": "integer", "INTEGER": "integer"}
#: Operators that the translator may fail to parse although they are valid.
_UNPARSED = frozenset({"graph-match", "graph-shortest-paths", "make-graph", "make-series", "parse-kv", "top-nested"})
_INVALID = {
    "code": "InvalidQuery",
    "message": "Query is invalid. Please refer to the documentation for the Azure Resource Graph service and fix the "
    "error before retrying.",
}


@dataclass(frozen=True)
class Result:
    """All rows of a result.

    :ivar columns: pairs of name and ARG's type
    """

    columns: tuple[tuple[str, str], ...]
    rows: list[tuple[Any, ...]]


class QueryRefused(Exception):
    """The query is invalid.

    :ivar details: objects for the error's ``details``
    """

    def __init__(self, *details: dict[str, Any]) -> None:
        super().__init__(details)
        self.details = details


class QueryNotSupported(Exception):
    """The query uses a feature that the sandbox does not support; the message names it."""


def run(query: str, tables: Tables) -> Result:
    """Run a query.

    :raises QueryRefused: when it is not valid KQL, or refers to something that does not exist
    :raises QueryNotSupported: when it uses KQL that is not translated
    """
    if query.lstrip().startswith("."):
        raise QueryRefused(_INVALID, _parser_failure(Diagnostic(SourceSpan(1, 0), "extraneous input '.'")))
    query = adapt(query, tables)
    try:
        return _execute(query, tables)
    except KqlUnsupportedError as error:
        raise QueryNotSupported(f"{construct_name(error.construct)} ({error})") from error
    except KqlSyntaxError as error:
        _require_translated(query, error)
        raise QueryRefused(_INVALID, *(_parser_failure(diagnostic) for diagnostic in error.diagnostics)) from error
    except KqlSchemaError as error:
        _require_table(_quoted(str(error)) if "unknown table" in str(error) else "", error)
        raise QueryRefused(_INVALID, _default(error)) from error
    except duckdb.CatalogException as error:
        _require_table(missing_table(error), error)
        raise QueryNotSupported(_first_line(error)) from error
    except KqlError as error:
        raise QueryRefused(_INVALID, _default(error)) from error
    except duckdb.Error as error:
        if not isinstance(error, duckdb.BinderException) or "Referenced column" not in str(error):
            raise QueryNotSupported(_first_line(error)) from error
        raise QueryRefused(_INVALID, _default(error)) from error


def _require_translated(query: str, error: KqlSyntaxError) -> None:
    """:raises QueryNotSupported: when the query uses an operator that the translator does not even parse"""
    if unknown := [name for name in operators(query) if name in _UNPARSED]:
        raise QueryNotSupported(unknown[0]) from error


def _require_table(name: str, error: Exception) -> None:
    """Raise for a query of a table that is missing here; do nothing when no name is given.

    :raises QueryNotSupported: when Resource Graph may have the table
    :raises QueryRefused: when it cannot have it
    """
    if is_table(name):
        raise QueryNotSupported(f"the table {name}") from error
    if name:
        message = f"Table {name} is invalid, unsupported or disallowed."
        raise QueryRefused({"code": "DisallowedLogicalTableName", "message": message}) from error


def _default(error: Exception) -> dict[str, Any]:
    return {"code": "Default", "message": _first_line(error)}


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0]


def _quoted(text: str) -> str:
    """The first name in quotation marks."""
    return text.partition("'")[2].partition("'")[0]


def _execute(query: str, tables: Tables) -> Result:
    result = execute(query, (_table(name, rows) for name, rows in tables.items()))
    readers = [_dynamic if kind == "JSON" else _plain for _, kind in result.columns]
    columns = tuple((name, _TYPES.get(kind, "object")) for name, kind in result.columns)
    return Result(
        columns, [tuple(read(value) for read, value in zip(readers, row, strict=True)) for row in result.rows]
    )


def _table(name: str, rows: list[Row]) -> Table:
    columns = {**dict.fromkeys(TEXT_COLUMNS, "VARCHAR"), **dict.fromkeys(DYNAMIC_COLUMNS, "JSON")}
    dynamic = ({column: _json(row.get(column)) for column in DYNAMIC_COLUMNS} for row in rows)
    return Table(name, columns, [{**row, **own} for row, own in zip(rows, dynamic, strict=True)])


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
