"""Lists of Azure are read whole or not at all."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from types import ModuleType
from typing import Any

import pytest

from pratique.azure.alerts import list_alerts
from pratique.azure.permissions import require_actions
from pratique.azure.registries import get_registry
from pratique.azure.roles import list_assignments
from pratique.azure.session import AzureSession
from pratique.errors import NotFound, UnreadableAnswer
from sandbox.services.alerts import routes as alert_routes
from sandbox.services.arm import routes as arm_routes
from sandbox.services.authorization import routes as authorization_routes
from sandbox.tenant import CLUSTER_GROUP
from tests.conftest import RunningSandbox

Document = dict[str, Any]


async def _assignments(session: AzureSession) -> object:
    return await list_assignments(session, f"/subscriptions/{session.subscription_id}/resourceGroups/{CLUSTER_GROUP}")


async def _permissions(session: AzureSession) -> object:
    await require_actions(session, CLUSTER_GROUP, ["Microsoft.Resources/deployments/write"])
    return None


async def _registries(session: AzureSession) -> object:
    try:
        return await get_registry(session, "nosuchregistry")
    except NotFound as missing:
        return missing


async def _alerts(session: AzureSession) -> object:
    return await list_alerts(session, CLUSTER_GROUP, "/rule", since=datetime.now(UTC) - timedelta(hours=1))


LISTS = [
    (_assignments, authorization_routes),
    (_permissions, authorization_routes),
    (_registries, arm_routes),
    (_alerts, alert_routes),
]


def _without(page: Document) -> Document:
    return {key: value for key, value in page.items() if key != "value"}


CHANGES: dict[str, Callable[[Document], Document]] = {
    "no value": _without,
    "null": lambda page: {**page, "value": None},
    "an object": lambda page: {**page, "value": {}},
    "another case": lambda page: {**_without(page), "Value": page["value"]},
    "another host": lambda page: {**page, "nextLink": "https://elsewhere.example/?page=2"},
    "not text": lambda page: {**page, "nextLink": 7},
}


@pytest.mark.parametrize(("read", "module"), LISTS, ids=["assignments", "permissions", "registries", "alerts"])
async def test_pages(
    session: AzureSession,
    sandbox: RunningSandbox,
    monkeypatch: pytest.MonkeyPatch,
    read: Callable[[AzureSession], Awaitable[object]],
    module: ModuleType,
) -> None:
    """A page without a list is no empty one, a missing page is no end, and no page leads to another host."""
    original = module.__dict__["answer"]
    await read(session)
    for change in CHANGES.values():

        def changed(page: Document, *more: Any, change: Any = change, **named: Any) -> Any:
            return original(change(page), *more, **named)

        with monkeypatch.context() as patched:
            patched.setattr(module, "answer", changed)
            with pytest.raises(UnreadableAnswer):
                await read(session)

    def longer(page: Document, *more: Any, **named: Any) -> Any:
        link = "https://management.azure.com:443/subscriptions/s/again"
        return original({**page, "nextLink": link}, *more, **named)

    monkeypatch.setattr(module, "answer", longer)
    with pytest.raises(UnreadableAnswer, match="middle"):
        await read(session)
