from __future__ import annotations

import asyncio
import base64
import os
import re
import shutil
import ssl
import subprocess
from collections.abc import AsyncIterator, Callable
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

from pratique import git as git_module
from pratique.errors import (
    AuthenticationFailed,
    ConfigurationError,
    GitRejected,
    ManifestRejected,
    NotFound,
    PermissionDenied,
    PratiqueError,
    Throttled,
    TransientError,
    Unavailable,
)
from pratique.git import Git, Result
from pratique.gitops import ATTEMPTS, Author, Edit, PushResult, checkout, publish
from pratique.manifests import Change, LiveImage, point_images, point_vault

AUTHOR = Author("Pratique", "pratique@contoso.com")
TOKEN = "ghp_notarealtoken"
SAMPLE = Path(__file__).parents[2] / "examples" / "cluster-manifests"
VAULT = {
    "vault_name": "kv-aks-123",
    "tenant_id": "72f988bf-0000-4000-8000-2d7cd011db47",
    "client_id": "11111111-2222-4333-8444-555555555555",
    "certificate_name": "ingress-internal-aks-ingress-contoso-com-tls",
}


def git(*arguments: str, cwd: Path) -> str:
    """What somebody else does with git; with its own identity."""
    identity = ["-c", "user.name=Somebody", "-c", "user.email=somebody@contoso.com"]
    done = subprocess.run(["git", *identity, *arguments], cwd=cwd, check=True, capture_output=True, text=True)
    return done.stdout.strip()


@pytest.fixture
def remote(tmp_path: Path) -> Path:
    """A bare repository whose branch main holds one file."""
    bare, seed = tmp_path / "remote.git", tmp_path / "seed"
    git("init", "--quiet", "--bare", "--initial-branch=main", str(bare), cwd=tmp_path)
    git("clone", "--quiet", str(bare), str(seed), cwd=tmp_path)
    git("checkout", "--quiet", "-B", "main", cwd=seed)
    (seed / "value.txt").write_text("0\n")
    git("add", ".", cwd=seed)
    git("commit", "--quiet", "-m", "first", cwd=seed)
    git("push", "--quiet", "origin", "main", cwd=seed)
    return bare


def somebody_pushes(remote: Path, name: str) -> None:
    """Another clone adds a file and pushes it."""
    clone = remote.parent / f"clone-{name}"
    git("clone", "--quiet", str(remote), str(clone), cwd=remote.parent)
    (clone / name).write_text("theirs\n")
    git("add", ".", cwd=clone)
    git("commit", "--quiet", "-m", f"add {name}", cwd=clone)
    git("push", "--quiet", "origin", "main", cwd=clone)


def hook(remote: Path, script: str) -> None:
    path = remote / "hooks" / "pre-receive"
    path.parent.mkdir(exist_ok=True)
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)


def write(name: str, text: str) -> Callable[[Path], list[Change]]:
    """An edit that makes a file hold a text."""

    def edit(root: Path) -> list[Change]:
        path = root / name
        before = path.read_text() if path.exists() else None
        if before == text:
            return []
        path.write_text(text)
        return [Change(name, "text", before, text)]

    return edit


def subjects(remote: Path) -> list[str]:
    return git("log", "--format=%s", "main", cwd=remote).splitlines()


async def test_each_edit_is_a_commit_and_all_are_pushed(remote: Path) -> None:
    """Two edits make two commits by the given author, on top of what was there, and say what changed."""
    publication = await publish(
        remote.as_uri(),
        "main",
        [("Use live images.", write("a.txt", "1\n")), ("Use the vault.", write("b.txt", "2\n"))],
        author=AUTHOR,
    )
    assert subjects(remote) == ["Use the vault.", "Use live images.", "first"]
    assert [commit.message for commit in publication.commits] == ["Use live images.", "Use the vault."]
    assert publication.commits[0].changes == (Change("a.txt", "text", None, "1\n"),)
    assert publication.head == publication.commits[-1].sha == git("rev-parse", "main", cwd=remote)
    assert git("log", "-1", "--format=%an <%ae> %cn <%ce>", "main", cwd=remote) == (
        "Pratique <pratique@contoso.com> Pratique <pratique@contoso.com>"
    )
    assert not publication.unchanged


