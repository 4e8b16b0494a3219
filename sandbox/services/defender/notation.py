"""Notary Project signatures: an envelope, attached to the signed artifact as an OCI referrer.

Source: Notary Project signature specification, "OCI Signatures"; how Microsoft signs its own images (Microsoft Learn,
"Verify the signatures of images of the Microsoft Artifact Registry").
"""

from __future__ import annotations

import json
from datetime import datetime

from cryptography.hazmat.primitives import hashes

from sandbox.home import Home
from sandbox.services.defender.certificates import signing_identity, timestamping_identity
from sandbox.services.defender.envelopes import MEDIA_TYPES, Form, sign_payload
from sandbox.services.defender.findings_artifact import descriptor, put_blob, put_referrer
from sandbox.services.defender.timestamping import timestamp_token
from sandbox.services.oci.manifests import OCI_EMPTY, OCI_MANIFEST, Manifest, encoded
from sandbox.services.oci.store import RegistryStore

_SIGNATURE = "application/vnd.cncf.notary.signature"


class Signer:
    """A signing identity.

    :param owner: prefix of its files in the home
    :param team: key of :data:`~sandbox.services.defender.certificates.TEAMS`
    :param expired: sign with a certificate that has expired meanwhile
    :param timestamps: countersign by the owner's timestamp authority
    """

    def __init__(
        self,
        home: Home,
        owner: str = "defender",
        *,
        team: str = "defender",
        expired: bool = False,
        timestamps: bool = True,
    ) -> None:
        self._identity = signing_identity(home, owner, team, expired=expired)
        self._authority = timestamping_identity(home, owner) if timestamps else None

    def attach_signature(
        self,
        store: RegistryStore,
        repository: str,
        artifact: Manifest,
        signed: datetime,
        form: Form = "jws",
        *,
        old_form: bool = False,
    ) -> Manifest:
        """Sign an artifact's descriptor and attach the signature.

        :param signed: the signing time in the envelope
        :param old_form: with the type of the artifact only in the configuration, as before OCI 1.1
        """
        payload = encoded({"targetArtifact": descriptor(artifact)})
        authority = self._authority
        countersign = None if authority is None else lambda message: timestamp_token(message, signed, authority)
        envelope = sign_payload(form, payload, self._identity, signed, countersign)
        thumbprints = [certificate.fingerprint(hashes.SHA256()).hex() for certificate in self._identity.chain]
        kind = {} if old_form else {"artifactType": _SIGNATURE}
        return put_referrer(
            store,
            repository,
            {
                "schemaVersion": 2,
                "mediaType": OCI_MANIFEST,
                **kind,
                "config": put_blob(store, repository, _SIGNATURE if old_form else OCI_EMPTY, b"{}"),
                "layers": [put_blob(store, repository, MEDIA_TYPES[form], envelope)],
                "subject": descriptor(artifact),
                "annotations": {"io.cncf.notary.x509chain.thumbprint#S256": json.dumps(thumbprints)},
            },
        )
