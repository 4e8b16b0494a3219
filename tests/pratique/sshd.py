"""A real OpenSSH server on loopback that gives git one account, as this user."""

from __future__ import annotations

import asyncio
import getpass
import os
import shutil
import socket
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.waiting import until

SSHD = shutil.which("sshd", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin")


@dataclass(frozen=True)
class Sshd:
    """A running server.

    :ivar host_key: its public key, as a line of ``known_hosts``
    """

    port: int
    host_key: str
    log: Path

    def url(self, path: Path) -> str:
        return f"ssh://{getpass.getuser()}@127.0.0.1:{self.port}{path}"


def new_key(path: Path, *options: str) -> str:
    """A key pair in a file and beside it; the private key."""
    command = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "test", *options, "-f", str(path)]
    subprocess.run(command, check=True, stdin=subprocess.DEVNULL)
    return path.read_text()


def public(path: Path) -> str:
    """Type and key of the public half."""
    return " ".join(path.with_name(f"{path.name}.pub").read_text().split()[:2])


@asynccontextmanager
async def serve(folder: Path, allowed: str) -> AsyncIterator[Sshd]:
    """Run the server until the block ends.

    :param allowed: the public key that is let in
    """
    assert SSHD is not None
    new_key(folder / "host")
    keys = folder / "authorized_keys"
    keys.write_text(f"{allowed}\n")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = int(free.getsockname()[1])
    settings = (
        f"ListenAddress 127.0.0.1:{port}\nHostKey {folder / 'host'}\nAuthorizedKeysFile {keys}\nPidFile none\n"
        "StrictModes no\nUsePAM no\nPasswordAuthentication no\nKbdInteractiveAuthentication no\nLogLevel VERBOSE\n"
        "PermitRootLogin prohibit-password\n"
    )
    (folder / "sshd_config").write_text(settings)
    if os.geteuid() == 0:  # as Debian's service makes it; a user's own sshd needs none
        os.makedirs("/run/sshd", mode=0o755, exist_ok=True)
    log = folder / "sshd.log"
    command = (SSHD, "-D", "-f", str(folder / "sshd_config"), "-E", str(log))
    process = await asyncio.create_subprocess_exec(*command)
    try:
        await until(lambda: process.returncode is not None or _listens(port))
        assert process.returncode is None, log.read_text()
        yield Sshd(port, f"[127.0.0.1]:{port} {public(folder / 'host')}", log)
    finally:
        if process.returncode is None:
            process.terminate()
        await process.wait()


def _listens(port: int) -> bool:
    with socket.socket() as client:
        return client.connect_ex(("127.0.0.1", port)) == 0