async def test_a_second_run_commits_nothing(remote: Path) -> None:
    """Once the edits are pushed there is nothing to commit, and nothing is pushed: a refusing hook is not reached."""
    edits = [("one", write("a.txt", "1\n")), ("two", write("b.txt", "2\n"))]
    first = await publish(remote.as_uri(), "main", edits, author=AUTHOR)
    hook(remote, "exit 1")
    second = await publish(remote.as_uri(), "main", edits, author=AUTHOR)
    assert second.unchanged
    assert second.head == first.head == git("rev-parse", "main", cwd=remote)


async def test_a_run_continues_where_another_ended(remote: Path) -> None:
    """With the first edit already in the branch only the second is committed."""
    edits = [("one", write("a.txt", "1\n")), ("two", write("b.txt", "2\n"))]
    await publish(remote.as_uri(), "main", edits[:1], author=AUTHOR)
    publication = await publish(remote.as_uri(), "main", edits, author=AUTHOR)
    assert [commit.message for commit in publication.commits] == ["two"]
    assert subjects(remote) == ["two", "one", "first"]


async def test_the_walkthroughs_two_commits(remote: Path, tmp_path: Path) -> None:
    """Images and vault of the sample repository make two commits; the same again makes none."""
    clone = tmp_path / "sample"
    git("clone", "--quiet", str(remote), str(clone), cwd=tmp_path)
    shutil.copytree(SAMPLE, clone / "cluster-manifests")
    git("add", ".", cwd=clone)
    git("commit", "--quiet", "-m", "sample", cwd=clone)
    git("push", "--quiet", "origin", "main", cwd=clone)
    entries = re.findall(r"/live/(\S+)", "".join(path.read_text() for path in SAMPLE.glob("*/kustomization.yaml")))
    images = {repository: LiveImage("v1", "sha256:" + "a" * 64) for repository in entries}
    edits: list[tuple[str, Edit]] = [
        ("images", lambda root: point_images(root, "cluster-manifests", "acraks123.azurecr.io", images)),
        ("vault", lambda root: point_vault(root, "cluster-manifests/ingress-nginx/akv-tls-provider.yaml", **VAULT)),
    ]
    first = await publish(remote.as_uri(), "main", edits, author=AUTHOR)
    assert [len(commit.changes) for commit in first.commits] == [3 * len(images), 3]
    assert (await publish(remote.as_uri(), "main", edits, author=AUTHOR)).unchanged
    assert subjects(remote) == ["vault", "images", "sample", "first"]


async def test_a_race_is_run_again_from_the_new_head(remote: Path) -> None:
    """Somebody pushes between clone and push: the edit is applied again on top of theirs, and both stay."""
    calls: list[Path] = []

    async def edit(root: Path) -> list[Change]:
        calls.append(root)
        if len(calls) == 1:
            somebody_pushes(remote, "theirs.txt")
        return write("a.txt", "1\n")(root)

    publication = await publish(remote.as_uri(), "main", [("one", edit)], author=AUTHOR)
    assert len(calls) == 2
    assert len(publication.commits) == 1
    assert subjects(remote) == ["one", "add theirs.txt", "first"]


async def test_a_race_lost_each_time_is_transient(remote: Path) -> None:
    """After the last attempt the error is one that may be retried, and theirs is what the branch holds."""
    calls: list[Path] = []

    def edit(root: Path) -> list[Change]:
        calls.append(root)
        somebody_pushes(remote, f"theirs-{len(calls)}.txt")
        return write("a.txt", "1\n")(root)

    with pytest.raises(TransientError, match=f"each of {ATTEMPTS} attempts"):
        await publish(remote.as_uri(), "main", [("one", edit)], author=AUTHOR)
    assert len(calls) == ATTEMPTS
    assert "one" not in subjects(remote)


async def test_a_race_inside_the_server_counts_as_moved(remote: Path) -> None:
    """The branch moves while the server's hook runs: that, too, is a move and not a refusal."""
    somebody_pushes(remote, "theirs.txt")
    theirs = git("rev-parse", "main", cwd=remote)
    git("update-ref", "refs/heads/main", "main~1", cwd=remote)
    # Out of the quarantine that git keeps incoming objects in, where refs must not be updated.
    hook(remote, f"env -u GIT_QUARANTINE_PATH git update-ref refs/heads/main {theirs}")
    async with checkout(remote.as_uri(), "main") as tree:
        write("a.txt", "1\n")(tree.root)
        assert await tree.commit("one", AUTHOR)
        assert await tree.push() is PushResult.MOVED
    assert git("rev-parse", "main", cwd=remote) == theirs


