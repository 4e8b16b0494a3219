"""Timestamp countersignatures: when a signature existed, by the word of a timestamp authority.

A signing certificate lives for months, and a signature is needed for longer: a timestamp proves that it was made while
the certificate was valid.

rfc3161-client verifies the token's own signature. It reads strict DER only, where the certificates of a token are
sorted; real authorities and OpenSSL do not sort them, so they are sorted here first, which no signature covers. Which
certificate signed, its purpose, its chain and the token's accuracy are checked here.

Source: RFC 3161; RFC 5816; Notary Project signature specification, "Timestamp Countersignature".
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from asn1crypto import cms, core, tsp  # type: ignore[import-untyped]  # noqa: F401  # no types; tsp adds its own to cms
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from rfc3161_client import VerificationError, VerifierBuilder, decode_timestamp_response

from pratique.evidence.signatures.chain import check_validity, timestamping_chain
from pratique.evidence.signatures.envelope import MalformedEnvelope

_BASELINE_POLICY = "0.4.0.2023.1.1"  # ETSI EN 319 421, best practices policy: accurate to a second
_HASHES = ("sha256", "sha384", "sha512")
_GRANTED = bytes.fromhex("3003020100")  # PKIStatusInfo with the status "granted"
_MOST_CERTIFICATES = 16
_MOST_ACCURACY = timedelta(days=1)


@dataclass(frozen=True)
class Timestamp:
    """A verified timestamp. The signature existed at a time between the two.

    :ivar chain: from the authority's certificate to a trusted one
    """

    earliest: datetime
    latest: datetime
    chain: tuple[x509.Certificate, ...]


def verify_timestamp(token: bytes, message: bytes, authorities: Sequence[x509.Certificate]) -> Timestamp:
    """Check that a trusted authority timestamped exactly this message.

    :param token: TimeStampToken in DER or BER
    :param message: the bytes of the signature
    :raises MalformedEnvelope: when it did not
    :raises ValueError: when the token cannot be read, or another error of its parsers
    """
    info, certificates = _parse(token)
    response = decode_timestamp_response(_response(info.dump(force=True)))
    try:
        VerifierBuilder(roots=list(authorities)).build().verify_message(response, message)
    except VerificationError as error:
        raise MalformedEnvelope(f"The timestamp does not verify: {error}.") from None
    signer = info["content"]["signer_infos"][0]
    leaf = _signing_certificate(signer, certificates)
    try:
        chain = timestamping_chain(leaf, certificates, authorities)
    except MalformedEnvelope as error:
        raise MalformedEnvelope(f"The timestamp does not count. {error}") from None
    tst = info["content"]["encap_content_info"]["content"].parsed
    at: datetime = tst["gen_time"].native.astimezone(UTC)
    check_validity(chain, at, f"at the time of the timestamp, {at:%Y-%m-%d %H:%M} UTC")
    accuracy = _accuracy(tst)
    return Timestamp(at - accuracy, at + accuracy, chain)


def timestamp_claims(token: bytes) -> tuple[datetime, tuple[x509.Certificate, ...]]:
    """The time and the certificates of a token. Nothing of it is verified.

    :raises MalformedEnvelope: when it is no token; or another error of its parsers
    """
    info, certificates = _parse(token)
    at: datetime = info["content"]["encap_content_info"]["content"].parsed["gen_time"].native.astimezone(UTC)
    return at, certificates


def _parse(token: bytes) -> tuple[Any, tuple[x509.Certificate, ...]]:
    """The token with its certificates sorted, and those certificates."""
    info = cms.ContentInfo.load(token, strict=True)
    if info["content_type"].native != "signed_data":
        raise MalformedEnvelope("The timestamp is not signed.")
    signed = info["content"]
    if signed["encap_content_info"]["content_type"].native != "tst_info":
        raise MalformedEnvelope("The timestamp holds something else.")
    if len(signed["signer_infos"]) != 1:
        raise MalformedEnvelope("The timestamp does not have exactly one signature.")
    if isinstance(signed["certificates"], core.Void) or len(signed["certificates"]) > _MOST_CERTIFICATES:
        raise MalformedEnvelope("The timestamp has no certificates, or too many.")
    choices = sorted((choice for choice in signed["certificates"]), key=lambda choice: bytes(choice.dump()))
    certificates = tuple(x509.load_der_x509_certificate(choice.chosen.dump()) for choice in choices)
    signed["certificates"] = cms.CertificateSet(choices)
    return info, certificates


def _response(token: bytes) -> bytes:
    """The token as a TimeStampResp: a sequence of its status and itself."""
    body = _GRANTED + token
    length = len(body).to_bytes((len(body).bit_length() + 7) // 8)
    return b"\x30" + (length if len(body) < 0x80 else bytes([0x80 | len(length)]) + length) + body


def _signing_certificate(signer: Any, certificates: Sequence[x509.Certificate]) -> x509.Certificate:
    """The certificate that signed, which the signed attribute signing-certificate-v2 must name by its hash."""
    if signer["digest_algorithm"]["algorithm"].native not in _HASHES:
        raise MalformedEnvelope("The timestamp is signed with a weak hash.")
    named = [entry for entry in signer["signed_attrs"] if entry["type"].native == "signing_certificate_v2"]
    if len(named) != 1 or len(named[0]["values"]) != 1 or not len(named[0]["values"][0]["certs"]):
        raise MalformedEnvelope("The timestamp does not name its certificate (signing-certificate-v2).")
    entry = named[0]["values"][0]["certs"][0]
    algorithm = entry["hash_algorithm"]["algorithm"].native
    if algorithm not in _HASHES:
        raise MalformedEnvelope("The timestamp names its certificate by a weak hash.")
    issuer, serial = signer["sid"].chosen["issuer"].dump(), signer["sid"].chosen["serial_number"].native
    for certificate in certificates:
        if (certificate.issuer.public_bytes(), certificate.serial_number) == (issuer, serial):
            if hashlib.new(algorithm, certificate.public_bytes(Encoding.DER)).digest() == entry["cert_hash"].native:
                return certificate
            raise MalformedEnvelope("The timestamp names another certificate than the one that signed it.")
    raise MalformedEnvelope("The timestamp lacks the certificate that signed it.")


def _accuracy(tst: Any) -> timedelta:
    """By how much the time may be wrong; a token that does not say has the accuracy of its policy."""
    if isinstance(tst["accuracy"], core.Void):
        return timedelta(seconds=1 if tst["policy"].dotted == _BASELINE_POLICY else 0)
    parts = {name: tst["accuracy"][name].native or 0 for name in ("seconds", "millis", "micros")}
    if min(parts.values()) < 0 or parts["seconds"] > _MOST_ACCURACY.total_seconds():
        raise MalformedEnvelope("The timestamp's accuracy is out of range.")
    return timedelta(seconds=parts["seconds"], milliseconds=parts["millis"], microseconds=parts["micros"])
