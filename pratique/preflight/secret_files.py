"""Looks for secrets in files that others can read: other users of the machine, or everybody with the Git repository."""

from __future__ import annotations

import shlex
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from pratique.config import Bootstrap
from pratique.config.secret_names import secret_names
from pratique.errors import PratiqueError
from pratique.git.status import is_tracked
from pratique.secret import SecretKind, SecretSource


@dataclass(frozen=True)
class ExposedFile:
    """A way in which more people can read a file with a secret than need to.

    :ivar fields: the fields of the configuration that name it
    """

    path: Path
    fields: tuple[str, ...]
    observed: str
    remedy: str


async def exposed_files(config: Bootstrap) -> AsyncIterator[ExposedFile]:
    """Look at every file that the configuration names as a secret. One that cannot be read is left to other checks."""
    for path, fields in _files(config).items():
        with suppress(OSError, ValueError):
            mode, target = _examine(path)
            if mode & 0o066:
                who = "every user of this machine" if mode & 0o006 else "its group"
                observed = f"Its mode is {mode:04o}, so {who} has access to it."
                yield ExposedFile(path, fields, observed, f"chmod 600 {shlex.quote(str(path))}")
            with suppress(PratiqueError):  # git is not installed, or does not answer
                if await is_tracked(target):
                    yield _tracked(path, fields)


def _files(config: Bootstrap) -> dict[Path, tuple[str, ...]]:
    """Each file with the fields that name it."""
    files: dict[Path, tuple[str, ...]] = {}
    for field, location in secret_names(config):
        source = SecretSource.parse(location)
        if source.kind is SecretKind.FILE:
            path = Path(source.name)
            files[path] = (*files.get(path, ()), field)
    return files


def _examine(path: Path) -> tuple[int, Path]:
    """The permissions of a file, and the file itself if this is a link to it.

    :raises OSError: when there is none
    :raises ValueError: when no file can have this name
    """
    return path.stat().st_mode & 0o777, path.resolve()


def _tracked(path: Path, fields: tuple[str, ...]) -> ExposedFile:
    observed = "Git tracks it, so everybody with a copy of the repository has the secret."
    command = f"git rm --cached {shlex.quote(str(path))}"
    remedy = f"{command}; add it to .gitignore, and replace the secret: the history still contains it."
    return ExposedFile(path, fields, observed, remedy)
