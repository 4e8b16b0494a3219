"""``pratique demo``."""

from __future__ import annotations

import os
import sys

import typer


def demo(context: typer.Context) -> None:
    """Run everything on a local Azure, without an account. --help lists the options."""
    # Replaces this process, so that Ctrl-C and exit codes are the demo's own.
    os.execv(sys.executable, [sys.executable, "-m", "demo", *context.args])  # noqa: S606  # runs our own interpreter
