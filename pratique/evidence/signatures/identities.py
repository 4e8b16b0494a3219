"""Trusted identities: which holders of a certificate under a shared root are trusted.

>>> (team,) = parse_identities(["x509.subject: C=US, ST=Washington, O=Microsoft Corporation"])
>>> sorted(value for _, value in team.attributes)
['Microsoft Corporation', 'US', 'Washington']

Source: Notary Project, "Trust Store and Trust Policy Specification", trusted identities: an identity lists attributes
of the subject of a signing certificate, in any order, at least C, ST (or S) and O; the subject must have all of them.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import permutations

from cryptography import x509
from cryptography.x509.oid import NameOID

ANYBODY = "*"
_PREFIX = "x509.subject"
_REQUIRED = {
    NameOID.COUNTRY_NAME: "C",
    NameOID.STATE_OR_PROVINCE_NAME: "ST",
    NameOID.ORGANIZATION_NAME: "O",
}
_ALIASES = {"S": NameOID.STATE_OR_PROVINCE_NAME}
_SPACE = re.compile(r"(?<!\\)([,=]) +")
_SPACE_BEFORE = re.compile(r"(?<![\\ ]) +([,=]|$)")


@dataclass(frozen=True)
class Identity:
    """Attributes that the subject of a signing certificate must have.

    :ivar attributes: pairs of an object identifier and a value; empty for :data:`ANYBODY`
    """

    attributes: frozenset[tuple[str, str]]

    def matches(self, certificate: x509.Certificate) -> bool:
        """Whether the subject has all attributes. A subject that is ambiguous or incomplete matches only ``*``."""
        if not self.attributes:
            return True
        try:
            return self.attributes <= _attributes(certificate.subject)
        except ValueError:
            return False


def parse_identities(texts: Iterable[str]) -> tuple[Identity, ...]:
    """Parse the identities of one trust store.

    :raises ValueError: when one is malformed or includes another, or ``*`` is not the only one
    """
    listed = list(texts)
    if ANYBODY in listed:
        if len(listed) > 1:
            raise ValueError("'*' trusts everybody already: remove it, or the other identities")
        return (Identity(frozenset()),)
    identities = tuple(_parse(text) for text in listed)
    for (identity, text), (other, wider) in permutations(zip(identities, listed, strict=True), 2):
        if other.attributes <= identity.attributes:
            raise ValueError(f"{text!r} is included in {wider!r}: remove one of them")
    return identities


def identity_of(certificate: x509.Certificate) -> str:
    """The identity that names a certificate's whole subject.

    :raises ValueError: when no identity can name it
    """
    _attributes(certificate.subject)
    return f"{_PREFIX}: {certificate.subject.rfc4514_string()}"


def _parse(text: str) -> Identity:
    prefix, separator, name = text.partition(":")
    if not separator or prefix.strip() != _PREFIX:
        raise ValueError(f"{text!r} is not of the form '{_PREFIX}: CN=…,O=…,ST=…,C=…'")
    if "=#" in name:
        raise ValueError(f"{text!r} has a value in hexadecimal: write it as text")
    try:
        parsed = x509.Name.from_rfc4514_string(_without_spaces(name), _ALIASES)
    except ValueError:
        raise ValueError(f"{text!r} is not a distinguished name: write it as 'CN=…,O=…,ST=…,C=…'") from None
    try:
        return Identity(_attributes(parsed))
    except ValueError as error:
        raise ValueError(f"{text!r}: {error}") from None


def _without_spaces(name: str) -> str:
    """The name without the spaces that may stand around separators."""
    return _SPACE_BEFORE.sub(r"\1", _SPACE.sub(r"\1", name.lstrip(" ")))


def _attributes(name: x509.Name) -> frozenset[tuple[str, str]]:
    """:raises ValueError: when an attribute is missing, repeated, or combined with another in one part of the name"""
    values: dict[x509.ObjectIdentifier, str] = {}
    for part in name.rdns:
        if len(part) > 1:
            raise ValueError("a part of the name has several attributes, joined by '+'")
        for attribute in part:
            if attribute.oid in values:
                raise ValueError(f"the attribute {attribute.rfc4514_attribute_name} is repeated")
            values[attribute.oid] = str(attribute.value)
    if missing := [label for oid, label in _REQUIRED.items() if not values.get(oid)]:
        raise ValueError(f"the attribute {' and '.join(missing)} is missing: C, ST and O are required")
    return frozenset((oid.dotted_string, value) for oid, value in values.items())
