"""The checks of a certificate, and what is made of it for Key Vault and for the template."""

from __future__ import annotations

import base64
from datetime import timedelta

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from tests.pratique.certificate.issuing import NAME, NOW, Issued, Key, authority, issue, read, rejected


@pytest.fixture(scope="module")
def rsa_leaf() -> Issued:
    return issue(key=rsa.generate_private_key(65537, 2048))


def test_a_plain_file_is_uploaded_as_it_is(rsa_leaf: Issued) -> None:
    """`cat crt key` passes, and what is written anew for the upload has the same bytes."""
    bundle = read(rsa_leaf.pem)
    assert bundle.content == rsa_leaf.pem
    assert (bundle.names, bundle.warnings) == ((NAME,), ())
    assert bundle.thumbprint == rsa_leaf.thumbprint
    assert (bundle.not_before, bundle.not_after) == (NOW - timedelta(days=1), NOW + timedelta(days=364))
    assert bundle.days_left(NOW) == 364


def test_key_material_is_not_printed(rsa_leaf: Issued) -> None:
    """Neither repr nor str of a bundle contains bytes of the file."""
    bundle = read(rsa_leaf.pem)
    assert "BEGIN" not in repr(bundle) + str(bundle)
    assert "content=" not in repr(bundle)


def test_public_base64_contains_only_certificates() -> None:
    """The template's parameter is the PEM of the chain with its root, which the gateway trusts, and without the key."""
    root = authority("root")
    leaf = issue(issuer=root)
    bundle = read(leaf.pem_key() + leaf.crt + root.crt)
    assert base64.b64decode(bundle.public_base64) == leaf.crt + root.crt
    assert bundle.content == leaf.pem
    alone = issue()
    assert base64.b64decode(read(alone.pem).public_base64) == alone.crt


def test_a_single_private_key_is_required() -> None:
    """No key, two keys, and a key without a certificate are rejected; one key twice counts once."""
    leaf = issue()
    assert "1 certificate and no private key; both are needed." in rejected(leaf.crt)
    assert "1 certificate and 2 private keys." in rejected(leaf.pem + issue().pem_key())
    assert "no certificate and 1 private key; both are needed." in rejected(leaf.pem_key())
    assert read(leaf.pem + leaf.pem_key()).content == leaf.pem


def test_a_key_of_another_certificate_is_rejected() -> None:
    """The key must belong to one of the certificates."""
    assert "belongs to none" in rejected(issue().crt + issue().pem_key())


def test_the_dates_of_the_whole_chain_are_checked() -> None:
    """Expired, not yet valid, and with an expired issuer: all are rejected by name. The last second is expired."""
    leaf = issue(days=10)
    assert f"'CN={NAME}' expired at 2026-12-02 12:00 UTC" in rejected(leaf.pem, at=NOW + timedelta(days=9))
    assert read(leaf.pem).days_left(NOW + timedelta(days=8, hours=23)) == 0
    assert f"'CN={NAME}' is not valid before 2026-11-22 12:00 UTC" in rejected(leaf.pem, at=NOW - timedelta(days=2))
    root = authority("root")
    intermediate = authority("intermediate", issuer=root, days=0.5)
    child = issue(issuer=intermediate)
    for rest in (b"", root.crt):
        assert "'CN=intermediate' expired at" in rejected(child.pem + intermediate.crt + rest)


@pytest.mark.parametrize(
    ("key", "message"),
    [
        (ec.generate_private_key(ec.SECP224R1()), "secp224r1"),
        (ed25519.Ed25519PrivateKey.generate(), "neither RSA nor elliptic-curve"),
        (rsa.generate_private_key(65537, 1024), "1024 bits"),  # noqa: S505  # to be rejected
        (rsa.generate_private_key(65537, 2056), "2056 bits"),
    ],
    ids=["small curve", "Ed25519", "small RSA", "odd RSA"],
)
def test_weak_and_unsupported_keys_are_rejected(key: Key, message: str) -> None:
    """Only RSA with 2048, 3072 or 4096 bits and the NIST curves from P-256 on are accepted, in a PEM and in a PFX."""
    weak = issue(key=key)
    assert message in rejected(weak.pem)
    assert message in rejected(weak.pfx())
