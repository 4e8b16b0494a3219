"""PFX files (PKCS#12), with or without a password."""

from __future__ import annotations

import warnings

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes
from cryptography.hazmat.primitives.serialization import pkcs12

from pratique.certificate.key_derivation import require_few_iterations
from pratique.certificate.parts import DAMAGED, parse_fully, rejection


def read_pfx(data: bytes, password: str | None, source: str) -> tuple[PrivateKeyTypes | None, list[x509.Certificate]]:
    """Read the parts of a PFX: the key, the key's certificate as the file states it, then the others.

    :param password: ``None`` and the empty password are the same
    :param source: of the certificate, in errors
    :raises CertificateRejected: the message never repeats the content or the password
    """
    require_few_iterations(data, source)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the library warns about BER, which it reads
            key, certificate, others = pkcs12.load_key_and_certificates(data, password.encode() if password else None)
        return key, [parse_fully(found) for found in (certificate, *others) if found is not None]
    except DAMAGED:
        raise _unreadable(password, source) from None


def _unreadable(password: str | None, source: str) -> Exception:
    if password:
        return rejection(
            source,
            "The password does not open the PFX, or the file is damaged.",
            "Correct the secret that certificate.password names, or export the PFX again.",
        )
    return rejection(
        source,
        "The PFX needs a password, or the file is damaged.",
        "Set certificate.password to the place of its password, or export the PFX again.",
    )
