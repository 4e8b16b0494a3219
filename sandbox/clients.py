"""What clients on this machine need: a sandbox that answers, or the certainty that they do not reach the real Azure."""

from __future__ import annotations

import http.client
import ssl
import time
from collections.abc import Callable
from pathlib import Path

from sandbox.control import HOST
from sandbox.home import Home
from sandbox.server import client_environment, reached_at

#: Reserved, so that it never resolves (RFC 2606). Clients show it when they fail.
_NOWHERE = "http://no-azure-sandbox-is-running.invalid:1"
_POLL_SECONDS = 0.1
#: For one attempt. A sandbox on a busy machine answers late.
_ANSWER_SECONDS = 10.0


def wait_for_environment(
    directory: Path, seconds: float, waiting: Callable[[], None], proxy_host: str | None = None
) -> dict[str, str]:
    """The variables for clients of the sandbox with this home, as soon as it answers.

    :param seconds: how long it may take to start
    :param waiting: called once, when the first attempt fails
    :param proxy_host: as for :func:`~sandbox.server.client_environment`
    :raises LookupError: when it does not answer by then
    :raises OSError: when the home cannot be used
    """
    home, end = Home(directory), time.monotonic() + seconds
    if not answers(home):
        waiting()
        while not answers(home):
            if time.monotonic() >= end:
                raise LookupError(f"no sandbox with the home {directory} answers")
            time.sleep(_POLL_SECONDS)
    return client_environment(home, proxy_host)


def answers(home: Home) -> bool:
    """Whether the sandbox of this home answers where it said that it listens, with a certificate of its own authority.

    A process that was killed leaves its note behind, and its number and port may belong to another process by now.
    """
    facts = home.running()
    if facts is None:
        return False
    try:
        trusted = ssl.create_default_context(cafile=home.ca_file)
        address = reached_at(facts["address"])
        connection = http.client.HTTPSConnection(address, facts["port"], timeout=_ANSWER_SECONDS, context=trusted)
        connection.set_tunnel(HOST, 443)
        connection.connect()
    except (OSError, http.client.HTTPException):
        return False
    connection.close()
    return True


def blocked_environment() -> dict[str, str]:
    """Variables with which a client reaches neither a sandbox nor the real Azure, whatever was set before."""
    proxies = dict.fromkeys(("HTTPS_PROXY", "https_proxy"), _NOWHERE)
    exceptions = dict.fromkeys(("NO_PROXY", "no_proxy"), "127.0.0.1,::1")
    identity = ("AZURE_TENANT_ID", "AZURE_SUBSCRIPTION_ID", "AZURE_CLIENT_ID", "AZURE_CLIENT_SECRET")
    return {**proxies, **exceptions, **dict.fromkeys(identity, "no-azure-sandbox-is-running")}
