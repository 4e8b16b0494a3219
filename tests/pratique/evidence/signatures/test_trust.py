"""A certificate chain must lead from the signer to a trusted certificate, by the rules of the specification."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.x509.oid import ExtendedKeyUsageOID as Purpose

from pratique.errors import ConfigurationError
from pratique.evidence.signatures.trust import TrustStore
from tests.pratique.evidence.signatures.authority import (
    ANYBODY,
    COSE,
    JWS,
    LEAF,
    NOW,
    ROOT,
    Draft,
    Template,
    check,
    key,
    leaf,
    refused,
    root,
)

both = pytest.mark.parametrize("form", [JWS, COSE])


@both
@pytest.mark.parametrize(
    "late",
    [replace(LEAF, ends=NOW - timedelta(minutes=1)), replace(LEAF, begins=NOW - timedelta(minutes=1))],
    ids=["expired", "signed before"],
)
def test_validity_of_signer(form: str, late: Template) -> None:
    """The signing certificate must be valid at the signing time and now."""
    assert "not valid" in refused(Draft(chain=(late.make(key("leaf"), key("root")), root())).write(form), form)


@both
def test_expired_root(form: str) -> None:
    """An expired root is rejected together with everything below it, even while it is in the trust store."""
    old = replace(ROOT, ends=NOW - timedelta(minutes=1)).make(key("root"), key("root"))
    assert "not valid" in refused(Draft(chain=(leaf(), old)).write(form), form, trust=TrustStore((old,), ANYBODY))


@both
def test_expired_intermediate(form: str) -> None:
    """An expired intermediate certificate is rejected."""
    between = Template("intermediate", authority=True, ends=NOW - timedelta(minutes=1))
    intermediate = between.make(key("intermediate"), key("root"))
    signer = replace(LEAF, issuer="intermediate").make(key("leaf"), key("intermediate"))
    assert "not valid" in refused(Draft(chain=(signer, intermediate, root())).write(form), form)


@both
def test_untrusted_root(form: str) -> None:
    """A valid chain to an untrusted root is rejected, also when that root copies a trusted root's name."""
    stranger = ROOT.make(key("stranger"), key("stranger"))
    chain = (LEAF.make(key("leaf"), key("stranger")), stranger)
    assert "not in the trust store" in refused(Draft(chain=chain).write(form), form)


@both
def test_untrusted_name(form: str) -> None:
    """An untrusted name cannot break the lines of a message."""
    stranger = replace(ROOT, name="x\n| all | clean |", issuer="x\n| all | clean |").make(key("s"), key("s"))
    chain = (replace(LEAF, issuer="x\n| all | clean |").make(key("leaf"), key("s")), stranger)
    assert "\n" not in refused(Draft(chain=chain).write(form), form)


@both
def test_broken_chain(form: str) -> None:
    """A trusted root beside a certificate that it did not issue is rejected."""
    chain = (LEAF.make(key("leaf"), key("stranger")), root())
    assert "does not match its key" in refused(Draft(chain=chain).write(form), form)


@both
def test_chain_without_root(form: str) -> None:
    """The chain must be complete, in order, and end in a self-signed root."""
    for chain in ((leaf(),), (root(), leaf()), (leaf(), root(), root(), leaf()), (), (leaf(), *[root()] * 8)):
        refused(Draft(chain=chain).write(form), form)


@both
def test_intermediate(form: str) -> None:
    """An intermediate authority is accepted only where the root permits one."""
    template = Template("intermediate", authority=True)
    intermediate = template.make(key("intermediate"), key("root"))
    signer = replace(LEAF, issuer="intermediate").make(key("leaf"), key("intermediate"))
    assert check(Draft(chain=(signer, intermediate, root())).write(form), form).subject == "CN=signer"
    strict = replace(ROOT, path_length=0).make(key("root"), key("root"))
    envelope = Draft(chain=(signer, intermediate, strict)).write(form)
    assert "longer than its path length permits" in refused(envelope, form, trust=TrustStore((strict,), ANYBODY))


@both
def test_self_signed_signer(form: str) -> None:
    """A self-signed signing certificate is accepted only when it is trusted itself."""
    own = replace(LEAF, issuer="signer").make(key("leaf"), key("leaf"))
    assert check(Draft(chain=(own,)).write(form), form, trust=TrustStore((own,))).subject == "CN=signer"
    assert "not in the trust store" in refused(Draft(chain=(own,)).write(form), form)


@both
def test_leaf_as_authority(form: str) -> None:
    """A signing certificate cannot issue another one."""
    below = replace(LEAF, name="below", issuer="signer").make(key("below"), key("leaf"))
    draft = Draft(chain=(below, leaf(), root()), private=key("below"))
    assert "CA certificate" in refused(draft.write(form), form)


@both
@pytest.mark.parametrize(
    "bad",
    [
        replace(LEAF, may_sign=False),
        replace(LEAF, authority=True),
        *(
            replace(LEAF, purposes=(Purpose.CODE_SIGNING, purpose))
            for purpose in (Purpose.SERVER_AUTH, Purpose.CLIENT_AUTH, Purpose.TIME_STAMPING, Purpose.EMAIL_PROTECTION)
        ),
        replace(LEAF, purposes=(Purpose.ANY_EXTENDED_KEY_USAGE,)),
    ],
    ids=["usage", "authority", "server", "client", "time stamps", "mail", "any"],
)
def test_certificates_for_other_purposes(form: str, bad: Template) -> None:
    """A certificate of the same authority for another purpose, such as a web server, is rejected."""
    refused(Draft(chain=(bad.make(key("leaf"), key("root")), root())).write(form), form)


@both
def test_purposes_are_optional(form: str) -> None:
    """A signing certificate without extended key usage is accepted."""
    chain = (replace(LEAF, purposes=()).make(key("leaf"), key("root")), root())
    assert check(Draft(chain=chain).write(form), form).subject == "CN=signer"


def test_trust_store(tmp_path: Path) -> None:
    """A trust store contains every certificate of its files or of pasted text, and must contain at least one."""
    path, empty = tmp_path / "roots.pem", tmp_path / "empty.pem"
    pem = serialization.Encoding.PEM
    path.write_bytes(root().public_bytes(pem) + leaf().public_bytes(pem))
    assert TrustStore.load([path], ["*"]) == TrustStore((root(), leaf()), ANYBODY)
    assert TrustStore.load([path.read_text()], ["*"]) == TrustStore((root(), leaf()), ANYBODY)
    empty.write_text("")
    for paths in ([], [empty], [path, tmp_path / "missing.pem"]):
        with pytest.raises(ConfigurationError):
            TrustStore.load(paths, ["*"])
