"""A program of somebody else's: bounded in time and output, asked nothing, and ended with all that it started."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

LARGEST_OUTPUT = 64 * 1024 * 1024  # bytes
_KEPT_WORDS = 64 * 1024  # bytes of standard error
_CHUNK = 64 * 1024
_END_SECONDS = 5.0  # for the system to clear away what was killed


@dataclass(frozen=True)
class Ended:
    """What a program left behind.

    :ivar code: its exit code, or minus the number of the signal that ended it
    :ivar output: all of it; a little more than was allowed when it wrote too much, and was ended for that
    :ivar words: the beginning of its standard error
    """

    code: int
    output: bytes
    words: bytes


async def run(
    arguments: Sequence[str],
    environment: Mapping[str, str],
    *,
    timeout: float,  # noqa: ASYNC109  # the program's time, over which it is killed
    most: int = LARGEST_OUTPUT,
    cwd: Path | None = None,
) -> Ended:
    """Run a program in a session of its own, where there is no terminal to ask anybody anything.

    However this ends, cancelled for example, nothing of the program's process group is left running.

    :param arguments: the program first; no shell sees them
    :param environment: all of it
    :param timeout: seconds
    :param most: bytes of output, after which the program is ended
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
            output, words = await _streams(process, most)
            code = await process.wait()
    except BaseException:
        _kill(process)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_END_SECONDS):
                await process.wait()
        raise
    return Ended(code, output, words)


async def _streams(process: asyncio.subprocess.Process, most: int) -> tuple[bytes, bytes]:
    if process.stdout is None or process.stderr is None:
        raise ValueError("both streams have to be pipes")
    return await asyncio.gather(
        _read(process.stdout, most, beyond=lambda: _kill(process)),
        _read(process.stderr, _KEPT_WORDS, beyond=lambda: None),
    )


async def _read(stream: asyncio.StreamReader, most: int, beyond: Callable[[], None]) -> bytes:
    """All of a stream, of which not much more than ``most`` bytes are kept."""
    content = bytearray()
    while chunk := await stream.read(_CHUNK):
        if len(content) > most:
            beyond()
        else:
            content += chunk
    return bytes(content)


def _kill(process: asyncio.subprocess.Process) -> None:
    """The whole group: its leader's number stays taken as long as one of its members lives."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
