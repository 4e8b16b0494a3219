"""The git command: how it reports failures, masks secrets and cleans up; the git status of a file, for records."""

from __future__ import annotations

import asyncio
import base64
import os
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
from pratique.git.command import Git, Result, git_status, is_tracked
from pratique.git.credentials import Credentials
from pratique.git.publish import publish
from tests.pratique.repositories import AUTHOR, git

TOKEN = "ghp_notarealtoken"


async def test_git_status_of_a_file(tmp_path: Path) -> None:
    """Only a committed, unchanged file has a commit; untracked, changed and ignored files have none."""
    path = tmp_path / "exceptions.yaml"
    path.write_text("acceptances: []\n")
    assert await git_status(path) == "not under Git"
    git("init", "--quiet", cwd=tmp_path)
    assert await git_status(path) == "not as committed"
    git("add", "--all", cwd=tmp_path)
    git("commit", "--quiet", "--message", "Accept", cwd=tmp_path)
    assert await git_status(path) == f"commit {git('rev-parse', 'HEAD', cwd=tmp_path)}"
    path.write_text("acceptances: [ ]\n")
    assert await git_status(path) == "not as committed"
    (tmp_path / ".gitignore").write_text("other.yaml\n")
    other = tmp_path / "other.yaml"
    other.write_text("")
    assert await git_status(other) == "not as committed"


async def test_whether_a_file_is_tracked(tmp_path: Path) -> None:
    """Its own name counts, even with wildcards in it. Nothing that the repository's configuration names is run."""
    repository = tmp_path / "repository"
    repository.mkdir()
    path, other = repository / "key*", repository / "key1"
    path.touch()
    other.touch()
    assert not await is_tracked(path)
    git("init", "--quiet", cwd=repository)
    git("add", "key1", cwd=repository)
    assert (await is_tracked(path), await is_tracked(other)) == (False, True)
    run = tmp_path / "run"
    (tmp_path / "program").write_text(f"#!/bin/sh\ntouch {run}\n")
    (tmp_path / "program").chmod(0o755)
    for name in ("core.fsmonitor", "core.sshCommand", "core.pager"):
        git("config", name, str(tmp_path / "program"), cwd=repository)
    git("config", "core.untrackedCache", "true", cwd=repository)
    assert await is_tracked(other)
    assert not run.exists()
    git("rm", "--quiet", "--cached", "key1", cwd=repository)
    run.unlink(missing_ok=True)
    assert not await is_tracked(other)
    assert not run.exists()


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
