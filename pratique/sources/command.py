"""A program of somebody else's, run with suspicion: bounded in time and output, and ended with all that it started."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import signal
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

LARGEST_OUTPUT = 64 * 1024 * 1024  # bytes
LONGEST_REASON = 200  # characters
_KEPT_WORDS = 64 * 1024  # bytes of standard error
_CHUNK = 64 * 1024
_END_SECONDS = 5.0  # for the system to clear away what was killed
_COLOUR = re.compile(r"\x1b\[[0-9;]*m")
_SERIOUS = re.compile(r"\b(?:error|fatal|panic)\b", re.IGNORECASE)


class CommandFailed(Exception):
    """There is no complete output; the message says why, without any secret."""


@dataclass(frozen=True)
class Command:
    """What to run.

    :ivar arguments: the program first; no shell sees them
    :ivar environment: variables on top of this process's own
    :ivar timeout: seconds
    :ivar secrets: texts that no message may repeat
    """

    arguments: Sequence[str]
    environment: Mapping[str, str] = field(repr=False)
    timeout: float
    secrets: Sequence[str] = field(default=(), repr=False)

    async def run(self) -> bytes:
        """What it writes to its standard output.

        However this ends, cancelled for example, nothing of the command's process group is left running.

        :raises CommandFailed: unless it ends with 0 in time, after no more than :data:`LARGEST_OUTPUT`
        """
        try:
            process = await asyncio.create_subprocess_exec(
                *self.arguments,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.PIPE,
                env={**os.environ, **self.environment},
                start_new_session=True,
            )
        except OSError as error:
            raise CommandFailed(f"it cannot be started: {error.strerror}") from None
        try:
            async with asyncio.timeout(self.timeout):
                output, words = await _finish(process)
        except TimeoutError:
            raise CommandFailed(f"it took longer than {self.timeout:g} seconds") from None
        if len(output) > LARGEST_OUTPUT:
            raise CommandFailed(f"it wrote more than {LARGEST_OUTPUT} bytes")
        if process.returncode != 0:
            raise CommandFailed(f"it ended with exit code {process.returncode}: {self._reason(words)}")
        return output

    def _reason(self, words: bytes) -> str:
        """The line that says why, which for some programs comes after others that say what they do."""
        text = words.decode(errors="replace")
        for secret in filter(None, self.secrets):
            text = text.replace(secret, "***")
        lines = [line for line in map(_printable, text.splitlines()) if line]
        line = next((line for line in lines if _SERIOUS.search(line)), lines[0] if lines else "it does not say why")
        return line if len(line) <= LONGEST_REASON else line[: LONGEST_REASON - 1] + "…"


async def _finish(process: asyncio.subprocess.Process) -> tuple[bytes, bytes]:
    """Output and words of the process, once it has ended. Too much output ends it."""
    if process.stdout is None or process.stderr is None:
        raise ValueError("both streams have to be pipes")
    try:
        output, words = await asyncio.gather(
            _read(process.stdout, LARGEST_OUTPUT, beyond=lambda: _kill(process)),
            _read(process.stderr, _KEPT_WORDS, beyond=lambda: None),
        )
        await process.wait()
    except asyncio.CancelledError:
        _kill(process)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_END_SECONDS):
                await process.wait()
        raise
    return output, words


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


def _printable(text: str) -> str:
    text = _COLOUR.sub("", text)
    return " ".join("".join(character if character.isprintable() else " " for character in text).split())
