"""Finds the innermost causes in an error answer.

>>> answer = {"error": {"code": "DeploymentFailed", "details": [{"code": "Conflict", "message":
...     '{"error": {"code": "SkuNotAvailable", "message": "Premium is sold out."}}'}]}}
>>> [str(cause) for cause in innermost(answer)]
['SkuNotAvailable: Premium is sold out.']

Azure nests what went wrong: in ``details``, in ``innererror``, and as JSON inside a message, which is how Resource
Manager passes on the answer of a resource provider, and a registry that of another registry.

Facts: Azure REST guidelines, "Handling errors"; OData JSON format 4.01, "Error Response"; RFC 6749, section 5.2; OCI
distribution-spec v1.1, "Error Codes"; answers that Azure's users have published.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

DEEPEST = 16  # levels of nested errors that are read
MOST = 8  # causes of one answer
_CONTAINERS = ("error", "odata.error", "errors", "statusmessage")


@dataclass(frozen=True)
class Cause:
    """An error that has no other error inside it.

    :ivar policies: display names of the policies that forbid the request
    :ivar assignment: id of the first policy's assignment
    """

    code: str
    message: str
    policies: tuple[str, ...] = ()
    assignment: str = ""

    def __str__(self) -> str:
        return f"{self.code or 'Error'}: {self.message}"


def outermost(answer: object) -> Cause:
    """The error that the answer itself names; without code and message where it names none."""
    return next((Cause(_text(node.get("code")), _text(node.get("message"))) for node in _errors(answer)), Cause("", ""))


def innermost(answer: object) -> tuple[Cause, ...]:
    """The innermost causes, each once, in their order.

    :param answer: parsed JSON; without an error in it there is no cause
    """
    found = dict.fromkeys(cause for node in _errors(answer) for cause in _leaves(node, Cause("", ""), 0))
    return tuple(found)[:MOST]


def _leaves(node: Mapping[str, Any], above: Cause, level: int) -> Iterator[Cause]:
    """The causes below an error. An error without a code or a message has those of the error around it."""
    policies, assignment = _policies(node.get("additionalinfo"))
    own = Cause(
        code=_text(node.get("code")) or above.code,
        message=_text(node.get("message")) or above.message,
        policies=policies or above.policies,
        assignment=assignment or above.assignment,
    )
    before, wrapped = _wrapped(own.message)
    nested = [*_errors(node.get("details")), *wrapped] or _errors(node.get("innererror"))
    if not nested or level == DEEPEST:
        yield own
        return
    for child in nested:
        inside = replace(own, message=before) if wrapped else own
        for leaf in _leaves(child, inside, level + 1):
            joined = before and child in wrapped and leaf.message != before
            yield replace(leaf, message=f"{before} {leaf.message}") if joined else leaf


def _errors(value: object, level: int = 0) -> list[dict[str, Any]]:
    """The outermost error objects in a JSON value, with keys in lower case."""
    if level > DEEPEST:
        return []
    if isinstance(value, list):
        return [error for item in value for error in _errors(item, level + 1)]
    if isinstance(value, str):
        return _wrapped(value, level + 1)[1]
    if not isinstance(value, dict):
        return []
    node = {str(key).lower(): part for key, part in value.items()}
    if isinstance(code := node.get("error"), str) and not _errors(code, level + 1):  # OAuth's form
        return [{"code": code, "message": node.get("error_description") or node.get("message") or code}]
    for key in _CONTAINERS:
        if found := _errors(node.get(key), level + 1):
            return found
    if any(_text(node.get(key)) for key in ("code", "message")) or isinstance(node.get("innererror"), dict):
        return [node]
    return _errors(node.get("properties"), level + 1)


def _wrapped(message: str, level: int = 0) -> tuple[str, list[dict[str, Any]]]:
    """The errors in the JSON inside a message, and the text before it."""
    before, brace, _ = message.partition("{")
    if not brace:
        return "", []
    try:
        value, _ = json.JSONDecoder().raw_decode(message, len(before))
    except (ValueError, RecursionError):
        return "", []
    return before.strip(), _errors(value, level)


def _policies(additional: object) -> tuple[tuple[str, ...], str]:
    """Names of the policies in an error's ``additionalInfo``, and the id of the first one's assignment."""
    listed = additional if isinstance(additional, list) else []
    found = [entry["info"] for entry in listed if isinstance(entry, dict) and isinstance(entry.get("info"), dict)]
    names = (info.get("policyDefinitionDisplayName") or info.get("policyDefinitionName") for info in found)
    ids = [_text(info.get("policyAssignmentId")) for info in found]
    return tuple(dict.fromkeys(filter(None, map(_text, names)))), next(filter(None, ids), "")


def _text(value: object) -> str:
    """A text, which OData may put into an object with its language; a number as text."""
    if isinstance(value, dict):
        value = value.get("value")
    return str(value) if isinstance(value, str | int) else ""
