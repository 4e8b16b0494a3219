"""PEM files as Key Vault takes them: certificates and one unencrypted PKCS#8 private key, and no other text.

Source: Key Vault, "Import a certificate" and "Supported certificate composition".
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.serialization import Encoding

from pratique.certificate.parts import DAMAGED, CertificateParts, parse_fully, reject, rejection

MARK = b"-----BEGIN "

#: No block contains the beginning of another one. Without that rule, the time would grow with the square of the size.
_BLOCK = re.compile(r"-----BEGIN (?P<label>[A-Z0-9 ]+)-----\s(?:(?!-----BEGIN ).)*?-----END (?P=label)-----", re.DOTALL)
_TO_PKCS8 = "Convert it: openssl pkcs8 -topk8 -nocrypt -in OLD.key -out NEW.key"
_JOIN = "Build the file from its parts: cat certificate.crt private.key > certificate.pem"


def read_pem(data: bytes, subject: str) -> CertificateParts:
    """Read the parts of a PEM file.

    :param data: certificates and one private key, in any order
    :param subject: name of the certificate in errors
    :raises CertificateRejected: the message never repeats the content
    """
    text = data.decode("latin-1")  # never fails; non-ASCII bytes become text outside the blocks
    blocks = list(_BLOCK.finditer(text))
    _check_text(text, subject)
    _check_labels([block["label"] for block in blocks], subject)
    try:
        certificates = [_certificate(block[0]) for block in blocks if block["label"] == "CERTIFICATE"]
        key = serialization.load_pem_private_key(_key_block(text).encode("latin-1"), password=None)
    except DAMAGED:
        raise rejection(subject, "A PEM block cannot be read: its content is damaged or unsupported.", _JOIN) from None
    return CertificateParts(key, tuple(certificates))


def reorder(data: bytes, certificates: Sequence[x509.Certificate]) -> bytes:
    """The file with its certificates in this order, and its key, unchanged, at the end."""
    blocks = b"".join(certificate.public_bytes(Encoding.PEM) for certificate in certificates)
    return blocks + _key_block(data.decode("latin-1")).encode("latin-1") + b"\n"


def _key_block(text: str) -> str:
    return next(block[0] for block in _BLOCK.finditer(text) if block["label"] == "PRIVATE KEY")


def _check_text(text: str, subject: str) -> None:
    outside = _BLOCK.sub(lambda block: "\n" * block[0].count("\n"), text)
    for number, line in enumerate(outside.split("\n"), start=1):
        if line.strip(" \t\r"):
            reject(subject, f"Line {number} is outside the PEM blocks, which Key Vault rejects.", _JOIN)


def _check_labels(labels: Sequence[str], subject: str) -> None:
    for label in labels:
        if label.endswith("PRIVATE KEY") and label != "PRIVATE KEY":
            reject(subject, f"The key is a '{label}', not an unencrypted PKCS#8 'PRIVATE KEY'.", _TO_PKCS8)
        if label not in {"CERTIFICATE", "PRIVATE KEY"}:
            reject(subject, f"The file contains a '{label}' besides certificates and key.", _JOIN)
    keys = labels.count("PRIVATE KEY")
    if keys != 1 or len(labels) == 1:
        reject(subject, f"The file contains {len(labels) - keys} certificates and {keys} private keys.", _JOIN)


def _certificate(block: str) -> x509.Certificate:
    return parse_fully(x509.load_pem_x509_certificate(block.encode("latin-1")))
