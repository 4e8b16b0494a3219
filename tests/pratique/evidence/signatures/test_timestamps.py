"""A signature outlives its certificate when a trusted authority saw it in time."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from datetime import datetime, timedelta
from functools import cache
from typing import Any

import pytest
from asn1crypto import cms, core, tsp  # type: ignore[import-untyped]  # ships no types
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding
from cryptography.x509.oid import ExtendedKeyUsageOID as Purpose
from cryptography.x509.oid import NameOID
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pratique.errors import SignatureRejected
from pratique.evidence.signatures.trust import TrustStore
from pratique.evidence.signatures.verify import claims, verify
from sandbox.services.defender.certificates import Identity
from sandbox.services.defender.timestamping import timestamp_token
from tests.pratique.evidence.signatures.authority import (
    ANYBODY,
    ARTIFACT,
    COSE,
    DAY,
    EXPIRY,
    JWS,
    LEAF,
    NOW,
    ROOT,
    SCHEME,
    SIGNING_TIME,
    Draft,
    Template,
    check,
    key,
    refused,
    root,
    rsa_key,
)

both = pytest.mark.parametrize("form", [JWS, COSE])
HOUR = timedelta(hours=1)
SECOND = timedelta(seconds=1)
#: The signing certificate expired an hour ago; it signed two hours ago.
EXPIRED = replace(LEAF, ends=NOW - HOUR)
SIGNED = NOW - 2 * HOUR
TSA_ROOT = Template("tsa root", issuer="tsa root", authority=True, begins=NOW - 30 * DAY, ends=NOW + 30 * DAY)
TSA = Template(
    "tsa",
    issuer="tsa root",
    purposes=(Purpose.TIME_STAMPING,),
    purposes_critical=True,
    begins=NOW - 30 * DAY,
    ends=NOW + 30 * DAY,
)


@cache
def tsa_root() -> x509.Certificate:
    return TSA_ROOT.make(key("tsa root"), key("tsa root"))


@cache
def authority(template: Template = TSA) -> Identity:
    """A timestamp authority."""
    return Identity(rsa_key(2048), (template.make(rsa_key(2048), key("tsa root")), tsa_root()))


TRUST = TrustStore((root(),), ANYBODY, (tsa_root(),))
Change = Callable[[Any], None]


def stamp(at: datetime = SIGNED, by: Identity | None = None, change: Change | None = None) -> Callable[[bytes], bytes]:
    """Makes tokens.

    :param change: of the parsed token, before it is written
    """

    def countersign(signature: bytes) -> bytes:
        token = timestamp_token(signature, at, by or authority())
        if change is None:
            return token
        info = cms.ContentInfo.load(token)
        change(info)
        written: bytes = info.dump(force=True)
        return written

    return countersign


def draft(countersign: Callable[[bytes], bytes] | None, template: Template = EXPIRED, **changes: Any) -> Draft:
    """An envelope that an expired certificate signed in its time."""
    chain = (template.make(key("leaf"), key("root")), root())
    return Draft(chain=chain, countersign=countersign, **{"headers": {SIGNING_TIME: SIGNED}, **changes})


@both
def test_a_signature_outlives_its_certificate(form: str) -> None:
    """It counts by its timestamp, and the result says when that was, and by whom."""
    signer = check(draft(stamp()).write(form), form, trust=TRUST)
    assert signer.timestamp is not None
    assert (signer.timestamp.earliest, signer.timestamp.latest) == (SIGNED - SECOND, SIGNED + SECOND)
    assert signer.timestamp.chain == authority().chain


@both
def test_without_a_timestamp(form: str) -> None:
    """An expired certificate is rejected without one, and when nobody trusts the authority."""
    assert "is not valid now" in refused(draft(None).write(form), form, trust=TRUST)
    nobody = TrustStore((root(),), ANYBODY)
    assert "no timestamp authority is trusted" in refused(draft(stamp()).write(form), form, trust=nobody)
    stranger = TrustStore((root(),), ANYBODY, (ROOT.make(key("x"), key("x")),))
    refused(draft(stamp()).write(form), form, trust=stranger)
    assert check(draft(None, LEAF).write(form), form, trust=TRUST).timestamp is None


@both
@pytest.mark.parametrize(
    ("at", "template"),
    [
        (NOW - HOUR, EXPIRED),
        (NOW - HOUR + SECOND, EXPIRED),
        (NOW - 30 * HOUR, EXPIRED),
        (SIGNED, replace(EXPIRED, begins=SIGNED)),
        (NOW + HOUR, replace(LEAF, ends=NOW + DAY)),
    ],
    ids=["within accuracy of the end", "after the end", "before the start", "within accuracy of the start", "future"],
)
def test_the_time_with_its_accuracy_lies_within_the_validity(form: str, at: datetime, template: Template) -> None:
    """A timestamp that may be from outside of the certificate's validity, or from the future, is rejected."""
    refused(draft(stamp(at), template).write(form), form, trust=TRUST)


