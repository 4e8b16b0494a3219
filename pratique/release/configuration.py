"""Reads a configuration from Git, with the files that it names, all from one commit."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from posixpath import dirname

from pratique.config import Bootstrap, parse
from pratique.config.source import ConfigSource, named_files, path_in_repository, with_own_template
from pratique.deployment import CHECKOUT
from pratique.errors import ConfigurationError
from pratique.git.checkout import Repository
from pratique.git.snapshot import Snapshot, snapshot
from pratique.release.delivery import credentials
from pratique.yaml_document import LARGEST

_LARGEST_FILE = 16 * 1024 * 1024  # bytes of a template, an OpenVEX document, an exceptions file, a trust store


@dataclass(frozen=True, kw_only=True)
class ConfigOrigin:
    """Where a run's configuration is from.

    :ivar commit: full SHA
    """

    remote: str
    branch: str
    path: str
    commit: str

    def __str__(self) -> str:
        return f"{self.path} of {self.remote}, branch {self.branch}, commit {self.commit}"


@dataclass(frozen=True, kw_only=True)
class ReadConfig:
    """A configuration that was read from Git.

    :ivar folder: to which the paths in it are relative
    """

    config: Bootstrap
    origin: ConfigOrigin
    folder: Path


async def read_config(
    source: ConfigSource, folder: Path, read: Callable[[str], Awaitable[bytes]], *, commit: str | None = None
) -> ReadConfig:
    """Read and validate the configuration, and write the files that it names below a folder.

    :param folder: empty, and private to this user
    :param read: reads a secret by its name
    :param commit: which one; by default the source's own, or else the branch's last
    :raises ConfigurationError: when the configuration or a path in it is invalid, or the commit is not the branch's
    :raises PratiqueError: as :func:`~pratique.git.snapshot.snapshot`
    """
    login = await credentials(source.remote, source, read)
    repository = Repository(remote=source.remote, branch=source.branch, credentials=login)
    async with snapshot(repository, folder, commit or source.commit) as files:
        name = f"{source.path} in {files.subject}"
        config = parse(await files.read(source.path, limit=LARGEST), name)
        base = dirname(source.path) or "."
        for field, path in named_files(config):
            await _write(files, base, field, path, name)
    origin = ConfigOrigin(remote=source.remote, branch=source.branch, path=source.path, commit=files.commit)
    return ReadConfig(config=with_own_template(config, CHECKOUT), origin=origin, folder=folder / base)


async def _write(files: Snapshot, base: str, field: str, path: str, name: str) -> None:
    try:
        found = path_in_repository(path, base)
    except ValueError as error:
        raise ConfigurationError(
            "use the configuration", name, f"{field} is {path!r:.200}: {error}.", "Keep the file in the repository."
        ) from None
    if found.endswith(".bicep"):
        raise ConfigurationError(
            "use the configuration",
            name,
            f"{field} is {path!r:.200}: a Bicep file may consist of several.",
            "Compile it with `bicep build`, and commit the JSON file.",
        )
    await files.write(found, limit=_LARGEST_FILE)
