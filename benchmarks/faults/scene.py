"""The campaign's side of the local Azure: a vault in a known initial state, and the processes that use it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Literal, TypeVar

from cryptography.hazmat.primitives.asymmetric import ec

from benchmarks.faults.requests import short
from benchmarks.faults.worker import CERTIFICATE, HANGS, SUBJECT, Job, JobResult, Verb, Worker
from pratique.azure.vault import Vault
from pratique.config import CERTIFICATES_OFFICER, Access
from sandbox.azure import Azure
from sandbox.control.invariants import invariants_document
from sandbox.core.faults import ActiveFault
from sandbox.scenario import Identity, Scenario, Timings
from sandbox.services.keyvault.state import Vaults
from sandbox.services.keyvault.vaults import VAULT_TYPE, put_vault
from sandbox.tenant import CLUSTER_GROUP, LOCATION, group_id
from tests.conftest import RunningSandbox
from tests.sandbox.certificates import certificate_pem, key_pem, self_signed

T = TypeVar("T")

NAME = "kv-ingress"
ADDRESS = "203.0.113.10"
#: The process that is killed, a run in parallel to it, and one that has died before.
VICTIM, OTHER, DEAD = "victim", "other", "dead"
#: When the sweep runs: after the victim's lease of an hour has expired, before the other run's.
LATER = 90 * 60.0
SOMEBODY = "6d1f1c53-1c0e-4b8b-9c52-0f9f8c1d2e3a"
_ORDINARY, _PIM, _RULE = Access(), Access(method="pim"), Access(network="rule")
#: Activating a role also needs Microsoft.Authorization/roleAssignmentScheduleRequests/write.
IDENTITY = Identity(roles=(*Identity().roles, "User Access Administrator"))
_AT_ONCE = Timings(role_assignment=0, firewall_rule=0)


@dataclass(frozen=True, kw_only=True)
class Situation:
    """The initial state for a run.

    :ivar rules: existing firewall rules for the run's address
    :ivar role: the scope of an existing permanent assignment of the role to the run's identity
    :ivar other: when another run takes a lease for the same address and identity and continues; if it is ``dead``, the
        victim is the sweep that ends its lease
    :ivar sweep: an hour and a half later, of expired leases; or at once, of everything
    """

    name: str
    access: Access = _ORDINARY
    identity: Identity = IDENTITY
    timings: Timings = _AT_ONCE
    rules: tuple[str, ...] = ()
    role: Literal["", "vault", "group"] = ""
    other: Literal["", "before", "after", "dead"] = ""
    sweep: Verb = "sweep"


SITUATIONS = (
    Situation(name="nothing"),
    Situation(name="nothing, access is late", timings=Timings(role_assignment=15, firewall_rule=8)),
    Situation(name="nothing, PIM", access=_PIM),
    Situation(name="the same rule", rules=(ADDRESS,), sweep="sweep everything"),
    Situation(name="the same rule, asked for", access=_RULE, rules=(f"{ADDRESS}/32",)),
    Situation(name="a wider rule, asked for", access=_RULE, rules=("203.0.113.0/24",)),
    Situation(name="the role", role="vault"),
    Situation(name="the role above, and the rule", rules=(f"{ADDRESS}/32",), role="group", sweep="sweep everything"),
    Situation(name="a live lease", other="before"),
    Situation(name="a live lease, PIM", access=_PIM, other="before"),
    Situation(name="a live lease that joins", other="after"),
    Situation(name="a sweep of a dead run", other="dead"),
)

Snapshot = dict[str, Any]


class Scene:
    """One sandbox, reset for every point of the campaign.

    :cvar SPEED: slow enough for PIM's minutes to outlast a run
    """

    SPEED = 60.0

    def __init__(self, sandbox: RunningSandbox) -> None:
        self._sandbox = sandbox
        self._situation = SITUATIONS[0]
        self._longest_run = 0.0
        self.vault = Vault(NAME, "")

    @property
    def azure(self) -> Azure:
        return self._sandbox.azure

    @cached_property
    def pem(self) -> bytes:
        key = ec.generate_private_key(ec.SECP256R1())
        return (certificate_pem(self_signed(key, SUBJECT)) + key_pem(key)).encode()

    def set(self, situation: Situation) -> None:
        """Reset to the initial state of the situation."""
        self._situation = situation

        async def make() -> str:
            await self._sandbox.sandbox.reset(Scenario(timings=situation.timings, identity=situation.identity))
            return _furnish(self.azure, situation)

        self.vault = replace(self.vault, id=self._sandbox.run(make()))
        self.pass_time(LATER)  # until everything has taken effect

    def on_azure(self, act: Callable[[Azure], T]) -> T:
        """Let somebody else act, or look: runs a function where the local Azure runs."""

        async def in_its_loop() -> T:
            return act(self.azure)

        return self._sandbox.run(in_its_loop())

    def pass_time(self, seconds: float) -> None:
        self.on_azure(lambda azure: azure.clock.jump(seconds))

    @property
    def patience(self) -> float:
        """Seconds after which a response is lost on this machine: no whole run took longer. Ask before :meth:`set`."""
        if not self._longest_run:
            self.set(SITUATIONS[0])
            self.do("run", OTHER)
        return max(self._longest_run, 2.0)

    def snapshot(self) -> Snapshot:
        """Everything that may grant access: the vault as ARM shows it, role assignments on it, and its firewall."""

        def look(azure: Azure) -> Snapshot:
            found: Snapshot = invariants_document(azure)["vaults"][NAME]
            del found["id"]
            return found | {"properties": (azure.resources.get(self.vault.id) or {}).get("properties")}

        found = self.on_azure(look)
        for counted in ("assignments", "ipRules"):
            # Deleted assignments and rules stay effective for a while in Azure; the others count.
            found[counted] = [entry for entry in found[counted] if entry["state"] != "fading"]
        return found

    @property
    def versions(self) -> int:
        """How often the certificate was imported."""

        def look(azure: Azure) -> int:
            certificates = azure.state(Vaults).contents(NAME).certificates()
            return sum(len(found.versions) for found in certificates if found.name == CERTIFICATE)

        return self.on_azure(look)

    @property
    def changes(self) -> list[str]:
        """The victim's requests that change something in Azure, whether they succeed or not."""
        requests = self.on_azure(lambda azure: [request.document() for request in azure.requests.since()])
        return [
            short(request)
            for request in requests
            if request["client"] == VICTIM and request["host"] == "management.azure.com" and request["method"] != "GET"
        ]

    def change(self, **properties: Any) -> None:
        """Somebody else's change of the vault: of properties, or of its tags."""

        def put(azure: Azure) -> None:
            document = azure.resources.get(self.vault.id) or {}
            tags = properties.get("tags", document["tags"])
            changed = {name: value for name, value in properties.items() if name != "tags"}
            azure.resources.put({**document, "tags": tags, "properties": {**document["properties"], **changed}})

        self.on_azure(put)

    def start(self, verb: Verb, owner: str, *, ahead: float = 0, patience: float = HANGS) -> Worker:
        """Start a process; its owner's name becomes its user name at the proxy."""
        proxy = self._sandbox.proxy.replace("//", f"//{owner}@")
        environment = self._sandbox.environment | {"HTTPS_PROXY": proxy, "https_proxy": proxy}
        access = self._situation.access.model_copy(update={"lease_minutes": 240 if owner == OTHER else 60})
        return Worker(
            Job(
                verb=verb,
                environment=environment,
                vault=self.vault,
                access=access,
                owner=owner,
                pem=self.pem,
                ahead=ahead,
                patience=patience,
            )
        )

    def do(self, verb: Verb, owner: str, *, ahead: float = 0, patience: float = HANGS) -> JobResult:
        """Run a process to its end."""
        started = time.monotonic()
        result = self.start(verb, owner, ahead=ahead, patience=patience).wait()
        if verb == "run" and result is not None and not result.error and patience == HANGS:
            self._longest_run = max(self._longest_run, time.monotonic() - started)
        return result or JobResult(error="it died", complete=False)

    def sweep(self) -> JobResult:
        """Run the situation's sweep."""
        if self._situation.sweep == "sweep everything":
            return self.do("sweep everything", "sweeper")
        self.pass_time(LATER)
        return self.do("sweep", "sweeper", ahead=LATER)

    @contextmanager
    def fault(self, **fields: Any) -> Iterator[ActiveFault]:
        """A fault for the victim's requests."""
        with self.faults(fields) as (active,):
            yield active

    @contextmanager
    def faults(self, *faults: dict[str, Any]) -> Iterator[list[ActiveFault]]:
        """Faults for the victim's requests. Each counts all requests from now on."""

        def add(azure: Azure) -> list[ActiveFault]:
            return [azure.faults.add(client=VICTIM, **fields) for fields in faults]

        yield self.on_azure(add)
        self.on_azure(lambda azure: azure.faults.clear())

    def kill(self, victim: Worker, caught: asyncio.Event) -> bool:
        """Kill a process when it is caught, and wait until Azure has handled all its requests.

        :returns: False when it ended without being caught
        """

        async def watch() -> None:
            loop, gone = asyncio.get_running_loop(), asyncio.Event()
            loop.add_reader(victim.process.sentinel, gone.set)
            waits = {asyncio.ensure_future(event.wait()) for event in (caught, gone)}
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
            if caught.is_set():
                victim.process.kill()
                await gone.wait()
            loop.remove_reader(victim.process.sentinel)
            for wait in waits:
                wait.cancel()
            while VICTIM in self._sandbox.sandbox.connected() or _has_open_requests(self.azure):  # noqa: ASYNC110  # of the kernel
                await asyncio.sleep(0.001)

        self._sandbox.run(watch())
        return caught.is_set()

    @property
    def hit(self) -> str:
        """The victim's request that met the fault; empty if none did."""
        return (self.hits or [""])[0]

    @property
    def hits(self) -> list[str]:
        """All requests of the victim that met a fault."""
        requests = [request for request in self.azure.requests.since() if request.client == VICTIM and request.fault]
        return [short(request.document()) for request in requests]


