"""A running sandbox: state, services and proxy together."""

from __future__ import annotations

import os
from fnmatch import fnmatchcase
from ipaddress import ip_address
from pathlib import Path

from sandbox.app import App
from sandbox.azure import Azure
from sandbox.control.provenance import Provenance
from sandbox.control.routes import control_service
from sandbox.core.clock import Clock
from sandbox.core.routing import Service
from sandbox.home import Home
from sandbox.proxy import Proxy
from sandbox.scenario import Client, Scenario
from sandbox.seed import seed
from sandbox.services import all_services
from sandbox.tls import CertificateAuthority

LOOPBACK = "127.0.0.1"


class Sandbox:
    """One local Azure.

    :param home: folder for its certificate authority and keys
    :param address: IP address of this machine on which the proxy listens; beyond loopback nothing protects it
    :param port: of the proxy; 0 takes a free one
    :param speed: how much faster than Azure's its durations are; at 0 time only jumps
    :param on_demand: whether time passes only while something waits for it, see :class:`.Clock`
    """

    def __init__(
        self,
        home: Path,
        *,
        address: str = LOOPBACK,
        port: int = 8443,
        speed: float = 60.0,
        on_demand: bool = False,
        scenario: Scenario | None = None,
    ) -> None:
        self._home = Home(home)
        self._address = address
        self._port = port
        self._speed = speed
        self._on_demand = on_demand
        self._scenario = scenario or Scenario()
        self.azure = self._fresh(self._scenario)
        self.services: list[Service] = [*all_services(), control_service(self.reset)]
        self._app = App(lambda: self.azure, self.services, self._client, lambda peer: self._proxy.abort(peer))
        authority = CertificateAuthority(self._home)
        self._proxy = Proxy(
            self._app, authority, self._app.serves, lambda host: self._app.serves(host, plain=True), self._blocks
        )

    async def start(self) -> int:
        """Listen. Returns the proxy's port."""
        self._port = await self._proxy.start(self._address, self._port)
        where = {"address": self._address, "port": self._port, "pid": os.getpid()}
        self._home.remember(where | self._scenario.identity.model_dump(mode="json"))
        return self._port

    async def stop(self) -> None:
        await self._proxy.stop()
        await self.azure.close()
        self._home.forget(self._port)

    async def reset(self, scenario: Scenario | None = None) -> None:
        """Forget everything that happened and start again, with another scenario if one is given."""
        before, self._scenario = self.azure, scenario or self._scenario
        self.azure = self._fresh(self._scenario)
        await before.close()

    def connected(self) -> set[str]:
        """The names that the connected clients gave to the proxy."""
        return self._proxy.users()

    def environment(self) -> dict[str, str]:
        """The variables that point any Azure client at this sandbox."""
        return client_environment(self._home)

    def _fresh(self, scenario: Scenario) -> Azure:
        azure = Azure(self._home, scenario, Clock(self._speed, on_demand=self._on_demand))
        seed(azure)
        azure.state(Provenance)
        return azure

    def _blocks(self, host: str, user: str) -> bool:
        return any(fnmatchcase(host, pattern) for pattern in self.azure.client(user).blocked)

    def _client(self, peer: tuple[str, int]) -> tuple[str, Client]:
        user = self._proxy.user(peer)
        return user, self.azure.client(user)


def client_environment(home: Home, proxy_host: str | None = None) -> dict[str, str]:
    """The variables for clients of the sandbox that runs with this home.

    :param proxy_host: what its clients call the sandbox's machine; without it they are on that machine themselves
    :raises LookupError: when none does
    """
    facts = home.running()
    if facts is None:
        raise LookupError(f"no sandbox is running with the home {home.directory}")
    ca = str(home.ca_file.resolve())
    proxy = f"http://{in_url(proxy_host or reached_at(facts['address']))}:{facts['port']}"
    return {
        "HTTPS_PROXY": proxy,
        "https_proxy": proxy,
        # Without 'localhost': clients take it for a suffix, and the control host ends in it.
        "NO_PROXY": "127.0.0.1,::1",
        "no_proxy": "127.0.0.1,::1",
        "SSL_CERT_FILE": ca,
        "REQUESTS_CA_BUNDLE": ca,
        "CURL_CA_BUNDLE": ca,
        "GIT_SSL_CAINFO": ca,
        "NODE_EXTRA_CA_CERTS": ca,
        "AZURE_TENANT_ID": facts["tenant_id"],
        "AZURE_SUBSCRIPTION_ID": facts["subscription_id"],
        "AZURE_CLIENT_ID": facts["client_id"],
        "AZURE_CLIENT_SECRET": home.client_secret,
    }


def reached_at(address: str) -> str:
    """Where this machine's own clients find what listens there."""
    listening = ip_address(address)
    if not listening.is_unspecified:
        return address
    return LOOPBACK if listening.version == 4 else "::1"


def in_url(host: str) -> str:
    """A host name or IP address as the part of a URL before the port."""
    return f"[{host}]" if ":" in host else host
