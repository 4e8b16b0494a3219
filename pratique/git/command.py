"""Runs the ``git`` command, and maps its failures to this project's errors.

git reads neither user nor system configuration, except for credential helpers when the worker has no token, nor the
configuration of a repository that happens to be above the clone. Secrets (:mod:`pratique.git.credentials`) never appear
in an argument or a URL, and are masked in git's output. git never prompts: it has neither a terminal nor a program to
prompt with. Requires git 2.34 or later::

    git = Git.for_remote("https://github.com/contoso/cluster", "main", Credentials(token), folder)
    head = await git.output("rev-parse", "HEAD", cwd=clone, attempted="read the last commit")
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping, Sequence
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
from pratique.git.credentials import Credentials, install_credentials
from pratique.masking import masked
from pratique.process import CompletedProgram
from pratique.process import run as run_program

# Seconds for one git command, including the clone.
TIMEOUT = 120.0

# git's variables that are passed on; others (GIT_DIR, GIT_TRACE, GIT_ASKPASS …) would change what git does or prints.
_PASSED = {"GIT_EXEC_PATH", "GIT_SSH", "GIT_SSH_COMMAND", "GIT_SSL_CAINFO", "GIT_SSL_CAPATH"}
_SETTINGS = {
    # By default git reads these two below the user's home, even where it does not read the user's configuration.
    "core.attributesFile": os.devnull,
    "core.excludesFile": os.devnull,
    "core.autocrlf": "false",
    "core.fsmonitor": "false",
    "core.hooksPath": os.devnull,
    "core.symlinks": "false",  # an edit must not follow a link out of the clone
    "credential.helper": "",
    "gc.auto": "0",
    "maintenance.auto": "false",
}
_REPOSITORY = {"GIT_COMMON_DIR", "GIT_DIR", "GIT_WORK_TREE"}
# What Azure DevOps sends in packets of git's protocol, and git shows as text.
_PACKET = re.compile(r"[0-9a-f]{4}# service=\S+|(?:[0-9a-f]{4})+(?=TF[0-9]{6})")
_PROMPTS = ("SSH_ASKPASS", "DISPLAY", "WAYLAND_DISPLAY")
_FIXED = {
    "GIT_ALLOW_PROTOCOL": "file:https:ssh",
    "GIT_ATTR_NOSYSTEM": "1",
    "GIT_CONFIG_GLOBAL": os.devnull,
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_LITERAL_PATHSPECS": "1",
    "GIT_TERMINAL_PROMPT": "0",
    "GCM_INTERACTIVE": "never",  # Git Credential Manager would open a window
    "LC_ALL": "C",  # failures are recognised by git's English messages
}
_LOGIN = (
    "Set manifests.token, or manifests.ssh for an SSH remote, or give this worker a credential helper or SSH agent."
)
_RENEW = (
    "Create a new token, and store it where manifests.token says. The server refuses this one, as it does with tokens "
    "that have expired, were revoked, or are for another server."
)
_SSH_KEY = "Check that the server knows the public key of manifests.ssh.key."
_MAY_WRITE = (
    "Give the identity the right to push. GitHub: Contents: write. Azure DevOps: Code: Read & write, and Contribute. "
    "GitLab: write_repository, and the role Developer."
)
# The first match wins: after a refused SSH login git prints a message that also matches a missing repository.
_FAILURES: tuple[tuple[str, type[PratiqueError], str], ...] = (
    (
        r"authentication failed|could not read (?:username|password)|terminal prompts disabled|permission denied \("
        r"|returned error: 401",
        AuthenticationFailed,
        _LOGIN,
    ),
    (
        r"host key verification failed",
        AuthenticationFailed,
        "Pin the server's key in manifests.ssh.host_keys. If one is pinned, find out first why the key changed.",
    ),
    (
        r"returned error: 403|^ERROR: (?:permission to|write access)|marked as read only",
        PermissionDenied,
        "Give the identity access to the repository. If the organization demands single sign-on, authorize the token.",
    ),
    (r"returned error: 429", Throttled, "Wait, then run it again."),
    (
        r"not found|couldn.t find remote ref|does not appear to be a git repository|does not exist|returned error: 404",
        NotFound,
        "Check the remote and the branch, and that the identity can read them.",
    ),
    (
        r"could not resolve|connection (?:refused|reset|timed out|closed)|failed to connect|couldn't connect"
        r"|timed out|returned error: (?:408|5\d\d)|rpc failed|early eof|hung up unexpectedly|unexpected disconnect"
        r"|network is unreachable|no route to host",
        Unavailable,
        "Check that this worker can reach the remote, then run it again.",
    ),
)


@dataclass(frozen=True)
class Result:
    """Exit code and output of one git command, with secrets masked."""

    code: int
    output: str
    errors: str

    def message(self, reason: str = "") -> str:
        """The server's lines, then the reason or git's last error. git's hints for interactive users are left out."""
        lines = [line.strip() for line in self.errors.splitlines() if line.strip()]
        server = [_PACKET.sub("", line.removeprefix("remote:").strip()) for line in lines if line.startswith("remote:")]
        errors = [line for line in lines if line.startswith(("fatal:", "error:"))] or lines or ["git gave no reason."]
        return " ".join(part for part in [*dict.fromkeys(server), reason or errors[-1]] if part)[:1000]


