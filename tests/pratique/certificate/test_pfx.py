"""PFX files: passwords, chains, and the files that openssl creates."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest
from cryptography import x509

from pratique.certificate.bundle import read_certificate
from pratique.errors import CertificateRejected
from tests.pratique.certificate.issuing import NAME, NOW, issue

WORD = "open sesame"


def rejected(data: bytes, password: str | None = None) -> str:
    with pytest.raises(CertificateRejected) as caught:
        read_certificate(data, password, subject=NAME)
    assert not password or password not in str(caught.value)
    assert caught.value.__cause__ is None
    return str(caught.value)


def test_with_a_password() -> None:
    """The file is kept byte for byte, with its password, which is never printed."""
    leaf = issue()
    pfx = leaf.pfx(password=WORD)
    bundle = read_certificate(pfx, WORD, subject=NAME)
    assert (bundle.content, bundle.content_type, bundle.password) == (pfx, "application/x-pkcs12", WORD)
    assert bundle.thumbprint == leaf.thumbprint
    assert WORD not in repr(bundle)
    bundle.require_valid(NOW)


def test_a_wrong_or_missing_password_is_rejected_and_not_repeated() -> None:
    """The error says whether the password is wrong or missing, and what to do."""
    pfx = issue().pfx(password=WORD)
    assert "certificate.password names" in rejected(pfx, "shut sesame")
    for password in (None, ""):
        assert "Set certificate.password to" in rejected(pfx, password)
    assert "damaged" in rejected(pfx[:-20], WORD)


def test_without_a_password() -> None:
    """A password is optional, and an empty one counts as none."""
    leaf = issue()
    for password in (None, ""):
        bundle = read_certificate(leaf.pfx(), password, subject=NAME)
        assert (bundle.thumbprint, bundle.password) == (leaf.thumbprint, None)


def test_its_chain_is_read_in_order() -> None:
    """The order of the bags does not matter; a certificate outside the chain is rejected."""
    root = issue("root")
    intermediate = issue("intermediate", issuer=root)
    leaf = issue(issuer=intermediate)
    for others in ((root, intermediate), (intermediate, root)):
        bundle = read_certificate(leaf.pfx(*others), subject=NAME)
        read = [x509.load_der_x509_certificate(der) for der in bundle.chain]
        assert read == [leaf.certificate, intermediate.certificate, root.certificate]
    assert "which 'CN=stranger' did not issue" in rejected(leaf.pfx(intermediate, issue("stranger")))


def test_name_and_dates_are_checked_as_in_a_pem() -> None:
    """A PFX is checked like a PEM."""
    assert "for other.example." in rejected(issue("other.example").pfx())
    old = read_certificate(issue(days=0.5).pfx(), subject=NAME)
    with pytest.raises(CertificateRejected, match="Certificate 1 expired"):
        old.require_valid(NOW)


@pytest.mark.parametrize("password", ["", WORD])
def test_a_pfx_of_openssl_is_accepted(password: str, tmp_path: Path) -> None:
    """One with openssl's defaults or an empty password is accepted, and one without the key is rejected."""
    if not (openssl := shutil.which("openssl")):
        pytest.skip("needs openssl")
    leaf = issue()
    (tmp_path / "all.pem").write_bytes(leaf.pem)

    def export(*options: str) -> bytes:
        command = [openssl, "pkcs12", "-export", "-in", "all.pem", "-out", "x.pfx", "-passout", f"pass:{password}"]
        subprocess.run([*command, *options], cwd=tmp_path, check=True, capture_output=True)
        return (tmp_path / "x.pfx").read_bytes()

    assert read_certificate(export(), password, subject=NAME).thumbprint == leaf.thumbprint
    assert "no private key" in rejected(export("-nokeys"), password)