async def test_a_refusal_is_permanent_and_in_the_servers_words(remote: Path) -> None:
    """A pre-receive hook says no: its own line is in the error, and the edit was tried once."""
    hook(remote, "echo 'policy: ticket not found' >&2; exit 1")
    calls: list[Path] = []

    def edit(root: Path) -> list[Change]:
        calls.append(root)
        return write("a.txt", "1\n")(root)

    with pytest.raises(GitRejected, match=r"policy: ticket not found .*pre-receive hook declined"):
        await publish(remote.as_uri(), "main", [("one", edit)], author=AUTHOR)
    assert len(calls) == 1
    assert subjects(remote) == ["first"]


async def test_a_failing_edit_pushes_nothing(remote: Path) -> None:
    """The second edit raises: the first one's commit stays in the clone, which is gone, and the error comes out."""
    roots: list[Path] = []

    def edit(root: Path) -> list[Change]:
        roots.append(root)
        raise ManifestRejected("edit", "file", "No.", "Fix it.")

    with pytest.raises(ManifestRejected):
        await publish(remote.as_uri(), "main", [("one", write("a.txt", "1\n")), ("two", edit)], author=AUTHOR)
    assert subjects(remote) == ["first"]
    assert not roots[0].exists()


async def test_absent_things_are_not_found(remote: Path, tmp_path: Path) -> None:
    """No such branch, no such repository, and a tag that bears the branch's name."""
    git("tag", "v1", "main", cwd=remote)
    for url, branch in ((remote.as_uri(), "trunk"), ((tmp_path / "no.git").as_uri(), "main"), (remote.as_uri(), "v1")):
        with pytest.raises(NotFound):
            await publish(url, branch, [], author=AUTHOR)


