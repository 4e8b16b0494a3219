"""The order of a chain, and which certificates of a file are no part of it."""

from __future__ import annotations

from datetime import timedelta
from itertools import permutations

import pytest
from cryptography import x509

from tests.pratique.certificate.issuing import NAME, NOW, Issued, authority, issue, read, rejected


def three() -> list[Issued]:
    """A chain, the leaf first."""
    root = authority("root")
    intermediate = authority("intermediate", issuer=root)
    return [issue(issuer=intermediate), intermediate, root]


def uploaded(bundle_content: bytes) -> list[x509.Certificate]:
    return x509.load_pem_x509_certificates(bundle_content)


@pytest.mark.parametrize("order", list(permutations(range(4))))
def test_a_chain_is_put_in_order(order: tuple[int, ...]) -> None:
    """Whatever the file's order, the leaf comes first, each certificate is followed by its issuer, and the root is
    left out without a word.
    """
    leaf, intermediate, root = chain = three()
    blocks = [*(issued.crt for issued in chain), leaf.pem_key()]
    bundle = read(b"".join(blocks[place] for place in order))
    assert bundle.content == leaf.crt + intermediate.crt + leaf.pem_key()
    assert [x509.load_der_x509_certificate(der) for der in bundle.chain] == uploaded(bundle.content)
    assert bundle.root is not None
    assert x509.load_der_x509_certificate(bundle.root) == root.certificate
    assert bundle.warnings == ()
    assert read(bundle.content).content == bundle.content


def test_duplicate_certificates_are_removed() -> None:
    """Files that were assembled by hand may contain a certificate twice."""
    leaf, intermediate, root = three()
    bundle = read(leaf.crt + intermediate.crt + root.crt + intermediate.crt + leaf.crt + leaf.pem_key())
    assert bundle.content == leaf.crt + intermediate.crt + leaf.pem_key()
    assert bundle.warnings == ()


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


def test_an_expired_root_is_left_out() -> None:
    """It is neither uploaded nor given to the template, and a warning says so."""
    root = authority("old root", days=0.5)
    intermediate = authority("intermediate", issuer=root)
    for leaf, chain in ((issue(issuer=root), []), (issue(issuer=intermediate), [intermediate])):
        bundle = read(leaf.pem + b"".join(issued.crt for issued in [*chain, root]))
        assert uploaded(bundle.content) == [leaf.certificate, *(issued.certificate for issued in chain)]
        assert bundle.root is None
        (warning,) = bundle.warnings
        assert "'CN=old root'" in warning
        assert "valid until 2026-11-23" in warning
        assert "expired" in warning


@pytest.mark.parametrize("order", list(permutations(range(3))))
@pytest.mark.parametrize("cross_days", [0.5, 100, 9000], ids=["expired", "short", "long"])
def test_a_cross_signed_root_beside_the_root(order: tuple[int, ...], cross_days: float) -> None:
    """The root's own certificate ends the chain; its cross-signed one and the other root are left out, and named."""
    other = authority("other root", days=9000)
    root = authority("root")
    crossed = authority("root", key=root.key, issuer=other, days=cross_days)
    intermediate = authority("intermediate", issuer=root)
    leaf = issue(issuer=intermediate)
    rest = [root, crossed, other]
    bundle = read(leaf.pem + intermediate.crt + b"".join(rest[place].crt for place in order))
    assert uploaded(bundle.content) == [leaf.certificate, intermediate.certificate]
    assert bundle.root is not None
    assert x509.load_der_x509_certificate(bundle.root) == root.certificate
    assert sorted(warning.partition(",")[0] for warning in bundle.warnings) == ["'CN=other root'", "'CN=root'"]


def test_a_cross_signed_root_that_replaces_an_expired_one() -> None:
    """The chain goes by the certificate that is valid, to the new root."""
    new = authority("new root")
    old = authority("old root", days=0.5)
    crossed = authority("old root", key=old.key, issuer=new)
    leaf = issue(issuer=old)
    for rest in (old.crt + crossed.crt + new.crt, new.crt + crossed.crt + old.crt):
        bundle = read(leaf.pem + rest)
        assert uploaded(bundle.content) == [leaf.certificate, crossed.certificate]
        assert [warning.partition(",")[0] for warning in bundle.warnings] == ["'CN=old root'"]


def test_a_cross_signed_root_that_has_expired() -> None:
    """At the end of a chain without its root, or below an expired one, it is left out: clients trust its key."""
    gone = authority("gone root", days=0.5)
    root = authority("root")
    crossed = authority("root", key=root.key, issuer=gone, days=0.5)
    intermediate = authority("intermediate", issuer=root)
    leaf = issue(issuer=intermediate)
    for rest, warnings in ((crossed.crt, 1), (crossed.crt + gone.crt, 2)):
        bundle = read(leaf.pem + intermediate.crt + rest)
        assert uploaded(bundle.content) == [leaf.certificate, intermediate.certificate]
        assert len(bundle.warnings) == warnings
        assert all("expired" in warning for warning in bundle.warnings)


def test_a_renewed_intermediate_beside_the_old_one() -> None:
    """The one that is valid longer is used."""
    root = authority("root")
    new = authority("intermediate", issuer=root)
    old = authority("intermediate", key=new.key, issuer=root, days=0.5)
    leaf = issue(issuer=new)
    for rest in (old.crt + new.crt, new.crt + old.crt):
        assert uploaded(read(leaf.pem + rest).content) == [leaf.certificate, new.certificate]


def test_authorities_that_sign_each_other() -> None:
    """A circle ends."""
    first, second = authority("first"), authority("second")
    circle = [authority("first", key=first.key, issuer=second), authority("second", key=second.key, issuer=first)]
    leaf = issue(issuer=first)
    bundle = read(leaf.pem + b"".join(issued.crt for issued in circle))
    assert uploaded(bundle.content) == [leaf.certificate, *(issued.certificate for issued in circle)]


def test_a_renewed_certificate_beside_the_old_one() -> None:
    """Two certificates of the key are rejected, with their ends: nobody knows which is meant."""
    old = issue(days=10)
    new = issue(key=old.key)
    assert "2 certificates of the private key, valid until 2026-12-02, 2027-11-22." in rejected(old.pem + new.crt)


def test_an_issuer_that_is_no_authority() -> None:
    """A server's certificate cannot issue others."""
    server = issue("server", extensions=(x509.BasicConstraints(ca=False, path_length=None),))
    leaf = issue(issuer=server)
    assert "'CN=server' issued a certificate, but is not" in rejected(leaf.pem + server.crt)


def test_many_certificates_are_rejected_at_once() -> None:
    """A file with a whole store of roots is no chain."""
    leaf = issue()
    assert "more than 100 certificates" in rejected(leaf.pem + leaf.crt * 101)
    assert read(leaf.pem, at=NOW + timedelta(days=1)).days_left(NOW) == 364
