"""Log Analytics queries: result types, and error messages in Log Analytics' own wording.

Source: Azure Monitor Logs API, "Response format" and "Errors"; inner codes as seen in public issues.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import duckdb
from duckdb_kql import Diagnostic, KqlError, KqlSyntaxError, KqlUnsupportedError

from sandbox.core.kql import execute, missing_table
from sandbox.services.loganalytics.tables import Record, tables_of

_TYPES = {
    "VARCHAR": "string",
    "BOOLEAN": "bool",
    "DOUBLE": "real",
    "FLOAT": "real",
    "BIGINT": "long",
    "HUGEINT": "long",
    "INTEGER": "int",
    "INTERVAL": "timespan",
    "UUID": "guid",
    "JSON": "dynamic",
    "TIMESTAMP": "datetime",
    "TIMESTAMP WITH TIME ZONE": "datetime",
    "DATE": "datetime",
}


@dataclass(frozen=True)
class Result:
    """All rows of a result, ready for JSON.

    :ivar columns: pairs of name and Kusto's type
    """

    columns: tuple[tuple[str, str], ...]
    rows: list[list[Any]]


class QueryRefused(Exception):
    """The query is invalid.

    :ivar inner: the error's ``innererror``
    """

    def __init__(self, inner: dict[str, Any]) -> None:
        super().__init__(inner["innererror"]["message"])
        self.inner = inner


class QueryNotSupported(Exception):
    """The query uses a feature that the sandbox does not support; the message names it."""


def run(query: str, records: Iterable[Record], at: datetime, origin: datetime | None = None) -> Result:
    """Run a query over the rows of some records.

    Azure's own tables always exist, with or without rows.

    :param at: the time that ``now()`` and ``ago()`` start from
    :param origin: as for :meth:`Record.row`
    :raises QueryRefused: when it is not valid KQL, or refers to something that does not exist
    :raises QueryNotSupported: when it uses KQL that is not translated
    """
    if query.lstrip().startswith("."):
        raise _semantic("SEM0000", "Control commands are not supported in queries.")
    try:
        result = execute(query, tables_of(records, origin), at)
    except KqlSyntaxError as error:
        raise _syntax(error.diagnostics[0]) from error
    except KqlUnsupportedError as error:
        raise QueryNotSupported(str(error)) from error
    except duckdb.CatalogException as error:
        text = f"Failed to resolve table or column expression named '{missing_table(error)}'"
        raise _semantic("SEM0100", text) from error
    except (KqlError, duckdb.Error) as error:
        raise _semantic("SEM0100", _reason(error)) from error
    columns = tuple((name, _type(kind)) for name, kind in result.columns)
    return Result(columns, [[_value(value) for value in row] for row in result.rows])


def _type(kind: str) -> str:
    return "decimal" if kind.startswith("DECIMAL") else _TYPES.get(kind, "dynamic")


def _reason(error: Exception) -> str:
    if column := re.search(r'Referenced column "(.+?)" not result', str(error)):
        return f"Failed to resolve scalar expression named '{column[1]}'"
    return str(error).partition("\n")[0]


def _value(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.replace(tzinfo=None).isoformat() + "Z"
    if isinstance(value, timedelta):
        return _timespan(value)
    return value if isinstance(value, str | int | float | bool | None) else str(value)


def _timespan(value: timedelta) -> str:
    sign, span = ("-", -value) if value < timedelta(0) else ("", value)
    minutes, second = divmod(span.seconds, 60)
    days = f"{span.days}." if span.days else ""
    fraction = f".{span.microseconds:06}0" if span.microseconds else ""
    return f"{sign}{days}{minutes // 60:02}:{minutes % 60:02}:{second:02}{fraction}"


def _syntax(diagnostic: Diagnostic) -> QueryRefused:
    line, column = diagnostic.span.line, diagnostic.span.column
    token = diagnostic.message.partition("input '")[2].partition("'")[0]
    inner = {
        "code": "SYN0002",
        "message": f"Query could not be parsed at '{token}' on line [{line},{column}]",
        "line": line,
        "pos": column,
        "token": token,
    }
    return QueryRefused(
        {"code": "SyntaxError", "message": "A recognition error occurred in the query.", "innererror": inner}
    )


def _semantic(code: str, message: str) -> QueryRefused:
    return QueryRefused(
        {
            "code": "SemanticError",
            "message": "A semantic error occurred.",
            "innererror": {"code": code, "message": message},
        }
    )
