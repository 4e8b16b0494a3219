"""Trusted identities: which signers under a shared root count."""

from __future__ import annotations

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID
from hypothesis import given
from hypothesis import strategies as st

from pratique.errors import ConfigurationError
from pratique.evidence.signatures.identities import identity_of, parse_identities
from pratique.evidence.signatures.trust import NOBODY, TrustStore
from tests.pratique.evidence.signatures.authority import (
    COSE,
    LEAF,
    Draft,
    check,
    key,
    leaf,
    refused,
    root,
)

PARTS = {
    "C": NameOID.COUNTRY_NAME,
    "ST": NameOID.STATE_OR_PROVINCE_NAME,
    "L": NameOID.LOCALITY_NAME,
    "O": NameOID.ORGANIZATION_NAME,
    "OU": NameOID.ORGANIZATIONAL_UNIT_NAME,
    "CN": NameOID.COMMON_NAME,
}
VALUES = st.text(st.characters(codec="utf-8", exclude_categories=["C"]), min_size=1, max_size=8)
SUBJECT = "CN=Products Signing,O=Contoso\\, Inc.,L=Redmond,ST=Washington,C=US"


def certificate(subject: x509.Name) -> x509.Certificate:
    """A signing certificate with that subject, under the trusted root."""
    return LEAF.make(key("leaf"), key("root"), subject)


def named(*parts: tuple[str, str]) -> x509.Name:
    return x509.Name([x509.NameAttribute(PARTS[name], value) for name, value in parts])


SIGNER = x509.Name.from_rfc4514_string(SUBJECT)


@pytest.mark.parametrize(
    "identity",
    [
        f"x509.subject: {SUBJECT}",
        f"x509.subject:{SUBJECT}",
        "x509.subject: C=US, ST=Washington, O=Contoso\\, Inc.",
        "x509.subject: C=US,S=Washington,O=Contoso\\2C Inc.",
        "x509.subject: O = Contoso\\, Inc. , C = US , ST = Washington",
    ],
)
def test_some_attributes_in_any_order(identity: str) -> None:
    """An identity matches a signer that has all of its attributes, in any order."""
    chain = (certificate(SIGNER), root())
    trust = TrustStore((root(),), parse_identities([identity]))
    assert check(Draft(chain=chain).write(COSE), COSE, trust=trust).subject == SIGNER.rfc4514_string()


@pytest.mark.parametrize(
    "identity",
    [
        "x509.subject: CN=Another Team,O=Contoso\\, Inc.,ST=Washington,C=US",
        "x509.subject: O=Contoso,ST=Washington,C=US",
        "x509.subject: O=contoso\\, inc.,ST=Washington,C=US",
        "x509.subject: O=Contoso\\, Inc.,OU=Products,ST=Washington,C=US",
    ],
)
def test_another_signer_under_the_same_root(identity: str) -> None:
    """A signer who lacks one of the attributes, or has it with another value, is rejected."""
    trust = TrustStore((root(),), parse_identities([identity]))
    observed = refused(Draft(chain=(certificate(SIGNER), root())).write(COSE), COSE, trust=trust)
    assert "is none of the trusted identities" in observed


@pytest.mark.parametrize(
    "subject",
    [
        named(("O", "Contoso"), ("ST", "Washington")),
        named(("C", "US"), ("ST", "Washington"), ("O", "Contoso"), ("O", "Fabrikam")),
        named(("C", "US"), ("ST", "Washington"), ("O", "Contoso"), ("OU", "a"), ("OU", "b")),
        x509.Name.from_rfc4514_string("CN=a+OU=b,O=Contoso,ST=Washington,C=US"),
    ],
    ids=["incomplete", "two organisations", "two units", "joined"],
)
def test_ambiguous_subject(subject: x509.Name) -> None:
    """A signer whose subject is incomplete, or says something twice, matches nothing but '*'."""
    draft = Draft(chain=(certificate(subject), root()))
    narrow = TrustStore((root(),), parse_identities(["x509.subject: O=Contoso,ST=Washington,C=US"]))
    assert "is none of the trusted identities" in refused(draft.write(COSE), COSE, trust=narrow)
    assert check(draft.write(COSE), COSE, trust=TrustStore((root(),), parse_identities(["*"])))
    with pytest.raises(ValueError, match=r"missing|repeated|several"):
        identity_of(draft.chain[0])


