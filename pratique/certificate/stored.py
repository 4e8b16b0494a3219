"""A certificate as a vault stores it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from pratique.certificate.bundle import CertificateBundle


@dataclass(frozen=True, kw_only=True)
class StoredCertificate:
    """The current version of a certificate in a vault.

    :ivar thumbprint: SHA-1 of the certificate as upper-case hex
    :ivar issued_on: start of its validity
    :ivar names: as :func:`~pratique.certificate.server.names_of` has them
    :ivar enabled: whether the version is enabled, so that clients can read it
    """

    thumbprint: str
    issued_on: datetime
    expires_on: datetime
    names: tuple[str, ...]
    enabled: bool
    version: str

    def holds(self, bundle: CertificateBundle) -> bool:
        """Whether it is this certificate, and enabled."""
        return self.enabled and self.thumbprint == bundle.thumbprint


@dataclass(frozen=True)
class CertificateImport:
    """The vault's current certificate after an import.

    :ivar new: whether the import created that version
    """

    certificate: StoredCertificate
    new: bool
