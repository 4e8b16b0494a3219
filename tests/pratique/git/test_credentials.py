"""Tokens and keys: where they are sent, where they must not appear, which are refused. SSH against a real server."""

from __future__ import annotations

import subprocess
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from pratique.change import Change
from pratique.errors import AuthenticationFailed, ConfigurationError, PermissionDenied
from pratique.git.checkout import Repository, checkout
from pratique.git.command import Git, credential_helpers
from pratique.git.credentials import Credentials, SshKey, is_ssh
from pratique.git.publish import publish
from tests.pratique.repositories import AUTHOR, git, subjects, there, write
from tests.pratique.sshd import SSHD, Sshd, new_key, public, serve

TOKEN = "ghp_notarealtoken"
HOST_KEY = "github.com ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOMqqnkVzrm0SaG6UOoqKLsabgH5C9okWi0dh2l9GKJl"


@pytest.mark.parametrize(
    ("remote", "token"),
    [
        (f"https://me:{TOKEN}@git.contoso.com/x", None),
        (f"https://{TOKEN}@git.contoso.com/x", None),
        (f"ssh://git:{TOKEN}@git.contoso.com/x", None),
        ("http://git.contoso.com/x", TOKEN),
        ("git@git.contoso.com:x", TOKEN),
    ],
    ids=["password", "user", "ssh password", "http", "scp"],
)
def test_secrets_are_kept_out_of_urls(tmp_path: Path, remote: str, token: str | None) -> None:
    """Credentials in the URL, and a token over anything but HTTPS, are refused; the message does not repeat them."""
    with pytest.raises(ConfigurationError) as caught:
        Git.for_remote(remote, "main", Credentials(token), tmp_path)
    assert TOKEN not in str(caught.value)


def test_secrets_are_not_shown(tmp_path: Path) -> None:
    """The repr of a value contains no part of a token or a key."""
    key = new_key(tmp_path / "key")
    (tmp_path / "keys").mkdir()
    credentials = Credentials(TOKEN, SshKey(key, (HOST_KEY,)), key)
    shown = repr(credentials) + repr(
        Git.for_remote("https://git.contoso.com/x", "main", Credentials(TOKEN, signing=key), tmp_path / "keys")
    )
    assert TOKEN not in shown
    assert not any(line in shown for line in key.splitlines())


@pytest.mark.parametrize(
    ("remote", "ssh"),
    [
        ("ssh://git@github.com/a/b.git", True),
        ("git@github.com:a/b.git", True),
        ("https://github.com/a/b.git", False),
        ("file:///a/b.git", False),
        ("/a/b:c.git", False),
        ("a/b.git", False),
    ],
)
def test_ssh_remotes(remote: str, ssh: bool) -> None:
    """Like git: a remote without a scheme is SSH if a colon comes before the first slash."""
    assert is_ssh(remote) is ssh


@pytest.mark.parametrize(
    ("key", "observed"),
    [
        ("not a key", "not a readable private key"),
        ("-----BEGIN OPENSSH PRIVATE KEY-----\nAAAA\n", "not a readable private key"),
        ("", ""),
    ],
    ids=["text", "truncated", "passphrase"],
)
def test_unusable_keys(tmp_path: Path, key: str, observed: str) -> None:
    """They are refused before git starts, and the error contains no part of the key."""
    if not key:
        key, observed = new_key(tmp_path / "locked", "-N", "open-sesame"), "has a passphrase"
    with pytest.raises(ConfigurationError, match=observed) as caught:
        Git.for_remote("https://git.contoso.com/x", "main", Credentials(signing=key), tmp_path)
    assert "AAAA" not in str(caught.value)


def test_an_ssh_key_for_another_remote(tmp_path: Path) -> None:
    """A key for a remote that is not SSH would be unused, so it is refused."""
    with pytest.raises(ConfigurationError, match="works for SSH remotes only"):
        Git.for_remote("https://x/y", "main", Credentials(ssh=SshKey("", (HOST_KEY,))), tmp_path)


