"""Request bodies as clients really send them.

The az CLI puts the template file into its request as it is, comments and all, under a key without quotes, to keep
the line numbers of error messages right::

    {"properties": {"parameters": {…}, "mode": "Incremental", template:{ // as the author wrote it
"""

from __future__ import annotations

import json
import re
from typing import Any

from sandbox.services.deployments.errors import TemplateError

MAX_BODY = 4 * 1024 * 1024  # bytes; ARM's limit for a template

_STRING = r'"(?:[^"\\]|\\.)*"'
_LOOSE = re.compile(rf"(?P<string>{_STRING})|//[^\n]*|/\*.*?\*/|(?P<key>\btemplate)(?=\s*:)", re.DOTALL)
_TRAILING_COMMA = re.compile(rf"({_STRING})|,(?=\s*[\]}}])", re.DOTALL)


def parse_body(raw: bytes) -> dict[str, Any]:
    """The JSON object in a request body: strict JSON, or JSON with comments as the az CLI sends it.

    :raises TemplateError: ``InvalidRequestContent`` when it is neither, or not an object, or too large
    """
    if len(raw) > MAX_BODY:
        raise TemplateError("The request content exceeds 4 megabytes.", "RequestContentTooLarge", 413)
    try:
        document = json.loads(raw)
    except ValueError:
        document = _parse_loose(raw)
    if not isinstance(document, dict):
        raise TemplateError("The request content must be a JSON object.", "InvalidRequestContent")
    return document


def _parse_loose(raw: bytes) -> Any:
    try:
        text = _LOOSE.sub(_tidy, raw.decode())
        return json.loads(_TRAILING_COMMA.sub(lambda match: match[1] or "", text), strict=False)
    except ValueError as error:
        raise TemplateError(
            f"The request content was invalid and could not be deserialized: '{error}'.", "InvalidRequestContent"
        ) from error


def _tidy(match: re.Match[str]) -> str:
    if match["key"]:
        return '"template"'
    return match["string"] or " "