@pytest.mark.parametrize(
    ("identities", "problem"),
    [
        (["*", f"x509.subject: {SUBJECT}"], "trusts everybody already"),
        (["*", "*"], "trusts everybody already"),
        ([f"x509.subject: {SUBJECT}"] * 2, "is included in"),
        ([f"x509.subject: {SUBJECT}", "x509.subject: C=US,ST=Washington,O=Contoso\\, Inc."], "is included in"),
        (["x509.subject: O=a,C=US"], "ST is missing"),
        (["x509.subject: CN=a"], "C and ST and O is missing"),
        (["x509.subject: O=a,ST=,C=US"], "ST"),
        (["x509.subject: O=a,O=b,ST=c,C=US"], "repeated"),
        (["x509.subject: O=a+CN=b,ST=c,C=US"], "joined by"),
        (["x509.subject: O=#0c0161,ST=c,C=US"], "hexadecimal"),
        (["x509.subject: "], "missing"),
        (["x509.subject"], "is not of the form"),
        (["x509.issuer: O=a,ST=b,C=US"], "is not of the form"),
        ([SUBJECT], "is not of the form"),
        ([""], "is not of the form"),
    ],
)
def test_invalid_identities(identities: list[str], problem: str) -> None:
    """What notation refuses in a trust policy is refused here, as an error of the configuration."""
    with pytest.raises(ValueError, match=problem):
        parse_identities(identities)
    with pytest.raises(ConfigurationError, match="trusted identities"):
        TrustStore.load([_pem(root())], identities)


@given(st.dictionaries(st.sampled_from(sorted(PARTS)), VALUES))
def test_an_identity_names_its_own_signer(parts: dict[str, str]) -> None:
    """Whatever a complete subject says, the identity that names it parses, and matches that subject."""
    subject = named(*{"O": "o", "ST": "s", **parts, "C": "US"}.items())
    try:
        made = certificate(subject)
        text = identity_of(made)
    except ValueError:
        return  # no certificate can have it
    (identity,) = parse_identities([text])
    assert identity.matches(made)
    assert not identity.matches(leaf())


def test_a_shared_root_needs_identities() -> None:
    """A certificate authority is trusted with identities only; a signing certificate may be trusted alone."""
    with pytest.raises(ConfigurationError, match="no identity says whose signatures") as error:
        TrustStore.load([_pem(root())])
    assert "pratique trust show" in error.value.remedy
    pinned = TrustStore.load([_pem(leaf())])
    assert check(Draft().write(COSE), COSE, trust=pinned)
    other = certificate(SIGNER)
    assert "not in the trust store" in refused(Draft(chain=(other, root())).write(COSE), COSE, trust=pinned)


def test_microsofts_root_is_not_for_everybody(monkeypatch: pytest.MonkeyPatch) -> None:
    """All of Microsoft's teams sign under one root, so '*' is refused for it."""
    fingerprint = root().fingerprint(SHA256()).hex()
    assert TrustStore.load([_pem(root())], ["*"])
    monkeypatch.setattr("pratique.evidence.signatures.trust.MICROSOFT_SUPPLY_CHAIN_ROOT", fingerprint)
    with pytest.raises(ConfigurationError, match="every team of Microsoft"):
        TrustStore.load([_pem(root())], ["*"])


def test_nobody_is_trusted() -> None:
    """Without a pinned signer no signature counts."""
    assert "No signer is trusted" in refused(Draft().write(COSE), COSE, trust=NOBODY)


def _pem(made: x509.Certificate) -> str:
    return made.public_bytes(Encoding.PEM).decode()
