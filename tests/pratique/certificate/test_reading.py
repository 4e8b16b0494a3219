"""The forms and states in which files of certificates and keys arrive, with openssl as the other side."""

from __future__ import annotations

import base64
import codecs
from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.pratique.certificate.issuing import NAME, NOW, Issued, authority, issue, read, rejected
from tests.pratique.certificate.openssl import openssl

WORD = "open sesame"


@cache
def root() -> Issued:
    return authority("root")


@cache
def intermediate() -> Issued:
    return authority("intermediate", issuer=root())


@cache
def leaf() -> Issued:
    return issue(key=rsa.generate_private_key(65537, 2048), issuer=intermediate())


def chain() -> bytes:
    """What is uploaded, whatever the form of the file."""
    return leaf().crt + intermediate().crt + leaf().pem_key()


def with_escapes(separator: str) -> Callable[[str], bytes]:
    return lambda pem: pem.replace("\n", separator).encode()


STATES: dict[str, Callable[[str], bytes]] = {
    "as it is": str.encode,
    "CRLF": with_escapes("\r\n"),
    "CR only": with_escapes("\r"),
    "spaces": with_escapes(" "),
    "tabs": with_escapes("\t"),
    "nothing": with_escapes(""),
    "a literal \\n": with_escapes("\\n"),
    "a literal \\r\\n": with_escapes("\\r\\n"),
    "two backslashes": with_escapes("\\\\n"),
    "backslashes at line ends": with_escapes("\\\n"),
    "indented": with_escapes("\n    "),
    "blank lines": with_escapes("\n\n"),
    "no white space at all": lambda pem: "".join(pem.split()).encode(),
    "quoted": lambda pem: f'"{pem}"'.encode(),
    "UTF-8 with a mark": lambda pem: codecs.BOM_UTF8 + pem.encode(),
    "UTF-16": lambda pem: pem.encode("utf-16"),
    "UTF-16 LE": lambda pem: pem.encode("utf-16-le"),
    "UTF-16 BE with a mark": lambda pem: codecs.BOM_UTF16_BE + pem.encode("utf-16-be"),
    "UTF-16 with CRLF": lambda pem: pem.replace("\n", "\r\n").encode("utf-16"),
    "UTF-32": lambda pem: pem.encode("utf-32"),
    "NUL at the end": lambda pem: pem.encode() + b"\0",
    "a mark before each block": lambda pem: pem.replace("-----BEGIN", "\ufeff-----BEGIN").encode(),
    "non-breaking spaces": lambda pem: pem.replace("\n", "\u00a0\n").encode(),
    "text between the blocks": lambda pem: pem.replace("-----BEGIN", "subject=Zürich\n# note\n-----BEGIN").encode(),
    "text behind the end": lambda pem: f"{pem}\nremember to rotate\n".encode(),
}


@pytest.mark.parametrize("state", STATES)
def test_states_of_a_pem(state: str) -> None:
    """What an editor, a shell, a variable or Windows makes of a file does no harm, nor does base64 of that."""
    file = STATES[state](chain().decode())
    for secret in (file, base64.b64encode(file), base64.encodebytes(file), b'"' + base64.b64encode(file) + b'"\n'):
        assert read(secret).content == chain()
        assert read(base64.b64encode(file).decode().encode("utf-16")).content == chain()


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_any_white_space(data: st.DataObject) -> None:
    """Each block's lines may be separated by anything that is neither a label nor base64."""
    separators = st.text("\r\n\t \0\u00a0\ufeff\u2028", min_size=1, max_size=3) | st.sampled_from(["\\n", "\\r\\n"])
    lines = chain().decode().splitlines()
    file = "".join(line + data.draw(separators) for line in lines)
    encoding = data.draw(st.sampled_from(["utf-8", "utf-16", "utf-16-be"]))
    assert read(file.encode(encoding)).content == chain()


def test_openssl_accepts_what_is_uploaded(tmp_path: Path) -> None:
    """The chain is verified for a server, up to the root that is left out, and the key is its leaf's."""
    for file in (chain(), root().crt + chain(), leaf().pfx(root(), intermediate())):
        (tmp_path / "uploaded.pem").write_bytes(read(file).content)
        (tmp_path / "root.pem").write_bytes(root().crt)
        at = ("-attime", str(int(NOW.timestamp())), "-purpose", "sslserver", "-verify_hostname", f"bu1{NAME[1:]}")
        openssl(*("verify", *at, "-CAfile", "root.pem", "-untrusted", "uploaded.pem", "uploaded.pem"), folder=tmp_path)
        public = openssl("pkey", "-in", "uploaded.pem", "-pubout", folder=tmp_path)
        assert public == openssl("x509", "-in", "uploaded.pem", "-noout", "-pubkey", folder=tmp_path)


