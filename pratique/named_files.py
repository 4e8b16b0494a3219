"""Where the files are that a configuration names by a relative path.

They are relative to the folder in which the flow runs, unless the run read its configuration from Git: then they are
files of the same commit, below a folder of the run's own.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from posixpath import normpath

_folder: ContextVar[Path | None] = ContextVar("pratique_named_files", default=None)


def located(path: Path) -> Path:
    """Where to open the file that the configuration names by this path."""
    folder = _folder.get()
    return path if folder is None else Path(normpath(folder / path))


@contextmanager
def files_below(folder: Path) -> Iterator[None]:
    """Locate relative paths below this folder, in this block and in the tasks that it starts."""
    token = _folder.set(folder)
    try:
        yield
    finally:
        _folder.reset(token)
