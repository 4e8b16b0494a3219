"""Runs the ``git`` command, and turns its failures into errors of ours.

Two promises: what git does depends on nobody's configuration, and the token is seen by the remote alone. It travels
in git's environment (``GIT_CONFIG_COUNT``, git 2.31 or later) as a header for the remote's own host, never in an
argument, a URL or a file, and is blotted out of whatever comes back::

    git = Git.towards("https://github.com/contoso/cluster", "main", token)
    head = await git.output("rev-parse", "HEAD", cwd=clone, attempted="read the last commit")
"""

from __future__ import annotations

import asyncio
import base64
import os
import re
import signal
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

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
_FIXED = {
    "GIT_ALLOW_PROTOCOL": "file:https:ssh",
    "GIT_CONFIG_GLOBAL": os.devnull,
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_TERMINAL_PROMPT": "0",
    "LC_ALL": "C",  # failures are told by git's English words
}
# First match wins: git follows a refused SSH login with words that also fit a repository which is not there.
_FAILURES: tuple[tuple[str, type[PratiqueError], str], ...] = (
    (
        r"authentication failed|could not read (?:username|password)|terminal prompts disabled|permission denied \("
        r"|host key verification failed|returned error: 401",
        AuthenticationFailed,
        "Check the token, or the SSH key, of the identity that runs this.",
    ),
    (r"returned error: 403", PermissionDenied, "Let the identity write to the repository."),
    (r"returned error: 429", Throttled, "Wait, then run it again."),
    (
        r"not found|does not appear to be a git repository|does not exist|returned error: 404",
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
    def towards(cls, remote: str, branch: str, token: str | None = None) -> Git:
        """Set up the environment of every call.

        :param token: sent as the password of basic authentication, as GitHub, GitLab and Azure DevOps take it
        :raises ConfigurationError: when the remote's URL holds credentials, or the token would travel unencrypted
        """
        url = urlsplit(remote) if "://" in remote else None
        if url and (url.password or (url.username and url.scheme != "ssh")):
            raise ConfigurationError(
                "use the GitOps remote",
                f"{url.scheme}://{url.hostname}{url.path}",
                "Its URL holds credentials.",
                "Take them out of the URL, and give the token as a secret.",
            )
        settings = dict(_SETTINGS)
        secrets: tuple[str, ...] = ()
        if token:
            if not url or url.scheme != "https":
                raise ConfigurationError(
                    "use the GitOps remote", remote, "A token goes over HTTPS only.", "Use https://, or give no token."
                )
            basic = base64.b64encode(f"x-access-token:{token}".encode()).decode()
            settings[f"http.https://{url.netloc}/.extraHeader"] = f"Authorization: Basic {basic}"
            settings["http.followRedirects"] = "false"  # git would send the header to the new host too
            secrets = (token, basic)
        return cls(f"{remote}, branch {branch}", _environment(settings), secrets)

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
        try:
            process = await asyncio.create_subprocess_exec(
                "git",
                *arguments,
                cwd=cwd,
                env={**self._environment, **(extra or {})},
                start_new_session=True,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.PIPE,
            )
        except FileNotFoundError:
            raise ConfigurationError(
                "run git", self.subject, "There is no git command.", "Install git 2.31 or later."
            ) from None
        try:
            async with asyncio.timeout(TIMEOUT):
                output, errors = await process.communicate()
        except TimeoutError:
            raise Unavailable(
                f"run git {arguments[0]}", self.subject, f"It did not end within {TIMEOUT:g} s.", "Run it again."
            ) from None
        finally:
            if process.returncode is None:
                with suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
                await process.wait()
        return Result(process.returncode or 0, self._clean(output), self._clean(errors))

    def failure(self, attempted: str, result: Result) -> PratiqueError:
        """The error that a failed call amounts to, told by git's words; the server's may say anything."""
        own = "\n".join(line for line in result.errors.splitlines() if not line.startswith("remote:"))
        for pattern, kind, remedy in _FAILURES:
            if re.search(pattern, own, re.IGNORECASE):
                return kind(attempted, self.subject, result.said(), remedy)
        return GitRejected(attempted, self.subject, result.said(), "Read git's message, and correct what it names.")

    def _clean(self, data: bytes) -> str:
        text = data.decode(errors="replace")
        for secret in self._secrets:
            text = text.replace(secret, "***")
        return text


async def standing(path: Path) -> str:
    """How a file of this worker's stands under Git, for records: ``commit <sha>`` when it is as committed."""
    # Whose files they are is no matter here: this only reads.
    git = Git(str(path), _environment(_SETTINGS | {"safe.directory": "*"}), ())
    if (await git.run("rev-parse", "--is-inside-work-tree", cwd=path.parent)).code != 0:
        return "not under Git"
    if (await git.run("status", "--porcelain", "--ignored", "--", path.name, cwd=path.parent)).output.strip():
        return "not as committed"
    commit = (await git.run("log", "-1", "--format=%H", "--", path.name, cwd=path.parent)).output.strip()
    return f"commit {commit}" if commit else "not committed"


def _environment(settings: Mapping[str, str]) -> dict[str, str]:
    kept = {k: v for k, v in os.environ.items() if k in _PASSED or not k.startswith(("GIT_", "SSH_ASKPASS"))}
    return {"GIT_SSH_COMMAND": "ssh -o BatchMode=yes"} | kept | _FIXED | _numbered(settings)


def _numbered(settings: Mapping[str, str]) -> dict[str, str]:
    variables = {"GIT_CONFIG_COUNT": str(len(settings))}
    for number, (key, value) in enumerate(settings.items()):
        variables[f"GIT_CONFIG_KEY_{number}"] = key
        variables[f"GIT_CONFIG_VALUE_{number}"] = value
    return variables
