"""PFX files: passwords, chains, iterations, and the files that openssl creates."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest
from asn1crypto import parser  # type: ignore[import-untyped]
from cryptography import x509

from pratique.certificate.key_derivation import MOST_ITERATIONS
from tests.pratique.certificate.issuing import NOW, Issued, authority, issue, read, rejected
from tests.pratique.certificate.openssl import openssl

WORD = "open sesame"


def test_what_is_uploaded() -> None:
    """The PEM of the same key and certificate, without a password."""
    leaf = issue()
    for file, password in ((leaf.pfx(password=WORD), WORD), (leaf.pfx(), None), (leaf.pfx(), "")):
        bundle = read(file, password)
        assert bundle.content == leaf.pem
        assert WORD not in repr(bundle)


def test_a_wrong_or_missing_password_is_rejected_and_not_repeated() -> None:
    """The error says whether the password is wrong or missing, and what to do."""
    pfx = issue().pfx(password=WORD)
    assert "certificate.password names" in rejected(pfx, "shut sesame")
    for password in (None, ""):
        assert "Set certificate.password to" in rejected(pfx, password)
    assert "its end is missing" in rejected(pfx[:-20], WORD)


def test_its_chain_is_read_in_order() -> None:
    """The order of the bags does not matter, the root is left out, and a certificate outside the chain is rejected."""
    root = authority("root")
    intermediate = authority("intermediate", issuer=root)
    leaf = issue(issuer=intermediate)
    for others in ((root, intermediate), (intermediate, root)):
        chain = x509.load_pem_x509_certificates(read(leaf.pfx(*others)).content)
        assert chain == [leaf.certificate, intermediate.certificate]
    assert "which 'CN=stranger' did not issue" in rejected(leaf.pfx(intermediate, issue("stranger")))


def test_name_and_dates_are_checked_as_in_a_pem() -> None:
    """A PFX is checked like a PEM."""
    assert "for other.example," in rejected(issue("other.example").pfx())
    assert "expired" in rejected(issue(days=0.5).pfx(), at=NOW + timedelta(days=1))


@pytest.mark.parametrize("options", [(), ("-legacy",)], ids=["PBES2", "PKCS #12"])
def test_many_iterations_are_refused_at_once(options: tuple[str, ...], tmp_path: Path) -> None:
    """Wherever the file asks for millions of them (MAC, certificates, key), nothing is computed; some are computed."""
    iterations, more = (b"\x02\x03" + number.to_bytes(3) for number in (70_007, MOST_ITERATIONS + 1))
    pfx = export(issue(), tmp_path, "-iter", "70007", *options)
    read(pfx, WORD)
    pieces = pfx.split(iterations)
    assert len(pieces) == 4
    for place in (1, 2, 3):
        changed = iterations.join(pieces[:place]) + more + iterations.join(pieces[place:])
        assert "5,140,015 times, which is more than 5,000,000" in rejected(changed, WORD)


@pytest.mark.parametrize("options", [(), ("-legacy",), ("-nomac",), ("-keypbe", "NONE", "-certpbe", "NONE")], ids=str)
@pytest.mark.parametrize("password", ["", WORD])
def test_a_pfx_of_openssl(password: str, options: tuple[str, ...], tmp_path: Path) -> None:
    """In any encryption, with a password or an empty one; without the key it is rejected."""
    leaf = issue()
    assert read(export(leaf, tmp_path, *options, password=password), password).content == leaf.pem
    assert "1 certificate and no private key" in rejected(
        export(leaf, tmp_path, *options, "-nokeys", password=password), password
    )


def test_lengths_that_are_not_stated(tmp_path: Path) -> None:
    """Java's programs write BER, with open lengths and octets in pieces. It is read, and its iterations as well."""
    pfx = export(issue(), tmp_path, "-iter", "70007")
    assert read(in_ber(pfx), WORD).content == read(pfx, WORD).content
    *others, key = pfx.split(b"\x02\x03\x01\x11\x77")
    many = b"\x02\x03\x01\x11\x77".join(others) + b"\x02\x03\x7f\xff\xff" + key
    assert "which is more than" in rejected(in_ber(many), WORD)


def in_ber(der: bytes) -> bytes:
    """The same object in BER. What the MAC is computed of stays as it is, in pieces of 100 bytes."""
    parsed = parser.parse(der)
    constructed, tag, first, content = parsed[1], parsed[2], bytes(parsed[3][:1]), bytes(parsed[4])
    if tag == 4 and len(content) > 1000:
        pieces = [content[start : start + 100] for start in range(0, len(content), 100)]
        return b"\x24\x80" + b"".join(bytes([4, len(piece)]) + piece for piece in pieces) + b"\0\0"
    if not constructed:
        return der
    members = []
    while content:
        end = parser.peek(content)
        members.append(in_ber(content[:end]))
        content = content[end:]
    return first + b"\x80" + b"".join(members) + b"\0\0"


def export(leaf: Issued, folder: Path, *options: str, password: str = WORD) -> bytes:
    """A PFX of openssl's."""
    (folder / "all.pem").write_bytes(leaf.pem)
    return openssl("pkcs12", "-export", "-in", "all.pem", "-passout", f"pass:{password}", *options, folder=folder)
