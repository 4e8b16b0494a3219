"""CPU time and memory of running processes, from Linux's ``/proc``."""

from __future__ import annotations

import os
import re
from contextlib import suppress
from pathlib import Path


def cpu_seconds(pid: int) -> float:
    """User and system CPU time of the process so far."""
    # The program's name, in parentheses, may contain spaces; utime and stime are fields 14 and 15 of proc_pid_stat(5).
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def peak_mib(pid: int) -> int:
    """Peak resident memory of the process so far, in MiB; 0 for a process that has ended.

    Unlike ``ru_maxrss``, it does not include the memory of the parent process.
    """
    found = re.search(r"VmHWM:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())
    return int(found[1]) // 1024 if found else 0


def descendants(root: int) -> list[int]:
    """A process and all processes below it, by their ids."""
    parents: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with suppress(OSError, IndexError):
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
                parents.setdefault(int(fields[1]), []).append(int(entry.name))
    found, waiting = [], [root]
    while waiting:
        found.append(current := waiting.pop())
        waiting += parents.get(current, [])
    return found
