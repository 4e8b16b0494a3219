"""Runs external programs: with a timeout, a limit on output, no input, and no process left behind."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

LARGEST_OUTPUT = 64 * 1024 * 1024  # bytes
_STDERR_LIMIT = 64 * 1024  # bytes
_CHUNK = 64 * 1024
_KILL_SECONDS = 5.0  # for the system to clean up after a kill


@dataclass(frozen=True)
class CompletedProgram:
    """The result of a program.

    :ivar exit_code: or minus the number of the signal that killed it
    :ivar stdout: all of it; a little more than the limit when it wrote too much and was killed for that
    :ivar stderr: the beginning of its standard error
    """

    exit_code: int
    stdout: bytes
    stderr: bytes


async def run(
    arguments: Sequence[str],
    environment: Mapping[str, str],
    *,
    timeout: float,  # noqa: ASYNC109  # the program's time, after which it is killed
    output_limit: int = LARGEST_OUTPUT,
    cwd: Path | None = None,
) -> CompletedProgram:
    """Run a program in its own session, where it has no terminal to prompt on.

    When this returns, raises or is cancelled, no process of the program's group is left running.

    :param arguments: starting with the program; no shell interprets them
    :param environment: the program's whole environment
    :param timeout: seconds
    :param output_limit: bytes of output, after which the program is killed
    :raises TimeoutError: when it takes longer
    :raises OSError: when it cannot be started
    """
    process = await asyncio.create_subprocess_exec(
        *arguments,
        cwd=cwd,
        env=dict(environment),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        start_new_session=True,
    )
    try:
        async with asyncio.timeout(timeout):
            stdout, stderr = await _streams(process, output_limit)
            exit_code = await process.wait()
    except BaseException:
        _kill(process)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_KILL_SECONDS):
                await process.wait()
        raise
    return CompletedProgram(exit_code, stdout, stderr)


async def _streams(process: asyncio.subprocess.Process, output_limit: int) -> tuple[bytes, bytes]:
    if process.stdout is None or process.stderr is None:
        raise ValueError("both streams must be pipes")
    return await asyncio.gather(
        _read(process.stdout, output_limit, on_excess=lambda: _kill(process)),
        _read(process.stderr, _STDERR_LIMIT, on_excess=lambda: None),
    )


async def _read(stream: asyncio.StreamReader, limit: int, on_excess: Callable[[], None]) -> bytes:
    """Read a stream to its end, but keep little more than ``limit`` bytes."""
    content = bytearray()
    while chunk := await stream.read(_CHUNK):
        if len(content) > limit:
            on_excess()
        else:
            content += chunk
    return bytes(content)


def _kill(process: asyncio.subprocess.Process) -> None:
    """Kill the whole process group. Its ID stays reserved as long as any of its members lives."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
