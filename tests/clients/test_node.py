"""The Azure SDKs for JavaScript; each script in node/ says what it does."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

from cryptography import x509

from tests.clients.commands import run
from tests.clients.conftest import GROUP, Cluster

SCRIPTS = Path(__file__).parent / "node"


def node(script: str, *arguments: str) -> dict[str, Any]:
    """What a script printed."""
    printed: dict[str, Any] = json.loads(run("node", script, *arguments, folder=SCRIPTS))
    return printed


def test_identity_gets_a_token_for_each_audience() -> None:
    """An hour each; a wrong secret is refused with Entra ID's own number."""
    printed = node("identity.mjs")
    hosts = ("management.azure.com", "vault.azure.net", "containerregistry.azure.net")
    assert printed["tokens"] == [{"audience": f"https://{host}", "minutes": 60} for host in hosts]
    assert printed["refusal"]["name"] == "AuthenticationRequiredError"
    assert "AADSTS7000215: Invalid client secret provided" in printed["refusal"]["message"]


def test_registries_are_read_and_imported_into(cluster: Cluster) -> None:
    """The poller sees the import's end; the second one meets its own tag."""
    printed = node("registries.mjs", GROUP, cluster.registry)
    assert cluster.registry in printed["names"]
    assert printed["loginServer"] == cluster.login_server
    assert (printed["sku"], printed["publicNetworkAccess"]) == ("Premium", "Disabled")
    assert printed["refusals"] == [
        {"code": "Conflict", "statusCode": 409},
        {"code": "ResourceNotFound", "statusCode": 404},
    ]


def test_certificates_live_and_die(cluster: Cluster, open_vault: str) -> None:
    """The challenge is answered, the certificate comes back as it went in, and a deleted name stays taken."""
    printed = node("certificates.mjs", open_vault, str(cluster.pem))
    own = x509.load_pem_x509_certificate(cluster.pem.read_bytes())
    assert x509.load_der_x509_certificate(base64.b64decode(printed["der"])) == own
    assert (printed["contentType"], printed["issuer"]) == ("application/x-pem-file", "Unknown")
    assert printed["tags"] == {"by": "node", "seen": "yes"}
    assert printed["recoveryId"] == f"{open_vault}/deletedcertificates/by-node"
    assert printed["recovered"] is True
    assert printed["refusals"] == [
        {"code": "CertificateNotFound", "statusCode": 404},
        {"code": "Conflict", "statusCode": 409},
    ]
