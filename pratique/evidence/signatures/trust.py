"""The trust store, and the requirements that a certificate chain must meet.

Source: Notary Project signature specification, "Certificate Requirements". Extensions that it does not name are
ignored, as it demands. Revocation is not checked: to revoke a root, remove it from the trust store.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TypeVar

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.x509.oid import ExtendedKeyUsageOID

from pratique.errors import ConfigurationError
from pratique.evidence.signatures.envelope import MalformedEnvelope

_FORBIDDEN_PURPOSES = frozenset(
    {
        ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE,
        ExtendedKeyUsageOID.SERVER_AUTH,
        ExtendedKeyUsageOID.CLIENT_AUTH,
        ExtendedKeyUsageOID.EMAIL_PROTECTION,
        ExtendedKeyUsageOID.TIME_STAMPING,
    }
)
_LONGEST_NAME = 200  # characters of an untrusted name that a message quotes

_Kind = TypeVar("_Kind", bound=x509.ExtensionType)


@dataclass(frozen=True)
class TrustStore:
    """Trusted certificates. A signature's chain must contain at least one of them."""

    anchors: tuple[x509.Certificate, ...]

    @classmethod
    def load(cls, paths: Iterable[Path]) -> TrustStore:
        """Read PEM files, each with one certificate or more.

        :raises ConfigurationError: when a file cannot be read, or no certificate is given
        """
        anchors: list[x509.Certificate] = []
        for path in paths:
            try:
                anchors += x509.load_pem_x509_certificates(path.read_bytes())
            except (OSError, ValueError) as error:
                raise ConfigurationError(
                    "read the trusted certificates", str(path), f"{error}.", "Name a PEM file of CA certificates."
                ) from error
        if not anchors:
            raise ConfigurationError(
                "read the trusted certificates",
                "trust store",
                "It is empty, so no signature could ever be trusted.",
                "Name the PEM file of the root that signs the findings artifacts.",
            )
        return cls(tuple(anchors))


def check_chain(chain: Sequence[x509.Certificate], trust: TrustStore, times: Sequence[datetime]) -> None:
    """Check that a chain leads in order from the signing certificate to a self-signed root, and contains an anchor.

    :param times: at each of which every certificate must be valid
    :raises MalformedEnvelope: when it does not, or ``InvalidSignature`` when a certificate is not signed by its issuer
    """
    for certificate, issuer in zip(chain, (*chain[1:], chain[-1]), strict=True):
        subject = _name(certificate)
        certificate.verify_directly_issued_by(issuer)
        if not isinstance(certificate.signature_hash_algorithm, hashes.SHA256 | hashes.SHA384 | hashes.SHA512):
            raise MalformedEnvelope(f"The certificate {subject} is signed with a weak hash.")
        if not all(certificate.not_valid_before_utc <= at <= certificate.not_valid_after_utc for at in times):
            raise MalformedEnvelope(
                f"The certificate {subject} was not valid at the signing time, or is not valid now."
            )
    _check_leaf(chain[0])
    for below, authority in enumerate(chain[1:]):
        _check_authority(authority, below)
    if not any(certificate in trust.anchors for certificate in chain):
        raise MalformedEnvelope(f"The chain ends in {_name(chain[-1])}, which is not in the trust store.")


def _check_leaf(certificate: x509.Certificate) -> None:
    """Certificate Requirements, "Leaf Certificates"."""
    usage = _extension(certificate, x509.KeyUsage)
    if usage is None or not usage.critical:
        raise MalformedEnvelope("The signing certificate has no critical key usage.")
    bits = usage.value
    other = bits.key_encipherment or bits.data_encipherment or bits.key_agreement or bits.key_cert_sign or bits.crl_sign
    if not bits.digital_signature or other:
        raise MalformedEnvelope("The signing certificate's key usage is not limited to digital signatures.")
    constraints = _extension(certificate, x509.BasicConstraints)
    if constraints is not None and constraints.value.ca:
        raise MalformedEnvelope("The signing certificate is a CA certificate.")
    purposes = _extension(certificate, x509.ExtendedKeyUsage)
    if purposes is not None and not _FORBIDDEN_PURPOSES.isdisjoint(purposes.value):
        raise MalformedEnvelope("The signing certificate is for purposes other than signing.")


def _check_authority(certificate: x509.Certificate, below: int) -> None:
    """Certificate Requirements, "Root and Intermediate CA Certificates".

    :param below: number of other authorities between this one and the signing certificate
    """
    subject = _name(certificate)
    constraints = _extension(certificate, x509.BasicConstraints)
    if constraints is None or not constraints.critical or not constraints.value.ca:
        raise MalformedEnvelope(f"The certificate {subject} is not a CA certificate.")
    if constraints.value.path_length is not None and constraints.value.path_length < below:
        raise MalformedEnvelope(f"The chain below {subject} is longer than its path length permits.")
    usage = _extension(certificate, x509.KeyUsage)
    if usage is None or not usage.critical or not usage.value.key_cert_sign:
        raise MalformedEnvelope(f"The certificate {subject} is not allowed to issue certificates.")


def _extension(certificate: x509.Certificate, kind: type[_Kind]) -> x509.Extension[_Kind] | None:
    try:
        return certificate.extensions.get_extension_for_class(kind)
    except x509.ExtensionNotFound:
        return None


def _name(certificate: x509.Certificate) -> str:
    """The certificate's subject, quoted and shortened, because it is untrusted text."""
    return repr(certificate.subject.rfc4514_string()[:_LONGEST_NAME])
