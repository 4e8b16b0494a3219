from __future__ import annotations

import base64
import shutil
import subprocess
from datetime import UTC, datetime, timedelta
from itertools import permutations
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    PrivateFormat,
)

from pratique.certificate.bundle import CertificateBundle, read_certificate
from pratique.errors import CertificateRejected
from tests.pratique.certificate.issuing import NAME, NOW, Issued, Key, issue


@pytest.fixture(scope="module")
def rsa_leaf() -> Issued:
    return issue(key=rsa.generate_private_key(65537, 2048))


def read(data: bytes, *, subject: str = NAME, at: datetime = NOW) -> CertificateBundle:
    bundle = read_certificate(data, subject=subject)
    bundle.require_valid(at)
    return bundle


def rejected(data: bytes, *, subject: str = NAME, at: datetime = NOW) -> str:
    with pytest.raises(CertificateRejected) as caught:
        read(data, subject=subject, at=at)
    for line in data.splitlines():
        assert b"-----" in line or len(line) < 16 or line.decode() not in str(caught.value), "content is not repeated"
    return str(caught.value)


def test_the_walkthroughs_file_is_accepted(rsa_leaf: Issued) -> None:
    """`cat crt key` of a self-signed RSA certificate passes, and is uploaded byte for byte."""
    bundle = read(rsa_leaf.pem)
    assert (bundle.content, bundle.content_type) == (rsa_leaf.pem, "application/x-pem-file")
    assert bundle.names == (NAME,)
    assert bundle.thumbprint == rsa_leaf.thumbprint
    assert (bundle.not_before, bundle.not_after) == (NOW - timedelta(days=1), NOW + timedelta(days=364))
    assert bundle.days_left(NOW) == 364


def test_a_certificate_of_openssl_is_accepted_and_has_the_same_thumbprint(tmp_path: Path) -> None:
    """The walkthrough's command creates a file that is accepted; openssl's SHA-1 fingerprint is the thumbprint."""
    if not (openssl := shutil.which("openssl")):
        pytest.skip("needs openssl")
    key, crt = tmp_path / "a.key", tmp_path / "a.crt"
    make = [openssl, "req", "-x509", "-nodes", "-days", "2", "-newkey", "rsa:2048", "-subj", f"/CN={NAME}/O=Contoso"]
    subprocess.run([*make, "-out", crt, "-keyout", key], check=True, capture_output=True)
    shown = subprocess.run(
        [openssl, "x509", "-in", crt, "-noout", "-sha1", "-fingerprint"], check=True, capture_output=True, text=True
    )
    bundle = read(crt.read_bytes() + key.read_bytes(), at=datetime.now(UTC) + timedelta(minutes=1))
    assert bundle.thumbprint == shown.stdout.strip().partition("=")[2].replace(":", "")


@pytest.mark.parametrize("form", ["traditional", "encrypted"])
def test_the_command_in_the_message_converts_a_rejected_key(form: str, tmp_path: Path) -> None:
    """The command in the message converts a key that is not plain PKCS#8 into one that is accepted."""
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
    assert read(leaf.crt + (tmp_path / "NEW.key").read_bytes()).names == (NAME,)


def test_key_material_is_not_printed(rsa_leaf: Issued) -> None:
    """Neither repr nor str of a bundle contains bytes of the file."""
    bundle = read(rsa_leaf.pem)
    assert "BEGIN" not in repr(bundle) + str(bundle)
    assert "content=" not in repr(bundle)


def test_public_base64_contains_only_certificates() -> None:
    """The template's parameter is the PEM of the whole chain, without the key."""
    root = issue("root")
    leaf = issue(issuer=root)
    bundle = read(leaf.pem_key() + leaf.crt + root.crt)
    assert base64.b64decode(bundle.public_base64) == leaf.crt + root.crt
    assert len(bundle.chain) == 2


def test_the_name_may_be_a_dns_name_or_a_common_name() -> None:
    """The subject is searched among the DNS names and the common names; letter case is ignored."""
    assert read(issue("other", names=("a.example", NAME)).pem).names == (
        "a.example",
        NAME,
        "other",
    )
    assert read(issue(names=()).pem, subject=NAME.upper()).names == (NAME,)


def test_another_name_is_rejected() -> None:
    """A certificate for other names is rejected, and the message lists them."""
    message = rejected(issue("www.fabrikam.com", names=("fabrikam.com",)).pem)
    assert "for fabrikam.com, www.fabrikam.com." in message


def test_a_single_private_key_is_required() -> None:
    """No key, two keys, and a key without a certificate are rejected."""
    leaf = issue()
    assert "1 certificates and 0 private keys" in rejected(leaf.crt)
    assert "1 certificates and 2 private keys" in rejected(leaf.pem + issue().pem_key())
    assert "0 certificates and 1 private keys" in rejected(leaf.pem_key())


