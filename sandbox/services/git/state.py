"""The repositories on GitHub and Azure DevOps: bare git repositories, their tokens and pull requests."""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
import tempfile
import weakref
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Literal

from sandbox.azure import Azure
from sandbox.scenario import GitRepository
from sandbox.services.git import rules

Right = Literal["admin", "write", "read", "expired"]

# The repository has the folder's bytes, whatever its .gitattributes say.
_AS_THEY_ARE = "* -text -ident -filter -working-tree-encoding\n"
_IDENTITY = ("-c", "user.name=Somebody", "-c", "user.email=somebody@contoso.example")


@dataclass(kw_only=True)
class Pull:
    """A pull request.

    :ivar head: SHA of the source branch at the last refresh
    :ivar state: both forges have these three
    """

    number: int
    source: str
    target: str
    title: str
    body: str
    head: str
    created: datetime
    state: Literal["open", "closed", "merged"] = "open"


@dataclass
class Hosted:
    """A repository on a forge.

    :ivar path: of the bare repository
    """

    settings: GitRepository
    path: Path
    pulls: list[Pull] = field(default_factory=list)

    def right(self, token: str | None) -> Right | None:
        return self.settings.tokens.get(token) if token else None

    def may_write(self, token: str | None) -> bool:
        return self.right(token) in ("admin", "write")

    async def git(self, *arguments: str) -> str | None:
        """git's output, or None when it fails."""
        process = await asyncio.create_subprocess_exec(
            "git", *arguments, cwd=self.path, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        )
        output, _ = await process.communicate()
        return output.decode().strip() if process.returncode == 0 else None

    async def tip(self, branch: str) -> str | None:
        """SHA of a branch's last commit."""
        return await self.git("rev-parse", "--verify", "--quiet", f"refs/heads/{branch}")

    async def contains(self, branch: str, commit: str) -> bool:
        return await self.git("merge-base", "--is-ancestor", commit, f"refs/heads/{branch}") is not None

    async def refresh(self) -> None:
        """Update pull requests: merged when the target contains the head, closed when the source branch is gone."""
        for pull in self.pulls:
            if pull.state == "open":
                tip = await self.tip(pull.source)
                if await self.contains(pull.target, tip or pull.head):
                    pull.state = "merged"
                elif tip is None:
                    pull.state = "closed"
                pull.head = tip or pull.head

    def open_pull(self, source: str, target: str) -> Pull | None:
        return next((p for p in self.pulls if (p.state, p.source, p.target) == ("open", source, target)), None)


class Repositories:
    """All repositories in the scenario, in a folder that is deleted with this object."""

    def __init__(self, azure: Azure) -> None:
        self._hosted: dict[str, Hosted] = {}
        self._numbers: Iterator[int] = iter(range(1, 1_000_000))
        self.now = azure.clock.now
        if azure.scenario.repositories:
            root = Path(tempfile.mkdtemp(prefix="azure-sandbox-git-"))
            weakref.finalize(self, shutil.rmtree, root, ignore_errors=True)
            for number, settings in enumerate(azure.scenario.repositories):
                path = root / f"{number}.git"
                _make(settings, path, root / f"{number}")
                self._hosted[settings.url.lower()] = Hosted(settings, path)

    def find(self, url: str) -> Hosted | None:
        """The repository at an address, in any letter case, with or without ``.git``."""
        return self._hosted.get(url.lower().removesuffix(".git"))

    def right_anywhere(self, token: str | None) -> Right | None:
        """What a token grants at the repository that knows it, whichever it is."""
        return next((right for hosted in self._hosted.values() if (right := hosted.right(token))), None)

    def add_pull(self, hosted: Hosted, source: str, target: str, title: str, body: str, head: str) -> Pull:
        pull = Pull(
            number=next(self._numbers),
            source=source,
            target=target,
            title=title,
            body=body,
            head=head,
            created=self.now(),
        )
        hosted.pulls.append(pull)
        return pull

    def all(self) -> list[Hosted]:
        return list(self._hosted.values())


def environment() -> dict[str, str]:
    """git's environment without user or system settings and attributes."""
    return {
        "PATH": os.environ.get("PATH", os.defpath),
        "GIT_ATTR_NOSYSTEM": "1",
        "GIT_CONFIG_GLOBAL": os.devnull,
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_TERMINAL_PROMPT": "0",
        "LC_ALL": "C",
    }


def _make(settings: GitRepository, bare: Path, work: Path) -> None:
    if settings.folder is None:
        work.mkdir()
        (work / "README.md").write_text(f"# {settings.url}\n")
    else:
        # The folder may be a repository itself, whose hooks and filters must not run.
        shutil.copytree(settings.folder, work, ignore=shutil.ignore_patterns(".git"))
    _git(work, "init", "--quiet", "--initial-branch=main", "--template=")
    (work / ".git" / "info").mkdir()
    (work / ".git" / "info" / "attributes").write_text(_AS_THEY_ARE)
    _git(work, "add", "--all", "--force")
    _git(work, *_IDENTITY, "commit", "--quiet", "--message=Sample")
    _git(work.parent, "clone", "--quiet", "--bare", str(work), str(bare))
    shutil.rmtree(work)
    for setting in ("http.receivepack", "uploadpack.allowFilter"):
        _git(bare, "config", setting, "true")
    rules.install(settings, bare)


def _git(folder: Path, *arguments: str) -> None:
    subprocess.run(["git", *arguments], cwd=folder, env=environment(), check=True, capture_output=True)  # noqa: S603, S607
