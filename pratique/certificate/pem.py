"""PEM files as Key Vault takes them: certificates and one unencrypted PKCS#8 private key, and no other text.

Source: Key Vault, "Import a certificate" and "Supported certificate composition".
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.serialization import Encoding

from pratique.certificate.parts import Parts, parse_now, refuse, rejected

MARK = b"-----BEGIN "

_BLOCK = re.compile(r"-----BEGIN (?P<label>[A-Z0-9 ]+)-----\s.*?-----END (?P=label)-----", re.DOTALL)
_TO_PKCS8 = "Convert it: openssl pkcs8 -topk8 -nocrypt -in OLD.key -out NEW.key"
_JOIN = "Build the file from its parts: cat certificate.crt private.key > certificate.pem"


def read_pem(data: bytes, subject: str) -> Parts:
    """The parts of a PEM file.

    :param data: certificates and one private key anywhere among them
    :param subject: what to call the certificate in an error
    :raises CertificateRejected: no message repeats the content
    """
    text = data.decode("latin-1")  # never fails; what is not ASCII ends as text outside the blocks
    blocks = list(_BLOCK.finditer(text))
    _check_text(text, subject)
    _check_labels([block["label"] for block in blocks], subject)
    try:
        certificates = [_certificate(block[0]) for block in blocks if block["label"] == "CERTIFICATE"]
        key = serialization.load_pem_private_key(_key_block(text).encode("latin-1"), password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise rejected(subject, "A PEM block cannot be read: its content is damaged or unsupported.", _JOIN) from None
    return Parts(key, tuple(certificates))


def reordered(data: bytes, certificates: Sequence[x509.Certificate]) -> bytes:
    """The same file with its certificates in this order, and the key, as it is written there, at the end."""
    written = b"".join(each.public_bytes(Encoding.PEM) for each in certificates)
    return written + _key_block(data.decode("latin-1")).encode("latin-1") + b"\n"


def _key_block(text: str) -> str:
    return next(block[0] for block in _BLOCK.finditer(text) if block["label"] == "PRIVATE KEY")


def _check_text(text: str, subject: str) -> None:
    outside = _BLOCK.sub(lambda block: "\n" * block[0].count("\n"), text)
    for number, line in enumerate(outside.split("\n"), start=1):
        if line.strip(" \t\r"):
            refuse(subject, f"Line {number} is outside the PEM blocks, which Key Vault refuses.", _JOIN)


def _check_labels(labels: Sequence[str], subject: str) -> None:
    for label in labels:
        if label.endswith("PRIVATE KEY") and label != "PRIVATE KEY":
            refuse(subject, f"The key is a '{label}', not an unencrypted PKCS#8 'PRIVATE KEY'.", _TO_PKCS8)
        if label not in {"CERTIFICATE", "PRIVATE KEY"}:
            refuse(subject, f"The file holds a '{label}' besides certificates and key.", _JOIN)
    keys = labels.count("PRIVATE KEY")
    if keys != 1 or len(labels) == 1:
        refuse(subject, f"The file holds {len(labels) - keys} certificates and {keys} private keys.", _JOIN)


def _certificate(block: str) -> x509.Certificate:
    return parse_now(x509.load_pem_x509_certificate(block.encode("latin-1")))
