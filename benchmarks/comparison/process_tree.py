"""CPU time and memory of a command and its child processes, sorted into the flow, Prefect's server, and all others."""

from __future__ import annotations

import os
import subprocess
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.usage import cpu_seconds, descendants, peak_mib

_LOOK_SECONDS = 0.2
#: In the command line of Prefect's server, temporary or not.
_SERVER = ("prefect.server", "uvicorn", "temporary_server")


@dataclass(frozen=True, kw_only=True)
class Usage:
    """What a contender used of the machine, without the local Azure.

    :ivar flow: CPU seconds of the process that executes it; of ``az``, of all commands together
    :ivar server: CPU seconds of Prefect's server
    :ivar children: CPU seconds of all others: git, workers, shells
    :ivar peak_mib: peak memory of the process that executes it
    """

    flow: float
    server: float
    children: float
    peak_mib: int


@dataclass
class ProcessTree:
    """Looks at a process and its descendants until it is stopped.

    :ivar root: process id
    :ivar is_flow: whether a command line is that of the process that executes the contender
    """

    root: int
    is_flow: Callable[[str], bool]
    _seconds: dict[int, tuple[str, float]] = field(default_factory=dict)
    _peak: int = 0
    _stop: threading.Event = field(default_factory=threading.Event)
    _thread: threading.Thread | None = None

    def start(self) -> None:
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        self._stop.set()
        if self._thread is not None:
            self._thread.join()

    def usage(self, total: float | None = None) -> Usage:
        """What was seen.

        :param total: CPU seconds of the whole tree, where they are known: children may end between two looks
        """
        by_kind = {"flow": 0.0, "server": 0.0, "children": 0.0}
        for command, seconds in self._seconds.values():
            by_kind[self._kind(command)] += seconds
        if total is not None:
            by_kind["children"] = max(by_kind["children"], total - by_kind["flow"] - by_kind["server"])
        return Usage(**by_kind, peak_mib=self._peak)

    def _watch(self) -> None:
        while not self._stop.wait(_LOOK_SECONDS):
            for pid in descendants(self.root):
                with suppress(OSError):  # it has ended meanwhile
                    command = Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
                    # A process that has ended and was not waited for has no command line any more.
                    command = command or self._seconds.get(pid, ("", 0.0))[0]
                    self._seconds[pid] = command, cpu_seconds(pid)
                    if self.is_flow(command):
                        self._peak = max(self._peak, peak_mib(pid))

    def _kind(self, command: str) -> str:
        if any(part in command for part in _SERVER):
            return "server"
        return "flow" if self.is_flow(command) else "children"


def run(
    command: Sequence[str], environment: Mapping[str, str], log: Path, folder: Path, is_flow: Callable[[str], bool]
) -> tuple[int, Usage]:
    """Run a command to its end, and measure its processes.

    :param log: receives its output
    :param folder: where it starts
    :returns: its exit code, and what it used
    """
    with log.open("wb") as output:
        process = subprocess.Popen(command, cwd=folder, env={**environment}, stdout=output, stderr=subprocess.STDOUT)
        tree = ProcessTree(process.pid, is_flow)
        tree.start()
        try:
            _, status, usage = os.wait4(process.pid, 0)
        except BaseException:
            process.kill()
            raise
        finally:
            tree.stop()
    process.returncode = os.waitstatus_to_exitcode(status)
    return process.returncode, tree.usage(usage.ru_utime + usage.ru_stime)
