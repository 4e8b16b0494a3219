"""The public address from which this worker leaves its network: what a vault's firewall sees of it."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, ip_address

import httpx

from pratique.errors import ConfigurationError, PratiqueError, Unavailable, UnreadableAnswer

_ATTEMPTED = "find out the worker's public address"
_REMEDY = "Set access.address, or other access.address_services, or run the worker inside the network."
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


async def egress_address(http: httpx.AsyncClient, services: Sequence[str]) -> IPv4Address:
    """Ask echo services for the worker's public IPv4 address.

    Those that do not answer are passed over, and those that see an IPv6 address where others see an IPv4 one: a service
    may be reached both ways, a vault's firewall knows IPv4 only. All others must agree.

    :param services: URLs that answer with the address as plain text
    :raises Unavailable: when none answers
    :raises UnreadableAnswer: for an answer that is no address
    :raises ConfigurationError: when the answers differ, or are private or IPv6 addresses
    """
    answers = await asyncio.gather(*(_ask(http, url) for url in services), return_exceptions=True)
    addresses = {answer for answer in answers if isinstance(answer, IPv4Address)}
    others = {answer for answer in answers if isinstance(answer, IPv6Address)}
    refusals = [answer for answer in answers if isinstance(answer, BaseException)]
    if wrong := [error for error in refusals if not isinstance(error, Unavailable)]:
        raise wrong[0]
    subject = ", ".join(services)
    if len(addresses) > 1:
        told = " and ".join(sorted(map(str, addresses)))
        raise _wrong(subject, f"The services see different addresses: {told}.")
    if addresses:
        return addresses.pop()
    if others:
        told = " and ".join(sorted(map(str, others)))
        raise _wrong(subject, f"The services see {told}: a vault's firewall takes IPv4 addresses only.")
    raise _none_answered(subject, refusals)


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
        raise UnreadableAnswer(_ATTEMPTED, url, f"It answered {text[:60]!r}.", _REMEDY) from None
    if isinstance(address, IPv4Address) and any(address in network for network in _NOT_PUBLIC):
        raise _wrong(url, f"It sees {address}, which is not a public address.")
    return address


def _none_answered(subject: str, refusals: Sequence[BaseException]) -> PratiqueError:
    if not refusals:
        return _wrong(subject, "No service is named.")
    told = " ".join(refusal.observed for refusal in refusals if isinstance(refusal, PratiqueError))
    return Unavailable(_ATTEMPTED, subject, f"None of the services answers: {told}", _REMEDY)


def _wrong(subject: str, observed: str) -> PratiqueError:
    return ConfigurationError(_ATTEMPTED, subject, observed, _REMEDY)
