"""Certificates whose issuers revoked them, and issuers that do not answer; over HTTP, as issuers publish."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

import httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509 import ocsp
from cryptography.x509.oid import AuthorityInformationAccessOID, ExtendedKeyUsageOID
from hypothesis import given
from hypothesis import strategies as st

from pratique.errors import SignatureRejected
from pratique.evidence import revocation
from pratique.evidence.revocation import RevocationChecker
from pratique.evidence.signature_artifacts import SignatureEnvelope
from pratique.evidence.signatures.revocation import StatusUnknown, read_crl, read_ocsp
from pratique.evidence.signatures.trust import TrustStore
from pratique.evidence.verifier import SignatureVerifier
from tests.pratique.evidence.signatures.authority import (
    ANYBODY,
    ARTIFACT,
    COSE,
    DAY,
    LEAF,
    NOW,
    ROOT,
    Draft,
    Template,
    key,
    root,
)

HOUR = timedelta(hours=1)


@dataclass
class Issuer:
    """The root's servers.

    :ivar answers: by path, the body, or the status of a failure
    :ivar asked: paths of the requests
    """

    url: str
    answers: dict[str, bytes | int] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)

    def certificate(self, *kinds: str) -> x509.Certificate:
        """A signing certificate that names these servers."""
        more: list[x509.ExtensionType] = []
        if "ocsp" in kinds:
            location = x509.UniformResourceIdentifier(f"{self.url}/ocsp")
            more.append(
                x509.AuthorityInformationAccess([x509.AccessDescription(AuthorityInformationAccessOID.OCSP, location)])
            )
        points = [
            x509.DistributionPoint([x509.UniformResourceIdentifier(f"{self.url}/{kind}")], None, None, None)
            for kind in kinds
            if kind != "ocsp"
        ]
        if points:
            more.append(x509.CRLDistributionPoints(points))
        return LEAF.make(key("leaf"), key("root"), more=more)


@pytest.fixture
async def issuer() -> AsyncIterator[Issuer]:
    server: Issuer

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        path = head.split()[1].decode().strip("/")
        server.asked.append(path)
        answer = server.answers.get(path, 404)
        if answer == 0:
            await reader.read()
        status, body = (answer, b"") if isinstance(answer, int) else (200, answer)
        writer.write(f"HTTP/1.1 {status} x\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n".encode() + body)
        await writer.drain()
        writer.close()

    listening = await asyncio.start_server(serve, "127.0.0.1", 0)
    server = Issuer(f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}")
    async with listening:
        yield server


def crl(
    *revoked: x509.Certificate,
    by: str = "root",
    since: datetime = NOW - HOUR,
    until: datetime = NOW + HOUR,
    more: x509.ExtensionType | None = None,
) -> bytes:
    builder = x509.CertificateRevocationListBuilder(root().subject, since, until)
    for certificate in revoked:
        entry = x509.RevokedCertificateBuilder(certificate.serial_number, NOW - HOUR).build()
        builder = builder.add_revoked_certificate(entry)
    if more is not None:
        builder = builder.add_extension(more, critical=True)
    return builder.sign(key(by), hashes.SHA256()).public_bytes(Encoding.DER)


def ocsp_answer(
    about: x509.Certificate,
    status: ocsp.OCSPCertStatus,
    *,
    by: str = "root",
    until: datetime = NOW + HOUR,
    delegate: x509.Certificate | None = None,
) -> bytes:
    revoked = status is ocsp.OCSPCertStatus.REVOKED
    builder = ocsp.OCSPResponseBuilder().add_response(
        cert=about,
        issuer=root(),
        algorithm=hashes.SHA1(),  # noqa: S303  # names the certificate, as responders do
        cert_status=status,
        this_update=NOW - HOUR,
        next_update=until,
        revocation_time=NOW - HOUR if revoked else None,
        revocation_reason=None,
    )
    responder = delegate or (root() if by == "root" else ROOT.make(key(by), key(by)))
    builder = builder.responder_id(ocsp.OCSPResponderEncoding.NAME, responder)
    if delegate is not None:
        builder = builder.certificates([delegate])
    return builder.sign(key(by), hashes.SHA256()).public_bytes(Encoding.DER)


GOOD, REVOKED, UNKNOWN = ocsp.OCSPCertStatus.GOOD, ocsp.OCSPCertStatus.REVOKED, ocsp.OCSPCertStatus.UNKNOWN
RESPONDER = Template("responder", purposes=(ExtendedKeyUsageOID.OCSP_SIGNING,))


async def doubts(certificate: x509.Certificate) -> tuple[str, ...]:
    async with httpx.AsyncClient() as http:
        return await RevocationChecker(http).check((certificate, root()), NOW)


async def test_no_addresses(issuer: Issuer) -> None:
    """A certificate without addresses cannot be revoked, and nobody is asked."""
    assert await doubts(issuer.certificate()) == ()
    assert issuer.asked == []


@pytest.mark.parametrize("kind", ["ocsp", "crl"])
@pytest.mark.parametrize("url", ["https://pki.example", "ldap:///CN=ca", "HTTPS://pki.example", "file:///ca"])
async def test_addresses_that_cannot_be_asked(issuer: Issuer, kind: str, url: str) -> None:
    """A certificate whose status is published elsewhere than over plain HTTP can be revoked: its status is unknown."""
    (doubt,) = await doubts(replace(issuer, url=url).certificate(kind))
    assert "no address that can be asked" in doubt
    assert issuer.asked == []


async def test_too_many_lists(issuer: Issuer) -> None:
    """One of the lists that are not read may name the certificate; one of those that are read does so for certain."""
    kinds = [f"crl{number}" for number in range(9)]
    certificate = issuer.certificate(*kinds)
    issuer.answers = {kind: crl() for kind in kinds}
    (doubt,) = await doubts(certificate)
    assert "too many lists" in doubt
    assert len(issuer.asked) == 4
    issuer.answers["crl0"] = crl(certificate)
    with pytest.raises(SignatureRejected, match="was revoked"):
        await doubts(certificate)


@pytest.mark.parametrize("kinds", [("ocsp",), ("crl",), ("ocsp", "crl"), ("crl", "crl2")])
async def test_good_and_revoked(issuer: Issuer, kinds: tuple[str, ...]) -> None:
    """The issuer's word counts, by OCSP or by list; one list that names the certificate is enough."""
    certificate = issuer.certificate(*kinds)
    issuer.answers = {"ocsp": ocsp_answer(certificate, GOOD), "crl": crl(), "crl2": crl()}
    assert await doubts(certificate) == ()
    issuer.answers = {"ocsp": ocsp_answer(certificate, REVOKED), "crl": crl(), "crl2": crl(certificate)}
    if kinds == ("crl",):
        issuer.answers["crl"] = crl(certificate)
    with pytest.raises(SignatureRejected, match="was revoked at 2026-11-23 11:00 UTC"):
        await doubts(certificate)