def test_the_walkthroughs_own_commands(tmp_path: Path) -> None:
    """`openssl req -x509` and `cat` make a file that is accepted, with a warning about its name."""
    subject = f"/CN={NAME}/O=Contoso AKS Ingress"
    make = ("req", "-x509", "-nodes", "-days", "9000", "-newkey", "rsa:2048", "-subj", subject)
    openssl(*make, "-out", "a.crt", "-keyout", "a.key", folder=tmp_path)
    file = (tmp_path / "a.crt").read_bytes() + (tmp_path / "a.key").read_bytes()
    shown = openssl("x509", "-in", "a.crt", "-noout", "-enddate", "-sha1", "-fingerprint", folder=tmp_path).decode()
    bundle = read(file, at=NOW.replace(year=2040))
    assert bundle.content == file
    assert bundle.thumbprint == shown.partition("Fingerprint=")[2].split()[0].replace(":", "")
    assert "subject alternative name" in bundle.warnings[0]


def test_what_openssl_prints_of_a_pfx(tmp_path: Path) -> None:
    """With Bag Attributes, and the key before its certificate."""
    (tmp_path / "a.pfx").write_bytes(leaf().pfx(root(), intermediate(), password=WORD))
    printed = openssl("pkcs12", "-in", "a.pfx", "-passin", f"pass:{WORD}", "-nodes", folder=tmp_path)
    assert b"Bag Attributes" in printed
    assert read(printed).content == chain()


KEYS = {
    "PKCS #1": ("rsa", "-traditional"),
    "PKCS #8": ("pkcs8", "-topk8", "-nocrypt"),
    "encrypted PKCS #8": ("pkcs8", "-topk8", "-v2", "aes256", "-passout", f"pass:{WORD}"),
    "scrypt": ("pkcs8", "-topk8", "-scrypt", "-passout", f"pass:{WORD}"),
    "PBES1": ("pkcs8", "-topk8", "-v1", "PBE-SHA1-3DES", "-passout", f"pass:{WORD}"),
    "old AES": ("rsa", "-traditional", "-aes128", "-passout", f"pass:{WORD}"),
    "old 3DES": ("rsa", "-traditional", "-des3", "-passout", f"pass:{WORD}"),
}


@pytest.mark.parametrize("form", KEYS)
def test_keys_of_openssl(form: str, tmp_path: Path) -> None:
    """A key in any form, before or behind the certificates; an encrypted one needs its password."""
    (tmp_path / "leaf.key").write_bytes(leaf().pem_key())
    key = openssl(*KEYS[form], "-in", "leaf.key", folder=tmp_path)
    certificates = leaf().crt + intermediate().crt
    for file in (certificates + key, key + certificates):
        for state in ("as it is", "spaces", "nothing", "a literal \\n", "UTF-16"):
            assert read(STATES[state](file.decode()), WORD).content == chain()
    if "pass:" not in "".join(KEYS[form]):
        assert read(certificates + key).content == chain()
        return
    assert "The private key has a password. Next: Set certificate.password" in rejected(certificates + key)
    assert "does not open the private key" in rejected(certificates + key, "shut sesame")


def test_the_command_in_the_message_removes_a_password(tmp_path: Path) -> None:
    """It makes a key that is accepted without one."""
    encrypted = leaf().pem_key(encryption=BestAvailableEncryption(WORD.encode()))
    command = rejected(leaf().crt + encrypted).partition("openssl ")[2].split()
    (tmp_path / "OLD.key").write_bytes(encrypted)
    openssl(*command, "-passin", f"pass:{WORD}", folder=tmp_path)
    certificates = leaf().crt + intermediate().crt
    assert read(certificates + (tmp_path / "NEW.key").read_bytes()).content == chain()