def _has_open_requests(azure: Azure) -> bool:
    """Whether a request of the victim is still being handled."""
    requests = azure.requests.since()
    return any(request.client == VICTIM and not request.status and not request.fault for request in requests)


def _furnish(azure: Azure, situation: Situation) -> str:
    """Create a vault with settings of others, including unrelated ones. Returns its id."""
    vault_id = f"{group_id(azure, CLUSTER_GROUP)}/providers/{VAULT_TYPE}/{NAME}"
    rules = [{"value": rule} for rule in ("192.0.2.0/24", *situation.rules, "198.51.100.7/32")]
    body = {
        "location": LOCATION,
        "tags": {"team": "platform", "pratique-lease": "somebody's own tag"},
        "properties": {
            "tenantId": azure.tenant_id,
            "sku": {"family": "A", "name": "standard"},
            "enableRbacAuthorization": True,
            "networkAcls": {"bypass": "AzureServices", "defaultAction": "Deny", "ipRules": rules},
        },
    }
    vault = put_vault(vault_id, body, None, tenant_id=azure.tenant_id, api_version="", now=azure.clock.now())
    vault["properties"]["provisioningState"] = "Succeeded"
    azure.resources.put(vault)
    assign, identity = azure.access.assign, azure.scenario.identity.object_id
    assign(role=CERTIFICATES_OFFICER, principal_id=SOMEBODY, scope=vault_id, at_once=True, description="A person's.")
    if situation.role:
        scope = vault_id if situation.role == "vault" else group_id(azure, CLUSTER_GROUP)
        assign(role=CERTIFICATES_OFFICER, principal_id=identity, scope=scope, at_once=True)
    return vault_id