async def test_commits_are_signed(remote: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each commit, with trailers, verifies against the allowed signer; the key was in a private folder, now deleted."""
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(temporary))
    key = new_key(tmp_path / "signing").replace("\n", "\r\n").strip()  # as a secret store may hold it
    signers = tmp_path / "allowed_signers"
    signers.write_text(f"{AUTHOR.email} {public(tmp_path / 'signing')}\n")
    modes: list[int] = []

    def edit(root: Path) -> list[Change]:
        modes.append((root.parent / "keys" / "signing").stat().st_mode & 0o777)
        modes.append((root.parent / "keys").stat().st_mode & 0o777)
        return write("a.txt", "1\n")(root)

    at = Repository(remote=remote.as_uri(), branch="main", credentials=Credentials(signing=key))
    edits = [("one", edit), ("two", write("b.txt", "2\n"))]
    published = await publish(at, edits, author=AUTHOR, trailers={"Pratique-Run": "7"})
    assert modes == [0o600, 0o700]
    assert not any(temporary.iterdir())
    for commit in published.commits:
        git("-c", f"gpg.ssh.allowedSignersFile={signers}", "verify-commit", commit.sha, cwd=remote)
    unsigned = await publish(there(remote), [("three", write("c.txt", "3\n"))], author=AUTHOR)
    with pytest.raises(subprocess.CalledProcessError):
        git("-c", f"gpg.ssh.allowedSignersFile={signers}", "verify-commit", unsigned.head, cwd=remote)


async def test_helpers_of_the_worker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of the worker's git configuration only the credential settings are used, in their order."""
    settings = "[credential]\nhelper = cache\nhelper = store --file x\n[user]\nname = Me\n"
    settings += '[credential "https://x"]\nuseHttpPath = true\n'
    (tmp_path / ".gitconfig").write_text(settings)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("GIT_CONFIG_NOSYSTEM", "1")
    assert await credential_helpers(tmp_path) == [
        ("credential.helper", "cache"),
        ("credential.helper", "store --file x"),
        ("credential.https://x.usehttppath", "true"),
    ]


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[Sshd]:
    """An SSH server that lets in whoever has ``identity``."""
    if SSHD is None:
        pytest.skip("there is no sshd here: install openssh-server")
    new_key(tmp_path / "identity")
    async with serve(tmp_path, public(tmp_path / "identity")) as running:
        yield running


def over_ssh(server: Sshd, remote: Path, key: str, host_key: str = "") -> Repository:
    ssh = SshKey(key, (host_key or server.host_key,))
    return Repository(remote=server.url(remote), branch="main", credentials=Credentials(ssh=ssh))


async def test_push_over_ssh(server: Sshd, remote: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The key lets us in, whatever the worker's own SSH settings are, and is gone afterwards."""
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(temporary))
    monkeypatch.setenv("GIT_SSH_COMMAND", "false")
    monkeypatch.setenv("SSH_AUTH_SOCK", "/nonexistent")
    key = (tmp_path / "identity").read_text()
    await publish(over_ssh(server, remote, key), [("one", write("a.txt", "1\n"))], author=AUTHOR)
    assert subjects(remote) == ["one", "first"]
    assert not any(temporary.iterdir())


async def test_a_key_that_the_server_does_not_know(server: Sshd, remote: Path, tmp_path: Path) -> None:
    """Refused without a prompt, as an authentication that failed."""
    stranger = new_key(tmp_path / "stranger")
    with pytest.raises(AuthenticationFailed, match=r"manifests\.ssh\.key") as caught:
        await publish(over_ssh(server, remote, stranger), [("one", write("a.txt", "1\n"))], author=AUTHOR)
    assert not any(line in str(caught.value) for line in stranger.splitlines())


async def test_a_key_that_only_reads(remote: Path, tmp_path: Path) -> None:
    """It can clone, and is refused before anything is pushed: by the check, and by the push."""
    if SSHD is None:
        pytest.skip("there is no sshd here: install openssh-server")
    key, gate = new_key(tmp_path / "identity"), tmp_path / "gate"
    words = "ERROR: The key you are authenticating with has been marked as read only."
    gate.write_text(
        f'#!/bin/sh\ncase "$SSH_ORIGINAL_COMMAND" in *receive-pack*) echo "{words}" >&2; exit 1;; esac\n'
        'eval "exec $SSH_ORIGINAL_COMMAND"\n'
    )
    gate.chmod(0o755)
    async with serve(tmp_path, f'command="{gate}" {public(tmp_path / "identity")}') as server:
        async with checkout(over_ssh(server, remote, key)) as tree:
            with pytest.raises(
                PermissionDenied, match=r"marked as read only.*Next: Give the identity the right to push"
            ):
                await tree.require_write_access()
        with pytest.raises(PermissionDenied, match="marked as read only"):
            await publish(over_ssh(server, remote, key), [("one", write("a.txt", "1\n"))], author=AUTHOR)
    assert subjects(remote) == ["first"]


async def test_a_server_that_is_not_the_pinned_one(server: Sshd, remote: Path, tmp_path: Path) -> None:
    """Another host key, or none for this host: nothing is sent to it, and nobody is asked."""
    new_key(tmp_path / "other")
    key = (tmp_path / "identity").read_text()
    other = f"[127.0.0.1]:{server.port} {public(tmp_path / 'other')}"
    for pinned in (other, HOST_KEY):
        with pytest.raises(AuthenticationFailed, match=r"[Hh]ost key"):
            await publish(over_ssh(server, remote, key, pinned), [], author=AUTHOR)
    assert "Accepted publickey" not in server.log.read_text()
