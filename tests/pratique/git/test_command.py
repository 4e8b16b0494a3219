"""The git command: how it reports failures, masks secrets and cleans up."""

from __future__ import annotations

import asyncio
import base64
import os
import re
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

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
from pratique.git import command as git_module
from pratique.git.checkout import Repository
from pratique.git.command import Git, Result
from pratique.git.credentials import Credentials, SshKey
from pratique.git.publish import publish
from tests.pratique.repositories import AUTHOR
from tests.pratique.sshd import new_key

TOKEN = "ghp_notarealtoken"


@pytest.fixture
def silent_server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A program in place of ssh that never answers; it holds the returned pipe open for writing while it runs."""
    pipe, script = tmp_path / "pipe", tmp_path / "ssh"
    os.mkfifo(pipe)
    script.write_text(f"#!/bin/sh\nexec 3> {pipe}\necho started >&3\nsleep 600\n")
    script.chmod(0o755)
    monkeypatch.setenv("GIT_SSH_COMMAND", str(script))
    return pipe


async def test_a_cancelled_run_leaves_no_process(silent_server: Path) -> None:
    """Cancelling kills git and the helpers that it waits for."""
    run = asyncio.create_task(
        publish(Repository(remote="ssh://git@git.contoso.com/cluster.git", branch="main"), [], author=AUTHOR)
    )
    with await asyncio.to_thread(silent_server.open) as pipe:
        assert await asyncio.to_thread(pipe.readline) == "started\n"
        run.cancel()
        with pytest.raises(asyncio.CancelledError):
            await run
        assert await asyncio.to_thread(pipe.read) == "", "the pipe ends when no process holds it open"


@pytest.mark.usefixtures("silent_server")
async def test_a_late_git_is_unavailable(monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that does not answer in time is a retryable error."""
    monkeypatch.setattr(git_module, "TIMEOUT", 0.01)
    with pytest.raises(Unavailable, match="did not end within"):
        await publish(Repository(remote="ssh://git@git.contoso.com/cluster.git", branch="main"), [], author=AUTHOR)


UNREADABLE = "fatal: Could not read from remote repository."
NO_ACCESS = "fatal: unable to access 'https://x/': "
STATUS = NO_ACCESS + "The requested URL returned error: "


@pytest.mark.parametrize(
    ("errors", "kind"),
    [
        (f"git@github.com: Permission denied (publickey).\n{UNREADABLE}", AuthenticationFailed),
        ("fatal: could not read Username for 'https://x': terminal prompts disabled", AuthenticationFailed),
        (f"remote: Permission to a/b denied.\n{STATUS}403", PermissionDenied),
        (f"ERROR: Permission to a/b.git denied to c.\n{UNREADABLE}", PermissionDenied),
        (f"ERROR: The key you are authenticating with has been marked as read only.\n{UNREADABLE}", PermissionDenied),
        (f"{STATUS}429", Throttled),
        (f"{STATUS}503", Unavailable),
        (f"{NO_ACCESS}Could not resolve host: x", Unavailable),
        ("error: RPC failed; curl 56 recv failure\nfatal: the remote end hung up unexpectedly", Unavailable),
        ("remote: Repository not found.\nfatal: repository 'https://x/' not found", NotFound),
        (f"ERROR: Repository not found.\n{UNREADABLE}", NotFound),
        (f"{NO_ACCESS}server certificate verification failed.", GitRejected),
        ("remote: not found\nfatal: something else", GitRejected),
        ("", GitRejected),
    ],
)
def test_failures_are_classified(errors: str, kind: type[PratiqueError]) -> None:
    """git's own messages decide which error is raised; the server's free text never does."""
    failure = Git("x", {}, ()).failure("clone", Result(128, "", errors))
    assert type(failure) is kind
    assert failure.observed.endswith(errors.splitlines()[-1] if errors else "no reason.")


READ_ONLY = {
    "GitHub": f"remote: Write access to repository not granted.\n{STATUS}403",
    "GitLab": f"remote: You are not allowed to push code to this project.\n{STATUS}403",
    "GitLab over SSH": f"remote: ERROR: You are not allowed to push code to this project.\nremote: \n{UNREADABLE}",
    "Azure DevOps": "remote: 001f# service=git-receive-pack\nremote: 0000000000aaTF401027: You need it.\n"
    f"remote: TF401027: You need it.\n{STATUS}403",
}


