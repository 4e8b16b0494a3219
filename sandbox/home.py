"""The folder that a sandbox keeps between runs: certificate authority, keys, and the pipeline's client secret."""

from __future__ import annotations

import json
import os
import secrets
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes


class Home:
    """Files in one directory, created on first use and readable only by their owner."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        directory.mkdir(parents=True, exist_ok=True, mode=0o700)

    def text(self, name: str, make: Any) -> str:
        """The contents of a file; creates it from ``make()`` when it is missing."""
        path = self.directory / name
        if not path.exists():
            self.write(name, make())
        return path.read_text()

    def write(self, name: str, contents: str) -> Path:
        """Write a file atomically."""
        path = self.directory / name
        draft = path.with_name(f".{name}.{os.getpid()}")
        draft.touch(mode=0o600)
        draft.write_text(contents)
        draft.replace(path)
        return path

    def rsa_key(self, name: str, bits: int = 2048) -> rsa.RSAPrivateKey:
        """The private key in ``name``.pem, created on first use.

        :param bits: size of a new key
        """
        pem = self.text(f"{name}.pem", lambda: _new_rsa_key(bits))
        key = _parsed(pem)
        if not isinstance(key, rsa.RSAPrivateKey):
            raise TypeError(f"{name}.pem in {self.directory} does not hold an RSA key: delete the file")
        return key

    @cached_property
    def client_secret(self) -> str:
        """The secret of the pipeline's service principal."""
        return self.text("client-secret", lambda: secrets.token_urlsafe(30))

    @property
    def ca_file(self) -> Path:
        return self.directory / "ca.pem"

    def remember(self, facts: dict[str, Any]) -> None:
        """Record where the running sandbox listens, for ``azure-sandbox env``."""
        self.write("running.json", json.dumps(facts, indent=1))

    def running(self) -> dict[str, Any] | None:
        """Where the running sandbox says that it listens; ``None`` when none runs, or when its process was killed."""
        try:
            facts: dict[str, Any] | None = json.loads((self.directory / "running.json").read_text())
        except (FileNotFoundError, ValueError):
            return None
        return facts if facts and _alive(facts["pid"]) else None

    def forget(self, port: int) -> None:
        """Forget where this process listened, unless another sandbox has replaced that."""
        facts = self.running()
        if facts is not None and (facts["pid"], facts["port"]) == (os.getpid(), port):
            (self.directory / "running.json").unlink()


def _alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


@lru_cache(maxsize=64)
def _parsed(pem: str) -> PrivateKeyTypes:
    """Checking that the parts of an RSA key fit together takes longer than all else at the start of a sandbox."""
    return serialization.load_pem_private_key(pem.encode(), None)


def _new_rsa_key(bits: int) -> str:
    key = rsa.generate_private_key(public_exponent=65537, key_size=bits)
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ).decode()
