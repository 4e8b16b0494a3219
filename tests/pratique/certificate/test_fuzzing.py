"""Whatever a secret holds, reading it gives a checked certificate or our error, in bounded time."""

from __future__ import annotations

import base64
import time
from functools import cache

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding, PrivateFormat
from cryptography.x509.oid import NameOID
from hypothesis import given, settings
from hypothesis import strategies as st

from pratique.certificate.bundle import LARGEST
from pratique.errors import CertificateRejected, ConfigurationError, NotFound
from pratique.secret import SecretKind, SecretSource
from tests.pratique.certificate.issuing import NAME, NOW, Issued, authority, issue, read, rejected


@cache
def root() -> Issued:
    return authority("root")


@cache
def leaf() -> Issued:
    return issue(issuer=root(), names=("a.example", NAME))


def der(issued: Issued) -> bytes:
    return issued.certificate.public_bytes(Encoding.DER)


def block(label: str, content: bytes) -> bytes:
    return f"-----BEGIN {label}-----\n{base64.encodebytes(content).decode()}-----END {label}-----\n".encode()


def key() -> bytes:
    return base64.b64decode(b"".join(leaf().pem_key(PrivateFormat.PKCS8).splitlines()[1:-1]))


@st.composite
def damaged(draw: st.DrawFn, content: bytes) -> bytes:
    """The content with a few bytes replaced, removed, added or repeated."""
    changed = bytearray(content)
    for _ in range(draw(st.integers(1, 4))):
        start = draw(st.integers(0, len(changed)))
        end = min(len(changed), start + draw(st.sampled_from([0, 1, 1, 1, 2, 30])))
        changed[start:end] = draw(st.binary(max_size=2) | st.just(changed[start:end] * 2))
    return bytes(changed)


@st.composite
def secrets(draw: st.DrawFn) -> bytes:
    """A secret that was valid before something in it was damaged."""
    form = draw(st.sampled_from(["pem", "pfx", "base64", "der", "certificate", "issuer", "key"]))
    if form == "der":
        return draw(damaged(der(leaf()) + der(root()) + key()))
    if form in ("pem", "base64"):
        pem: bytes = draw(damaged(leaf().pem + root().crt))
        return base64.b64encode(pem) if form == "base64" else pem
    if form == "pfx":
        return draw(damaged(leaf().pfx(root())))
    parts = {"certificate": der(leaf()), "issuer": der(root()), "key": key()}
    parts[form] = draw(damaged(parts[form]))
    return (
        block("CERTIFICATE", parts["certificate"])
        + block("CERTIFICATE", parts["issuer"])
        + block("PRIVATE KEY", parts["key"])
    )


@settings(max_examples=100, deadline=None)
@given(secrets() | st.binary(max_size=100), st.sampled_from([None, "", "x"]))
def test_every_secret(secret: bytes, password: str | None) -> None:
    """A damaged one is rejected, with nothing of it in the message; any other has the key's certificate first."""
    try:
        bundle = read(secret, password)
    except CertificateRejected as error:
        shown = str(error)
    else:
        first = x509.load_der_x509_certificate(bundle.chain[0])
        assert first.public_key() == leaf().key.public_key()
        assert NAME in bundle.names
        assert read(bundle.content).content == bundle.content
        shown = bundle.public_base64
    lines = leaf().pem_key().decode().splitlines()[1:-1]
    assert not any(line in shown for line in lines)


def damaged_names(old: bytes, new: bytes) -> bytes:
    """A secret with bytes of its certificate replaced."""
    content = der(leaf())
    assert old in content
    return block("CERTIFICATE", content.replace(old, new)) + block("PRIVATE KEY", key())


def repeated() -> bytes:
    """A secret whose certificate has an extension twice, which the library's builder refuses."""
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, NAME)])
    builder = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(leaf().key.public_key())
        .serial_number(1)
        .not_valid_before(NOW)
        .not_valid_after(NOW.replace(year=2027))
    )
    for number in (1, 2):
        identifier = x509.ObjectIdentifier(f"1.3.6.1.4.1.55555.{number}")
        builder = builder.add_extension(x509.UnrecognizedExtension(identifier, b"\x05\x00"), critical=False)
    signed = builder.sign(root().key, hashes.SHA256()).public_bytes(Encoding.DER)
    prefix = b"\x2b\x06\x01\x04\x01\x83\xb2\x03"
    assert signed.count(prefix) == 2
    return block("CERTIFICATE", signed.replace(prefix + b"\x02", prefix + b"\x01")) + block("PRIVATE KEY", key())


@pytest.mark.parametrize(
    "secret",
    [
        lambda: damaged_names(b"\xa0\x03\x02\x01\x02", b"\xa0\x03\x02\x01\x05"),
        lambda: damaged_names(b"\x0c\x19*.aks", b"\x0c\x19\xff.aks"),
        lambda: damaged_names(b"\x82\x19*.aks", b"\x82\x19\xff.aks"),
        repeated,
    ],
    ids=["version 6", "common name is no text", "DNS name is no text", "extension twice"],
)
def test_certificates_that_the_library_refuses_late(secret: object) -> None:
    """A defect that is found on first use, or has an exception of its own, is a rejection as any other."""
    assert callable(secret)
    rejected(secret())


@pytest.mark.parametrize(
    "unit",
    [
        b"-----BEGIN A-----\n",
        b"-----BEGIN CERTIFICATE-----\n-----END CERTIFICATE-----\n",
        b"-----BEGIN A" + b" " * 1000,
        b"-----BEGIN A-----\n-----END A-----\n",
        b"\\\\\\n",
        b"Proc-Type: 4,ENCRYPTED DEK-Info: ",
        b"\n",
    ],
)
def test_time_grows_with_the_size(unit: bytes) -> None:
    """The largest secret takes about as long for each byte as a small one, however many blocks begin in it."""

    def seconds(size: int) -> float:
        secret = (b"-----BEGIN A-----\n" + unit * (size // len(unit)))[:size]
        start = time.process_time()
        with pytest.raises(CertificateRejected):
            read(secret)
        return time.process_time() - start

    seconds(1000)
    assert seconds(LARGEST) < 50 * (seconds(LARGEST // 16) + 0.01)


@pytest.mark.parametrize("tag", [0x24, 0x30, 0xA0])
def test_deep_nesting(tag: int) -> None:
    """Twenty thousand objects within each other, in a PFX or by themselves, are damaged content like any other."""
    content = b""
    for _ in range(20_000):
        content = bytes([tag, 0x83]) + len(content).to_bytes(3) + content
    pfx = b"\x02\x01\x03" + content
    rejected(b"\x30\x83" + len(pfx).to_bytes(3) + pfx, "open sesame")
    rejected(content, "open sesame")


def test_size() -> None:
    """A secret beyond the limit is rejected without being read."""
    assert "larger" in rejected(leaf().pem + b"\n" * LARGEST)


@settings(max_examples=50, deadline=None)
@given(st.text(min_size=1).filter(lambda name: not name.startswith("/")))
def test_names_of_secrets(name: str) -> None:
    """A name that no file or variable can have is the user's error."""
    for kind in (SecretKind.FILE, SecretKind.ENV):
        try:
            SecretSource(kind, f"no-such-{name}").read()
        except (ConfigurationError, NotFound) as error:
            assert error.remedy  # noqa: PT017  # any of both
