"""An authenticated Azure session: a credential, a connection pool, and the clients that share them.

::

    async with AzureSession.open() as session:
        me = await session.caller()
        vault = await session.vaults.vaults.get("rg-bu0001a0005-centralus", "kv-aks-abc")

The cloud's name selects the endpoints. For the identity see :mod:`pratique.azure.identity`.

A client's SDK is imported with the first use of the client: all of them would delay the start of every run.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal

from azure.core.credentials_async import AsyncTokenCredential

from pratique.azure.clouds import CLOUDS, Cloud
from pratique.azure.faults import azure_faults
from pratique.azure.identity import worker_identity
from pratique.azure.pacing import Pace
from pratique.azure.policies import InGroup, NoRegistration
from pratique.azure.transport import Transport, open_transport
from pratique.errors import ConfigurationError, UnreadableAnswer
from pratique.oci.tokens import claims as token_claims

if TYPE_CHECKING:
    from azure.keyvault.certificates.aio import CertificateClient
    from azure.mgmt.alertsmanagement.aio import AlertsManagementClient
    from azure.mgmt.authorization.v2020_10_01.aio import AuthorizationManagementClient as ScheduleClient
    from azure.mgmt.authorization.v2022_04_01.aio import AuthorizationManagementClient
    from azure.mgmt.containerregistry.aio import ContainerRegistryManagementClient
    from azure.mgmt.keyvault.aio import KeyVaultManagementClient
    from azure.mgmt.resource.deployments.aio import DeploymentsMgmtClient
    from azure.mgmt.resource.locks.v2016_09_01.aio import ManagementLockClient
    from azure.mgmt.resource.resources.aio import ResourceManagementClient
    from azure.mgmt.resourcegraph.aio import ResourceGraphClient
    from azure.mgmt.security.v2024_01_01.aio import SecurityCenter
    from azure.monitor.query.aio import LogsQueryClient

CONNECT_SECONDS = 10.0
READ_SECONDS = 60.0
REQUEST_SECONDS = 300.0  # one request with all its retries
RETRIES = 4
POLL_SECONDS = 5.0


@dataclass(frozen=True)
class Caller:
    """The identity that this process acts as.

    :ivar kind: principal type, as a role assignment needs it
    :ivar name: display name
    :ivar application_id: empty for a person
    """

    object_id: str
    tenant_id: str
    kind: Literal["User", "ServicePrincipal"]
    name: str
    application_id: str = ""


class AzureSession:
    """Clients that share a credential and a connection pool. Create it with :meth:`open`.

    :ivar graph_lock: held around a Resource Graph query, because the quota belongs to the caller, not to the query
    """

    def __init__(
        self,
        subscription_id: str,
        cloud: Cloud,
        credential: AsyncTokenCredential,
        transport: Transport,
        poll_seconds: float,
    ) -> None:
        self.subscription_id = subscription_id
        self.cloud = cloud
        self.poll_seconds = poll_seconds
        self.graph_lock = asyncio.Lock()
        self._credential = credential
        self._transport = transport
        self._views: dict[str, AzureSession] = {subscription_id.lower(): self}
        self._certificates: dict[str, CertificateClient] = {}
        self._alerts: dict[str, AlertsManagementClient] = {}
        self._common: dict[str, Any] = {
            "transport": transport,
            "retry_total": RETRIES,
            "timeout": REQUEST_SECONDS,
            "user_agent": "pratique",
        }
        self._arm: dict[str, Any] = {
            "base_url": cloud.resource_manager,
            "credential_scopes": [cloud.arm_scope],
            "polling_interval": poll_seconds,
            "per_retry_policies": [NoRegistration()],
            **self._common,
        }

    @classmethod
    @asynccontextmanager
    async def open(
        cls,
        subscription_id: str | None = None,
        cloud: str = "public",
        *,
        identity: str | None = None,
        poll_seconds: float = POLL_SECONDS,
    ) -> AsyncIterator[AzureSession]:
        """Open a session. It sends nothing until you use it.

        :param subscription_id: default: AZURE_SUBSCRIPTION_ID
        :param cloud: ``public``, ``usgov`` or ``china``
        :param identity: client id of the managed identity to use; default: AZURE_CLIENT_ID, or the only one
        :param poll_seconds: interval for polling a long-running operation, unless the service asks for another
        :raises ConfigurationError: without a subscription, or for an unknown cloud
        """
        attempted = "open an Azure session"
        subscription = subscription_id or os.environ.get("AZURE_SUBSCRIPTION_ID")
        if not subscription:
            raise ConfigurationError(attempted, cloud, "No subscription is set.", "Set AZURE_SUBSCRIPTION_ID.")
        if cloud not in CLOUDS:
            raise ConfigurationError(attempted, cloud, "There is no such cloud.", f"Use one of: {', '.join(CLOUDS)}.")
        principal = f"{cloud}/{identity or os.environ.get('AZURE_CLIENT_ID', '')}"
        async with (
            open_transport(principal, connect_seconds=CONNECT_SECONDS, read_seconds=READ_SECONDS) as transport,
            worker_identity(CLOUDS[cloud], transport, identity) as credential,
        ):
            yield cls(subscription, CLOUDS[cloud], credential, transport, poll_seconds)

    def in_subscription(self, subscription_id: str) -> AzureSession:
        """The same identity and connections, with clients of another subscription of the tenant.

        :param subscription_id: the subscription's id, in any letter case
        """
        key = subscription_id.lower()
        if key not in self._views:
            view = AzureSession(subscription_id, self.cloud, self._credential, self._transport, self.poll_seconds)
            view.graph_lock, view._views = self.graph_lock, self._views
            self._views[key] = view
        return self._views[key]

    @property
    def pace(self) -> Pace:
        """The pace of requests to the session's subscription, which all sessions of the process share."""
        return self._transport.paces.of(self.subscription_id)

    @property
    def subscription(self) -> str:
        """ARM id of the session's subscription."""
        return f"/subscriptions/{self.subscription_id}"

    def group_id(self, group: str) -> str:
        """ARM id of a resource group of the session's subscription."""
        return f"{self.subscription}/resourceGroups/{group}"

    @cached_property
    def deployments(self) -> DeploymentsMgmtClient:
        from azure.mgmt.resource.deployments.aio import DeploymentsMgmtClient

        return DeploymentsMgmtClient(self._credential, self.subscription_id, **self._arm)

    @cached_property
    def resources(self) -> ResourceManagementClient:
        from azure.mgmt.resource.resources.aio import ResourceManagementClient

        return ResourceManagementClient(self._credential, self.subscription_id, **self._arm)

    @cached_property
    def registries(self) -> ContainerRegistryManagementClient:
        from azure.mgmt.containerregistry.aio import ContainerRegistryManagementClient

        return ContainerRegistryManagementClient(self._credential, self.subscription_id, **self._arm)

    @cached_property
    def vaults(self) -> KeyVaultManagementClient:
        from azure.mgmt.keyvault.aio import KeyVaultManagementClient

        return KeyVaultManagementClient(self._credential, self.subscription_id, **self._arm)

    @cached_property
    def authorization(self) -> AuthorizationManagementClient:
        from azure.mgmt.authorization.v2022_04_01.aio import AuthorizationManagementClient

        return AuthorizationManagementClient(self._credential, self.subscription_id, **self._arm)

    @cached_property
    def schedules(self) -> ScheduleClient:
        """Client of time-limited role assignments, at the newest API version that has them."""
        from azure.mgmt.authorization.v2020_10_01.aio import AuthorizationManagementClient as ScheduleClient

        return ScheduleClient(self._credential, **self._arm)

    @cached_property
    def locks(self) -> ManagementLockClient:
        from azure.mgmt.resource.locks.v2016_09_01.aio import ManagementLockClient

        return ManagementLockClient(self._credential, self.subscription_id, **self._arm)

    @cached_property
    def graph(self) -> ResourceGraphClient:
        from azure.mgmt.resourcegraph.aio import ResourceGraphClient

        return ResourceGraphClient(self._credential, **self._arm)

    @cached_property
    def security(self) -> SecurityCenter:
        from azure.mgmt.security.v2024_01_01.aio import SecurityCenter

        return SecurityCenter(self._credential, **self._arm)

    @cached_property
    def logs(self) -> LogsQueryClient:
        from azure.monitor.query.aio import LogsQueryClient

        return LogsQueryClient(self._credential, endpoint=self.cloud.logs, **self._common)

    def alerts(self, group: str) -> AlertsManagementClient:
        """Client of one resource group's alerts. Use only operations that list alerts by filter.

        :param group: the resource group's name
        """
        from azure.mgmt.alertsmanagement.aio import AlertsManagementClient

        if group not in self._alerts:
            scoped = InGroup(f"/subscriptions/{self.subscription_id}", group)
            self._alerts[group] = AlertsManagementClient(
                self._credential, self.subscription_id, per_call_policies=[scoped], **self._arm
            )
        return self._alerts[group]

    def certificates(self, vault: str) -> CertificateClient:
        """Client of one vault's data plane.

        :param vault: the vault's name
        """
        from azure.keyvault.certificates.aio import CertificateClient

        if vault not in self._certificates:
            url = f"https://{vault}{self.cloud.vault_suffix}"
            self._certificates[vault] = CertificateClient(url, self._credential, **self._common)
        return self._certificates[vault]

    async def token(self, scope: str) -> str:
        """Get an Entra ID access token.

        :param scope: ``https://audience/.default``
        :raises AuthenticationFailed: when no credential gives a token
        """
        with azure_faults("get a token", scope):
            return (await self._credential.get_token(scope)).token

    async def registry_token(self) -> str:
        """Get an Entra ID token that container registries exchange for their own."""
        return await self.token(self.cloud.acr_scope)

    async def caller(self) -> Caller:
        """Read the session's identity from its Resource Manager token.

        The signature is not checked, because the token comes straight from Entra ID.

        :raises UnreadableAnswer: when the token lacks the claims ``oid`` and ``tid``
        """
        claims = token_claims(await self.token(self.cloud.arm_scope))
        if not (claims.get("oid") and claims.get("tid")):
            raise UnreadableAnswer(
                "read the worker's identity",
                "access token of Azure Resource Manager",
                "It has no object id or no tenant id.",
                "Use a service principal, a managed identity or az login.",
            )
        app = claims.get("idtyp") == "app" or not (claims.get("scp") or claims.get("upn"))
        name = _first(claims, ("app_displayname", "appid", "oid") if app else ("upn", "unique_name", "name", "oid"))
        kind: Literal["User", "ServicePrincipal"] = "ServicePrincipal" if app else "User"
        return Caller(claims["oid"], claims["tid"], kind, name, _first(claims, ("appid", "azp")) if app else "")


def _first(claims: Mapping[str, Any], names: Sequence[str]) -> str:
    return next((str(claims[name]) for name in names if claims.get(name)), "")
