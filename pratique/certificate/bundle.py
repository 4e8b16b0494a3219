"""Reads and checks the ingress controller's certificate.

Key Vault does not check whether the key belongs to the certificate, the name is right, or the dates are valid: such a
mistake would surface only when the gateway cannot connect. All of this is checked here, without a network::

    secret = SecretSource.parse("file:ingress-internal-aks-ingress-contoso-com-tls.pem").read()
    bundle = read_certificate(secret, subject="*.aks-ingress.contoso.com")
    bundle.require_valid(datetime.now(UTC))
    bundle.thumbprint   # like Key Vault's x5t: if they are equal, the certificate is already imported
"""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from pratique.certificate import pem
from pratique.certificate.chain import order_chain
from pratique.certificate.parts import REISSUE, reject, rejection
from pratique.certificate.pfx import is_der, read_pfx

ContentType = Literal["application/x-pem-file", "application/x-pkcs12"]

LARGEST = 256 * 1024  # bytes of a secret; a chain of several certificates needs a tenth of it
# The key sizes and curves that Key Vault imports ("About keys").
RSA_BITS = (2048, 3072, 4096)
CURVES = (ec.SECP256R1, ec.SECP384R1, ec.SECP521R1)


@dataclass(frozen=True, kw_only=True)
class CertificateBundle:
    """A certificate that has passed every check except its dates, and the content to upload.

    :ivar subject: the name that the certificate was checked for
    :ivar content: the file with the key: never printed, logged or persisted. A PEM's chain is in order; a PFX is kept
        byte for byte, because its certificates have no order
    :ivar content_type: Key Vault's name for the form of ``content``
    :ivar password: password of a PFX; as secret as the content
    :ivar chain: the certificates as DER, leaf first and each followed by its issuer
    :ivar thumbprint: SHA-1 of the leaf as upper-case hex, as Key Vault shows it
    :ivar names: DNS names of the leaf, then its common names, without duplicates
    """

    subject: str
    content: bytes = field(repr=False)
    content_type: ContentType
    password: str | None = field(repr=False)
    chain: tuple[bytes, ...] = field(repr=False)
    thumbprint: str
    not_before: datetime
    not_after: datetime
    names: tuple[str, ...]

    @property
    def public_base64(self) -> str:
        """Base64 of the chain's PEM, without the key: the template's ``aksIngressControllerCertificate``."""
        blocks = (certificate.public_bytes(Encoding.PEM) for certificate in self._certificates)
        return base64.b64encode(b"".join(blocks)).decode()

    def days_left(self, at: datetime) -> int:
        """Whole days until the leaf expires."""
        return (self.not_after - at).days

    def require_valid(self, at: datetime) -> None:
        """Check the dates of the whole chain.

        :param at: the current time, with a time zone
        :raises CertificateRejected: when a certificate has expired or is not valid yet
        """
        for number, certificate in enumerate(self._certificates, start=1):
            if certificate.not_valid_before_utc > at:
                starts = f"{certificate.not_valid_before_utc:%Y-%m-%d %H:%M} UTC"
                reject(self.subject, f"Certificate {number} is not valid before {starts}.", "Wait, or check the clock.")
            if certificate.not_valid_after_utc <= at:
                end = f"{certificate.not_valid_after_utc:%Y-%m-%d %H:%M} UTC"
                reject(self.subject, f"Certificate {number} expired at {end}.", REISSUE)

    @property
    def _certificates(self) -> list[x509.Certificate]:
        return [x509.load_der_x509_certificate(der) for der in self.chain]


def read_certificate(secret: bytes, password: str | None = None, *, subject: str) -> CertificateBundle:
    """Read a certificate with its key and chain, and check everything except its dates.

    :param secret: a PEM, a PFX, or base64 of either
    :param password: password of a PFX that has one; a PEM needs none
    :param subject: name that the leaf must have, for example ``*.aks-ingress.contoso.com``
    :raises CertificateRejected: for the first check that fails. The message never repeats the content
    """
    if len(secret) > LARGEST:
        remedy = "Store only the certificate with its key and its chain."
        reject(subject, f"The secret is larger than {LARGEST} bytes.", remedy)
    content = _decode(secret, subject)
    is_pem = pem.MARK in content
    parts = pem.read_pem(content, subject) if is_pem else read_pfx(content, password, subject)
    _check_key(parts.key, subject)
    chain = order_chain(parts, subject)
    if is_pem and chain != parts.certificates:
        content = pem.reorder(content, chain)
    leaf, names = chain[0], dns_names(chain[0])
    if not has_name(names, subject):
        reject(subject, f"The certificate is for {', '.join(names) or 'no name'}.", REISSUE)
    return CertificateBundle(
        subject=subject,
        content=content,
        content_type="application/x-pem-file" if is_pem else "application/x-pkcs12",
        password=None if is_pem else password or None,
        chain=tuple(certificate.public_bytes(Encoding.DER) for certificate in chain),
        thumbprint=thumbprint(leaf),
        not_before=leaf.not_valid_before_utc,
        not_after=leaf.not_valid_after_utc,
        names=names,
    )


def thumbprint(certificate: x509.Certificate) -> str:
    """SHA-1 as upper-case hex."""
    return certificate.fingerprint(hashes.SHA1()).hex().upper()  # noqa: S303  # a name, not a safeguard


def dns_names(leaf: x509.Certificate) -> tuple[str, ...]:
    """DNS names of a certificate, then its common names, without duplicates."""
    try:
        alternative = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        names = alternative.get_values_for_type(x509.DNSName)
    except x509.ExtensionNotFound:
        names = []
    common = [str(attribute.value) for attribute in leaf.subject.get_attributes_for_oid(NameOID.COMMON_NAME)]
    return tuple(dict.fromkeys([*names, *common]))


def has_name(names: tuple[str, ...], subject: str) -> bool:
    """Whether ``subject`` is one of the names; letter case is ignored."""
    return subject.lower() in {name.lower() for name in names}


def _decode(secret: bytes, subject: str) -> bytes:
    """The file in a secret, which holds the file itself or its base64, as environment variables often must."""
    if pem.MARK in secret or is_der(secret):
        return secret
    try:
        content = base64.b64decode(b"".join(secret.split()), validate=True)
    except (binascii.Error, ValueError):
        content = b""
    if pem.MARK in content or is_der(content):
        return content
    raise rejection(
        subject,
        "The secret contains neither PEM nor PFX, nor the base64 of either.",
        "Store the PEM or PFX, or its base64.",
    )


def _check_key(key: PrivateKeyTypes, subject: str) -> None:
    match key:
        case rsa.RSAPrivateKey() if key.key_size not in RSA_BITS:
            remedy = f"Use an RSA key of {', '.join(map(str, RSA_BITS))} bits."
            reject(subject, f"The RSA key has {key.key_size} bits.", remedy)
        case ec.EllipticCurvePrivateKey() if not isinstance(key.curve, CURVES):
            reject(subject, f"The key is on the curve {key.curve.name}.", "Use P-256, P-384 or P-521.")
        case rsa.RSAPrivateKey() | ec.EllipticCurvePrivateKey():
            pass
        case _:
            reject(subject, "The key is neither RSA nor elliptic-curve.", "Use RSA, P-256, P-384 or P-521.")
