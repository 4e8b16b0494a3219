"""Reads files of DER: certificates, keys and PFX, one after the other."""

from __future__ import annotations

from collections.abc import Iterator
from enum import IntEnum

from asn1crypto import parser  # type: ignore[import-untyped]

from pratique.certificate.parts import Element, rejection

#: Members of one object: those of a PFX have some dozens. The time to read them grows with the square.
_MOST_MEMBERS = 500
#: Objects that are read from one file.
MOST_OBJECTS = 100


class Tag(IntEnum):
    """The first byte of an object (X.690)."""

    INTEGER = 0x02
    OCTETS = 0x04
    PIECES = 0x24  # octets in pieces
    IDENTIFIER = 0x06
    SEQUENCE = 0x30


def is_der(data: bytes) -> bool:
    """Whether the data begins like DER and not like text: with a sequence too long for a single length byte."""
    return len(data) > 1 and data[0] == Tag.SEQUENCE and data[1] >= 0x80


def der_elements(data: bytes, source: str) -> tuple[list[Element], bytes]:
    """The objects at the beginning of a file, and what follows them, for example PEM.

    :param source: of the certificate, in errors
    :raises CertificateRejected: when an object is cut off
    """
    elements: list[Element] = []
    while is_der(data) and len(elements) <= MOST_OBJECTS:
        found = first_object(data)
        if not found:
            remedy = "Store the file unchanged, or its base64."
            raise rejection(source, "It begins like DER or PFX, but is damaged, or its end is missing.", remedy)
        elements.append(Element(_label(found), found))
        data = data[len(found) :].lstrip()
    return elements, data


def first_object(data: bytes) -> bytes:
    """The first object, without what follows it; nothing when it is damaged or cut off."""
    try:
        return data[: parser.peek(data)]
    except ValueError:
        return b""


def members(content: bytes) -> Iterator[tuple[int, bytes]]:
    """Tag and content of each object in a constructed one, up to the first that is damaged. Octets that BER has in
    pieces are put together.
    """
    for tag, inner in _objects(content):
        if tag == Tag.PIECES:
            yield Tag.OCTETS, b"".join(piece for _, piece in _objects(inner))
        else:
            yield tag, inner


def _objects(content: bytes) -> Iterator[tuple[int, bytes]]:
    for _ in range(_MOST_MEMBERS):
        try:
            *_, header, inner, trailer = parser.parse(content)
        except ValueError:
            return
        yield header[0], inner
        content = content[len(header) + len(inner) + len(trailer) :]


def _label(found: bytes) -> str:
    """What an object is: RFC 7292 (PFX), RFC 2315 (PKCS #7), RFC 5958, RFC 8017 and RFC 5915 (keys)."""
    (_, content), *_ = members(found)
    match list(members(content)):
        case [(Tag.INTEGER, b"\x03"), *_]:
            return "PFX"
        case [(Tag.INTEGER, _), *_]:
            return "PRIVATE KEY"
        case [(Tag.IDENTIFIER, _), *_]:
            return "PKCS7"
        case [(Tag.SEQUENCE, algorithm), (Tag.OCTETS, _)] if algorithm.startswith(bytes([Tag.IDENTIFIER])):
            return "ENCRYPTED PRIVATE KEY"
        case _:
            return "CERTIFICATE"
