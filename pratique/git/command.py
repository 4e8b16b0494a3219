"""Runs the ``git`` command, and turns its failures into errors of ours.

git reads no user's or system's configuration, except the credential helpers of a worker that was given no token.
Secrets (:mod:`pratique.git.credentials`) are never in an argument or a URL, and are masked in whatever git prints. git
never prompts: it has neither a terminal nor a program to prompt with. Requires git 2.34 or later::

    git = Git.towards("https://github.com/contoso/cluster", "main", Credentials(token), folder)
    head = await git.output("rev-parse", "HEAD", cwd=clone, attempted="read the last commit")
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from pratique.errors import (
    AuthenticationFailed,
    ConfigurationError,
    GitRejected,
    NotFound,
    PermissionDenied,
    PratiqueError,
    Throttled,
    Unavailable,
)
from pratique.git.credentials import Credentials, lay_out
from pratique.process import run as run_program

# Seconds for one call of git, the clone included.
TIMEOUT = 120.0

# Variables of git's own that may pass; others (GIT_DIR, GIT_TRACE, GIT_ASKPASS …) would change what is done or shown.
_PASSED = {"GIT_EXEC_PATH", "GIT_SSH", "GIT_SSH_COMMAND", "GIT_SSL_CAINFO", "GIT_SSL_CAPATH"}
_SETTINGS = {
    "core.autocrlf": "false",
    "core.hooksPath": os.devnull,
    "core.symlinks": "false",  # a link in the repository must not lead an edit out of the clone
    "credential.helper": "",
    "gc.auto": "0",
    "maintenance.auto": "false",
}
_PROMPTS = ("SSH_ASKPASS", "DISPLAY", "WAYLAND_DISPLAY")
_FIXED = {
    "GIT_ALLOW_PROTOCOL": "file:https:ssh",
    "GIT_CONFIG_GLOBAL": os.devnull,
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_TERMINAL_PROMPT": "0",
    "GCM_INTERACTIVE": "never",  # Git Credential Manager would open a window
    "LC_ALL": "C",  # failures are told by git's English words
}
# First match wins: git follows a refused SSH login with words that also fit a repository which is not there.
_FAILURES: tuple[tuple[str, type[PratiqueError], str], ...] = (
    (
        r"authentication failed|could not read (?:username|password)|terminal prompts disabled|permission denied \("
        r"|returned error: 401",
        AuthenticationFailed,
        "Check the token, or the SSH key, of the identity that runs this.",
    ),
    (
        r"host key verification failed",
        AuthenticationFailed,
        "Pin the server's key in manifests.ssh.host_keys; where one is pinned, find out first why it is another.",
    ),
    (r"returned error: 403", PermissionDenied, "Let the identity write to the repository."),
    (r"returned error: 429", Throttled, "Wait, then run it again."),
    (
        r"not found|couldn.t find remote ref|does not appear to be a git repository|does not exist|returned error: 404",
        NotFound,
        "Check the remote and the branch, and that the identity may see them.",
    ),
    (
        r"could not resolve|connection (?:refused|reset|timed out|closed)|failed to connect|couldn't connect"
        r"|timed out|returned error: (?:408|5\d\d)|rpc failed|early eof|hung up unexpectedly|unexpected disconnect"
        r"|network is unreachable|no route to host",
        Unavailable,
        "Check that the remote can be reached from here, then run it again.",
    ),
)


@dataclass(frozen=True)
class Result:
    """What one call left behind, without secrets."""

    code: int
    output: str
    errors: str

    def said(self, verdict: str = "") -> str:
        """The server's own lines, then a verdict or git's last error: its advice to somebody typing is left out."""
        lines = [line.strip() for line in self.errors.splitlines() if line.strip()]
        server = [line.removeprefix("remote:").strip() for line in lines if line.startswith("remote:")]
        own = [line for line in lines if line.startswith(("fatal:", "error:"))] or lines or ["git gave no reason."]
        return " ".join(part for part in [*server, verdict or own[-1]] if part)[:1000]


@dataclass(frozen=True)
class Git:
    """The command, set up for one remote.

    :ivar subject: what errors name: the remote and the branch
    """

    subject: str
    _environment: Mapping[str, str] = field(repr=False)
    _secrets: tuple[str, ...] = field(repr=False)

    @classmethod
    def towards(
        cls,
        remote: str,
        branch: str,
        credentials: Credentials,
        folder: Path,
        helpers: Iterable[tuple[str, str]] = (),
    ) -> Git:
        """Set up the environment of every call.

        :param folder: for the keys; of this user only, and there as long as git is called
        :param helpers: as :func:`credential_helpers` finds them
        :raises ConfigurationError: as :func:`~pratique.git.credentials.lay_out`
        """
        laid = lay_out(credentials, remote, folder)
        environment = _environment([*_SETTINGS.items(), *helpers, *laid.settings]) | dict(laid.environment)
        return cls(f"{remote}, branch {branch}", environment, laid.secrets)

    async def output(self, *arguments: str, cwd: Path, attempted: str, extra: Mapping[str, str] | None = None) -> str:
        """Run a command that must succeed, and return what it printed.

        :raises PratiqueError: as :meth:`run` and :meth:`failure`
        """
        result = await self.run(*arguments, cwd=cwd, extra=extra)
        if result.code:
            raise self.failure(attempted, result)
        return result.output.strip()

    async def run(self, *arguments: str, cwd: Path, extra: Mapping[str, str] | None = None) -> Result:
        """Run a command whose exit code the caller reads. Cancelled or late, it is killed with all its helpers.

        :param extra: variables for this call
        :raises ConfigurationError: when there is no ``git``
        :raises Unavailable: when it takes longer than :data:`TIMEOUT`
        """
        environment = {**self._environment, **(extra or {})}
        try:
            ended = await run_program(["git", *arguments], environment, timeout=TIMEOUT, cwd=cwd)
        except TimeoutError:
            raise Unavailable(
                f"run git {arguments[0]}", self.subject, f"It did not end within {TIMEOUT:g} s.", "Run it again."
            ) from None
        except OSError:
            raise ConfigurationError(
                "run git", self.subject, "There is no git command.", "Install git 2.34 or later."
            ) from None
        return Result(ended.exit_code, self._clean(ended.stdout), self._clean(ended.stderr))

    def failure(self, attempted: str, result: Result) -> PratiqueError:
        """The error that a failed call amounts to, told by git's words; the server's may say anything."""
        own = "\n".join(line for line in result.errors.splitlines() if not line.startswith("remote:"))
        for pattern, kind, remedy in _FAILURES:
            if match := re.search(rf"^.*(?:{pattern}).*$", own, re.IGNORECASE | re.MULTILINE):
                reason, said = match[0].strip(), result.said()  # ssh gives its reason before git's last word
                observed = said if reason in said else f"{reason} {said}"
                return kind(attempted, self.subject, observed, remedy)
        return GitRejected(attempted, self.subject, result.said(), "Read git's message, and correct what it names.")

    def _clean(self, data: bytes) -> str:
        text = data.decode(errors="replace")
        for secret in self._secrets:
            text = text.replace(secret, "***")
        return text


async def credential_helpers(folder: Path) -> list[tuple[str, str]]:
    """Settings of this worker's own configuration that say who knows credentials.

    :param folder: not within a repository, whose settings would count as well
    """
    own = {key: value for key, value in os.environ.items() if key not in ("GIT_DIR", "GIT_WORK_TREE")}
    found = await Git("this worker", own, ()).run("config", "--null", "--get-regexp", r"^credential\.", cwd=folder)
    entries = (entry.partition("\n") for entry in found.output.split("\0") if entry)
    return [(key, value) for key, _, value in entries]


async def git_status(path: Path) -> str:
    """How a file of this worker's stands under Git, for records: ``commit <sha>`` when it is as committed."""
    # Whose files they are is no matter here: this only reads.
    git = Git(str(path), _environment((_SETTINGS | {"safe.directory": "*"}).items()), ())
    if (await git.run("rev-parse", "--is-inside-work-tree", cwd=path.parent)).code != 0:
        return "not under Git"
    if (await git.run("status", "--porcelain", "--ignored", "--", path.name, cwd=path.parent)).output.strip():
        return "not as committed"
    commit = (await git.run("log", "-1", "--format=%H", "--", path.name, cwd=path.parent)).output.strip()
    return f"commit {commit}" if commit else "not committed"


def _environment(settings: Iterable[tuple[str, str]]) -> dict[str, str]:
    kept = {k: v for k, v in os.environ.items() if k in _PASSED or not k.startswith(("GIT_", *_PROMPTS))}
    return {"GIT_SSH_COMMAND": "ssh -o BatchMode=yes"} | kept | _FIXED | _numbered(settings)


def _numbered(settings: Iterable[tuple[str, str]]) -> dict[str, str]:
    pairs = list(settings)
    variables = {"GIT_CONFIG_COUNT": str(len(pairs))}
    for number, (key, value) in enumerate(pairs):
        variables[f"GIT_CONFIG_KEY_{number}"] = key
        variables[f"GIT_CONFIG_VALUE_{number}"] = value
    return variables