async def test_nobodys_configuration_matters(remote: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither a user's settings, hooks and templates nor a surrounding repository's variables have a say."""
    home = tmp_path / "home"
    (home / "hooks").mkdir(parents=True)
    (home / "hooks" / "pre-commit").write_text("#!/bin/sh\nexit 1\n")
    (home / "hooks" / "pre-commit").chmod(0o755)
    (home / ".gitconfig").write_text(f"[core]\nhooksPath = {home}/hooks\n[user]\nname = Me\n[commit]\ngpgSign = true\n")
    for name, value in {"HOME": str(home), "GIT_DIR": "/nonexistent", "GIT_AUTHOR_DATE": "nonsense"}.items():
        monkeypatch.setenv(name, value)
    publication = await publish(remote.as_uri(), "main", [("one", write("a.txt", "1\n"))], author=AUTHOR)
    monkeypatch.delenv("GIT_DIR")
    assert publication.head == git("rev-parse", "main", cwd=remote)


async def test_links_of_the_repository_are_not_followed(remote: Path, tmp_path: Path) -> None:
    """A link is checked out as a file that holds its target, and stays a link in the branch."""
    clone = tmp_path / "linker"
    git("clone", "--quiet", str(remote), str(clone), cwd=tmp_path)
    (clone / "link").symlink_to("/etc/hostname")
    git("add", ".", cwd=clone)
    git("commit", "--quiet", "-m", "link", cwd=clone)
    git("push", "--quiet", "origin", "main", cwd=clone)
    async with checkout(remote.as_uri(), "main") as tree:
        assert not (tree.root / "link").is_symlink()
        assert await tree.commit("nothing", AUTHOR) is None
        write("a.txt", "1\n")(tree.root)
        await tree.commit("one", AUTHOR)
        await tree.push()
    assert git("ls-tree", "main", "link", cwd=remote).startswith("120000")


@pytest.fixture
def silent_server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """In place of ssh, a program that answers nothing; it holds the writing end of the returned pipe while it lives."""
    pipe, script = tmp_path / "pipe", tmp_path / "ssh"
    os.mkfifo(pipe)
    script.write_text(f"#!/bin/sh\nexec 3> {pipe}\necho started >&3\nsleep 600\n")
    script.chmod(0o755)
    monkeypatch.setenv("GIT_SSH_COMMAND", str(script))
    return pipe


async def test_a_cancelled_run_leaves_no_process(silent_server: Path) -> None:
    """Cancelling ends git together with the helpers that it waits for."""
    run = asyncio.create_task(publish("ssh://git@git.contoso.com/cluster.git", "main", [], author=AUTHOR))
    with await asyncio.to_thread(silent_server.open) as pipe:
        assert await asyncio.to_thread(pipe.readline) == "started\n"
        run.cancel()
        with pytest.raises(asyncio.CancelledError):
            await run
        assert await asyncio.to_thread(pipe.read) == "", "the pipe ends when nobody holds it any more"


@pytest.mark.usefixtures("silent_server")
async def test_a_late_git_is_unavailable(monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that does not answer in time is one that may be asked again."""
    monkeypatch.setattr(git_module, "TIMEOUT", 0.01)
    with pytest.raises(Unavailable, match="did not end within"):
        await publish("ssh://git@git.contoso.com/cluster.git", "main", [], author=AUTHOR)


def test_secrets_are_kept_out_of_urls() -> None:
    """Credentials in the URL, and a token over anything but HTTPS, are refused; the message does not repeat them."""
    for remote, token in (
        (f"https://me:{TOKEN}@git.contoso.com/x", None),
        (f"https://{TOKEN}@git.contoso.com/x", None),
        (f"ssh://git:{TOKEN}@git.contoso.com/x", None),
        ("http://git.contoso.com/x", TOKEN),
        ("git@git.contoso.com:x", TOKEN),
    ):
        with pytest.raises(ConfigurationError) as caught:
            Git.towards(remote, "main", token)
        assert TOKEN not in str(caught.value)
    assert TOKEN not in repr(Git.towards("https://git.contoso.com/x", "main", TOKEN))


@pytest.mark.parametrize(("name", "email"), [("", "a@b"), ("A", "nobody"), ("A <x>", "a@b"), ("A\nB", "a@b")])
def test_an_author_needs_name_and_address(name: str, email: str) -> None:
    """What git would refuse or reshape is refused first."""
    with pytest.raises(ConfigurationError):
        Author(name, email)


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
def test_failures_are_told_apart(errors: str, kind: type[PratiqueError]) -> None:
    """git's own words decide on the error; the server's free text never does."""
    failure = Git.towards("https://x/", "main").failure("clone", Result(128, "", errors))
    assert type(failure) is kind
    assert failure.observed.endswith(errors.splitlines()[-1] if errors else "no reason.")


@asynccontextmanager
async def https_server(folder: Path, answer: str) -> AsyncIterator[tuple[str, list[str]]]:
    """A server with one answer to every request; its address, and the heads that it got. Its CA is ``ca.pem``."""
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
async def test_the_token_goes_to_the_remote_and_nowhere_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, answer: str, kind: type[PratiqueError]
) -> None:
    """It arrives as basic authentication, no redirect is followed with it, and no error shows it."""
    basic = base64.b64encode(f"x-access-token:{TOKEN}".encode()).decode()
    monkeypatch.setenv("GIT_SSL_CAINFO", str(tmp_path / "ca.pem"))
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    async with https_server(tmp_path, answer) as (url, heads):
        with pytest.raises(kind) as caught:
            await publish(f"{url}/cluster.git", "main", [], author=AUTHOR, token=TOKEN)
    assert type(caught.value) is kind
    assert heads
    assert all(f"Authorization: Basic {basic}\r\n" in head for head in heads)
    assert all(head.startswith("GET /cluster.git/") for head in heads)
    assert TOKEN not in str(caught.value)
    assert basic not in str(caught.value)


async def test_what_git_prints_is_blotted(tmp_path: Path) -> None:
    """A token that comes back in git's output is not passed on."""
    git_ = Git.towards("https://git.contoso.com/x", "main", TOKEN)
    shown = await git_.run("config", "--get-regexp", "http.*extraHeader", cwd=tmp_path)
    assert shown.output.strip().endswith("Authorization: Basic ***")


async def test_a_missing_git_is_explained(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the command the error says what to install."""
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ConfigurationError, match="Install git"):
        await publish("https://git.contoso.com/x", "main", [], author=AUTHOR)
