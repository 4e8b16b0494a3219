"""What git needs to be let in and to sign: laid out for the time of its work, and seen by nobody else.

A token travels in git's environment, as a header for the remote's own host. A private key has to be a file for ssh and
ssh-keygen: it is readable by this user only, in a folder that is removed after the work.
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
# What the worker's own ssh configuration says does not count; a host that is not pinned is not spoken to.
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
    """How to log in over SSH.

    :ivar private: the private key, as OpenSSH or PEM text without a passphrase
    :ivar host_keys: lines as ``known_hosts`` has them; a server that shows another key is not spoken to
    """

    private: str = field(repr=False)
    host_keys: tuple[str, ...]


@dataclass(frozen=True)
class Credentials:
    """What a remote and its readers ask for. With neither token nor key git asks the worker's own helpers and agent.

    :ivar token: sent as the password of basic authentication, as GitHub, GitLab and Azure DevOps take it
    :ivar ssh: for an SSH remote
    :ivar signing: private SSH key that signs the commits; without it they are not signed
    """

    token: str | None = field(default=None, repr=False)
    ssh: SshKey | None = None
    signing: str | None = field(default=None, repr=False)


@dataclass(frozen=True)
class Laid:
    """Credentials as git takes them.

    :ivar settings: of git's configuration
    :ivar secrets: texts that nothing git prints may repeat
    """

    settings: tuple[tuple[str, str], ...]
    environment: tuple[tuple[str, str], ...]
    secrets: tuple[str, ...] = field(repr=False)


def lay_out(credentials: Credentials, remote: str, folder: Path) -> Laid:
    """Write the keys into a folder, and say how git finds them and the token.

    :param folder: of this user only; whoever made it removes it
    :raises ConfigurationError: when the remote's URL holds credentials, the token would travel unencrypted, a key does
        not fit the remote, or cannot be used
    """
    url = _checked(remote)
    settings: list[tuple[str, str]] = []
    environment: list[tuple[str, str]] = []
    secrets: list[str] = []
    if credentials.token:
        if not url or url.scheme != "https":
            raise ConfigurationError(
                _USE_REMOTE, remote, "A token goes over HTTPS only.", "Use https://, or give no token."
            )
        basic = base64.b64encode(f"x-access-token:{credentials.token}".encode()).decode()
        settings.append((f"http.https://{url.netloc}/.extraHeader", f"Authorization: Basic {basic}"))
        settings.append(("http.followRedirects", "false"))  # git would send the header to the new host too
        secrets += [credentials.token, basic]
    if credentials.ssh:
        if not is_ssh(remote):
            raise ConfigurationError(
                _USE_REMOTE, remote, "An SSH key opens SSH remotes only.", "Use ssh://, or give no key."
            )
        environment.append(("GIT_SSH_COMMAND", _ssh_command(credentials.ssh, folder)))
        secrets += _lines(credentials.ssh.private)
    if credentials.signing:
        key = _private_file(folder / "signing", credentials.signing, "the key that signs commits")
        settings += [("gpg.format", "ssh"), ("user.signingKey", str(key)), ("commit.gpgSign", "true")]
        secrets += _lines(credentials.signing)
    return Laid(tuple(settings), tuple(environment), tuple(secrets))


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
            "Its URL holds credentials.",
            "Take them out of the URL, and give the token as a secret.",
        )
    return url


def _ssh_command(key: SshKey, folder: Path) -> str:
    hosts = folder / "known_hosts"
    hosts.write_text("".join(f"{line}\n" for line in key.host_keys))
    private = _private_file(folder / "identity", key.private, "the key for the GitOps remote")
    options = [*_SSH_OPTIONS, f'UserKnownHostsFile="{hosts}"', f'IdentityFile="{private}"']
    return shlex.join(["ssh", "-F", "none", *(word for option in options for word in ("-o", option))])


def _private_file(path: Path, text: str, what: str) -> Path:
    key = "\n".join(text.strip().splitlines()) + "\n"  # OpenSSH reads no key with other line ends, or without the last
    load = load_ssh_private_key if "OPENSSH" in key.partition("\n")[0] else load_pem_private_key
    try:
        load(key.encode(), None)
    except TypeError:
        raise _unusable(what, "It has a passphrase, which nobody is there to type.") from None
    except (ValueError, UnsupportedAlgorithm):
        raise _unusable(what, "It is no private key that can be read.") from None
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(key)
    return path


def _unusable(what: str, observed: str) -> ConfigurationError:
    return ConfigurationError(
        "use an SSH key", what, observed, "Make one for this alone: ssh-keygen -t ed25519 -N '' -f FILE."
    )


def _lines(key: str) -> Iterator[str]:
    """What of a key must not be shown: its lines, but for the marks around them."""
    return (line for line in key.split() if len(line) > 20 and "-" not in line)
