"""What the tests of the real scanners share: a registry with images, and a source that scans them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from pratique.azure.registries import oci_client
from pratique.azure.session import AzureSession
from pratique.config import Scanner
from pratique.evidence.scanners import CommandScanner
from pratique.gate.evidence import Observation, Subject
from tests.conftest import RunningSandbox, StartSandbox
from tests.oracles.scanner_databases import Advisory, grype_database, trivy_database
from tests.oracles.scanner_images import Files, push
from tests.oracles.tools import tool
from tests.sandbox.registries import add_registry

NAME = "acraksscanners"
HOST = f"{NAME}.azurecr.io"

#: What the databases know. Package and version are vulnerable in the images of the tests.
ADVISORIES = (
    Advisory("CVE-2099-0001", "alpine 3.22", "openssl", "3.5.9-r0"),
    Advisory("CVE-2099-0002", "alpine 3.10", "openssl", "1.1.1z-r0"),
    Advisory("CVE-2099-0003", "debian 12", "openssl", "3.0.99-1", severity="high"),
)


@dataclass
class RealScanner:
    """A real scanner with a small database, and images in a registry of the local Azure.

    :ivar environment: sets a variable of this process
    """

    format: str
    sandbox: RunningSandbox
    cache: Path
    environment: Callable[[str, str], None]
    digests: dict[str, str] = field(default_factory=dict)

    def database(self, *advisories: Advisory, age: timedelta = timedelta(hours=1), ended: tuple[str, ...] = ()) -> None:
        """Make the database.

        :param age: since its maker last updated it
        """
        at = datetime.now(UTC) - age
        if self.format == "trivy":
            trivy_database(self.cache, advisories, at)
        else:
            grype_database(self.cache, advisories, at, ended=ended)

    def source(self, *options: str) -> CommandScanner:
        """A source without credentials of its own: the registry lets everybody pull."""
        program: Mapping[str, Any] = {
            "trivy": ("trivy", "image", "--cache-dir", str(self.cache), *options, "{image}"),
            "grype": ("grype", *options, "{image}"),
        }
        command = (tool(self.format), *program[self.format][1:])
        scanner = Scanner.model_validate({"name": "mine", "format": self.format, "command": command})
        return CommandScanner(scanner, self._login)

    async def _login(self, registry: str) -> Any:
        async with AzureSession.open() as session, httpx.AsyncClient() as http:
            return await oci_client(session, http, {}).docker_login(registry)

    def subject(self, files: Files, repository: str = "quarantine/tests/image") -> Subject:
        """Push an image."""
        return Subject(HOST, repository, push(self.sandbox, NAME, repository, files))

    async def scan(self, files: Files, *options: str) -> Observation:
        """Push an image and scan it."""
        subject = self.subject(files)
        return (await self.source(*options)([subject]))[subject][0]


@pytest.fixture(params=["trivy", "grype"])
def scanner(
    request: pytest.FixtureRequest, start_sandbox: StartSandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> RealScanner:
    """Each real scanner, with a young database that knows :data:`ADVISORIES`; Alpine 3.10 is past its end of life."""
    sandbox = start_sandbox()
    add_registry(sandbox, NAME)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    cache = tmp_path / "cache" / request.param
    if request.param == "trivy":
        monkeypatch.setenv("TRIVY_SKIP_DB_UPDATE", "true")
    else:
        monkeypatch.setenv("GRYPE_DB_CACHE_DIR", str(cache))
        monkeypatch.setenv("GRYPE_DB_AUTO_UPDATE", "false")
        monkeypatch.setenv("GRYPE_CHECK_FOR_APP_UPDATE", "false")
    made = RealScanner(request.param, sandbox, cache, monkeypatch.setenv)
    made.database(*ADVISORIES, ended=("alpine 3.10",))
    return made
