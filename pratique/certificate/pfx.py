"""PFX files (PKCS#12), with or without a password."""

from __future__ import annotations

from cryptography.hazmat.primitives.serialization import pkcs12

from pratique.certificate.parts import DAMAGED, CertificateParts, parse_fully, reject, rejection


def is_der(data: bytes) -> bool:
    """Whether the data begins like a PFX: with a DER sequence that is too long for a single length byte."""
    return len(data) > 1 and data[0] == 0x30 and data[1] > 0x80


def read_pfx(data: bytes, password: str | None, subject: str) -> CertificateParts:
    """Read the parts of a PFX: the key's certificate as the file states it, then the others.

    :param password: ``None`` and the empty password are the same
    :param subject: name of the certificate in errors
    :raises CertificateRejected: the message never repeats the content or the password
    """
    try:
        key, certificate, others = pkcs12.load_key_and_certificates(data, password.encode() if password else None)
        certificates = [parse_fully(found) for found in (certificate, *others) if found is not None]
    except DAMAGED:
        raise _unreadable(password, subject) from None
    if key is None or not certificates:
        reject(
            subject,
            f"The PFX contains {len(certificates)} certificates and {'no' if key is None else 'a'} private key.",
            "Export it with its private key: openssl pkcs12 -export -inkey private.key -in certificate.crt -out x.pfx",
        )
    return CertificateParts(key, tuple(certificates))


def _unreadable(password: str | None, subject: str) -> Exception:
    if password:
        return rejection(
            subject,
            "The password does not open the PFX, or the file is damaged.",
            "Correct the secret that certificate.password names, or export the PFX again.",
        )
    return rejection(
        subject,
        "The PFX needs a password, or the file is damaged.",
        "Set certificate.password to the place of its password, or export the PFX again.",
    )
