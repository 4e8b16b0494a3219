"""A sample of the campaign's whole preparations: `make faults` runs many."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from benchmarks.faults.preparations import Case, Preparations
from benchmarks.faults.refusals import KINDS
from tests.conftest import StartSandbox


@pytest.mark.usefixtures("prefect")
def test_a_preparation_with_a_fault(start_sandbox: StartSandbox, tmp_path: Path) -> None:
    """The answer to a request is lost in the middle of a run: all invariants hold, and a second run converges."""
    runs = Preparations(start_sandbox(), tmp_path)
    case = Case(1, "reset after", {**KINDS["reset after"], "nth": 30}, vulnerable=True)
    point = asyncio.run(runs.run(0, case))
    assert point.request
    assert point.broken == ()
    assert runs.check_secrets().broken == ()
