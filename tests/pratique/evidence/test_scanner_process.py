"""Programs that hang, flood their output or fail, none of which leaves a process behind."""

from __future__ import annotations

import asyncio
import fcntl
import sys
from pathlib import Path

import pytest

from pratique.evidence import scanner_process
from pratique.evidence.scanner_process import Command, CommandFailed
from tests.waiting import HANGS, until

SECRET = "a-password-for-the-registry"


def python(program: str, timeout: float = HANGS) -> Command:
    """A command that runs a few lines of Python."""
    arguments = [sys.executable, "-c", f"import os, sys, time\n{program}"]
    return Command(arguments, {"SECRET": SECRET}, timeout, (SECRET, ""))


def hangs(lock: Path) -> str:
    """A program that never ends and starts another that never ends. Both hold the lock."""
    return f"""
import fcntl
lock = open({str(lock)!r}, "w")
fcntl.flock(lock, fcntl.LOCK_EX)
os.fork()
open({str(lock)!r} + ".ready", "w").close()
time.sleep(3600)
"""


@pytest.fixture
def lock(tmp_path: Path) -> Path:
    path = tmp_path / "lock"
    path.touch()
    return path


async def free(lock: Path) -> bool:
    """Wait until no process holds the lock."""
    with lock.open() as file:
        await asyncio.to_thread(fcntl.flock, file, fcntl.LOCK_EX)
        return True


async def test_the_output() -> None:
    """All output is returned; input is empty; the environment adds to that of this process."""
    program = (
        "sys.stdout.buffer.write(bytes(range(256)) * 1000 + sys.stdin.buffer.read() + os.environ['SECRET'].encode())"
    )
    assert await python(program).run() == bytes(range(256)) * 1000 + SECRET.encode()


async def test_a_program_that_hangs(lock: Path) -> None:
    """After its timeout it is killed, together with what it started."""
    with pytest.raises(CommandFailed, match="longer than 1 seconds"):
        await python(hangs(lock), timeout=1).run()
    assert await free(lock)


async def test_cancellation(lock: Path) -> None:
    """A cancelled run leaves no process behind."""
    running = asyncio.create_task(python(hangs(lock)).run())
    await until(lock.with_name("lock.ready").exists)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert await free(lock)


async def test_a_flood(monkeypatch: pytest.MonkeyPatch) -> None:
    """Endless standard output gets the program killed; long standard error does not matter."""
    monkeypatch.setattr(scanner_process, "LARGEST_OUTPUT", 1_000_000)
    with pytest.raises(CommandFailed, match="more than 1000000 bytes"):
        await python("while True: print('x' * 100_000)").run()
    assert await python("sys.stderr.write('x' * 1_000_000); print('done')").run() == b"done\n"


async def test_the_reason_of_a_failure() -> None:
    """The message quotes the line with the reason: printable, short, and with the secret masked."""
    lines = ["INFO starting", f"\x1b[31mFATAL\x1b[0m\tlogin with {SECRET} refused \x00" + "x" * 300, "later"]
    with pytest.raises(CommandFailed) as failed:
        await python(f"sys.stderr.write({chr(10).join(lines)!r}); print('{{}}'); sys.exit(3)").run()
    message = str(failed.value)
    assert message.startswith("it ended with exit code 3: FATAL login with *** refused xxx")
    assert message.isprintable()
    assert len(message) < scanner_process.LONGEST_REASON + 40


@pytest.mark.parametrize(
    ("program", "message"),
    [
        ("os.abort()", "it ended with exit code -6: it does not say why"),
        ("sys.exit('no route\\nto the host')", "it ended with exit code 1: no route"),
    ],
)
async def test_other_failures(program: str, message: str) -> None:
    """A signal is reported by number; where no line looks like an error, the first line is quoted."""
    with pytest.raises(CommandFailed) as failed:
        await python(program).run()
    assert str(failed.value) == message


async def test_a_program_that_does_not_start(tmp_path: Path) -> None:
    """A file that cannot be executed gives an error that says so."""
    program = tmp_path / "program"
    program.write_bytes(b"\x7fELF")
    program.chmod(0o755)
    with pytest.raises(CommandFailed, match="cannot be started"):
        await Command([str(program)], {}, 30).run()
