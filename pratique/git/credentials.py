"""Credentials with which git logs in and signs, installed only while it works.

A token is passed in git's environment, as a header that git sends to the remote's host only. ssh and ssh-keygen need a
private key as a file: only this user can read it, and its folder is removed after the work.
"""

from __future__ import annotations

import base64
import os
import shlex
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import SplitResult, urlsplit

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import load_pem_private_key, load_ssh_private_key

from pratique.errors import ConfigurationError

_USE_REMOTE = "use the GitOps remote"
# ssh ignores the worker's own configuration, and connects only to hosts whose key is pinned.
_SSH_OPTIONS = (
    "BatchMode=yes",
    "ConnectTimeout=30",
    "IdentitiesOnly=yes",
    "IdentityAgent=none",
    "StrictHostKeyChecking=yes",
    "GlobalKnownHostsFile=/dev/null",
    "UpdateHostKeys=no",
)


@dataclass(frozen=True)
class SshKey:
    """A key for login over SSH.

    :ivar private: the private key, as OpenSSH or PEM text without a passphrase
    :ivar host_keys: lines in the format of ``known_hosts``; ssh refuses a server with another key
    """

    private: str = field(repr=False)
    host_keys: tuple[str, ...]


@dataclass(frozen=True)
class Credentials:
    """Credentials for a remote, and the key for signatures. Without token and key git uses the worker's credential
    helpers and SSH agent.

    :ivar token: sent as the password of basic authentication, which GitHub, GitLab and Azure DevOps accept
    :ivar ssh: for an SSH remote
    :ivar signing: private SSH key that signs the commits; without it they are not signed
    """

    token: str | None = field(default=None, repr=False)
    ssh: SshKey | None = None
    signing: str | None = field(default=None, repr=False)


@dataclass(frozen=True)
class InstalledCredentials:
    """Credentials in the form that git uses.

    :ivar settings: of git's configuration
    :ivar secrets: texts to mask in git's output
    """

    settings: tuple[tuple[str, str], ...]
    environment: tuple[tuple[str, str], ...]
    secrets: tuple[str, ...] = field(repr=False)


def install_credentials(credentials: Credentials, remote: str, folder: Path) -> InstalledCredentials:
    """Write the keys into a folder, and return the settings that make git use them and the token.

    :param folder: accessible to this user only; the caller removes it
    :raises ConfigurationError: when the remote's URL contains credentials, the token would travel unencrypted, a key
        does not fit the remote, or is unusable
    """
    url = _checked(remote)
    settings: list[tuple[str, str]] = []
    environment: list[tuple[str, str]] = []
    secrets: list[str] = []
    if credentials.token:
        if not url or url.scheme != "https":
            raise ConfigurationError(
                _USE_REMOTE, remote, "Tokens are sent over HTTPS only.", "Use an https:// remote, or set no token."
            )
        basic = base64.b64encode(f"x-access-token:{credentials.token}".encode()).decode()
        settings.append((f"http.https://{url.netloc}/.extraHeader", f"Authorization: Basic {basic}"))
        settings.append(("http.followRedirects", "false"))  # git would send the header to the new host too
        secrets += [credentials.token, basic]
    if credentials.ssh:
        if not is_ssh(remote):
            raise ConfigurationError(
                _USE_REMOTE, remote, "An SSH key works for SSH remotes only.", "Use an ssh:// remote, or set no key."
            )
        environment.append(("GIT_SSH_COMMAND", _ssh_command(credentials.ssh, folder)))
        secrets += _lines(credentials.ssh.private)
    if credentials.signing:
        key = _private_file(folder / "signing", credentials.signing, "the key that signs commits")
        settings += [("gpg.format", "ssh"), ("user.signingKey", str(key)), ("commit.gpgSign", "true")]
        secrets += _lines(credentials.signing)
    return InstalledCredentials(tuple(settings), tuple(environment), tuple(secrets))


def is_ssh(remote: str) -> bool:
    """Whether git reaches the remote over SSH: ``ssh://…`` or ``user@host:path``."""
    before, colon, _ = remote.partition(":")
    return remote.startswith("ssh://") or (bool(colon) and "://" not in remote and "/" not in before)


def _checked(remote: str) -> SplitResult | None:
    url = urlsplit(remote) if "://" in remote else None
    if url and (url.password or (url.username and url.scheme != "ssh")):
        raise ConfigurationError(
            _USE_REMOTE,
            f"{url.scheme}://{url.hostname}{url.path}",
            "The URL contains credentials.",
            "Remove them from the URL, and name the token's secret in manifests.token.",
        )
    return url


def _ssh_command(key: SshKey, folder: Path) -> str:
    hosts = folder / "known_hosts"
    hosts.write_text("".join(f"{line}\n" for line in key.host_keys))
    private = _private_file(folder / "identity", key.private, "the key for the GitOps remote")
    options = [*_SSH_OPTIONS, f'UserKnownHostsFile="{hosts}"', f'IdentityFile="{private}"']
    return shlex.join(["ssh", "-F", "none", *(word for option in options for word in ("-o", option))])


def _private_file(path: Path, text: str, what: str) -> Path:
    key = "\n".join(text.strip().splitlines()) + "\n"  # OpenSSH needs these line endings, including the last one
    load = load_ssh_private_key if "OPENSSH" in key.partition("\n")[0] else load_pem_private_key
    try:
        load(key.encode(), None)
    except TypeError:
        raise _unusable(what, "It has a passphrase, which an unattended run cannot enter.") from None
    except (ValueError, UnsupportedAlgorithm):
        raise _unusable(what, "It is not a readable private key.") from None
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(key)
    return path


def _unusable(what: str, observed: str) -> ConfigurationError:
    return ConfigurationError(
        "use an SSH key", what, observed, "Create a dedicated key: ssh-keygen -t ed25519 -N '' -f FILE."
    )


def _lines(key: str) -> Iterator[str]:
    """The parts of a key to mask: its lines, without the BEGIN and END markers."""
    return (line for line in key.split() if len(line) > 20 and "-" not in line)
