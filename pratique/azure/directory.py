"""The public address from which this worker leaves its network: what a vault's firewall sees of it."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from ipaddress import IPv4Address, IPv4Network, ip_address

import httpx

from pratique.errors import ConfigurationError, PratiqueError, Unavailable, UnreadableAnswer

SERVICES = ("https://ifconfig.io/ip",)
_ATTEMPTED = "find out the worker's public address"
_REMEDY = "Name the address in the configuration, or run the worker inside the network."
# Addresses that no firewall rule of Azure's accepts (RFC 1918, RFC 6598, RFC 3927, RFC 1122, RFC 5771).
_NOT_PUBLIC = tuple(
    IPv4Network(network)
    for network in (
        "0.0.0.0/8",
        "10.0.0.0/8",
        "100.64.0.0/10",
        "127.0.0.0/8",
        "169.254.0.0/16",
        "172.16.0.0/12",
        "192.168.0.0/16",
        "224.0.0.0/3",
    )
)


async def egress_address(http: httpx.AsyncClient, services: Sequence[str] = SERVICES) -> IPv4Address:
    """Ask echo services for the worker's public IPv4 address.

    Those that do not answer are passed over; those that answer must agree.

    :param services: URLs that answer with the address as plain text
    :raises Unavailable: when none answers
    :raises UnreadableAnswer: for an answer that is no address
    :raises ConfigurationError: when the answers differ, or are private or IPv6 addresses
    """
    answers = await asyncio.gather(*(_ask(http, url) for url in services), return_exceptions=True)
    addresses = {answer for answer in answers if isinstance(answer, IPv4Address)}
    refusals = [answer for answer in answers if isinstance(answer, BaseException)]
    if wrong := [error for error in refusals if not isinstance(error, Unavailable)]:
        raise wrong[0]
    if not addresses:
        raise refusals[0] if refusals else _wrong(", ".join(services), "No service is named.")
    if len(addresses) > 1:
        told = " and ".join(sorted(map(str, addresses)))
        raise _wrong(", ".join(services), f"The services see different addresses: {told}.")
    return addresses.pop()


async def _ask(http: httpx.AsyncClient, url: str) -> IPv4Address:
    try:
        answer = await http.get(url, headers={"Accept": "text/plain"})
        answer.raise_for_status()
    except httpx.HTTPError as error:
        observed = str(error) or type(error).__name__
        raise Unavailable(_ATTEMPTED, url, f"{observed}.", _REMEDY) from None
    text = answer.text.strip()
    try:
        address = ip_address(text)
    except ValueError:
        raise UnreadableAnswer(_ATTEMPTED, url, f"It answered {text[:60]!r}.", _REMEDY) from None
    if not isinstance(address, IPv4Address):
        raise _wrong(url, f"It sees {address}: a vault's firewall takes IPv4 addresses only.")
    if any(address in network for network in _NOT_PUBLIC):
        raise _wrong(url, f"It sees {address}, which is not a public address.")
    return address


def _wrong(subject: str, observed: str) -> PratiqueError:
    return ConfigurationError(_ATTEMPTED, subject, observed, _REMEDY)
