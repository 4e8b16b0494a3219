"""What the tasks of one flow run share: one session with Azure, one pool of connections to registries.

Tasks are awaited in the flow's own event loop, so a context variable carries it to them; nothing of it is ever a
parameter or a result.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from contextvars import ContextVar
from dataclasses import dataclass, replace
from functools import partial
from typing import Generic, TypeVar

import httpx
from prefect import runtime as prefect_runtime

from pratique.azure.registries import RegistryCredentials, oci_client
from pratique.azure.session import AzureSession
from pratique.clock import Clock, SystemClock
from pratique.config import Bootstrap, Manifests
from pratique.evidence.setup import GateSetup, set_up
from pratique.git.checkout import CommitAuthor, Repository
from pratique.oci.auth import Login
from pratique.oci.client import OciClient
from pratique.records.branch import RecordsBranch
from pratique.release import delivery
from pratique.secret import text_of
from tasks.secrets import read_secret

T = TypeVar("T")
_TIMEOUT = httpx.Timeout(60, connect=10)


class Shared(Generic[T]):
    """A value that the first who needs it makes for everybody."""

    def __init__(self, make: Callable[[], Awaitable[T]]) -> None:
        self._make = make
        self._made: asyncio.Future[T] | None = None

    async def __call__(self) -> T:
        if self._made is None or (self._made.done() and (self._made.cancelled() or self._made.exception())):
            self._made = asyncio.ensure_future(self._make())
        return await asyncio.shield(self._made)


@dataclass(frozen=True)
class Runtime:
    """Open connections, and the accounts for source registries.

    :ivar cluster: its resource group
    :ivar policy: digest of the gate's policy
    :ivar gate: set up when the first release comes to it, and shared by all
    :ivar repository: with the manifests
    :ivar records: what is kept between runs
    :ivar clock: by which days are counted
    """

    cluster: str
    policy: str
    session: AzureSession
    http: httpx.AsyncClient
    oci: OciClient
    credentials: dict[str, RegistryCredentials]
    imports: asyncio.Semaphore
    gate: Shared[GateSetup]
    repository: Shared[Repository]
    records: Shared[RecordsBranch]
    clock: Clock


#: Imports under way at once: ARM's write bucket holds 200 requests and refills 10 a second (Microsoft Learn,
#: "Understand how Azure Resource Manager throttles requests").
_IMPORTS_AT_ONCE = 50

_current: ContextVar[Runtime] = ContextVar("pratique_runtime")
#: The clock of runs that begin in this context; another than the machine's is for trying out what days bring.
run_clock: ContextVar[Clock] = ContextVar("pratique_clock", default=SystemClock())  # noqa: B039  # it has no state


@asynccontextmanager
async def azure_runtime(config: Bootstrap) -> AsyncIterator[Runtime]:
    """Open the connections that the configuration's tasks need.

    :raises ConfigurationError: when a credential that it names does not exist
    """
    credentials = {
        entry.registry: RegistryCredentials(
            entry.username, text_of(await read_secret(entry.password), entry.password).strip()
        )
        for entry in config.catalogue.credentials
    }
    logins = {name: Login(account.username or "", account.password) for name, account in credentials.items()}
    async with (
        AzureSession.open(config.subscription_id, config.cloud) as session,
        httpx.AsyncClient(timeout=_TIMEOUT) as http,
        AsyncExitStack() as closing,
    ):
        client, cluster, clock = oci_client(session, http, logins), config.cluster.resource_group, run_clock.get()
        repository = Shared(partial(delivery.repository, config.manifests, read_secret))
        records = Shared(partial(_records, config.manifests, repository))

        async def gate() -> GateSetup:
            holds = (await (await records()).cases()).holds
            made = await set_up(config.gate, session, client, group=cluster, clock=clock, holds=holds)
            await closing.enter_async_context(made.poller)
            return made

        imports = asyncio.Semaphore(_IMPORTS_AT_ONCE)
        policy = config.gate.policy.digest
        made = Runtime(
            cluster, policy, session, http, client, credentials, imports, Shared(gate), repository, records, clock
        )
        token = _current.set(made)
        try:
            yield _current.get()
        finally:
            _current.reset(token)


async def _records(target: Manifests, manifests: Shared[Repository]) -> RecordsBranch:
    there = replace(await manifests(), branch=target.records_branch, folder=".", orphan=True)
    return RecordsBranch(there, CommitAuthor(target.author.name, target.author.email))


def current() -> Runtime:
    """The runtime of the flow run that this task belongs to."""
    return _current.get()


def run_id() -> str:
    """Of the flow run that this task belongs to."""
    return str(prefect_runtime.flow_run.id)


def lease_owner(flow_run_id: object | None = None) -> str:
    """How a flow run signs its leases: the same in the run, in its hooks, and in every retry."""
    return f"flow-run/{flow_run_id or run_id()}"
