"""openssl as a program: what it writes is read here, and it judges what is written here."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest


def openssl(*arguments: str, folder: Path) -> bytes:
    """The output of an openssl command that must succeed."""
    if not (program := shutil.which("openssl")):
        pytest.skip("needs openssl")
    done = subprocess.run([program, *arguments], cwd=folder, check=False, capture_output=True)
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout
