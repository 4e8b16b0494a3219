"""The worker's public egress address, which a vault's firewall sees."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, ip_address

import httpx

from pratique.errors import ConfigurationError, PratiqueError, Unavailable, UnreadableAnswer
from pratique.masking import shortened

_ATTEMPTED = "find the worker's public address"
_REMEDY = "Set access.address or other access.address_services, or run the worker inside the network."
# Addresses that Azure's firewall rules do not accept (RFC 1918, RFC 6598, RFC 3927, RFC 1122, RFC 5771).
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


async def egress_address(http: httpx.AsyncClient, services: Sequence[str]) -> IPv4Address:
    """Ask echo services for the worker's public IPv4 address.

    Services that do not answer are ignored. So are services that see an IPv6 address where others see an IPv4 address:
    a service may be reached by either, and a vault's firewall supports IPv4 only. All others must agree.

    :param services: URLs that answer with the address as plain text
    :raises Unavailable: when no service answers
    :raises UnreadableAnswer: when an answer is not an address
    :raises ConfigurationError: when the answers differ, or all are private or IPv6 addresses
    """
    answers = await asyncio.gather(*(_ask(http, url) for url in services), return_exceptions=True)
    addresses = {answer for answer in answers if isinstance(answer, IPv4Address)}
    ipv6_addresses = {answer for answer in answers if isinstance(answer, IPv6Address)}
    errors = [answer for answer in answers if isinstance(answer, BaseException)]
    if final := [error for error in errors if not isinstance(error, Unavailable)]:
        raise final[0]
    subject = ", ".join(services)
    if len(addresses) > 1:
        listed = " and ".join(sorted(map(str, addresses)))
        raise _unusable(subject, f"The services see different addresses: {listed}.")
    if addresses:
        return addresses.pop()
    if ipv6_addresses:
        listed = " and ".join(sorted(map(str, ipv6_addresses)))
        raise _unusable(subject, f"The services see {listed}: a vault's firewall takes IPv4 addresses only.")
    raise _none_answered(subject, errors)


async def _ask(http: httpx.AsyncClient, url: str) -> IPv4Address | IPv6Address:
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
        raise UnreadableAnswer(_ATTEMPTED, url, f"It answered {shortened(text, 60)!r}.", _REMEDY) from None
    if isinstance(address, IPv4Address) and any(address in network for network in _NOT_PUBLIC):
        raise _unusable(url, f"It sees {address}, which is not a public address.")
    return address


def _none_answered(subject: str, errors: Sequence[BaseException]) -> PratiqueError:
    if not errors:
        return _unusable(subject, "access.address_services is empty.")
    observed = " ".join(error.observed for error in errors if isinstance(error, PratiqueError))
    return Unavailable(_ATTEMPTED, subject, f"None of the services answers: {observed}", _REMEDY)


def _unusable(subject: str, observed: str) -> PratiqueError:
    return ConfigurationError(_ATTEMPTED, subject, observed, _REMEDY)
