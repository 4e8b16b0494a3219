from __future__ import annotations

import base64
import shutil
import subprocess
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    KeySerializationEncryption,
    NoEncryption,
    PrivateFormat,
)
from cryptography.x509.oid import NameOID

from pratique.certificate import from_secret, public_base64, read_pem
from pratique.errors import CertificateRejected, ConfigurationError

NAME = "*.aks-ingress.contoso.com"
NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)

Key = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey


@dataclass(frozen=True)
class Issued:
    """A certificate and its key."""

    certificate: x509.Certificate
    key: Key

    @property
    def crt(self) -> bytes:
        return self.certificate.public_bytes(Encoding.PEM)

    def pem_key(
        self,
        form: PrivateFormat = PrivateFormat.PKCS8,
        encryption: KeySerializationEncryption = NoEncryption(),  # noqa: B008  # a constant without state
    ) -> bytes:
        return self.key.private_bytes(Encoding.PEM, form, encryption)

    @property
    def pem(self) -> bytes:
        return self.crt + self.pem_key()


def issue(
    common_name: str = NAME,
    *,
    key: Key | None = None,
    issuer: Issued | None = None,
    names: tuple[str, ...] | None = None,
    start: datetime = NOW - timedelta(days=1),
    days: float = 365,
) -> Issued:
    key = key or ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer.certificate.subject if issuer else subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(start)
        .not_valid_after(start + timedelta(days=days))
    )
    if names is not None:
        builder = builder.add_extension(x509.SubjectAlternativeName([x509.DNSName(name) for name in names]), False)
    signer = issuer.key if issuer else key
    algorithm = None if isinstance(signer, ed25519.Ed25519PrivateKey) else hashes.SHA256()
    return Issued(builder.sign(signer, algorithm), key)


@pytest.fixture(scope="module")
def rsa_leaf() -> Issued:
    return issue(key=rsa.generate_private_key(65537, 2048))


def rejected(data: bytes, *, subject: str = NAME, now: datetime = NOW) -> str:
    with pytest.raises(CertificateRejected) as caught:
        read_pem(data, subject=subject, now=now)
    for line in data.splitlines():
        assert b"-----" in line or len(line) < 16 or line.decode() not in str(caught.value), "content is not repeated"
    return str(caught.value)


def test_the_walkthroughs_file_is_accepted(rsa_leaf: Issued) -> None:
    """`cat crt key` of a self-signed RSA certificate passes, and is uploaded byte for byte."""
    bundle = read_pem(rsa_leaf.pem, subject=NAME, now=NOW)
    assert bundle.pem == rsa_leaf.pem
    assert bundle.names == (NAME,)
    assert bundle.thumbprint == rsa_leaf.certificate.fingerprint(hashes.SHA1()).hex().upper()  # noqa: S303  # as Key Vault
    assert (bundle.not_before, bundle.not_after) == (NOW - timedelta(days=1), NOW + timedelta(days=364))
    assert bundle.days_left == 364


def test_openssl_makes_what_is_accepted_and_prints_the_same_thumbprint(tmp_path: Path) -> None:
    """The command of the walkthrough makes an acceptable file; openssl's SHA-1 fingerprint is the thumbprint."""
    if not (openssl := shutil.which("openssl")):
        pytest.skip("needs openssl")
    key, crt = tmp_path / "a.key", tmp_path / "a.crt"
    make = [openssl, "req", "-x509", "-nodes", "-days", "2", "-newkey", "rsa:2048", "-subj", f"/CN={NAME}/O=Contoso"]
    subprocess.run([*make, "-out", crt, "-keyout", key], check=True, capture_output=True)
    shown = subprocess.run(
        [openssl, "x509", "-in", crt, "-noout", "-sha1", "-fingerprint"], check=True, capture_output=True, text=True
    )
    bundle = read_pem(crt.read_bytes() + key.read_bytes(), subject=NAME, now=datetime.now(UTC) + timedelta(minutes=1))
    assert bundle.thumbprint == shown.stdout.strip().partition("=")[2].replace(":", "")


@pytest.mark.parametrize("form", ["traditional", "encrypted"])
def test_the_named_command_converts_a_refused_key(form: str, tmp_path: Path) -> None:
    """What the message tells to do about a key that is not plain PKCS#8 makes the file acceptable."""
    if not (openssl := shutil.which("openssl")):
        pytest.skip("needs openssl")
    leaf = issue()
    old = (
        leaf.pem_key(PrivateFormat.TraditionalOpenSSL)
        if form == "traditional"
        else leaf.pem_key(encryption=BestAvailableEncryption(b"secret"))
    )
    message = rejected(leaf.crt + old)
    command = message.partition("openssl ")[2].split()
    (tmp_path / "OLD.key").write_bytes(old)
    subprocess.run([openssl, *command, "-passin", "pass:secret"], cwd=tmp_path, check=True, capture_output=True)
    assert read_pem(leaf.crt + (tmp_path / "NEW.key").read_bytes(), subject=NAME, now=NOW).names == (NAME,)


def test_key_material_is_not_shown(rsa_leaf: Issued) -> None:
    """Neither repr nor str of a bundle holds bytes of the file."""
    bundle = read_pem(rsa_leaf.pem, subject=NAME, now=NOW)
    assert "BEGIN" not in repr(bundle) + str(bundle)
    assert "pem=" not in repr(bundle)


def test_public_base64_holds_the_certificates_only() -> None:
    """The template's parameter is the PEM of the whole chain, without the key."""
    root = issue("root")
    leaf = issue(issuer=root)
    bundle = read_pem(leaf.pem_key() + leaf.crt + root.crt, subject=NAME, now=NOW)
    assert base64.b64decode(public_base64(bundle)) == leaf.crt + root.crt
    assert len(bundle.chain) == 2


