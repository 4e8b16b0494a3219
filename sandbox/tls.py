"""The sandbox's certificate authority: issues a certificate for each host on its first connection."""

from __future__ import annotations

import ssl
import tempfile
from datetime import UTC, datetime, timedelta
from functools import cached_property
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from sandbox.home import Home

_YEAR = timedelta(days=365)


class CertificateAuthority:
    """Issues server certificates under a root kept in the sandbox's home."""

    def __init__(self, home: Home) -> None:
        self._home = home
        self._contexts: dict[str, ssl.SSLContext] = {}
        self._leaf_key = ec.generate_private_key(ec.SECP256R1())
        home.text("ca.pem", self._root_certificate)

    def context(self, host: str) -> ssl.SSLContext:
        """A server-side TLS context for ``host``."""
        if host not in self._contexts:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.minimum_version = ssl.TLSVersion.TLSv1_2
            context.set_alpn_protocols(["http/1.1"])
            # The ssl module loads certificates from files only.
            with tempfile.TemporaryDirectory(prefix="azure-sandbox-") as folder:
                path = Path(folder) / "chain.pem"
                path.touch(mode=0o600)
                path.write_bytes(self._leaf(host))
                context.load_cert_chain(path)
            self._contexts[host] = context
        return self._contexts[host]

    @cached_property
    def _root_key(self) -> ec.EllipticCurvePrivateKey:
        pem = self._home.text("ca-key.pem", lambda: _pem(ec.generate_private_key(ec.SECP256R1())).decode())
        key = serialization.load_pem_private_key(pem.encode(), None)
        if not isinstance(key, ec.EllipticCurvePrivateKey):
            raise TypeError("ca-key.pem does not hold an EC key: delete it and ca.pem")
        return key

    @cached_property
    def _root(self) -> x509.Certificate:
        return x509.load_pem_x509_certificate(self._home.ca_file.read_bytes())

    def _root_certificate(self) -> str:
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "azure-sandbox root (local only)")])
        now = datetime.now(UTC)
        key_id = x509.SubjectKeyIdentifier.from_public_key(self._root_key.public_key())
        certificate = (
            x509.CertificateBuilder(name, name, self._root_key.public_key(), x509.random_serial_number())
            .not_valid_before(now - timedelta(days=1))
            .not_valid_after(now + 5 * _YEAR)
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(_key_usage(signs_certificates=True), critical=True)
            .add_extension(key_id, critical=False)
            .sign(self._root_key, hashes.SHA256())
        )
        return certificate.public_bytes(serialization.Encoding.PEM).decode()

    def _leaf(self, host: str) -> bytes:
        now = datetime.now(UTC)
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, host[:64])])
        issuer_key_id = x509.AuthorityKeyIdentifier.from_issuer_public_key(self._root_key.public_key())
        certificate = (
            x509.CertificateBuilder(
                self._root.subject, subject, self._leaf_key.public_key(), x509.random_serial_number()
            )
            .not_valid_before(now - timedelta(days=1))
            .not_valid_after(now + _YEAR)
            .add_extension(x509.SubjectAlternativeName([x509.DNSName(host)]), critical=False)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_key_usage(signs_certificates=False), critical=True)
            .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
            .add_extension(issuer_key_id, critical=False)
            .sign(self._root_key, hashes.SHA256())
        )
        return _pem(self._leaf_key) + certificate.public_bytes(serialization.Encoding.PEM)


def _key_usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=True,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        encipher_only=False,
        decipher_only=False,
    )


def _pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
