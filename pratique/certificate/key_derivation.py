"""Limits the time that opening an encrypted key or PFX takes.

The file says how often its password is hashed, up to billions of times, and nothing can interrupt that. So these
numbers are read first: of PBKDF2 and PBES1 (RFC 8018), scrypt (RFC 7914), and PKCS #12 (RFC 7292). They are not
encrypted, except for a key in an encrypted bag, which no common program writes.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

from pratique.certificate.der import Tag, members
from pratique.certificate.parts import reject

#: Some seconds. Windows takes at most 600,000; openssl's default is 2048.
MOST_ITERATIONS = 5_000_000

_DEEPEST = 40
#: Prefixes of the identifiers of PKCS #5, and of PKCS #12's encryption with passwords.
_ITERATED = (bytes.fromhex("2a864886f70d0105"), bytes.fromhex("2a864886f70d010c01"))
_SCRYPT = bytes.fromhex("2b06010401da47040b")
#: How many iterations one unit of scrypt's cost counts for, so that its memory stays below 64 MiB.
_SCRYPT_WEIGHT = 10


def require_few_iterations(der: bytes, source: str) -> None:
    """Check that an encrypted key or a PFX opens within seconds.

    :param source: of the certificate, in errors
    :raises CertificateRejected: when it would take longer
    """
    iterations = sum(_iterations(der))
    if iterations > MOST_ITERATIONS:
        reject(
            source,
            f"Its password is hashed {iterations:,} times, which is more than {MOST_ITERATIONS:,}.",
            "Export it again with fewer iterations, for example with openssl's defaults.",
        )


def _iterations(content: bytes, depth: int = 0) -> Iterator[int]:
    """Every number of iterations in the objects of this content, and below them."""
    if depth > _DEEPEST:
        return
    found = list(members(content))
    match found:
        case [(Tag.IDENTIFIER, identifier), (Tag.SEQUENCE, parameters), *_] if identifier.startswith(_ITERATED):
            yield from _numbers(parameters)[:1]
        case [(Tag.IDENTIFIER, identifier), (Tag.SEQUENCE, parameters), *_] if identifier == _SCRYPT:
            yield math.prod(_numbers(parameters)[:3]) * _SCRYPT_WEIGHT
        case [(Tag.SEQUENCE, _), (Tag.OCTETS, _), (Tag.INTEGER, mac_iterations)]:
            yield int.from_bytes(mac_iterations)
    for tag, inner in found:
        if tag == Tag.OCTETS or tag & 0x20:
            yield from _iterations(inner, depth + 1)


def _numbers(parameters: bytes) -> list[int]:
    return [int.from_bytes(content) for tag, content in members(parameters) if tag == Tag.INTEGER]
