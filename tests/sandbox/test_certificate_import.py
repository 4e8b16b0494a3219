"""What Key Vault reads from an import, without a vault."""

from __future__ import annotations

import base64
from functools import cache

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, Encoding, PrivateFormat, pkcs12

from sandbox.core.errors import HttpFault
from sandbox.services.keyvault.certificates import PEM, PFX, read_import
from tests.sandbox.certificates import certificate_pem, key_pem, self_signed


@cache
def _rsa_key(number: int = 0) -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(65537, 2048)


def _base64(content: str | bytes) -> str:
    return base64.b64encode(content.encode() if isinstance(content, str) else content).decode()


def test_pem_comes_raw_or_in_base64_in_any_order() -> None:
    """Certificate and key may stand in either order, and az and the SDK encode them differently."""
    certificate = self_signed(_rsa_key())
    cert, key = certificate_pem(certificate), key_pem(_rsa_key())
    for value in (cert + key, key + cert, _base64(cert + key)):
        imported = read_import(value, None, None)
        assert (imported.certificate, imported.content_type) == (certificate, PEM)


def test_a_pfx_with_its_password_becomes_a_secret_without_one() -> None:
    """The secret behind it opens without a password."""
    certificate = self_signed(_rsa_key())
    pfx = pkcs12.serialize_key_and_certificates(b"x", _rsa_key(), certificate, None, BestAvailableEncryption(b"word"))
    imported = read_import(_base64(pfx), "word", None)
    key, stored, _ = pkcs12.load_key_and_certificates(base64.b64decode(imported.secret), None)
    assert imported.content_type == PFX
    assert stored == certificate
    assert isinstance(key, rsa.RSAPrivateKey)
    with pytest.raises(HttpFault, match="BadParameter"):
        read_import(_base64(pfx), "other", None)


def test_the_certificate_of_the_key_leads_the_chain() -> None:
    """Unless the order is to be kept, and then it must lead already."""
    own, other = self_signed(_rsa_key()), self_signed(_rsa_key(1), "root.example")
    value = certificate_pem(other) + certificate_pem(own) + key_pem(_rsa_key())
    assert read_import(value, None, None).chain == (own, other)
    with pytest.raises(HttpFault, match="does not match"):
        read_import(value, None, None, keep_order=True)


def test_an_elliptic_curve_key_is_read() -> None:
    """With its curve by the name that Key Vault gives it."""
    key = ec.generate_private_key(ec.SECP256R1())
    assert read_import(certificate_pem(self_signed(key)) + key_pem(key), None, PEM).curve == "P-256"


def test_the_thumbprint_is_the_sha1_in_base64url() -> None:
    """``x5t`` as clients compute it."""
    certificate = self_signed(_rsa_key())
    imported = read_import(certificate_pem(certificate) + key_pem(_rsa_key()), None, None)
    padded = imported.thumbprint + "=" * (-len(imported.thumbprint) % 4)
    assert base64.urlsafe_b64decode(padded) == certificate.fingerprint(hashes.SHA1())  # noqa: S303 - x5t is SHA-1


@cache
def _refused_contents() -> dict[str, tuple[str, str | None]]:
    key = _rsa_key()
    cert = certificate_pem(self_signed(key))
    small = rsa.generate_private_key(65537, 1024)  # noqa: S505 - refused for its size
    return {
        "nothing of the kind": ("%%%", None),
        "no key": (cert, None),
        "no certificate": (key_pem(key), None),
        "two keys": (cert + key_pem(key) + key_pem(key), None),
        "a PKCS#1 key": (cert + key_pem(key, PrivateFormat.TraditionalOpenSSL), None),
        "other text": ("subject=CN\n" + cert + key_pem(key), None),
        "a foreign key": (cert + key_pem(_rsa_key(1)), None),
        "a small key": (certificate_pem(self_signed(small)) + key_pem(small), None),
        "a PEM where the policy says PFX": (cert + key_pem(key), PFX),
        "a PFX where the policy says PEM": (_base64(b"\x30\x82"), PEM),
        "an unknown kind of key": (_changed(key, "2a864886f70d010101", "2a864886f70d010145") + key_pem(key), None),
        "a certificate of version 6": (_changed(key, "a003020102", "a003020105") + key_pem(key), None),
        "half a certificate": (cert[:200] + "\n-----END CERTIFICATE-----\n" + key_pem(key), None),
    }


def _changed(key: rsa.RSAPrivateKey, old: str, new: str) -> str:
    """A certificate with other bytes, both in hex."""
    der = self_signed(key).public_bytes(Encoding.DER)
    assert bytes.fromhex(old) in der
    body = base64.encodebytes(der.replace(bytes.fromhex(old), bytes.fromhex(new))).decode()
    return f"-----BEGIN CERTIFICATE-----\n{body}-----END CERTIFICATE-----\n"


@pytest.mark.parametrize("case", _refused_contents())
def test_what_cannot_be_used_is_refused(case: str) -> None:
    """400 BadParameter, whatever is wrong."""
    value, content_type = _refused_contents()[case]
    with pytest.raises(HttpFault) as refused:
        read_import(value, None, content_type)
    assert (refused.value.status, refused.value.body["error"]["code"]) == (400, "BadParameter")
