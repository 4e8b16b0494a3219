"""The list of resources: what it leaves out, and its ``$filter``.

Source: REST API, Resources - List. A list shows only tracked resources that the caller may read, without their
properties.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from sandbox.core.errors import arm_fault
from sandbox.core.rbac import contains
from sandbox.core.resources import Document
from sandbox.core.routing import Call
from sandbox.services.arm.ids import GROUP_TYPE

_SHOWN = ("id", "name", "type", "kind", "location", "managedBy", "sku", "identity", "tags", "zones")
_TERM = re.compile(r"\s*(\w+)\s+eq\s+'((?:[^']|'')*)'\s*", re.IGNORECASE)
_FIELDS: dict[str, Callable[[Document], str]] = {
    "resourcetype": lambda document: document["type"],
    "name": lambda document: document["name"],
    "location": lambda document: document["location"],
    "resourcegroup": lambda document: document["id"].split("/")[4],
}

_VIEWS: dict[str, Callable[[Call, Document], Document]] = {}


def resource_list(call: Call, scope: str) -> dict[str, Any]:
    """What a list at a subscription or resource group shows to the caller.

    :raises HttpFault: 400 for an unsupported filter, 403 when the caller has no role there
    """
    matches = _filter(call.query.get("$filter", ""))
    found = [
        {key: document[key] for key in _SHOWN if key in document}
        for document in call.azure.resources.list(scope=scope)
        if _tracked(document) and matches(document) and may_read(call, document)
    ]
    if not found:
        require_any_role(call, "Microsoft.Resources/subscriptions/resources/read", scope)
    return {"value": found[: _top(call)]}


def show_as(kind: str, view: Callable[[Call, Document], Document]) -> None:
    """Let a provider decide how the generic routes show its resources, for instance by the version of its API."""
    _VIEWS[kind.lower()] = view


def shown(call: Call, document: Document) -> Document:
    """A resource as the generic routes show it."""
    view = _VIEWS.get(document["type"].lower())
    return document if view is None else view(call, document)


def may_read(call: Call, document: Document) -> bool:
    kind = "Microsoft.Resources/subscriptions/resourceGroups" if document["type"] == GROUP_TYPE else document["type"]
    return call.azure.access.allowed(call.principal.object_id, f"{kind}/read", document["id"])


def require_any_role(call: Call, action: str, scope: str) -> None:
    """Allow callers with any role at, above or below the scope: their list may be empty. Refuse all others."""
    scopes = [a.scope for a in call.azure.access.assignments() if a.principal_id == call.principal.object_id]
    if not any(contains(scope, own) or contains(own, scope) for own in scopes):
        call.require(action, scope)


def _tracked(document: Mapping[str, Any]) -> bool:
    """Whether ARM itself lists the resource: it has a location and is neither a group nor a vault's secret."""
    return "location" in document and document["type"] not in (GROUP_TYPE, "Microsoft.KeyVault/vaults/secrets")


def _filter(text: str) -> Callable[[Document], bool]:
    terms: list[tuple[str, str]] = []
    for part in re.split(r"\s+and\s+", text, flags=re.IGNORECASE) if text.strip() else []:
        term = _TERM.fullmatch(part)
        if term is None or term[1].lower() not in _FIELDS:
            raise arm_fault(
                400, "InvalidFilterInQueryString", f"Invalid $filter '{text}' specified in the query string."
            )
        terms.append((term[1].lower(), term[2].replace("''", "'").lower()))
    return lambda document: all(_FIELDS[field](document).lower() == value for field, value in terms)


def _top(call: Call) -> int | None:
    top = call.query.get("$top")
    return int(top) if top and top.isdigit() else None
