"""The state of the local Azure, in one object that all services share."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from sandbox.core.clock import Clock
from sandbox.core.events import Events
from sandbox.core.faults import Faults
from sandbox.core.locks import Locks
from sandbox.core.operations import Operations
from sandbox.core.rbac import Access
from sandbox.core.requests import RequestLog
from sandbox.core.resources import Resources
from sandbox.home import Home
from sandbox.scenario import Client, Scenario

S = TypeVar("S")


class Azure:
    """The state of one sandbox between two resets.

    A service keeps private state in an object of its own: ``azure.state(Vaults)`` returns the only ``Vaults(azure)``,
    created on first use.
    """

    def __init__(self, home: Home, scenario: Scenario, clock: Clock) -> None:
        self.home = home
        self.scenario = scenario
        self.clock = clock
        self.events = Events()
        self.resources = Resources(self.events)
        self.faults = Faults()
        self.operations = Operations(self.clock, self.faults)
        self.requests = RequestLog(self.clock)
        self.access = Access(
            clock=self.clock, subscription_id=scenario.identity.subscription_id, delay=scenario.timings.role_assignment
        )
        self.locks = Locks()
        #: Scan results by repository; the control API can change them.
        self.scans = dict(scenario.scans)
        self._states: dict[Any, Any] = {}
        self._background: set[asyncio.Task[None]] = set()

    @property
    def tenant_id(self) -> str:
        return self.scenario.identity.tenant_id

    @property
    def subscription_id(self) -> str:
        """The cluster's subscription."""
        return self.scenario.identity.subscription_id

    @property
    def subscription_ids(self) -> tuple[str, ...]:
        """Every subscription of the tenant, the cluster's first."""
        return (self.subscription_id, *(one.id for one in self.scenario.subscriptions))

    def state(self, kind: Callable[[Azure], S]) -> S:
        if kind not in self._states:
            self._states[kind] = kind(self)
        found: S = self._states[kind]
        return found

    def client(self, user: str | None) -> Client:
        """The network settings of a client, by the user name that it gave to the proxy."""
        return self.scenario.clients.get(user or "", self.scenario.client)

    def spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Run a background task until it is cancelled, at the latest by :meth:`close`."""
        task = asyncio.get_running_loop().create_task(work)
        self._background.add(task)
        task.add_done_callback(self._background.discard)
        return task

    async def close(self) -> None:
        background = list(self._background)
        for task in background:
            task.cancel()
        await asyncio.gather(*background, return_exceptions=True)
        await self.operations.close()
