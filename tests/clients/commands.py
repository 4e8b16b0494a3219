"""Running a client's command, and reading how it ended."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

_SECONDS = 600


def run(*command: str, sent: str = "", folder: Path | None = None) -> str:
    """What a command writes to its standard output; the test fails with what it says when it fails.

    :param sent: to its standard input: where secrets go, since every process sees another's arguments
    """
    ended = _ended(command, sent, folder)
    if ended.returncode != 0:
        pytest.fail(f"{' '.join(command)} ended with {ended.returncode}:\n{ended.stdout}{ended.stderr}")
    return ended.stdout


def refused(*command: str, sent: str = "") -> str:
    """What a command that has to fail says."""
    ended = _ended(command, sent, None)
    assert ended.returncode != 0, ended.stdout
    return ended.stderr


def _ended(command: tuple[str, ...], sent: str, folder: Path | None) -> subprocess.CompletedProcess[str]:
    if shutil.which(command[0]) is None:
        pytest.fail(f"{command[0]} is missing; docs/sandbox.md says what these tests need")
    return subprocess.run(
        command, input=sent, cwd=folder, capture_output=True, text=True, timeout=_SECONDS, check=False
    )
