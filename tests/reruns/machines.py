"""Machines that execute runs: each with a checkout and a home, and the second one with a user of its own."""

from __future__ import annotations

import contextlib
import grp
import os
import pwd
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from pratique.cli.deployment_files import POOL
from tests.installation import ROOT, Server, until
from tests.processes import found, running

#: What a worker's machine has of the repository.
_CHECKOUT = ("flows", "tasks", "pratique", "infra", "pyproject.toml")
_OTHER = "nobody"


@dataclass(frozen=True)
class Machine:
    """A worker of our pool can be started on it.

    :ivar folder: with its home, Prefect's home and the worker's log
    :ivar checkout: where the worker starts
    :ivar user: whose processes they are; ours without one
    """

    name: str
    folder: Path
    checkout: Path
    environment: Mapping[str, str]
    python: str = sys.executable
    user: str | None = None

    @contextlib.contextmanager
    def working(self, server: Server) -> Iterator[None]:
        """A worker is up for as long as the block; then it is gone, as with the machine."""
        inside = [found("env", "coreutils"), "-C", str(self.checkout), self.python, "-m", "prefect"]
        command = [*_as_user(self.user), *inside, "worker", "start", "--pool", POOL, "--name", self.name]
        log = self.folder / "worker.log"
        with running(command, log, self.environment) as process:
            until(lambda: process.poll() is not None or "started!" in log.read_text(), log.read_text)
            assert process.poll() is None, log.read_text()
            yield


def first_machine(folder: Path, environment: Mapping[str, str]) -> Machine:
    """The one from which everything was deployed."""
    home = folder / "first"
    return Machine(home.name, home, ROOT, {**environment, **_at_home(home)})


def second_machine(folder: Path, environment: Mapping[str, str]) -> Machine:
    """Another one: its checkout is a copy elsewhere, and when the tests run as root it has another user.

    Only root may start processes of others, and an interpreter may lie where others have no way. Then folder, home and
    Prefect's home have to do; :attr:`Machine.user` tells.
    """
    home = folder / "second"
    checkout = home / "checkout"
    checkout.mkdir(parents=True)
    for name in _CHECKOUT:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, checkout / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, checkout / name)
    # Packages are the same on both, but not what is installed of ours.
    paths = {"PYTHONPATH": f"{checkout}{os.pathsep}{sysconfig.get_path('purelib')}", "PYTHONDONTWRITEBYTECODE": "1"}
    own = {**environment, **_at_home(home), **paths}
    python = _reachable(own) if os.geteuid() == 0 else None
    if python is None:
        return Machine(home.name, home, checkout, own)
    hand_over(home, _OTHER)
    return Machine(home.name, home, checkout, own, python, _OTHER)


def hand_over(folder: Path, user: str) -> None:
    """Give a folder and all in it to another user."""
    for path in (folder, *folder.rglob("*")):
        shutil.chown(path, user, _group(user))


def _at_home(folder: Path) -> dict[str, str]:
    home = folder / "home"
    home.mkdir(parents=True)
    # Prefect keeps things below the temporary folder, which machines do not share either.
    temporary = folder / "tmp"
    temporary.mkdir()
    own = {"HOME": str(home), "PREFECT_HOME": str(home / ".prefect"), "TMPDIR": str(temporary)}
    return own | {"PREFECT_WORKER_QUERY_SECONDS": "1"}


def _reachable(environment: Mapping[str, str]) -> str | None:
    """An interpreter of this version that the other user can run Prefect with."""
    for python in (sys.executable, f"/usr/bin/python3.{sys.version_info.minor}"):
        command = [*_as_user(_OTHER), found("env", "coreutils"), python, "-c", "import prefect"]
        if subprocess.run(command, env=environment, check=False, capture_output=True).returncode == 0:
            return python
    return None


def _as_user(user: str | None) -> list[str]:
    if user is None:
        return []
    return [found("setpriv", "util-linux"), f"--reuid={user}", f"--regid={_group(user)}", "--clear-groups"]


def _group(user: str) -> str:
    return grp.getgrgid(pwd.getpwnam(user).pw_gid).gr_name