async def test_list_when_no_responder_knows(issuer: Issuer) -> None:
    """Lists are asked when the responder does not answer, or does not know the certificate."""
    certificate = issuer.certificate("ocsp", "crl")
    for answer in (503, ocsp_answer(certificate, UNKNOWN), b"garbage"):
        issuer.answers = {"ocsp": answer, "crl": crl(certificate)}
        with pytest.raises(SignatureRejected, match="was revoked"):
            await doubts(certificate)
        issuer.answers["crl"] = crl()
        assert await doubts(certificate) == ()


def other() -> x509.Certificate:
    return LEAF.make(key("leaf"), key("root"))


BAD_OCSP: dict[str, Callable[[x509.Certificate], bytes | int]] = {
    "status": lambda _: 500,
    "garbage": lambda _: b"garbage",
    "empty": lambda _: b"",
    "refused": lambda _: ocsp.OCSPResponseBuilder.build_unsuccessful(ocsp.OCSPResponseStatus.UNAUTHORIZED).public_bytes(
        Encoding.DER
    ),
    "forged": lambda certificate: ocsp_answer(certificate, GOOD, by="somebody"),
    "old": lambda certificate: ocsp_answer(certificate, GOOD, until=NOW - HOUR / 2),
    "other certificate": lambda _: ocsp_answer(other(), GOOD),
    "unknown": lambda certificate: ocsp_answer(certificate, UNKNOWN),
    "delegate of somebody": lambda certificate: ocsp_answer(
        certificate, GOOD, by="responder", delegate=RESPONDER.make(key("responder"), key("somebody"))
    ),
    "delegate for something else": lambda certificate: ocsp_answer(
        certificate, GOOD, by="responder", delegate=replace(LEAF, name="responder").make(key("responder"), key("root"))
    ),
    "expired delegate": lambda certificate: ocsp_answer(
        certificate,
        GOOD,
        by="responder",
        delegate=replace(RESPONDER, ends=NOW - HOUR).make(key("responder"), key("root")),
    ),
}
BAD_CRL: dict[str, Callable[[], bytes | int]] = {
    "status": lambda: 404,
    "garbage": lambda: b"garbage",
    "forged": lambda: crl(by="somebody"),
    "old": lambda: crl(since=NOW - DAY, until=NOW - HOUR),
    "not yet": lambda: crl(since=NOW + HOUR, until=NOW + DAY),
    "for authorities": lambda: crl(more=scope(only_contains_ca_certs=True)),
    "for some reasons": lambda: crl(more=scope(only_some_reasons=frozenset({x509.ReasonFlags.key_compromise}))),
    "delta": lambda: crl(more=x509.DeltaCRLIndicator(1)),
}