@both
def test_every_certificate_of_the_chain_was_valid(form: str) -> None:
    """A root that had expired when the timestamp was made is rejected too."""
    old = replace(ROOT, ends=SIGNED - SECOND).make(key("root"), key("root"))
    envelope = replace(draft(stamp()), chain=(EXPIRED.make(key("leaf"), key("root")), old))
    refused(envelope.write(form), form, trust=TrustStore((old,), ANYBODY, (tsa_root(),)))


@both
@pytest.mark.parametrize(
    "template",
    [
        replace(TSA, purposes_critical=False),
        replace(TSA, purposes=(Purpose.TIME_STAMPING, Purpose.CODE_SIGNING)),
        replace(TSA, purposes=(Purpose.CODE_SIGNING,)),
        replace(TSA, purposes=()),
        replace(TSA, may_sign=False),
        replace(TSA, ends=SIGNED - SECOND),
        replace(TSA, begins=SIGNED + SECOND),
        replace(TSA, issuer="somebody"),
    ],
    ids=[
        "purpose not critical",
        "two purposes",
        "other purpose",
        "no purpose",
        "usage",
        "expired",
        "too early",
        "issuer",
    ],
)
def test_authority_that_may_not_timestamp(form: str, template: Template) -> None:
    """A certificate that is not limited to timestamps, or was not valid then, is rejected."""
    refused(draft(stamp(by=authority(template))).write(form), form, trust=TRUST)


def _other_imprint(info: Any) -> None:
    signed = info["content"]
    tst = signed["encap_content_info"]["content"].parsed
    tst["message_imprint"]["hashed_message"] = b"\0" * 32
    signed["encap_content_info"]["content"] = core.ParsableOctetString(tst.dump(force=True))


def _without(name: str) -> Change:
    def change(info: Any) -> None:
        signer = info["content"]["signer_infos"][0]
        kept = [entry for entry in signer["signed_attrs"] if entry["type"].native != name]
        _sign_again(signer, kept)

    return change


def _naming(certificate: bytes) -> Change:
    """A token whose signing-certificate-v2 names that certificate."""

    def change(info: Any) -> None:
        signer = info["content"]["signer_infos"][0]
        kept = [entry for entry in signer["signed_attrs"] if entry["type"].native != "signing_certificate_v2"]
        named = tsp.ESSCertIDv2({"hash_algorithm": {"algorithm": "sha256"}, "cert_hash": certificate})
        value = tsp.SigningCertificateV2({"certs": [named]})
        _sign_again(signer, [*kept, cms.CMSAttribute({"type": "signing_certificate_v2", "values": [value]})])

    return change


def _sign_again(signer: Any, attributes: list[Any]) -> None:
    signer["signed_attrs"] = cms.CMSAttributes(attributes)
    content = cms.CMSAttributes(attributes).dump()
    signer["signature"] = authority().key.sign(content, padding.PKCS1v15(), hashes.SHA256())


def _without_certificates(info: Any) -> None:
    info["content"]["certificates"] = cms.CertificateSet([])


