"""PFX files (PKCS#12), with a password or without."""

from __future__ import annotations

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import pkcs12

from pratique.certificate.parts import Parts, parse_now, refuse, rejected


def is_der(data: bytes) -> bool:
    """Whether it begins as a DER sequence too long for a single length byte, as every PFX does."""
    return len(data) > 1 and data[0] == 0x30 and data[1] > 0x80


def read_pfx(data: bytes, password: str | None, subject: str) -> Parts:
    """The parts of a PFX: the certificate that the file ties to the key, then the others.

    :param password: ``None`` and the empty one are the same
    :param subject: what to call the certificate in an error
    :raises CertificateRejected: no message repeats the content or the password
    """
    try:
        key, certificate, others = pkcs12.load_key_and_certificates(data, password.encode() if password else None)
        certificates = [parse_now(each) for each in (certificate, *others) if each is not None]
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise _locked(password, subject) from None
    if key is None or not certificates:
        refuse(
            subject,
            f"The PFX holds {len(certificates)} certificates and {'no' if key is None else 'a'} private key.",
            "Export it with its private key: openssl pkcs12 -export -inkey private.key -in certificate.crt -out x.pfx",
        )
    return Parts(key, tuple(certificates))


def _locked(password: str | None, subject: str) -> Exception:
    if password:
        return rejected(
            subject,
            "The password does not open the PFX, or the file is damaged.",
            "Correct the secret that certificate.password names, or export the PFX again.",
        )
    return rejected(
        subject,
        "The PFX does not open without a password, or the file is damaged.",
        "Name in certificate.password where its password lies, or export the PFX again.",
    )
