"""The campaign's processes, from the outside: each runs a point at a time, and none outlives the campaign.

Whole runs have processes of their own: they need Prefect's server, and change the environment of their process.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Collection, Sequence
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from pathlib import Path

from benchmarks.faults.points import Finished, failed
from benchmarks.faults.schedule import Job
from benchmarks.faults.series import SECRETS, Selection
from benchmarks.usage import descendants

_PROJECT = Path(__file__).parents[2]
#: Of a process's output, what is shown when it dies.
_LAST_CHARACTERS = 2_000
#: How long killed processes may take to disappear.
_GONE_SECONDS = 10.0


class Stop:
    """Whether the campaign shall end: set by SIGINT and SIGTERM, whatever the process is doing."""

    def __init__(self) -> None:
        self.is_set = False
        #: Becomes readable when it is set.
        self.descriptor, self._write = os.pipe()

    def listen(self) -> None:
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda *_: self.set())

    def set(self) -> None:
        if not self.is_set:
            self.is_set = True
            os.write(self._write, b".")


@dataclass
class _Process:
    """A process and what it is doing.

    :ivar part: ``flows``, or empty for a process that runs all other parts
    :ivar job: None when it has nothing to do
    """

    process: subprocess.Popen[bytes]
    connection: Connection
    part: str
    log: Path
    job: Job | None = None

    def send(self, message: Job | Selection) -> None:
        """Send it a message. If it died, :meth:`receive` tells."""
        with suppress(BrokenPipeError, ConnectionResetError):
            self.connection.send(message)

    def receive(self, job: Job) -> Finished:
        """The result of a job; a failure if the process died."""
        try:
            finished: Finished = self.connection.recv()
        except (EOFError, ConnectionResetError):
            code, said = self.process.wait(), self.log.read_text(errors="replace")
            return failed(job.part, job.name, f"its process died (exit code {code}): {said[-_LAST_CHARACTERS:]}")
        return finished

    def kill(self) -> None:
        """Kill it with all processes below it, some of which lead sessions, and wait until they are gone."""
        self.connection.close()
        below = descendants(self.process.pid) if self.process.poll() is None else []
        _kill(os.killpg, self.process.pid)
        for pid in below:
            _kill(os.kill, pid)
        self.process.wait()
        limit = time.monotonic() + _GONE_SECONDS
        while any(_runs(pid) for pid in below) and time.monotonic() < limit:
            time.sleep(0.01)


class Pool:
    """Runs points in parallel.

    :param jobs: how many at once
    :param selection: of the points, whose series the jobs name by index
    :param folder: for the files of all processes
    """

    def __init__(self, jobs: int, selection: Selection, folder: Path, stop: Stop) -> None:
        self._jobs = jobs
        self._selection = selection
        self._folder = folder
        self._stop = stop
        self._started = 0
        self._processes: list[_Process] = []

    @property
    def running(self) -> Collection[Job]:
        return [each.job for each in self._processes if each.job]

    @property
    def free(self) -> bool:
        """Whether another point can be started."""
        return len(self.running) < self._jobs

    def start(self, job: Job) -> None:
        part = "flows" if job.part == "flows" else ""
        idle = (each for each in self._processes if each.part == part and each.job is None)
        process = next(idle, None) or self._spawn(part)
        process.job = job
        process.send(job)

    def search(self) -> None:
        """Start to search for secrets in what the whole runs have left, in each process that made some."""
        for process in [each for each in self._processes if each.part == "flows" and each.job is None]:
            process.job = Job("flows", 0, 0, SECRETS)
            process.send(process.job)

    def wait(self, seconds: float | None) -> Sequence[tuple[Job, Finished]]:
        """Wait for the end of a point.

        :param seconds: at most; None for as long as it takes
        :returns: the points that have ended; nothing when the time is over or the campaign shall end
        """
        busy = {each.connection: each for each in self._processes if each.job}
        ready = wait([*busy, self._stop.descriptor], None if seconds is None else max(0, seconds))
        ended = []
        for process in [each for connection, each in busy.items() if connection in ready]:
            assert process.job  # noqa: S101  # it is busy
            ended.append((process.job, process.receive(process.job)))
            process.job = None
            if process.process.poll() is not None:
                self._remove(process)
        return ended

    def abandon(self) -> Sequence[Job]:
        """Kill the processes that are running a point, and return these points."""
        busy = [each for each in self._processes if each.job]
        for process in busy:
            self._remove(process)
        return [each.job for each in busy if each.job]

    def close(self) -> None:
        """Kill all processes."""
        for process in list(self._processes):
            self._remove(process)

    def _spawn(self, part: str) -> _Process:
        self._started += 1
        folder = self._folder / str(self._started)
        folder.mkdir()
        log = folder / "log"
        ours, its = socket.socketpair()
        command = [sys.executable, "-m", "benchmarks.faults.shard", str(its.fileno()), str(folder)]
        with its, log.open("wb") as output:
            process = subprocess.Popen(
                command,
                cwd=_PROJECT,
                env=os.environ | {"TMPDIR": str(folder)},
                pass_fds=[its.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        made = _Process(process, Connection(ours.detach()), part, log)
        self._processes.append(made)
        made.send(self._selection)
        return made

    def _remove(self, process: _Process) -> None:
        self._processes.remove(process)
        process.kill()


def _kill(kill: Callable[[int, int], None], number: int) -> None:
    with suppress(ProcessLookupError):
        kill(number, signal.SIGKILL)


def _runs(pid: int) -> bool:
    """Whether a process is neither gone nor a zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False