def test_a_key_of_another_certificate_is_rejected() -> None:
    """The key must belong to one of the certificates."""
    assert "belongs to none" in rejected(issue().crt + issue().pem_key())


@pytest.mark.parametrize("order", list(permutations(range(4))))
def test_a_chain_is_put_in_order(order: tuple[int, ...]) -> None:
    """Whatever the file's order, the leaf comes first and each certificate is followed by its issuer."""
    leaf, intermediate, root = chain = three()
    blocks = [*(issued.crt for issued in chain), leaf.pem_key()]
    bundle = read(b"".join(blocks[place] for place in order))
    assert [x509.load_der_x509_certificate(der) for der in bundle.chain] == [issued.certificate for issued in chain]
    certificates = x509.load_pem_x509_certificates(bundle.content)
    assert certificates == [leaf.certificate, intermediate.certificate, root.certificate]
    assert bundle.content.count(leaf.pem_key()) == 1
    assert read(bundle.content) == bundle


def test_duplicate_certificates_are_removed() -> None:
    """Files that were assembled by hand may contain a certificate twice."""
    leaf, intermediate, root = three()
    bundle = read(leaf.crt + intermediate.crt + root.crt + intermediate.crt + leaf.crt + leaf.pem_key())
    assert bundle.content == leaf.crt + intermediate.crt + root.crt + leaf.pem_key()


def test_a_broken_chain_is_rejected() -> None:
    """A gap, an issuer with the right name and another key, and an unrelated certificate are rejected."""
    leaf, intermediate, root = three()
    gap = rejected(leaf.crt + root.crt + leaf.pem_key())
    assert f"ends with 'CN={NAME}', which 'CN=root' did not issue" in gap
    assert "missing in between" in gap
    wrong = rejected(leaf.crt + intermediate.crt + issue("root").crt + leaf.pem_key())
    assert "ends with 'CN=intermediate', which 'CN=root' did not issue" in wrong
    stranger = rejected(leaf.crt + issue("stranger").crt + leaf.pem_key())
    assert f"ends with 'CN={NAME}', which 'CN=stranger' did not issue" in stranger


def test_the_dates_of_the_whole_chain_are_checked() -> None:
    """Expired, not yet valid, and with an expired issuer: all are rejected. The last second counts as expired."""
    leaf = issue(days=10)
    assert "Certificate 1 expired at 2026-12-02 12:00 UTC" in rejected(leaf.pem, at=NOW + timedelta(days=9))
    assert read(leaf.pem).days_left(NOW + timedelta(days=8, hours=23)) == 0
    assert "not valid before 2026-11-22 12:00 UTC" in rejected(leaf.pem, at=NOW - timedelta(days=2))
    root = issue("root", days=0.5)
    child = issue(issuer=root)
    assert "Certificate 2 expired" in rejected(child.crt + root.crt + child.pem_key())


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
    with pytest.raises(CertificateRejected, match=message):
        read(weak.pfx())


def test_other_text_is_rejected() -> None:
    """Text outside the blocks, which Key Vault rejects, is reported by line; blank lines and CRLF are accepted."""
    leaf = issue()
    pfx_style = b"Bag Attributes\n    friendlyName: x\n" + leaf.pem
    assert "Line 1 is outside the PEM blocks" in rejected(pfx_style)
    last = leaf.pem.count(b"\n") + 2
    assert f"Line {last} is outside" in rejected(leaf.pem + b"\nremember to rotate\n")
    assert read(b"\n" + leaf.pem.replace(b"\n", b"\r\n")).names == (NAME,)


def test_other_blocks_are_rejected() -> None:
    """The message names a block that is neither a certificate nor a key."""
    parameters = b"-----BEGIN EC PARAMETERS-----\nBggqhkjOPQMBBw==\n-----END EC PARAMETERS-----\n"
    assert "'EC PARAMETERS'" in rejected(parameters + issue().pem)


def test_a_file_without_a_certificate_is_rejected() -> None:
    """An empty file, other text and damaged blocks are rejected, and their content is not repeated."""
    assert "neither PEM nor PFX" in rejected(b"")
    assert "hunter2" not in rejected(b"hunter2!")
    leaf = issue()
    lines = leaf.crt.splitlines(keepends=True)
    assert "cannot be read" in rejected(b"".join([lines[0], lines[1], lines[-1]]) + leaf.pem_key())


def test_a_secret_may_be_base64() -> None:
    """The base64 of a PEM or a PFX is accepted, wrapped or not."""
    leaf = issue()
    for file in (leaf.pem, leaf.pfx()):
        for secret in (file, base64.b64encode(file), base64.encodebytes(file), base64.b64encode(file) + b"\n"):
            assert read(secret).content == file


def three() -> list[Issued]:
    """A chain, the leaf first."""
    root = issue("root")
    intermediate = issue("intermediate", issuer=root)
    return [issue(issuer=intermediate), intermediate, root]
