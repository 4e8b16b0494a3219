"""A closed vault and everything that temporary access to it takes, for tests of the library."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from ipaddress import IPv4Address
from typing import Any

import httpx
from azure.keyvault.certificates import CertificatePolicy
from cryptography.hazmat.primitives.asymmetric import ec

from pratique.access.grant import keep_open, open_access, temporary_vault_access, wait_until_open
from pratique.access.revoke import sweep
from pratique.azure.faults import azure_faults
from pratique.azure.rule_marks import marks
from pratique.azure.session import AzureSession
from pratique.azure.vault import Vault
from pratique.config import CERTIFICATES_OFFICER, Access
from pratique.errors import NetworkDenied, NotYetEffective, PermissionDenied
from pratique.lease import Lease, read_tags
from sandbox.core.locks import Level, Lock
from sandbox.core.rbac import RoleAssignment
from sandbox.scenario import Scenario, Timings
from tests.conftest import SPEED, RunningSandbox, StartSandbox
from tests.pratique.azure.vaults import NAME, make_vault
from tests.sandbox.callers import jump
from tests.sandbox.certificates import certificate_pem, key_pem, self_signed

HOME = IPv4Address("203.0.113.10")
RULE = f"{HOME}/32"
OTHER = IPv4Address("198.51.100.7")
OFFICER = CERTIFICATES_OFFICER
#: Access that counts at once.
PROMPT = Timings(role_assignment=0, firewall_rule=0, graph=0)


@dataclass(frozen=True)
class Traces:
    """What stands on the vault.

    :ivar roles: names of role assignments at the vault
    """

    rules: frozenset[str]
    tags: frozenset[str]
    roles: frozenset[str]


@dataclass(frozen=True)
class Door:
    """A vault and its keys."""

    sandbox: RunningSandbox
    session: AzureSession
    http: httpx.AsyncClient
    vault: Vault

    def access(self, owner: str, access: Access | None = None) -> AbstractAsyncContextManager[Lease]:
        return temporary_vault_access(self.session, self.http, self.vault, access or Access(), owner=owner)

    async def open(self, owner: str, access: Access | None = None) -> Lease:
        """Open, and never close: what a run leaves behind that is killed."""
        access = access or Access()
        lease = await open_access(self.session, self.http, self.vault, access, owner=owner)
        return await wait_until_open(self.session, self.http, self.vault, access, lease)

    async def use(self, lease: Lease, name: str = "ingress", access: Access | None = None) -> None:
        """Import a certificate, and open again when that is refused."""

        async def work() -> None:
            await import_certificate(self.session, name)

        await keep_open(self.session, self.http, self.vault, access or Access(), lease, work)

    async def jump(self, seconds: float) -> None:
        """Let Azure's time pass."""
        await asyncio.to_thread(jump, self.sandbox, seconds)

    async def sweep_all(self) -> None:
        await sweep(self.session, self.vault.id, everything=True)

    @property
    def document(self) -> dict[str, Any]:
        found = self.sandbox.azure.resources.get(self.vault.id)
        assert found is not None
        return found

    @property
    def traces(self) -> Traces:
        document = self.document
        rules = document["properties"]["networkAcls"]["ipRules"]
        return Traces(
            frozenset(rule["value"] for rule in rules),
            frozenset(document["tags"]),
            frozenset(held.name for held in self.roles),
        )

    @property
    def leases(self) -> list[Lease]:
        return list(read_tags(self.document["tags"], self.vault.id).leases)

    @property
    def roles(self) -> list[RoleAssignment]:
        return [held for held in self.sandbox.azure.access.assignments() if held.scope == self.vault.id]

    @property
    def versions(self) -> int:
        """Certificates that were imported."""
        found: dict[str, Any] = self.sandbox.control("GET", "/state")["vaults"][NAME]["certificates"]
        return sum(one["versions"] for one in found.values())

    def requests(self, method: str, part: str) -> int:
        """How often a path with this part was asked for."""
        found = self.sandbox.control("GET", "/requests")["requests"]
        return sum(1 for one in found if one["method"] == method and part in one["path"])

    def hold_role(self, scope: str, principal: str | None = None) -> RoleAssignment:
        """Somebody else's grant, which counts at once."""
        azure = self.sandbox.azure
        who = principal or azure.scenario.identity.object_id
        return azure.access.assign(role=OFFICER, principal_id=who, scope=scope, at_once=True)

    def leased(self, *addresses: IPv4Address) -> set[str]:
        """The rules that leases make for addresses: one for each, with its mark."""
        return {str(rule) for address in addresses for rule in (f"{address}/32", marks(self.vault.id, address)[0])}

    def lock(self, kind: str, level: Level) -> Lock:
        """Somebody's lock on the vault, its group or its subscription."""
        group = self.vault.id.partition("/providers")[0]
        scopes = {"vault": self.vault.id, "group": group, "subscription": group.partition("/resourceGroups")[0]}
        lock = Lock(scope=scopes[kind], name="keep", level=level)
        self.sandbox.azure.locks.put(lock)
        return lock

    def change(self, **properties: Any) -> None:
        """Somebody else's change of the vault, tags among them."""
        document = self.document
        tags = properties.pop("tags", document["tags"])

        async def put() -> None:
            changed = {**document["properties"], **properties}
            self.sandbox.azure.resources.put({**document, "tags": tags, "properties": changed})

        self.sandbox.run(put())


@asynccontextmanager
async def door(
    start_sandbox: StartSandbox, *rules: str, scenario: Scenario | None = None, speed: float = SPEED, **properties: Any
) -> AsyncIterator[Door]:
    """A vault with firewall rules of others, behind a sandbox of its own."""
    sandbox = start_sandbox(scenario or Scenario(timings=PROMPT), speed=speed)
    async with AzureSession.open(poll_seconds=0.05) as session, httpx.AsyncClient() as http:
        vault = Vault(NAME, await make_vault(session, *rules, **properties))
        yield Door(sandbox, session, http, vault)


def fresh_pem() -> bytes:
    """A certificate with its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    return (certificate_pem(self_signed(key)) + key_pem(key)).encode()


async def import_certificate(session: AzureSession, name: str = "ingress") -> None:
    """A fresh certificate, refused as the product's own import is."""
    pem = fresh_pem()
    policy = CertificatePolicy(content_type="application/x-pem-file")
    try:
        with azure_faults("import the certificate", name):
            await session.certificates(NAME).import_certificate(name, pem, policy=policy, retry_total=0)
    except (NetworkDenied, PermissionDenied) as denied:
        raise NotYetEffective(denied.attempted, denied.subject, denied.observed, "Wait.") from None