def test_an_elliptic_curve_key_with_its_parameters(tmp_path: Path) -> None:
    """openssl writes EC PARAMETERS before the key. Other blocks that are no certificate and no key do no harm."""
    openssl("ecparam", "-name", "prime256v1", "-genkey", "-out", "ec.key", folder=tmp_path)
    made = ("req", "-x509", "-key", "ec.key", "-subj", f"/CN={NAME}", "-addext", f"subjectAltName=DNS:{NAME}")
    openssl(*made, "-days", "9000", "-out", "ec.crt", folder=tmp_path)
    key, certificate = (tmp_path / "ec.key").read_bytes(), (tmp_path / "ec.crt").read_bytes()
    assert b"EC PARAMETERS" in key
    request = b"-----BEGIN CERTIFICATE REQUEST-----\n%%%\n-----END CERTIFICATE REQUEST-----\n"
    content = read(key + request + certificate, at=NOW.replace(year=2040)).content
    assert content.startswith(certificate)
    assert b"BEGIN PRIVATE KEY" in content


def test_der() -> None:
    """A `.cer` with its key behind it, both as DER or the key as PEM, and base64 of that; alone, it lacks the key."""
    certificates = [issued.certificate.public_bytes(Encoding.DER) for issued in (leaf(), intermediate())]
    forms = (PrivateFormat.PKCS8, PrivateFormat.TraditionalOpenSSL)
    keys = [leaf().key.private_bytes(Encoding.DER, form, NoEncryption()) for form in forms]
    for key in [*keys, leaf().pem_key(), b"\r\n" + leaf().pem_key()]:
        for file in (b"".join([*certificates, key]), b"\n".join([*certificates, key]) + b"\n"):
            assert read(file).content == chain()
            assert read(base64.encodebytes(file)).content == chain()
    encrypted = leaf().key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, BestAvailableEncryption(WORD.encode()))
    assert read(encrypted + b"".join(certificates), WORD).content == chain()
    alone = rejected(certificates[0])
    assert "1 certificate and no private key; both are needed. Next: Build the file from its parts: cat" in alone
    assert "its end is missing" in rejected(certificates[0][:-1])


def test_pkcs7(tmp_path: Path) -> None:
    """The chain as Windows' authorities deliver it, with the key behind it."""
    (tmp_path / "chain.pem").write_bytes(root().crt + intermediate().crt + leaf().crt)
    for form in ("PEM", "DER"):
        found = openssl("crl2pkcs7", "-nocrl", "-certfile", "chain.pem", "-outform", form, folder=tmp_path)
        assert read(found + leaf().pem_key()).content == chain()


def test_trusted_certificates_of_openssl(tmp_path: Path) -> None:
    """Its own form has settings behind the certificate."""
    (tmp_path / "leaf.crt").write_bytes(leaf().crt)
    trusted = openssl("x509", "-in", "leaf.crt", "-trustout", "-addtrust", "serverAuth", folder=tmp_path)
    assert b"BEGIN TRUSTED CERTIFICATE" in trusted
    assert read(trusted + intermediate().crt + leaf().pem_key()).content == chain()


def test_files_that_are_none() -> None:
    """Empty, other text, a damaged block, a block without its end, and OpenSSH's key: each is named, none repeated."""
    assert "neither PEM, DER nor PFX" in rejected(b"")
    assert "hunter2" not in rejected(b"hunter2!")
    lines = leaf().crt.splitlines(keepends=True)
    damaged = b"".join([*lines[:-3], lines[-2], lines[-1]])
    assert "A certificate cannot be read: it is damaged" in rejected(damaged + leaf().pem_key())
    assert "'CERTIFICATE' is damaged: it is not base64" in rejected(leaf().crt.replace(b"M", b"*") + leaf().pem_key())
    cut = rejected(leaf().crt + leaf().pem_key()[:-40])
    assert "not complete: its line 'BEGIN PRIVATE KEY' has no counterpart" in cut
    assert "'BEGIN CERTIFICATE' has no counterpart" in rejected(b"".join(lines[:-1]) + leaf().pem_key())
    assert "'END CERTIFICATE' has no counterpart" in rejected(b"".join(lines[1:]) + leaf().pem_key())
    own = leaf().key.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption())
    assert "OpenSSH's own format. Next: Convert it: ssh-keygen -p" in rejected(leaf().crt + own)
    public = leaf().key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    assert "1 certificate and no private key" in rejected(leaf().crt + public)
