"""A campaign that is told to end prints its table and leaves nothing, in processes or files."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from benchmarks.faults.journal import read
from benchmarks.faults.pool import Pool, Stop
from benchmarks.faults.schedule import Job
from benchmarks.faults.series import Selection
from benchmarks.usage import descendants
from tests.flows.world import PROJECT
from tests.processes import found
from tests.waiting import HANGS, until


@pytest.fixture
def folder() -> Iterator[Path]:
    """For temporary files; short, because there are sockets in it."""
    with tempfile.TemporaryDirectory(prefix="f-") as made:
        yield Path(made)


def start(folder: Path, *options: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "benchmarks.faults", "--output", str(folder / "points"), *options]
    (folder / "tmp").mkdir()
    return subprocess.Popen(
        command,
        cwd=PROJECT,
        env=os.environ | {"TMPDIR": str(folder / "tmp")},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def runs(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def shards(campaign: int) -> list[int]:
    """The processes that run points."""
    found = []
    for pid in descendants(campaign):
        with suppress(OSError):  # it has ended
            found += [pid] if b"benchmarks.faults.shard\0" in Path(f"/proc/{pid}/cmdline").read_bytes() else []
    return found


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
async def test_stopped(folder: Path, number: signal.Signals) -> None:
    """Ctrl-C, or SIGTERM: the point under way is abandoned and named, the others are in the table and in the file."""
    campaign = start(folder, "--part", "kills", "--jobs", "1")
    await until(lambda: (folder / "points").exists() and b"\n" in (folder / "points").read_bytes())
    below = descendants(campaign.pid)
    campaign.send_signal(number)
    output, errors = await asyncio.to_thread(campaign.communicate, timeout=HANGS)
    assert campaign.returncode == 130, errors
    points = list(read(folder / "points"))
    assert f"\n{len(points)} points, {len(points)} of them hit, in " in output
    assert "kill -9 at a request" in output
    assert (
        f"abandoned, and not counted: --part kills --situation 'nothing' --kind before --at {len(points) + 1}" in output
    )
    assert len(below) > 1
    assert [pid for pid in below if runs(pid)] == []
    assert list((folder / "tmp").iterdir()) == []


async def test_a_process_that_dies(folder: Path) -> None:
    """Its point counts as broken, and another process goes on."""
    campaign = start(folder, "--part", "obstacles", "--situation", "locks that cannot be read", "--jobs", "1")
    await until(lambda: bool(shards(campaign.pid)))
    os.kill(shards(campaign.pid)[0], signal.SIGKILL)
    output, errors = await asyncio.to_thread(campaign.communicate, timeout=HANGS)
    assert campaign.returncode == 1, errors
    assert "its process died (exit code -9)" in output
    assert [bool(point.broken) for point in read(folder / "points")] == [True, False, False, False, False]
    assert list((folder / "tmp").iterdir()) == []


def test_a_process_that_dies_at_once(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also before it has been told what to do."""

    class Dead(subprocess.Popen[bytes]):
        def __init__(self, *args: Any, **kwargs: Any) -> None:
            super().__init__(*args, **kwargs)
            self.wait()

    monkeypatch.setattr(subprocess, "Popen", Dead)
    monkeypatch.setattr(sys, "executable", found("false", "coreutils"))
    processes = Pool(1, Selection(), folder, Stop())
    processes.start(Job("kills", 0, 1, "a point"))
    ((_, finished),) = processes.wait(HANGS)
    assert finished.point.broken == ("its process died (exit code 1): ",)
    assert not processes.running
    processes.close()