def scope(**changes: object) -> x509.IssuingDistributionPoint:
    plain: dict[str, object] = dict.fromkeys(
        (
            "only_contains_user_certs",
            "only_contains_ca_certs",
            "indirect_crl",
            "only_contains_attribute_certs",
        ),
        False,
    )
    return x509.IssuingDistributionPoint(
        full_name=[x509.UniformResourceIdentifier("http://a/b")],
        relative_name=None,
        **{"only_some_reasons": None, **plain, **changes},  # type: ignore[arg-type]  # each by its own type
    )


@pytest.mark.parametrize("form", BAD_OCSP)
async def test_responses_that_say_nothing(issuer: Issuer, form: str) -> None:
    """A response that is broken, forged, old or about something else leaves the status unknown."""
    certificate = issuer.certificate("ocsp")
    issuer.answers["ocsp"] = BAD_OCSP[form](certificate)
    (doubt,) = await doubts(certificate)
    assert "it is unknown whether 'CN=signer' was revoked" in doubt


async def test_delegated_responder(issuer: Issuer) -> None:
    """A responder may sign with a certificate that the issuer gave it for that."""
    certificate = issuer.certificate("ocsp")
    delegate = RESPONDER.make(key("responder"), key("root"))
    issuer.answers["ocsp"] = ocsp_answer(certificate, GOOD, by="responder", delegate=delegate)
    assert await doubts(certificate) == ()


@pytest.mark.parametrize("form", BAD_CRL)
async def test_lists_that_say_nothing(issuer: Issuer, form: str) -> None:
    """A list that is broken, forged, old or for something else leaves the status unknown, whatever another one says."""
    issuer.answers = {"crl": BAD_CRL[form](), "crl2": crl()}
    assert len(await doubts(issuer.certificate("crl", "crl2"))) == 1
    covering = crl(more=scope(only_contains_user_certs=True))
    issuer.answers = {"crl": covering, "crl2": crl()}
    assert await doubts(issuer.certificate("crl", "crl2")) == ()


async def test_bounds(issuer: Issuer, monkeypatch: pytest.MonkeyPatch) -> None:
    """An issuer that never answers, or never stops, leaves the status unknown."""
    certificate = issuer.certificate("crl")
    issuer.answers["crl"] = 0
    monkeypatch.setattr(revocation, "SECONDS", 0.2)
    assert "did not answer" in (await doubts(certificate))[0]
    monkeypatch.undo()
    issuer.answers["crl"] = crl()
    monkeypatch.setattr(revocation, "LARGEST_CRL", 10)
    assert "larger than 10 bytes" in (await doubts(certificate))[0]


async def test_answers_are_kept(issuer: Issuer) -> None:
    """A certificate is asked about once in a while, however many signatures it made, also at the same time."""
    certificate = issuer.certificate("crl")
    issuer.answers["crl"] = crl()
    async with httpx.AsyncClient() as http:
        checker = RevocationChecker(http)
        await asyncio.gather(*(checker.check((certificate, root()), NOW) for _ in range(5)))
        assert issuer.asked == ["crl"]
        await checker.check((certificate, root()), NOW + 2 * HOUR)  # the next list is due
        assert len(await checker.check((certificate, root()), NOW + 2 * HOUR)) == 1
    assert issuer.asked == ["crl", "crl"]


@pytest.mark.parametrize("policy", ["strict", "record"])
async def test_policy(issuer: Issuer, policy: str) -> None:
    """An unknown status rejects the signature or is recorded, as configured; a revoked one never counts."""
    certificate = issuer.certificate("crl")
    envelope = SignatureEnvelope(COSE, Draft(chain=(certificate, root())).write(COSE), "sha256:" + "c" * 64)
    trust = TrustStore((root(),), ANYBODY, revocation="strict" if policy == "strict" else "record")

    async def verified() -> str:
        async with httpx.AsyncClient() as http:
            return str(await SignatureVerifier(http).verify(envelope, ARTIFACT, trust, NOW))

    issuer.answers["crl"] = crl()
    assert await verified() == "signed by CN=signer"
    issuer.answers["crl"] = crl(certificate)
    with pytest.raises(SignatureRejected, match="was revoked"):
        await verified()
    issuer.answers["crl"] = 503
    if policy == "record":
        assert "it is unknown whether 'CN=signer' was revoked" in await verified()
    else:
        with pytest.raises(SignatureRejected, match="Revocation is unknown") as error:
            await verified()
        assert "revocation: record" in error.value.remedy


@given(st.binary(max_size=200), st.booleans())
def test_any_answer(content: bytes, as_ocsp: bool) -> None:
    """Whatever an issuer's server sends, the status is unknown."""
    read = read_ocsp if as_ocsp else read_crl
    with pytest.raises(StatusUnknown):
        read(content, other(), root(), NOW)