def _two_signers(info: Any) -> None:
    signer = info["content"]["signer_infos"][0]
    info["content"]["signer_infos"] = cms.SignerInfos([signer, signer])


@both
@pytest.mark.parametrize(
    "change",
    [
        _other_imprint,
        _without("signing_certificate_v2"),
        _without("message_digest"),
        _naming(b"\0" * 32),
        _without_certificates,
        _two_signers,
    ],
    ids=["imprint", "no signing certificate", "no digest", "another certificate", "no certificates", "two signatures"],
)
def test_altered_token(form: str, change: Change) -> None:
    """A token that was changed, or does not name the certificate that signed it, is rejected."""
    refused(draft(stamp(change=change)).write(form), form, trust=TRUST)
    # The changes that are signed again would pass without their check.
    assert check(draft(stamp()).write(form), form, trust=TRUST)


@both
def test_token_of_another_signature(form: str) -> None:
    """A token that stamps something else is rejected, even while the certificate is valid."""
    other = timestamp_token(b"another signature", SIGNED, authority())
    refused(draft(lambda _: other, LEAF).write(form), form, trust=TRUST)
    refused(draft(lambda _: b"no token", LEAF).write(form), form, trust=TRUST)


@both
def test_expiry_and_signing_time(form: str) -> None:
    """A timestamp does not save a signature that has an expiry of its own, or that claims to be from the future."""
    expiring = {SIGNING_TIME: SIGNED, EXPIRY: NOW - SECOND}
    envelope = draft(stamp(), critical=(SCHEME, EXPIRY), headers=expiring)
    assert "expired" in refused(envelope.write(form), form, trust=TRUST)
    future = draft(stamp(), LEAF, headers={SIGNING_TIME: NOW + HOUR})
    assert "in the future" in refused(future.write(form), form, trust=TRUST)
    slow = draft(None, LEAF, headers={SIGNING_TIME: NOW + timedelta(minutes=4)})
    assert check(slow.write(form), form, trust=TRUST)


@cache
def _stamped(form: str) -> bytes:
    return draft(stamp()).write(form)


@cache
def _thumbprint(form: str) -> str:
    return check(_stamped(form), form, trust=TRUST).thumbprint


@settings(suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(st.sampled_from([JWS, COSE]), st.data())
def test_mutated_envelopes(form: str, data: st.DataObject) -> None:
    """Whatever bytes of an envelope or its token are changed, cut or added, it gives a rejection and no other error.

    What is still accepted is signed by the same signer at the same time: bytes that no signature covers may change.
    """
    envelope = bytearray(_stamped(form))
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(envelope) - 1))
        match data.draw(st.sampled_from(["change", "cut", "add"])):
            case "change":
                envelope[at] ^= data.draw(st.integers(1, 255))
            case "cut":
                del envelope[at : at + data.draw(st.integers(1, 64))]
            case _:
                envelope[at:at] = data.draw(st.binary(min_size=1, max_size=16))
    try:
        signer = verify(bytes(envelope), media_type=form, artifact=ARTIFACT, trust=TRUST, at=NOW)
    except SignatureRejected:
        pass
    else:
        assert (signer.thumbprint, signer.signed_at) == (_thumbprint(form), SIGNED)
        assert signer.timestamp is not None
    with suppress(SignatureRejected):
        claims(bytes(envelope), media_type=form, digest=ARTIFACT.digest)


@settings(suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(st.binary(max_size=512))
def test_any_token(token: bytes) -> None:
    """Whatever bytes stand where the timestamp should be, an expired certificate is rejected."""
    refused(draft(lambda _: token).write(COSE), COSE, trust=TRUST)


def test_names_of_the_subject_are_no_proof() -> None:
    """An authority with the trusted one's name and another key is rejected."""
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "tsa root")])
    forged = TSA_ROOT.make(key("forger"), key("forger"))
    assert forged.subject == name == tsa_root().subject
    by = Identity(rsa_key(2048), (TSA.make(rsa_key(2048), key("forger")), forged))
    refused(draft(stamp(by=by)).write(COSE), COSE, trust=TRUST)
