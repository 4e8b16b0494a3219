"""A scanner's program, run with suspicion: what it prints is believed only when it ended well, in time."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from pratique.process import run

LARGEST_OUTPUT = 64 * 1024 * 1024  # bytes
LONGEST_REASON = 200  # characters
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
            environment = {**os.environ, **self.environment}
            ended = await run(self.arguments, environment, timeout=self.timeout, most=LARGEST_OUTPUT)
        except TimeoutError:
            raise CommandFailed(f"it took longer than {self.timeout:g} seconds") from None
        except OSError as error:
            raise CommandFailed(f"it cannot be started: {error.strerror}") from None
        if len(ended.output) > LARGEST_OUTPUT:
            raise CommandFailed(f"it wrote more than {LARGEST_OUTPUT} bytes")
        if ended.code != 0:
            raise CommandFailed(f"it ended with exit code {ended.code}: {self._reason(ended.words)}")
        return ended.output

    def _reason(self, words: bytes) -> str:
        """The line that says why, which for some programs comes after others that say what they do."""
        text = words.decode(errors="replace")
        for secret in filter(None, self.secrets):
            text = text.replace(secret, "***")
        lines = [line for line in map(_printable, text.splitlines()) if line]
        line = next((line for line in lines if _SERIOUS.search(line)), lines[0] if lines else "it does not say why")
        return line if len(line) <= LONGEST_REASON else line[: LONGEST_REASON - 1] + "…"


def _printable(text: str) -> str:
    text = _COLOUR.sub("", text)
    return " ".join("".join(character if character.isprintable() else " " for character in text).split())
