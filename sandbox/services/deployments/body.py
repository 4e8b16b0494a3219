"""Parses request bodies as clients send them.

The az CLI copies the template file into its request verbatim, with comments, under an unquoted key, so that line
numbers in error messages stay correct::

    {"properties": {"parameters": {…}, "mode": "Incremental", template:{ // as the author wrote it

ARM refuses unknown members. Source of the members: REST API, deployments 2026-06-01; the wording of the error is from
answers quoted in public issues, the name of the inner type UNVERIFIED.
"""

from __future__ import annotations

import json
import re
from typing import Any

from sandbox.services.deployments.errors import TemplateError

MAX_BODY = 4 * 1024 * 1024  # bytes; ARM's limit for a template
_MEMBERS = {"location", "properties", "tags", "identity"}
_PROPERTIES = {
    "template",
    "templatelink",
    "parameters",
    "parameterslink",
    "externalinputs",
    "externalinputdefinitions",
    "extensionconfigs",
    "mode",
    "debugsetting",
    "onerrordeployment",
    "expressionevaluationoptions",
    "validationlevel",
}

_STRING = r'"(?:[^"\\]|\\.)*"'
_LOOSE = re.compile(rf"(?P<string>{_STRING})|//[^\n]*|/\*.*?\*/|(?P<key>\btemplate)(?=\s*:)", re.DOTALL)
_TRAILING_COMMA = re.compile(rf"({_STRING})|,(?=\s*[\]}}])", re.DOTALL)


def parse_body(raw: bytes, *more: str) -> dict[str, Any]:
    """The JSON object in a request body: strict JSON, or JSON with comments as the az CLI sends it.

    :param more: lower-case names of members that the properties may have besides those of a deployment
    :raises TemplateError: ``InvalidRequestContent`` when the body is neither, is not an object, is too large, or has
        an unknown member
    """
    if len(raw) > MAX_BODY:
        raise TemplateError("The request content exceeds 4 megabytes.", "RequestContentTooLarge", 413)
    try:
        document = json.loads(raw)
    except ValueError:
        document = _parse_loose(raw)
    if not isinstance(document, dict):
        raise TemplateError("The request content must be a JSON object.", "InvalidRequestContent")
    _require_known(document, _MEMBERS, "DeploymentContent")
    _require_known(document.get("properties"), _PROPERTIES | {*more}, "DeploymentPropertiesDefinition")
    return document


def _require_known(members: Any, known: set[str], kind: str) -> None:
    unknown = [name for name in members if name.lower() not in known] if isinstance(members, dict) else []
    if unknown:
        raise TemplateError(
            "The request content was invalid and could not be deserialized: "
            f"'Could not find member '{unknown[0]}' on object of type '{kind}'.'",
            "InvalidRequestContent",
        )


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
