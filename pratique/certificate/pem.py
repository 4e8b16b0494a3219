"""Finds the blocks of a PEM file, in the states in which real ones arrive.

Programs, editors and variables add a byte order mark, UTF-16, other line breaks, indentation, or text between the
blocks (openssl's ``Bag Attributes``), and turn line breaks into spaces, into a literal ``\\n``, or into nothing. All of
this can be undone, because it is part of neither labels nor base64. Source: RFC 7468, §3 (lax parsing).
"""

from __future__ import annotations

import base64
import re

from pratique.certificate.parts import Element, reject, rejection

MARK = "-----BEGIN"
JOIN = "Build the file from its parts: cat certificate.crt chain.crt private.key > certificate.pem"

#: Encodings, and how many bytes each character of ASCII takes in them.
_WIDE = (("utf-32-le", 4), ("utf-32-be", 4), ("utf-16-le", 2), ("utf-16-be", 2))
_LINE = re.compile(r"-----(?P<end>BEGIN|END)(?P<label>[A-Z0-9\s]+)-----")
_ESCAPES = re.compile(r"\\+[nrt]?")
_NOT_BASE64 = re.compile(r"[^!-~]|[\"']")
#: The header of OpenSSL's old encrypted keys. The length of the vector is the cipher's block size, in hex.
_CIPHER = re.compile(
    r"Proc-Type:\s*4,\s*ENCRYPTED\s*DEK-Info:\s*(AES-[0-9]+-[A-Z]+,\s*[0-9A-Fa-f]{32}|[A-Z0-9-]+,\s*[0-9A-Fa-f]{16})"
)
_LABELS = (
    "CERTIFICATE",
    "X509 CERTIFICATE",
    "TRUSTED CERTIFICATE",
    "PKCS7",
    "PRIVATE KEY",
    "RSA PRIVATE KEY",
    "EC PRIVATE KEY",
    "DSA PRIVATE KEY",
    "ENCRYPTED PRIVATE KEY",
    "OPENSSH PRIVATE KEY",
)
_BY_LETTERS = {label.replace(" ", ""): label for label in _LABELS}


def ascii_text(data: bytes) -> str:
    """The text of a file in a superset of ASCII, UTF-16 or UTF-32, with or without a byte order mark.

    In a superset of ASCII, other characters become one or several characters beyond ASCII.
    """
    for encoding, width in _WIDE:
        place = data.find(MARK.encode(encoding))
        if place >= 0 and place % width == 0:
            return data.decode(encoding, "replace")
    return data.replace(b"\0", b"").decode("latin-1")


def base64_content(text: str) -> bytes:
    """Decode base64, whatever became of its line breaks and its padding.

    :raises ValueError: when it is not base64
    """
    letters = _NOT_BASE64.sub("", _ESCAPES.sub("", text)).rstrip("=")
    return base64.b64decode(letters + "=" * (-len(letters) % 4), validate=True)


def pem_elements(text: str, source: str) -> list[Element]:
    """The certificates and keys of a PEM file. Blocks of other kinds, such as ``EC PARAMETERS``, are left out.

    :param source: of the certificate, in errors
    :raises CertificateRejected: when a block is not complete, or not base64
    """
    elements: list[Element] = []
    begin: re.Match[str] | None = None
    for line in _LINE.finditer(text):
        if (line["end"] == "BEGIN") != (begin is None) or (begin and _letters(begin) != _letters(line)):
            _reject_incomplete(begin or line, source)
        if begin is not None and (label := _BY_LETTERS.get(_letters(begin))) is not None:
            elements.append(_element(label, text[begin.end() : line.start()], source))
        begin = line if begin is None else None
    if begin is not None:
        _reject_incomplete(begin, source)
    return elements


def _letters(line: re.Match[str]) -> str:
    return "".join(line["label"].split())


def _reject_incomplete(line: re.Match[str], source: str) -> None:
    label = " ".join(line["label"].split())
    reject(source, f"A PEM block is not complete: its line '{line['end']} {label:.80}' has no counterpart.", JOIN)


def _element(label: str, body: str, source: str) -> Element:
    body = _ESCAPES.sub(" ", body)
    cipher = _CIPHER.search(body)
    try:
        return Element(label, base64_content(body[cipher.end() :] if cipher else body), cipher[1] if cipher else None)
    except ValueError:
        raise rejection(source, f"The PEM block '{label}' is damaged: it is not base64.", JOIN) from None


def pem_block(element: Element) -> bytes:
    """A key in OpenSSL's old encrypted form, as a PEM block."""
    text = base64.encodebytes(element.content).decode()
    header = f"Proc-Type: 4,ENCRYPTED\nDEK-Info: {element.cipher}\n"
    return f"-----BEGIN {element.label}-----\n{header}\n{text}-----END {element.label}-----\n".encode()
