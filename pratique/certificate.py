"""Reads the ingress controller's certificate, and refuses it before Key Vault or the cluster would.

Key Vault takes a PEM file only when it holds the certificates and one unencrypted PKCS#8 private key, and no other
text; whether the key fits, the name is right, or the dates hold, it leaves to the day when the gateway cannot
connect. All of it is checked here, without a network::

    pem = SecretSource.parse("file:ingress-internal-aks-ingress-contoso-com-tls.pem").read()
    bundle = read_pem(pem, subject="*.aks-ingress.contoso.com", now=datetime.now(UTC))
    bundle.thumbprint   # as Key Vault's x5t: equal means already imported
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from itertools import pairwise
from typing import NoReturn

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.oid import NameOID

from pratique.errors import CertificateRejected, ConfigurationError

# Key Vault imports RSA keys and these curves (Key Vault, "Supported certificate composition").
MINIMUM_RSA_BITS = 2048
CURVES = (ec.SECP256R1, ec.SECP384R1, ec.SECP521R1)

_BLOCK = re.compile(r"-----BEGIN (?P<label>[A-Z0-9 ]+)-----\s.*?-----END (?P=label)-----", re.DOTALL)
_TO_PKCS8 = "Convert it: openssl pkcs8 -topk8 -nocrypt -in OLD.key -out NEW.key"
_JOIN = "Build the file from its parts: cat certificate.crt private.key > certificate.pem"
_FROM_PFX = "Convert it: openssl pkcs12 -in FILE.pfx -nodes | sed -n '/BEGIN/,/END/p' > certificate.pem"
_REISSUE = "Have the certificate issued again."


@dataclass(frozen=True)
class CertificateBundle:
    """A certificate that has passed every check, with what is to be uploaded.

    :ivar pem: the file, byte for byte, key included: never printed, logged or persisted
    :ivar chain: the certificates as DER, leaf first
    :ivar thumbprint: SHA-1 of the leaf as upper-case hex, as Key Vault shows it
    :ivar names: DNS names of the leaf, then its common names, without repetition
    :ivar days_left: whole days from the check to ``not_after``
    """

    pem: bytes = field(repr=False)
    chain: tuple[bytes, ...] = field(repr=False)
    thumbprint: str
    not_before: datetime
    not_after: datetime
    names: tuple[str, ...]
    days_left: int


def from_secret(secret: bytes, source: str) -> bytes:
    """The PEM in a secret that holds either the PEM or, as variables often must, the base64 of it.

    :param source: what to call the secret in an error
    :raises ConfigurationError: when it is neither
    """
    if b"-----BEGIN " in secret:
        return secret
    try:
        return base64.b64decode(b"".join(secret.split()), validate=True)
    except (binascii.Error, ValueError):
        raise ConfigurationError(
            "load the certificate", source, "It holds neither PEM nor base64.", "Store the PEM, or the base64 of it."
        ) from None


def read_pem(data: bytes, *, subject: str, now: datetime) -> CertificateBundle:
    """Check a PEM file and tell what is in it.

    :param data: certificates, leaf first and each followed by its issuer, and one private key anywhere among them
    :param subject: name that the leaf must carry, for example ``*.aks-ingress.contoso.com``
    :param now: time of the check, with a time zone
    :raises CertificateRejected: for the first rule that the file breaks. No message repeats its content
    """
    certificates, key = _parts(data, subject)
    leaf = certificates[0]
    _check_key(key, certificates, subject)
    _check_chain(certificates, subject)
    _check_dates(certificates, subject, now)
    names = _names(leaf)
    if subject.lower() not in {name.lower() for name in names}:
        _refuse(subject, f"The certificate is for {', '.join(names) or 'no name at all'}.", _REISSUE)
    return CertificateBundle(
        pem=data,
        chain=tuple(certificate.public_bytes(Encoding.DER) for certificate in certificates),
        thumbprint=leaf.fingerprint(hashes.SHA1()).hex().upper(),  # noqa: S303  # a name, not a safeguard
        not_before=leaf.not_valid_before_utc,
        not_after=leaf.not_valid_after_utc,
        names=names,
        days_left=(leaf.not_valid_after_utc - now).days,
    )


def public_base64(bundle: CertificateBundle) -> str:
    """Base64 of the certificates' PEM, without the key: the template's ``aksIngressControllerCertificate``."""
    certificates = [x509.load_der_x509_certificate(der) for der in bundle.chain]
    return base64.b64encode(b"".join(each.public_bytes(Encoding.PEM) for each in certificates)).decode()


def _parts(data: bytes, subject: str) -> tuple[list[x509.Certificate], PrivateKeyTypes]:
    text = data.decode("latin-1")  # never fails; what is not ASCII ends as text outside the blocks
    blocks = list(_BLOCK.finditer(text))
    if not blocks:
        _refuse(subject, "The file holds no PEM block.", f"Give a PEM file. If it is a PFX: {_FROM_PFX}")
    outside = _BLOCK.sub(lambda block: "\n" * block[0].count("\n"), text)
    for number, line in enumerate(outside.split("\n"), start=1):
        if line.strip(" \t\r"):
            _refuse(subject, f"Line {number} is outside the PEM blocks, which Key Vault refuses.", _JOIN)
    for label in [block["label"] for block in blocks]:
        if label.endswith("PRIVATE KEY") and label != "PRIVATE KEY":
            _refuse(subject, f"The key is a '{label}', not an unencrypted PKCS#8 'PRIVATE KEY'.", _TO_PKCS8)
        if label not in {"CERTIFICATE", "PRIVATE KEY"}:
            _refuse(subject, f"The file holds a '{label}' besides certificates and key.", _JOIN)
    keys = [block[0] for block in blocks if block["label"] == "PRIVATE KEY"]
    if len(keys) != 1 or len(blocks) == 1:
        _refuse(subject, f"The file holds {len(blocks) - len(keys)} certificates and {len(keys)} private keys.", _JOIN)
    try:
        key = serialization.load_pem_private_key(keys[0].encode("latin-1"), password=None)
        certificates = [_certificate(block[0]) for block in blocks if block["label"] == "CERTIFICATE"]
    except (ValueError, TypeError, UnsupportedAlgorithm):
        # The parser's own words stay behind: they may repeat the bytes that it could not read.
        raise _rejected(subject, "A PEM block cannot be read: its content is damaged or unsupported.", _JOIN) from None
    return certificates, key


def _certificate(pem: str) -> x509.Certificate:
    certificate = x509.load_pem_x509_certificate(pem.encode("latin-1"))
    # Both are parsed on first use only: do it here, where damage is expected.
    _ = certificate.extensions, certificate.public_key()
    return certificate


def _check_key(key: PrivateKeyTypes, certificates: Sequence[x509.Certificate], subject: str) -> None:
    match key:
        case rsa.RSAPrivateKey() if key.key_size < MINIMUM_RSA_BITS:
            _refuse(subject, f"The RSA key has {key.key_size} bits, fewer than {MINIMUM_RSA_BITS}.", _REISSUE)
        case ec.EllipticCurvePrivateKey() if not isinstance(key.curve, CURVES):
            _refuse(subject, f"The key is on the curve {key.curve.name}.", "Use P-256, P-384 or P-521.")
        case rsa.RSAPrivateKey() | ec.EllipticCurvePrivateKey():
            pass
        case _:
            _refuse(subject, "The key is neither RSA nor elliptic-curve.", "Use RSA, P-256, P-384 or P-521.")
    spki = (Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    public = key.public_key().public_bytes(*spki)
    matching = [index for index, each in enumerate(certificates) if each.public_key().public_bytes(*spki) == public]
    if not matching:
        _refuse(subject, "The private key belongs to none of the certificates.", "Use the key of the certificate.")
    if matching[0] != 0:
        _refuse(subject, "The first certificate is not the one of the private key.", "Put the leaf certificate first.")


def _check_chain(certificates: Sequence[x509.Certificate], subject: str) -> None:
    for number, (certificate, issuer) in enumerate(pairwise(certificates), start=1):
        try:
            certificate.verify_directly_issued_by(issuer)
        except (ValueError, TypeError, InvalidSignature, UnsupportedAlgorithm):
            raise _rejected(
                subject,
                f"Certificate {number} was not issued by certificate {number + 1}.",
                "Order them leaf, intermediates, root, and leave out what does not belong.",
            ) from None


def _check_dates(certificates: Sequence[x509.Certificate], subject: str, now: datetime) -> None:
    for number, certificate in enumerate(certificates, start=1):
        if certificate.not_valid_before_utc > now:
            starts = f"{certificate.not_valid_before_utc:%Y-%m-%d %H:%M} UTC"
            _refuse(subject, f"Certificate {number} is not valid before {starts}.", "Wait, or check the clock.")
        if certificate.not_valid_after_utc <= now:
            ended = f"{certificate.not_valid_after_utc:%Y-%m-%d %H:%M} UTC"
            _refuse(subject, f"Certificate {number} expired at {ended}.", _REISSUE)


def _names(leaf: x509.Certificate) -> tuple[str, ...]:
    try:
        alternative = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        names = alternative.get_values_for_type(x509.DNSName)
    except x509.ExtensionNotFound:
        names = []
    common = [str(attribute.value) for attribute in leaf.subject.get_attributes_for_oid(NameOID.COMMON_NAME)]
    return tuple(dict.fromkeys([*names, *common]))


def _rejected(subject: str, observed: str, remedy: str) -> CertificateRejected:
    return CertificateRejected("use the certificate", subject, observed, remedy)


def _refuse(subject: str, observed: str, remedy: str) -> NoReturn:
    raise _rejected(subject, observed, remedy)
