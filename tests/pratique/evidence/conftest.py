"""A registry with scanned images, and the product's session and registry client for it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime

import httpx
import pytest

from pratique.azure.registries import oci_client
from pratique.azure.session import AzureSession
from pratique.gate.evidence import Subject
from pratique.oci.client import OciClient
from sandbox.scenario import Scenario
from tests.conftest import RunningSandbox, StartSandbox
from tests.pratique.evidence.forms import FORMS, Form
from tests.sandbox.defending import NAME, REPOSITORY, brought
from tests.sandbox.registries import add_registry

HOST = f"{NAME}.azurecr.io"


def subject(digest: str, repository: str = REPOSITORY, arrived: datetime | None = None) -> Subject:
    return Subject(HOST, repository, digest, arrived)


@dataclass(frozen=True)
class Scanned:
    """A sandbox in which an image was imported and scanned.

    :ivar digests: of the image's platforms
    """

    sandbox: RunningSandbox
    digests: list[str]

    @property
    def subjects(self) -> list[Subject]:
        return [subject(digest) for digest in self.digests]

    @asynccontextmanager
    async def session(self) -> AsyncIterator[AzureSession]:
        async with AzureSession.open() as session:
            yield session

    @asynccontextmanager
    async def client(self) -> AsyncIterator[OciClient]:
        async with AzureSession.open() as session, httpx.AsyncClient() as http:
            yield oci_client(session, http, {})


@pytest.fixture(params=FORMS, ids=str)
def form(request: pytest.FixtureRequest) -> Form:
    """Each form in which Defender may write rows."""
    found: Form = request.param
    return found


Scan = Callable[[Scenario], Awaitable[Scanned]]


@pytest.fixture
def scanned(start_sandbox: StartSandbox) -> Scan:
    """Starts a sandbox with a scenario, and imports the image of :mod:`tests.sandbox.defending`."""

    async def scan(scenario: Scenario) -> Scanned:
        sandbox = start_sandbox(scenario)
        add_registry(sandbox, NAME, publicNetworkAccess="Disabled")
        return Scanned(sandbox, await brought(sandbox))

    return scan
