"""What the gate sends to Prefect while a large release waits."""

from __future__ import annotations

import json
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from types import SimpleNamespace
from typing import Any
from uuid import UUID, uuid4

import pytest
from prefect.client.schemas.actions import ArtifactUpdate

from pratique.gate.verdict import ImageVerdict, VerdictState
from pratique.gate.wait import GateReport
from pratique.images import ImageReference
from tasks import gate_board
from tests.pratique.gate.kit import CLEAN, NO_ARTIFACT, NO_ROWS, FakeClock
from tests.pratique.gate.test_report import reported


class Prefect:
    """Stands in for Prefect's server.

    :ivar tables: each version of the table that it was sent, as JSON
    """

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.tables: list[str] = []
        monkeypatch.setattr(gate_board, "acreate_table_artifact", self._create)
        monkeypatch.setattr(gate_board, "get_client", self._client)
        monkeypatch.setattr(gate_board, "get_run_logger", lambda: logging.getLogger("board"))
        monkeypatch.setattr(gate_board, "current", lambda: SimpleNamespace(clock=FakeClock()))

    async def _create(self, table: list[dict[str, Any]], **_: str) -> UUID:
        self.tables.append(json.dumps(table))
        return uuid4()

    @asynccontextmanager
    async def _client(self) -> AsyncIterator[Prefect]:
        yield self

    async def update_artifact(self, artifact: UUID, update: ArtifactUpdate) -> None:
        self.tables.append(str(update.data))


def of(size: int, passed: int) -> GateReport:
    """The report on a release of which some images have passed."""
    waits, passes = reported((NO_ROWS, NO_ARTIFACT)), reported((NO_ROWS, CLEAN))

    def verdict(number: int) -> ImageVerdict:
        known = (passes if number < passed else waits).verdicts[0]
        return replace(known, image=replace(known.image, reference=ImageReference.parse(f"docker.io/a/{number:05}:1")))

    return replace(waits, verdicts=tuple(map(verdict, range(size))))


@pytest.mark.parametrize("size", [200, 2000])
async def test_updates_of_a_large_release(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, size: int
) -> None:
    """An update is as large for two thousand images as for two hundred, and what is the same of many is one line."""
    prefect, board = Prefect(monkeypatch), gate_board.GateBoard("web")
    with caplog.at_level(logging.INFO, "board"):
        await board.show(of(size, 0))
        await board.show(of(size, 3))
        await board.show(of(size, size))
    assert max(map(len, prefect.tables)) < 40_000
    assert [json.loads(table)[0]["state"] for table in prefect.tables] == ["Pending", "Pending", "Healthy"]
    lines = [record.getMessage() for record in caplog.records]
    assert lines[0].startswith(f"{size} images, a/00000:1 linux/amd64, ")
    assert f"and {size - 5} more: {VerdictState.PENDING} (" in lines[0]
    assert lines[1:4] == [f"a/0000{number}:1 linux/amd64: Healthy (assessed, nothing found)" for number in range(3)]
    assert len(lines) == 5
