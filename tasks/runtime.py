"""The runtime that the tasks of one flow run share: a session with Azure, and a connection pool for registries.

The flow awaits its tasks in its event loop, so they get the runtime from a context variable. It is never a parameter or
a result.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from functools import partial
from typing import Generic, Literal, TypeAlias, TypeVar

import httpx
from prefect import runtime as prefect_runtime
from prefect.client.base import ServerType
from prefect.client.orchestration import PrefectClient, SyncPrefectClient

from pratique.access.grant import Deadline
from pratique.azure.registries import RegistryCredentials, oci_client
from pratique.azure.session import AzureSession
from pratique.clock import Clock, SystemClock
from pratique.cluster.infrastructure import registry_groups
from pratique.config import Bootstrap
from pratique.evidence.content_store import ContentStore
from pratique.evidence.setup import GateSetup, set_up
from pratique.gate.standing import StandingVerdict
from pratique.git.checkout import CommitAuthor, Repository
from pratique.http_pool import open_http
from pratique.oci.auth import Login
from pratique.oci.client import OciClient
from pratique.records.branch import RecordsBranch
from pratique.records.clusters import cluster_key
from pratique.records.moving import require_moved
from pratique.release import delivery
from pratique.release.configuration import ConfigOrigin
from pratique.secret import text_of
from pratique.server_lifetime import server_is_temporary
from tasks.secrets import read_secret

T = TypeVar("T")
_TIMEOUT = httpx.Timeout(60, connect=10)


class Shared(Generic[T]):
    """A value that is created on first use, and then shared."""

    def __init__(self, create: Callable[[], Awaitable[T]]) -> None:
        self._create = create
        self._value: asyncio.Future[T] | None = None

    async def __call__(self) -> T:
        if self._value is None or (self._value.done() and (self._value.cancelled() or self._value.exception())):
            self._value = asyncio.ensure_future(self._create())
        return await asyncio.shield(self._value)


@dataclass(frozen=True, kw_only=True)
class Runtime:
    """Open connections, and what else the tasks of a run share.

    :ivar cluster: its resource group
    :ivar policy: digest of the gate's policy
    :ivar platforms: that need a verdict
    :ivar credentials: accounts, by source registry
    :ivar gate: set up by the first release that needs it, and shared by all
    :ivar repository: the manifests' repository
    :ivar records: the branch with the registries' records, of all runs and clusters
    :ivar clock: for deadlines and expiry dates
    :ivar origin: where in Git the configuration is from, if it is
    :ivar deadlines: until when to wait for a vault, by its ARM id
    :ivar verdicts: on the releases that have passed through the gate in this process, by name
    """

    cluster: str
    policy: str
    platforms: tuple[str, ...]
    session: AzureSession
    http: httpx.AsyncClient
    oci: OciClient
    credentials: dict[str, RegistryCredentials]
    gate: Shared[GateSetup]
    repository: Shared[Repository]
    records: Shared[RecordsBranch]
    clock: Clock
    origin: ConfigOrigin | None = None
    deadlines: dict[str, Deadline] = field(default_factory=dict)
    verdicts: dict[str, StandingVerdict] = field(default_factory=dict)

    @property
    def cluster_key(self) -> str:
        """As the records name the cluster."""
        return cluster_key(self.session.subscription_id, self.cluster)


#: Whose rights a run has: the pipeline's, or those of a flow that takes more than the pipeline may have.
Identity: TypeAlias = Literal["pipeline", "drill", "seal"]

#: Where in Git the configuration of this run is from.
config_origin: ContextVar[ConfigOrigin | None] = ContextVar("pratique_config_origin", default=None)
_current: ContextVar[Runtime] = ContextVar("pratique_runtime")
#: The clock of runs that start in this context. Tests and trials set another one, to simulate days.
run_clock: ContextVar[Clock] = ContextVar("pratique_clock", default=SystemClock())  # noqa: B039  # it has no state


@asynccontextmanager
async def azure_runtime(
    config: Bootstrap, *, identity: Identity = "pipeline", judged: Literal["quarantine", "live"] = "quarantine"
) -> AsyncIterator[Runtime]:
    """Open the connections that the tasks need.

    :param identity: whose the run is. The seal's reads no image from upstream, and so no account for that
    :param judged: where the images are that the gate judges
    :raises NotFound: when a secret that the configuration names does not exist
    """
    credentials = {
        entry.registry: RegistryCredentials(
            entry.username, text_of(await read_secret(entry.password), entry.password).strip()
        )
        for entry in (config.catalogue.credentials if identity != "seal" else ())
    }
    registries = config.registries
    client_ids = {"pipeline": registries.identity, "drill": config.drill.identity, "seal": registries.seal.identity}
    logins = {name: Login(account.username or "", account.password) for name, account in credentials.items()}
    async with (
        AzureSession.open(config.subscription_id, config.cloud, identity=client_ids[identity]) as session,
        open_http(_TIMEOUT) as http,
        AsyncExitStack() as closing,
    ):
        client, cluster, clock = oci_client(session, http, logins), config.cluster.resource_group, run_clock.get()
        repository = Shared(partial(delivery.manifests_repository, config.manifests, read_secret))
        records = Shared(partial(_records, config))

        async def gate() -> GateSetup:
            holds = (await (await records()).cases()).holds
            groups = registry_groups(session, config.cluster, config.registries)
            at = groups.live if judged == "live" else groups.quarantine
            others = [group for group in groups.all if group.lower() != at.lower()]
            # A rescan reads the same attestations every day; the gate decides on fresh downloads alone.
            store = closing.enter_context(ContentStore.open()) if judged == "live" else None
            setup = await set_up(
                config.gate, session, client, judged=at, others=others, clock=clock, holds=holds, store=store
            )
            await closing.enter_async_context(setup.poller)
            return setup

        runtime = Runtime(
            cluster=cluster,
            policy=config.gate.policy.digest,
            platforms=config.gate.platforms,
            session=session,
            http=http,
            oci=client,
            credentials=credentials,
            gate=Shared(gate),
            repository=repository,
            records=records,
            clock=clock,
            origin=config_origin.get(),
        )
        token = _current.set(runtime)
        try:
            yield runtime
        finally:
            _current.reset(token)


async def _records(config: Bootstrap) -> RecordsBranch:
    author = config.manifests.author
    repository, origin = await delivery.records_repository(config, read_secret), config_origin.get()
    if config.registries.records.remote not in (None, config.manifests.remote):
        await require_moved(repository, await delivery.former_records(config, read_secret))
    trailers = {delivery.CONFIGURATION: origin.commit} if origin else {}
    return RecordsBranch(repository, CommitAuthor(author.name, author.email), trailers)


def current() -> Runtime:
    """The runtime of the flow run that this task belongs to."""
    return _current.get()


def server_ends_with_run(client: PrefectClient | SyncPrefectClient) -> bool:
    """Whether the server is a temporary one, which no other run and no person reaches."""
    return server_is_temporary.get() or client.server_type is ServerType.EPHEMERAL


def run_id() -> str:
    """Id of the flow run that this task belongs to."""
    return str(prefect_runtime.flow_run.id)


def lease_owner(flow_run_id: object | None = None) -> str:
    """The owner in a flow run's leases: the same in the run, in its hooks, and in every retry."""
    return f"flow-run/{flow_run_id or run_id()}"
