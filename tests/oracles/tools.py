"""The programs that `make tools` builds."""

from __future__ import annotations

from pathlib import Path

FOLDER = Path(__file__).parents[2] / ".tools"


def tool(name: str) -> str:
    """The path of a tool of ``tools.txt``."""
    path = FOLDER / name
    assert path.exists(), f"{name} is not built: run `make tools`"
    return str(path)
