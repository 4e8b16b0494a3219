"""A timestamp authority: RFC 3161 tokens, as a client would get them from Microsoft's.

The certificates stand in the order of the chain, not sorted as DER wants a set to be, like in the tokens of real
authorities and of OpenSSL. Source: RFC 3161, section 2.4.2; RFC 5816 (signing-certificate-v2); RFC 5652.
"""

from __future__ import annotations

import hashlib
import secrets
from datetime import datetime

from asn1crypto import cms, core, tsp, x509  # type: ignore[import-untyped]  # ships no types
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding

from sandbox.services.defender.certificates import Identity

_POLICY = "1.3.6.1.4.1.601.10.3.1"


def timestamp_token(message: bytes, at: datetime, authority: Identity) -> bytes:
    """A token that says that the message existed at a time, accurate to a second."""
    tst = tsp.TSTInfo(
        {
            "version": "v1",
            "policy": _POLICY,
            "message_imprint": {
                "hash_algorithm": {"algorithm": "sha256"},
                "hashed_message": hashlib.sha256(message).digest(),
            },
            "serial_number": secrets.randbits(63),
            "gen_time": at.replace(microsecond=0),
            "accuracy": {"seconds": 1},
        }
    )
    content = core.ParsableOctetString(tst.dump())
    certificates = [x509.Certificate.load(der) for der in authority.ders()]
    signer = _signer_info(tst.dump(), at, authority, certificates[0])
    signed = cms.SignedData(
        {
            "version": "v3",
            "digest_algorithms": [{"algorithm": "sha256"}],
            "encap_content_info": {"content_type": "tst_info", "content": content},
            "certificates": [cms.CertificateChoices("certificate", certificate) for certificate in certificates],
            "signer_infos": [signer],
        }
    )
    token: bytes = cms.ContentInfo({"content_type": "signed_data", "content": signed}).dump()
    return token


def _signer_info(content: bytes, at: datetime, authority: Identity, leaf: x509.Certificate) -> cms.SignerInfo:
    named = tsp.ESSCertIDv2(
        {"hash_algorithm": {"algorithm": "sha256"}, "cert_hash": hashlib.sha256(leaf.dump()).digest()}
    )
    attributes = cms.CMSAttributes(
        [
            cms.CMSAttribute({"type": "content_type", "values": ["tst_info"]}),
            cms.CMSAttribute({"type": "message_digest", "values": [hashlib.sha256(content).digest()]}),
            cms.CMSAttribute({"type": "signing_time", "values": [cms.Time("utc_time", at.replace(microsecond=0))]}),
            cms.CMSAttribute(
                {"type": "signing_certificate_v2", "values": [tsp.SigningCertificateV2({"certs": [named]})]}
            ),
        ]
    )
    signature = authority.key.sign(attributes.dump(), padding.PKCS1v15(), hashes.SHA256())
    sid = {"issuer": leaf.issuer, "serial_number": leaf.serial_number}
    return cms.SignerInfo(
        {
            "version": "v1",
            "sid": cms.SignerIdentifier("issuer_and_serial_number", cms.IssuerAndSerialNumber(sid)),
            "digest_algorithm": {"algorithm": "sha256"},
            "signed_attrs": attributes,
            "signature_algorithm": {"algorithm": "rsassa_pkcs1v15"},
            "signature": signature,
        }
    )
