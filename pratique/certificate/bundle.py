"""Reads and checks the ingress controller's certificate.

Key Vault does not check whether the name is right, the dates are valid, or a server may use the certificate: such a
mistake would surface only when the gateway cannot connect. All of this is checked here, without a network::

    secret = SecretSource.parse("file:ingress-internal-aks-ingress-contoso-com-tls.pem")
    bundle = read_certificate(
        secret.read(), subject="*.aks-ingress.contoso.com", source=str(secret), at=datetime.now(UTC)
    )
    bundle.require_valid(datetime.now(UTC))
    bundle.thumbprint   # like Key Vault's x5t: if they are equal, the certificate is already imported
"""

from __future__ import annotations

import base64
from dataclasses import dataclass, field
from datetime import datetime

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from pratique.certificate.chain import order_chain
from pratique.certificate.parts import REISSUE, name_of, reject
from pratique.certificate.reading import read_parts
from pratique.certificate.server import names_of, require_server

LARGEST = 256 * 1024  # bytes of a secret; a chain of several certificates needs a tenth of it
# The key sizes and curves that Key Vault imports ("About keys").
RSA_BITS = (2048, 3072, 4096)
CURVES = (ec.SECP256R1, ec.SECP384R1, ec.SECP521R1)


@dataclass(frozen=True, kw_only=True)
class CertificateBundle:
    """A certificate that has passed every check except its dates, and the content to upload.

    :ivar subject: the name that the certificate was checked for
    :ivar source: where it comes from, as the configuration names it
    :ivar content: the PEM to upload: ``chain``, and the key as unencrypted PKCS#8. Never printed, logged or persisted
    :ivar chain: the certificates as DER, leaf first and each followed by its issuer, without the root
    :ivar root: the chain's root as DER, if the secret contains it and it is valid
    :ivar thumbprint: SHA-1 of the leaf as upper-case hex, as Key Vault shows it
    :ivar names: names of the leaf, as :func:`~pratique.certificate.server.names_of` has them
    :ivar warnings: what a person should know although the certificate can be used
    """

    subject: str
    source: str
    content: bytes = field(repr=False)
    chain: tuple[bytes, ...] = field(repr=False)
    root: bytes | None = field(repr=False)
    thumbprint: str
    not_before: datetime
    not_after: datetime
    names: tuple[str, ...]
    warnings: tuple[str, ...]

    @property
    def public_base64(self) -> str:
        """Base64 of the PEM of chain and root, without the key: the template's ``aksIngressControllerCertificate``.

        Application Gateway trusts it as a root.
        """
        blocks = [_pem(x509.load_der_x509_certificate(der)) for der in (*self.chain, self.root) if der is not None]
        return base64.b64encode(b"".join(blocks)).decode()

    def days_left(self, at: datetime) -> int:
        """Whole days until the leaf expires."""
        return (self.not_after - at).days

    def require_valid(self, at: datetime) -> None:
        """Check the dates of the whole chain.

        :param at: the current time, with a time zone
        :raises CertificateRejected: when a certificate has expired or is not valid yet
        """
        for certificate in map(x509.load_der_x509_certificate, self.chain):
            if certificate.not_valid_before_utc > at:
                observed = f"{name_of(certificate)} is not valid before {_minute(certificate.not_valid_before_utc)}."
                reject(self.source, observed, "Wait, or check the clock.")
            if certificate.not_valid_after_utc <= at:
                reject(
                    self.source,
                    f"{name_of(certificate)} expired at {_minute(certificate.not_valid_after_utc)}.",
                    REISSUE,
                )


def read_certificate(
    secret: bytes, password: str | None = None, *, subject: str, source: str, at: datetime
) -> CertificateBundle:
    """Read a certificate with its key and chain, and check everything except the dates of leaf and intermediates.

    :param secret: PEM, DER or PFX, or base64 of it, in any state that :mod:`~pratique.certificate.reading` can read
    :param password: of the PFX or of the private key, when it has one
    :param subject: name that the leaf must cover, for example ``*.aks-ingress.contoso.com``
    :param source: where the secret comes from, as the configuration names it; errors name it
    :param at: the current time: an expired root is left out
    :raises CertificateRejected: for the first check that fails. The message never repeats the content
    """
    if len(secret) > LARGEST:
        remedy = "Store only the certificate with its key and its chain."
        reject(source, f"The secret is larger than {LARGEST} bytes.", remedy)
    parts = read_parts(secret, password, source)
    _check_key(parts.key, source)
    chain = order_chain(parts, source, at)
    leaf = chain.certificates[0]
    warnings = require_server(leaf, subject, source)
    key = parts.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return CertificateBundle(
        subject=subject,
        source=source,
        content=b"".join(map(_pem, chain.certificates)) + key,
        chain=tuple(certificate.public_bytes(Encoding.DER) for certificate in chain.certificates),
        root=chain.root.public_bytes(Encoding.DER) if chain.root else None,
        thumbprint=thumbprint(leaf),
        not_before=leaf.not_valid_before_utc,
        not_after=leaf.not_valid_after_utc,
        names=names_of(leaf),
        warnings=chain.warnings + warnings,
    )


def thumbprint(certificate: x509.Certificate) -> str:
    """SHA-1 as upper-case hex."""
    return certificate.fingerprint(hashes.SHA1()).hex().upper()  # noqa: S303  # a name, not a safeguard


def _minute(time: datetime) -> str:
    return f"{time:%Y-%m-%d %H:%M} UTC"


def _pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(Encoding.PEM)


def _check_key(key: PrivateKeyTypes, source: str) -> None:
    match key:
        case rsa.RSAPrivateKey() if key.key_size not in RSA_BITS:
            remedy = f"Use an RSA key of {', '.join(map(str, RSA_BITS))} bits."
            reject(source, f"The RSA key has {key.key_size} bits.", remedy)
        case ec.EllipticCurvePrivateKey() if not isinstance(key.curve, CURVES):
            reject(source, f"The key is on the curve {key.curve.name}.", "Use P-256, P-384 or P-521.")
        case rsa.RSAPrivateKey() | ec.EllipticCurvePrivateKey():
            pass
        case _:
            reject(source, "The key is neither RSA nor elliptic-curve.", "Use RSA, P-256, P-384 or P-521.")
