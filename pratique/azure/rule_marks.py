"""Marks of the firewall rules that leases made.

A rule has neither a name nor a description, and the tag beside it can be written by everybody who may write tags (Tag
Contributor). So nothing would tell a lease's rule from one that was there before. Hence each rule of a lease is written
together with its mark: a second rule, for an address that follows from the vault and the first address, out of a range
from which nothing comes over the Internet. The mark opens nothing, appears and disappears in the same request as its
rule, and whoever could forge it could write rules anyway.

Ranges: RFC 2544 (benchmarks) and RFC 5737 (documentation). Key Vault's documentation excludes only RFC 1918.
UNVERIFIED: that it accepts these; where the vault refuses a mark from one range, the next is tried.
"""

from __future__ import annotations

import hashlib
from ipaddress import IPv4Address, IPv4Network

RANGES = (IPv4Network("198.18.0.0/15"), IPv4Network("192.0.2.0/24"))


def marks(vault_id: str, address: IPv4Address) -> tuple[IPv4Network, ...]:
    """The possible marks of the rule for an address, one of each range, the preferred one first."""
    digest = int.from_bytes(hashlib.sha256(f"{vault_id.lower()}\n{address}".encode()).digest())
    return tuple(IPv4Network(within[digest % within.num_addresses]) for within in RANGES)