@dataclass(frozen=True)
class Git:
    """The git command, configured for one remote.

    :ivar subject: the remote and the branch, as errors name them
    :ivar login: the next step after a login that failed
    """

    subject: str
    _environment: Mapping[str, str] = field(repr=False)
    _secrets: tuple[str, ...] = field(repr=False)
    login: str = _LOGIN

    @classmethod
    def for_remote(
        cls,
        remote: str,
        branch: str,
        credentials: Credentials,
        folder: Path,
        helpers: Iterable[tuple[str, str]] = (),
    ) -> Git:
        """Prepare the environment of every command.

        :param folder: for the keys; accessible to this user only, and present as long as git runs. git looks for
            repositories in folders beside it, and in none above
        :param helpers: from :func:`credential_helpers`
        :raises ConfigurationError: as :func:`~pratique.git.credentials.install_credentials`
        """
        installed = install_credentials(credentials, remote, folder)
        environment = _environment([*_SETTINGS.items(), *helpers, *installed.settings]) | dict(installed.environment)
        environment["GIT_CEILING_DIRECTORIES"] = str(folder.parent)
        login = _RENEW if credentials.token else _SSH_KEY if credentials.ssh else _LOGIN
        return cls(f"{remote}, branch {branch}", environment, installed.secrets, login)

    @classmethod
    def for_reading(cls, path: Path) -> Git:
        """Prepare plumbing commands that only read the repository around a local file, whoever owns it.

        That repository's configuration may name programs. ``rev-parse`` and ``rev-list`` run none of them: they look at
        neither the index nor the work tree, start no hook, filter or pager, and check no signature. Objects that a
        partial clone lacks would be fetched with programs from its configuration, so every protocol is refused.
        """
        offline = {"GIT_ALLOW_PROTOCOL": "none", "GIT_NO_LAZY_FETCH": "1"}
        return cls(str(path), _environment((_SETTINGS | {"safe.directory": "*"}).items()) | offline, ())

    async def output(self, *arguments: str, cwd: Path, attempted: str, extra: Mapping[str, str] | None = None) -> str:
        """Run a command that must succeed, and return its output.

        :raises PratiqueError: as :meth:`run` and :meth:`failure`
        """
        result = await self.run(*arguments, cwd=cwd, extra=extra)
        if result.code:
            raise self.failure(attempted, result)
        return result.output.strip()

    async def run(self, *arguments: str, cwd: Path, extra: Mapping[str, str] | None = None) -> Result:
        """Run a command and return its exit code and output. On cancellation or timeout, kill it and its helpers.

        :param extra: environment variables for this command
        :raises ConfigurationError: when ``git`` is not installed
        :raises Unavailable: when it takes longer than :data:`TIMEOUT`
        """
        ended = await self._execute(arguments, cwd, extra)
        return Result(ended.exit_code, self._clean(ended.stdout), self._shown(ended.stderr))

    async def content(self, *arguments: str, cwd: Path, attempted: str) -> bytes:
        """Run a command that must succeed, and return its output as it is: the content of a file.

        :raises PratiqueError: as :meth:`run` and :meth:`failure`
        """
        ended = await self._execute(arguments, cwd)
        if ended.exit_code:
            raise self.failure(attempted, Result(ended.exit_code, "", self._shown(ended.stderr)))
        return ended.stdout

    async def _execute(
        self, arguments: Sequence[str], cwd: Path, extra: Mapping[str, str] | None = None
    ) -> CompletedProgram:
        environment = {**self._environment, **(extra or {})}
        try:
            return await run_program(["git", *arguments], environment, timeout=TIMEOUT, cwd=cwd)
        except TimeoutError:
            raise Unavailable(
                f"run git {arguments[0]}", self.subject, f"It did not end within {TIMEOUT:g} s.", "Run it again."
            ) from None
        except OSError:
            raise ConfigurationError(
                "run git", self.subject, "git is not installed.", "Install git 2.34 or later."
            ) from None

    def _shown(self, errors: bytes) -> str:
        return masked(errors.decode(errors="replace"), self._secrets)

    def failure(self, attempted: str, result: Result, *, pushing: bool = False) -> PratiqueError:
        """The error for a failed command. Only git's own messages decide, as a server's messages are free text.

        :param pushing: whether it was a push into a repository that this identity can read
        """
        git_errors = "\n".join(line for line in result.errors.splitlines() if not line.startswith("remote:"))
        for pattern, kind, remedy in _FAILURES:
            if match := re.search(rf"^.*(?:{pattern}).*$", git_errors, re.IGNORECASE | re.MULTILINE):
                reason, message = match[0].strip(), result.message()  # ssh prints its reason before git's last line
                observed = message if reason in message else f"{reason} {message}"
                if kind is PermissionDenied and pushing:
                    remedy = _MAY_WRITE
                return kind(attempted, self.subject, observed, self.login if remedy is _LOGIN else remedy)
        if pushing and "could not read from remote repository" in git_errors.lower():  # over SSH
            return PermissionDenied(attempted, self.subject, result.message(), _MAY_WRITE)
        return GitRejected(attempted, self.subject, result.message(), "Read git's message and fix what it names.")

    def _clean(self, data: bytes) -> str:
        text = data.decode(errors="replace")
        for secret in self._secrets:
            text = text.replace(secret, "***")
        return text


async def credential_helpers(folder: Path) -> list[tuple[str, str]]:
    """The credential settings of this worker's git configuration, from no repository's.

    :param folder: to run git in
    """
    environment = {key: value for key, value in os.environ.items() if key not in _REPOSITORY}
    git = Git("this worker", environment | {"GIT_DIR": os.devnull}, ())
    found = await git.run("config", "--null", "--get-regexp", r"^credential\.", cwd=folder)
    entries = (entry.partition("\n") for entry in found.output.split("\0") if entry)
    return [(key, value) for key, _, value in entries]


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
