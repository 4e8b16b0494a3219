"""Reads the key and the certificates of a secret: PEM, DER, PFX, PKCS #7, several of them, or base64 of all that."""

from __future__ import annotations

from typing import NoReturn

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes
from cryptography.hazmat.primitives.serialization import load_der_private_key, load_pem_private_key, pkcs7

from pratique.certificate.der import MOST_OBJECTS, der_elements, first_object, is_der
from pratique.certificate.key_derivation import require_few_iterations
from pratique.certificate.parts import (
    DAMAGED,
    CertificateParts,
    Element,
    parse_fully,
    public_bytes,
    reject,
    rejection,
)
from pratique.certificate.pem import JOIN, MARK, ascii_text, base64_content, pem_block, pem_elements
from pratique.certificate.pfx import read_pfx

_DECRYPT = "openssl pkcs8 -topk8 -nocrypt -in OLD.key -out NEW.key"
_FROM_SSH = "Convert it: ssh-keygen -p -m PKCS8 -f private.key"


def read_parts(secret: bytes, password: str | None, source: str) -> CertificateParts:
    """Read the private key and the certificates, in the order of the secret.

    :param password: of the PFX or of the private key, when it has one
    :param source: where the secret comes from, as the configuration names it
    :raises CertificateRejected: the message never repeats the content or the password
    """
    certificates: list[x509.Certificate] = []
    keys: list[PrivateKeyTypes] = []
    for element in _elements(secret, source):
        if element.label == "PFX":
            key, found = read_pfx(element.content, password, source)
            keys += [key] if key is not None else []
        elif element.label.endswith("PRIVATE KEY"):
            keys.append(_key(element, password, source))
            found = []
        else:
            found = _certificates(element, source)
        certificates += found
    if len(certificates) > MOST_OBJECTS:
        reject(
            source, f"It contains more than {MOST_OBJECTS} certificates.", "Keep only the certificate and its chain."
        )
    distinct = {public_bytes(key.public_key()): key for key in keys}
    if not certificates or len(distinct) != 1:
        _reject_count(len(certificates), len(distinct), source)
    return CertificateParts(keys[0], tuple(certificates))


def _elements(secret: bytes, source: str) -> list[Element]:
    elements, rest = der_elements(_decode(secret, source), source)
    return elements + pem_elements(ascii_text(rest), source)


def _decode(secret: bytes, source: str) -> bytes:
    """The file in a secret, which holds the file itself or its base64, as environment variables often must."""
    try:
        decoded = base64_content(ascii_text(secret))
    except ValueError:
        decoded = b""
    for content in (secret, decoded):
        if is_der(content) or MARK in ascii_text(content):
            return content
    observed = "It contains neither PEM, DER nor PFX, nor the base64 of one."
    raise rejection(source, observed, "Store the file with the certificate and its private key, or its base64.")


def _certificates(element: Element, source: str) -> list[x509.Certificate]:
    try:
        if element.label == "PKCS7":
            found = pkcs7.load_der_pkcs7_certificates(element.content)
        else:  # openssl's trusted certificate has settings behind the certificate
            found = [x509.load_der_x509_certificate(first_object(element.content))]
        return [parse_fully(certificate) for certificate in found]
    except DAMAGED:
        raise rejection(source, "A certificate cannot be read: it is damaged or unsupported.", JOIN) from None


def _key(element: Element, password: str | None, source: str) -> PrivateKeyTypes:
    if element.label == "OPENSSH PRIVATE KEY":
        reject(source, "The private key is in OpenSSH's own format.", _FROM_SSH)
    encrypted = element.label.startswith("ENCRYPTED") or element.cipher is not None
    if not encrypted:
        try:
            return load_der_private_key(element.content, None)
        except DAMAGED:
            raise rejection(source, "The private key cannot be read: it is damaged or unsupported.", JOIN) from None
    if not password:
        remedy = f"Set certificate.password to the place of its password, or remove it: {_DECRYPT}"
        reject(source, "The private key has a password.", remedy)
    require_few_iterations(element.content, source)
    try:
        if element.cipher is not None:
            return load_pem_private_key(pem_block(element), password.encode())
        return load_der_private_key(element.content, password.encode())
    except DAMAGED:
        observed = "The password does not open the private key, or the key is damaged or unsupported."
        remedy = f"Correct the secret that certificate.password names, or remove the key's password: {_DECRYPT}"
        raise rejection(source, observed, remedy) from None


def _reject_count(certificates: int, keys: int, source: str) -> NoReturn:
    counted = f"It contains {_count(certificates, 'certificate')} and {_count(keys, 'private key')}"
    if keys > 1:
        reject(source, f"{counted}.", "Keep only the key of the certificate for certificate.subject.")
    reject(source, f"{counted}; both are needed.", JOIN)


def _count(number: int, noun: str) -> str:
    return f"{number or 'no'} {noun}{'s' if number > 1 else ''}"
