"""The certificate that a vault holds."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from pratique.certificate.bundle import CertificateBundle


@dataclass(frozen=True)
class StoredCertificate:
    """The current version of a certificate.

    :ivar thumbprint: SHA-1 of the certificate, upper-case hexadecimal
    :ivar issued_on: from when on it is valid
    :ivar names: DNS names, then common names
    :ivar enabled: whether those who need it get it
    """

    thumbprint: str
    issued_on: datetime
    expires_on: datetime
    names: tuple[str, ...]
    enabled: bool
    version: str

    def holds(self, bundle: CertificateBundle) -> bool:
        """Whether it is this very certificate, for everybody to use."""
        return self.enabled and self.thumbprint == bundle.thumbprint


@dataclass(frozen=True)
class CertificateImport:
    """The vault's current certificate after an import.

    :ivar new: whether the import made that version
    """

    certificate: StoredCertificate
    new: bool
