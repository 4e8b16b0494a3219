"""Runs a scanner's program. Its output counts only if the program succeeds within its timeout."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from pratique.process import run

LARGEST_OUTPUT = 64 * 1024 * 1024  # bytes
LONGEST_REASON = 200  # characters
_COLOUR = re.compile(r"\x1b\[[0-9;]*m")
#: Trivy's words for a lock that another process holds on its cache or its database (``pkg/cache``, ``trivy-db``).
_BUSY = re.compile(rb"may be in use by another process", re.IGNORECASE)
_SERIOUS = re.compile(r"\b(?:error|fatal|panic)\b", re.IGNORECASE)


class CommandFailed(Exception):
    """The command gave no complete output. The message says why, without any secret.

    :ivar busy: whether another process uses what the command needs, so that it says nothing about the image
    """

    def __init__(self, message: str, *, busy: bool = False) -> None:
        super().__init__(message)
        self.busy = busy


@dataclass(frozen=True)
class Command:
    """A command to run.

    :ivar arguments: starting with the program; no shell interprets them
    :ivar environment: all of its variables
    :ivar timeout: seconds
    :ivar secrets: texts to mask in messages
    :ivar folder: in which it runs; by default that of this process
    """

    arguments: Sequence[str]
    environment: Mapping[str, str] = field(repr=False)
    timeout: float
    secrets: Sequence[str] = field(default=(), repr=False)
    folder: Path | None = None

    async def run(self) -> bytes:
        """Run the command and return its standard output.

        When this returns, raises or is cancelled, no process of the command's group is left running.

        :raises CommandFailed: unless it exits with 0 in time, after no more than :data:`LARGEST_OUTPUT`
        """
        try:
            completed = await run(
                self.arguments,
                self.environment,
                timeout=self.timeout,
                output_limit=LARGEST_OUTPUT,
                cwd=self.folder,
            )
        except TimeoutError:
            raise CommandFailed(f"it took longer than {self.timeout:g} seconds") from None
        except OSError as error:
            raise CommandFailed(f"it cannot be started: {error.strerror}") from None
        if len(completed.stdout) > LARGEST_OUTPUT:
            raise CommandFailed(f"it wrote more than {LARGEST_OUTPUT} bytes")
        if completed.exit_code != 0:
            reason = self._reason(completed.stderr)
            raise CommandFailed(
                f"it ended with exit code {completed.exit_code}: {reason}", busy=bool(_BUSY.search(completed.stderr))
            )
        return completed.stdout

    def _reason(self, stderr: bytes) -> str:
        """The line that gives the reason. Some programs print progress lines before it."""
        text = stderr.decode(errors="replace")
        for secret in filter(None, self.secrets):
            text = text.replace(secret, "***")
        lines = [line for line in map(_printable, text.splitlines()) if line]
        line = next((line for line in lines if _SERIOUS.search(line)), lines[0] if lines else "it does not say why")
        return line if len(line) <= LONGEST_REASON else line[: LONGEST_REASON - 1] + "…"


def _printable(text: str) -> str:
    text = _COLOUR.sub("", text)
    return " ".join("".join(character if character.isprintable() else " " for character in text).split())
