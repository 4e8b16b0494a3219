"""Child processes for tests: start, wait until ready, end."""

from __future__ import annotations

import contextlib
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import httpx

#: Only ends what hangs: nothing that works takes nearly as long, even on a busy machine.
PATIENCE_SECONDS = 600.0
SCRIPTS = Path(sys.executable).parent


@contextlib.contextmanager
def running(
    command: Sequence[str], log: Path, environment: Mapping[str, str], *, user: int | None = None
) -> Iterator[subprocess.Popen[bytes]]:
    """Run a child process until the block ends.

    :param user: id of the user who runs it; by default the current one
    """
    with log.open("wb") as output:
        process = subprocess.Popen(command, env=environment, stdout=output, stderr=subprocess.STDOUT, user=user)
        try:
            yield process
        finally:
            process.terminate()
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def wait_until(ready: Callable[[], bool], process: subprocess.Popen[bytes], log: Path) -> None:
    """Wait until a process is ready; fail with its log when it ends before that."""
    give_up = time.monotonic() + PATIENCE_SECONDS
    while not ready():
        assert process.poll() is None, log.read_text()
        assert time.monotonic() < give_up, log.read_text()
        time.sleep(0.1)


def responds(url: str) -> bool:
    """Whether a GET request succeeds."""
    try:
        return httpx.get(url, timeout=PATIENCE_SECONDS, trust_env=False).is_success
    except httpx.HTTPError:
        return False


def listens(port: int) -> bool:
    """Whether something accepts connections on a port of loopback."""
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def found(program: str, package: str) -> str:
    """Path of a program that a Debian package brings."""
    path = shutil.which(program)
    assert path is not None, f"{program} is missing: apt-get install {package}"
    return path


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
