"""A sample of the campaign's whole runs: `make faults` has many."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from benchmarks.faults.cases import Case
from benchmarks.faults.preparations import Preparations
from benchmarks.faults.refusals import KINDS
from benchmarks.faults.surroundings import SURROUNDINGS, Surrounding
from tests.conftest import StartSandbox


@pytest.mark.usefixtures("prefect")
@pytest.mark.parametrize("there", SURROUNDINGS, ids=lambda there: there.name)
def test_a_whole_run_with_a_fault(there: Surrounding, start_sandbox: StartSandbox, tmp_path: Path) -> None:
    """The answer to a request is lost in the middle of a run: all invariants hold, and a second run converges."""
    runs = Preparations(start_sandbox(), tmp_path)
    case = Case(
        1, "reset after", {**KINDS["reset after"], "nth": 30}, vulnerable=there is SURROUNDINGS[0], surrounding=there
    )
    point = asyncio.run(runs.run(0, case))
    assert point.request
    assert point.broken == ()
    if there is SURROUNDINGS[0]:
        assert runs.check_secrets().broken == ()