def test_the_name_may_stand_in_either_place() -> None:
    """The subject is looked for among the DNS names and the common names, whatever its case."""
    assert read_pem(issue("other", names=("a.example", NAME)).pem, subject=NAME, now=NOW).names == (
        "a.example",
        NAME,
        "other",
    )
    assert read_pem(issue(names=()).pem, subject=NAME.upper(), now=NOW).names == (NAME,)


def test_another_name_is_refused() -> None:
    """A certificate for other names is refused, and the message lists them."""
    message = rejected(issue("www.fabrikam.com", names=("fabrikam.com",)).pem)
    assert "for fabrikam.com, www.fabrikam.com." in message


def test_a_single_private_key_is_required() -> None:
    """None or two are refused, as is a key without a certificate."""
    leaf = issue()
    assert "1 certificates and 0 private keys" in rejected(leaf.crt)
    assert "1 certificates and 2 private keys" in rejected(leaf.pem + issue().pem_key())
    assert "0 certificates and 1 private keys" in rejected(leaf.pem_key())


def test_a_key_of_another_certificate_is_refused() -> None:
    """The key has to be the leaf's, and the leaf has to come first."""
    root = issue("root")
    leaf = issue(issuer=root)
    assert "belongs to none" in rejected(leaf.crt + issue().pem_key())
    assert "Put the leaf certificate first." in rejected(root.crt + leaf.crt + leaf.pem_key())


def test_a_broken_chain_is_refused() -> None:
    """Each certificate must have been issued by the next."""
    root, other = issue("root"), issue("root")
    intermediate = issue("intermediate", issuer=root)
    leaf = issue(issuer=intermediate)
    ordered = read_pem(leaf.crt + intermediate.crt + root.crt + leaf.pem_key(), subject=NAME, now=NOW)
    assert len(ordered.chain) == 3
    assert "Certificate 1 was not issued by certificate 2" in rejected(leaf.crt + root.crt + leaf.pem_key())
    wrong = leaf.crt + intermediate.crt + other.crt + leaf.pem_key()
    assert "Certificate 2 was not issued by certificate 3" in rejected(wrong)


def test_dates_are_checked_through_the_chain() -> None:
    """Expired, not valid yet, and an expired issuer are refused; the last second counts as expired."""
    leaf = issue(days=10)
    assert "Certificate 1 expired at 2026-12-02 12:00 UTC" in rejected(leaf.pem, now=NOW + timedelta(days=9))
    assert read_pem(leaf.pem, subject=NAME, now=NOW + timedelta(days=8, hours=23)).days_left == 0
    assert "not valid before 2026-11-22 12:00 UTC" in rejected(leaf.pem, now=NOW - timedelta(days=2))
    root = issue("root", days=0.5)
    child = issue(issuer=root)
    assert "Certificate 2 expired" in rejected(child.crt + root.crt + child.pem_key())


@pytest.mark.parametrize(
    ("key", "said"),
    [
        (ec.generate_private_key(ec.SECP224R1()), "secp224r1"),
        (ed25519.Ed25519PrivateKey.generate(), "neither RSA nor elliptic-curve"),
        (rsa.generate_private_key(65537, 1024), "1024 bits"),  # noqa: S505  # to be refused
    ],
    ids=["small curve", "Ed25519", "small RSA"],
)
def test_weak_and_unsupported_keys_are_refused(key: Key, said: str) -> None:
    """Only RSA from 2048 bits and the NIST curves from P-256 pass."""
    assert said in rejected(issue(key=key).pem)


def test_other_text_is_refused() -> None:
    """Text outside the blocks, which Key Vault refuses, is named by its line; blank lines and CRLF are not text."""
    leaf = issue()
    pfx_style = b"Bag Attributes\n    friendlyName: x\n" + leaf.pem
    assert "Line 1 is outside the PEM blocks" in rejected(pfx_style)
    last = leaf.pem.count(b"\n") + 2
    assert f"Line {last} is outside" in rejected(leaf.pem + b"\nremember to rotate\n")
    assert read_pem(b"\n" + leaf.pem.replace(b"\n", b"\r\n"), subject=NAME, now=NOW).names == (NAME,)


def test_other_blocks_are_refused() -> None:
    """Anything besides certificates and a key is named."""
    parameters = b"-----BEGIN EC PARAMETERS-----\nBggqhkjOPQMBBw==\n-----END EC PARAMETERS-----\n"
    assert "'EC PARAMETERS'" in rejected(parameters + issue().pem)


def test_what_is_no_pem_is_refused() -> None:
    """A PFX, an empty file and damaged blocks end as rejections with the way out."""
    leaf = issue()
    assert "openssl pkcs12" in rejected(b"\x30\x82\x0a\x01\x02")
    assert "no PEM block" in rejected(b"")
    lines = leaf.crt.splitlines(keepends=True)
    assert "cannot be read" in rejected(b"".join([lines[0], lines[1], lines[-1]]) + leaf.pem_key())


def test_a_secret_holds_pem_or_base64_of_it() -> None:
    """A secret may be PEM or base64 of it, wrapped or not; what is neither is refused without being repeated."""
    pem = issue().pem
    for secret in (pem, base64.b64encode(pem), base64.encodebytes(pem)):
        assert from_secret(secret, "env:INGRESS_PEM") == pem
    with pytest.raises(ConfigurationError) as caught:
        from_secret(b"hunter2!", "env:INGRESS_PEM")
    assert "hunter2" not in str(caught.value)
