"""Notary Project signatures: an envelope, attached to the signed artifact as an OCI referrer.

The chain is a root, exported to the sandbox's home so that clients can trust it, and a signing certificate.
Source: Notary Project signature specification, "OCI Signatures" and "Certificate Requirements".
"""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from sandbox.home import Home
from sandbox.services.defender.envelopes import MEDIA_TYPES, Form, Identity, sign_payload
from sandbox.services.defender.findings_artifact import descriptor, put_blob, put_referrer
from sandbox.services.oci.manifests import OCI_MANIFEST, Manifest, encoded
from sandbox.services.oci.store import RegistryStore

_SIGNATURE = "application/vnd.cncf.notary.signature"
_ROOT = "Defender for Containers root (local only)"
_YEAR = timedelta(days=365)


class Signer:
    """A signing identity. The certificates of all owners have the same names: only the keys differ.

    :param owner: prefix of its files in the home
    """

    def __init__(self, home: Home, owner: str = "defender") -> None:
        self._root_key = home.rsa_key(f"{owner}-root-key")
        self._key = home.rsa_key(f"{owner}-signing-key")
        root = home.text(f"{owner}-root.pem", lambda: self._root().public_bytes(Encoding.PEM).decode())
        self._identity = Identity(self._key, (self._leaf(), x509.load_pem_x509_certificate(root.encode())))

    def attach_signature(
        self, store: RegistryStore, repository: str, artifact: Manifest, signed: datetime, form: Form = "jws"
    ) -> Manifest:
        """Sign an artifact's descriptor and attach the signature.

        :param signed: the signing time in the envelope
        """
        envelope = sign_payload(form, encoded({"targetArtifact": descriptor(artifact)}), self._identity, signed)
        thumbprints = [certificate.fingerprint(hashes.SHA256()).hex() for certificate in self._identity.chain]
        return put_referrer(
            store,
            repository,
            {
                "schemaVersion": 2,
                "mediaType": OCI_MANIFEST,
                "config": put_blob(store, repository, _SIGNATURE, b"{}"),
                "layers": [put_blob(store, repository, MEDIA_TYPES[form], envelope)],
                "subject": descriptor(artifact),
                "annotations": {"io.cncf.notary.x509chain.thumbprint#S256": json.dumps(thumbprints)},
            },
        )

    def _root(self) -> x509.Certificate:
        key = self._root_key
        return (
            _certificate(_ROOT, key.public_key(), 20 * _YEAR)
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(_usage(authority=True), critical=True)
            .sign(key, hashes.SHA256())
        )

    def _leaf(self) -> x509.Certificate:
        purposes = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CODE_SIGNING])
        return (
            _certificate("Defender for Containers findings (local only)", self._key.public_key(), 2 * _YEAR)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_usage(authority=False), critical=True)
            .add_extension(purposes, critical=False)
            .sign(self._root_key, hashes.SHA256())
        )


def _certificate(subject: str, key: rsa.RSAPublicKey, lifetime: timedelta) -> x509.CertificateBuilder:
    now = datetime.now(UTC)
    return x509.CertificateBuilder(
        subject_name=_name(subject),
        issuer_name=_name(_ROOT),
        public_key=key,
        serial_number=x509.random_serial_number(),
        not_valid_before=now - timedelta(hours=1),
        not_valid_after=now + lifetime,
    )


def _name(common_name: str) -> x509.Name:
    organisation = x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Azure sandbox")
    return x509.Name([organisation, x509.NameAttribute(NameOID.COMMON_NAME, common_name)])


def _usage(*, authority: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not authority,
        key_cert_sign=authority,
        crl_sign=authority,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )
