"""Which names a certificate covers, and whether a server may use it."""

from __future__ import annotations

from ipaddress import ip_address

import pytest
from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID
from hypothesis import given
from hypothesis import strategies as st

from pratique.certificate.server import has_name, names_of
from tests.pratique.certificate.issuing import CLIENT_AUTH, NAME, authority, issue, read, rejected


@pytest.mark.parametrize(
    ("name", "subject", "covered"),
    [
        ("*.aks-ingress.contoso.com", "*.aks-ingress.contoso.com", True),
        ("*.AKS-ingress.contoso.com", "*.aks-ingress.CONTOSO.com.", True),
        ("*.aks-ingress.contoso.com", "bu1.aks-ingress.contoso.com", True),
        ("*.aks-ingress.contoso.com", "a.b.aks-ingress.contoso.com", False),
        ("*.aks-ingress.contoso.com", "aks-ingress.contoso.com", False),
        ("*.contoso.com", "*.aks-ingress.contoso.com", False),
        ("bu1.aks-ingress.contoso.com", "*.aks-ingress.contoso.com", False),
        ("*.com", "contoso.com", False),
        ("*", "contoso.com", False),
        ("b*.aks-ingress.contoso.com", "bu1.aks-ingress.contoso.com", False),
        ("*.xn--bcher-kva.example", "*.bücher.example", True),
        ("contoso.com", "contoso.com", True),
        ("*.0.0.4", "10.0.0.4", False),
        ("10.0.0.4", "10.0.0.4", False),
        ("IP 10.0.0.4", "10.0.0.4", True),
        ("IP fd00::4", "fd00:0::4", True),
    ],
)
def test_names_and_wildcards(name: str, subject: str, covered: bool) -> None:
    """A wildcard covers itself and one label; letter case and a final dot do not matter; addresses are no DNS names."""
    assert has_name(("other.example", name), subject) == covered


LABELS = st.lists(st.sampled_from(["*", "a", "b", "b*", "com"]), min_size=1, max_size=4)


@given(LABELS, LABELS)
def test_a_wildcard_covers_one_label_only(name: list[str], subject: list[str]) -> None:
    """A name covers itself; a wildcard before two labels or more also covers any host with these labels behind it."""
    wild = len(name) > 2 and name[0] == "*" != subject[0] and name[1:] == subject[1:]
    assert has_name((".".join(name),), ".".join(subject)) == (name == subject or wild)


def test_alternative_names_count_alone() -> None:
    """Beside alternative names the common name does not count, and the message says so."""
    leaf = issue(names=("a.example", "b.example"))
    message = rejected(leaf.pem)
    assert f"for a.example, b.example, and not for {NAME}. The common name does not count" in message
    assert f"Have it issued for {NAME}, or correct certificate.subject." in message
    assert names_of(leaf.certificate) == ("a.example", "b.example")
    assert read(issue("other", names=("a.example", NAME)).pem).names == ("a.example", NAME)
    assert "common name" not in rejected(issue("fabrikam.com").pem)


def test_addresses_are_no_names() -> None:
    """A certificate for an address covers that address, and no name."""
    leaf = issue(names=(), extensions=(x509.SubjectAlternativeName([x509.IPAddress(ip_address("10.0.0.4"))]),))
    assert f"for IP 10.0.0.4, and not for {NAME}." in rejected(leaf.pem)
    assert read(leaf.pem, subject="10.0.0.4").names == ("IP 10.0.0.4",)


def test_the_common_name_alone() -> None:
    """The walkthrough's self-signed certificate has nothing else: a warning. From an authority it is rejected."""
    (warning,) = read(issue(names=()).pem).warnings
    assert "no subject alternative name" in warning
    assert "Application Gateway accepts it" in warning
    root = authority("root")
    leaf = issue(issuer=root, names=())
    message = rejected(leaf.pem + root.crt)
    assert f"no subject alternative name, only the common name {NAME}" in message
    assert f"for fabrikam.com, and not for {NAME}." in rejected(issue("fabrikam.com", names=()).pem)


def test_names_in_messages_are_printable() -> None:
    """A certificate with thousands of names, or with control characters in them, gives one short line."""
    many = issue(names=tuple(f"{number}.example" for number in range(3000)))
    assert "9.example and 2990 more, and not" in rejected(many.pem)
    assert rejected(issue("a\x1b[31m\nb", names=()).pem).isprintable()


@pytest.mark.parametrize(
    ("extension", "message"),
    [
        (CLIENT_AUTH, "extended key usage is clientAuth, which excludes server authentication"),
        (x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CODE_SIGNING, ExtendedKeyUsageOID.OCSP_SIGNING]), "excludes"),
        (x509.ExtendedKeyUsage([x509.ObjectIdentifier("1.3.6.1.4.1.55555.1")]), "excludes"),
        (x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]), None),
        (x509.ExtendedKeyUsage([ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE]), None),
        (x509.KeyUsage(False, False, False, False, False, True, True, False, False), "neither signatures nor"),
        (x509.KeyUsage(True, False, False, False, False, False, False, False, False), None),
        (x509.KeyUsage(False, False, True, False, False, False, False, False, False), None),
    ],
)
def test_usages(extension: x509.ExtensionType, message: str | None) -> None:
    """What the certificate says about its use must allow a server; without such an extension everything is allowed."""
    leaf = issue(extensions=(extension,))
    if message is None:
        assert read(leaf.pem).thumbprint == leaf.thumbprint
    else:
        assert message in rejected(leaf.pem)