@pytest.mark.parametrize("errors", READ_ONLY.values(), ids=list(READ_ONLY))
def test_a_push_without_the_right_to_write(errors: str) -> None:
    """The next step names the right at each forge; the server's message is there once, without git's packets."""
    failure = Git("x", {}, ()).failure("push", Result(128, "", errors), pushing=True)
    assert type(failure) is PermissionDenied
    assert "Contents: write" in failure.remedy
    assert not re.search("001f|0000|TF401027.*TF401027", failure.observed)
    assert "single sign-on" in Git("x", {}, ()).failure("clone", Result(128, "", f"{STATUS}403")).remedy


def test_a_failed_login_names_what_was_used(tmp_path: Path) -> None:
    """A token has to be renewed, a key has to be known, and without either something has to be set."""
    asked = Result(128, "", "fatal: could not read Username for 'https://x': terminal prompts disabled")
    key = new_key(tmp_path / "key")
    for remote, credentials, remedy in (
        ("https://x/y", Credentials(TOKEN), "Create a new token"),
        ("ssh://git@x/y", Credentials(ssh=SshKey(key, ())), "manifests.ssh.key"),
        ("https://x/y", Credentials(), "Set manifests.token"),
    ):
        folder = tmp_path / remedy / "keys"
        folder.mkdir(parents=True)
        failure = Git.for_remote(remote, "main", credentials, folder).failure("clone", asked)
        assert type(failure) is AuthenticationFailed
        assert remedy in failure.remedy


@asynccontextmanager
async def https_server(folder: Path, answer: str) -> AsyncIterator[tuple[str, list[str]]]:
    """A server with one response to every request; its address, and the headers it received. Its CA is ``ca.pem``."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    pem = certificate.public_bytes(Encoding.PEM)
    (folder / "ca.pem").write_bytes(pem)
    (folder / "tls.pem").write_bytes(pem + key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "tls.pem")
    heads: list[str] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heads.append((await reader.readuntil(b"\r\n\r\n")).decode())
        writer.write(f"HTTP/1.1 {answer}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n".encode())
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=context)
    async with server:
        yield f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}", heads


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        ("401 Unauthorized", AuthenticationFailed),
        ("403 Forbidden", PermissionDenied),
        ("404 Not Found", NotFound),
        ("503 Service Unavailable", Unavailable),
        ("302 Found\r\nLocation: /elsewhere", GitRejected),
    ],
)
async def test_the_token_is_sent_to_the_remote_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, answer: str, kind: type[PratiqueError]
) -> None:
    """The remote gets it as basic authentication; git follows no redirect with it, and no error contains it."""
    basic = base64.b64encode(f"x-access-token:{TOKEN}".encode()).decode()
    monkeypatch.setenv("GIT_SSL_CAINFO", str(tmp_path / "ca.pem"))
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    async with https_server(tmp_path, answer) as (url, heads):
        with pytest.raises(kind) as caught:
            await publish(
                Repository(remote=f"{url}/cluster.git", branch="main", credentials=Credentials(TOKEN)),
                [],
                author=AUTHOR,
            )
    assert type(caught.value) is kind
    assert heads
    assert all(f"Authorization: Basic {basic}\r\n" in head for head in heads)
    assert all(head.startswith("GET /cluster.git/") for head in heads)
    assert TOKEN not in str(caught.value)
    assert basic not in str(caught.value)


async def test_secrets_are_masked_in_output(tmp_path: Path) -> None:
    """A token that git prints is masked."""
    git_ = Git.for_remote("https://git.contoso.com/x", "main", Credentials(TOKEN), tmp_path)
    shown = await git_.run("config", "--get-regexp", "http.*extraHeader", cwd=tmp_path)
    assert shown.output.strip().endswith("Authorization: Basic ***")


async def test_a_missing_git_is_explained(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the command the error says what to install."""
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ConfigurationError, match="Install git"):
        await publish(Repository(remote="https://git.contoso.com/x", branch="main"), [], author=AUTHOR)
