"""Response documents of a vault's data plane.

Source: REST API, Key Vault data plane 2026-04-01: certificate bundle, certificate item, deleted bundle, secret bundle.
"""

from __future__ import annotations

import base64
from datetime import datetime, timedelta
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import rsa

from sandbox.core.resources import Document
from sandbox.services.keyvault.contents import Certificate, Secret, Version
from sandbox.services.keyvault.vaults import host_name, retention_days

_USAGES = {
    "digital_signature": "digitalSignature",
    "content_commitment": "nonRepudiation",
    "key_encipherment": "keyEncipherment",
    "data_encipherment": "dataEncipherment",
    "key_agreement": "keyAgreement",
    "key_cert_sign": "keyCertSign",
    "crl_sign": "cRLSign",
}


def bundle(vault: Document, name: str, version: Version) -> dict[str, Any]:
    """One version, without its private key."""
    base = f"https://{host_name(vault)}"
    return {
        "id": f"{base}/certificates/{name}/{version.id}",
        "kid": f"{base}/keys/{name}/{version.id}",
        "sid": f"{base}/secrets/{name}/{version.id}",
        "x5t": version.imported.thumbprint,
        "cer": base64.b64encode(version.imported.der).decode(),
        "attributes": attributes(vault, version),
        "policy": policy(vault, name, version),
        "tags": version.tags,
    }


def item(vault: Document, name: str, version: Version, *, with_version: bool) -> dict[str, Any]:
    """An entry in a list of certificates or of a certificate's versions."""
    suffix = f"/{version.id}" if with_version else ""
    return {
        "id": f"https://{host_name(vault)}/certificates/{name}{suffix}",
        "x5t": version.imported.thumbprint,
        "attributes": attributes(vault, version),
        "tags": version.tags,
    }


def deletion(vault: Document, certificate: Certificate) -> dict[str, Any]:
    """The additional members of a deleted certificate."""
    if certificate.deleted is None:
        return {}
    purge = certificate.deleted + timedelta(days=retention_days(vault))
    return {
        "recoveryId": f"https://{host_name(vault)}/deletedcertificates/{certificate.name}",
        "deletedDate": _seconds(certificate.deleted),
        "scheduledPurgeDate": _seconds(purge),
    }


def secret_bundle(vault: Document, secret: Secret, *, managed: bool) -> dict[str, Any]:
    base = f"https://{host_name(vault)}"
    body: dict[str, Any] = {
        "value": secret.value,
        "id": f"{base}/secrets/{secret.name}/{secret.version}",
        "attributes": {"enabled": True, **_dates(secret.created), **_recovery(vault)},
    }
    if secret.content_type:
        body["contentType"] = secret.content_type
    if managed:
        body |= {"managed": True, "kid": f"{base}/keys/{secret.name}/{secret.version}"}
    return body


def attributes(vault: Document, version: Version) -> dict[str, Any]:
    certificate = version.imported.certificate
    return {
        "enabled": version.enabled,
        "nbf": _seconds(certificate.not_valid_before_utc),
        "exp": _seconds(certificate.not_valid_after_utc),
        **_dates(version.created, version.updated),
        **_recovery(vault),
    }


def policy(vault: Document, name: str, version: Version) -> dict[str, Any]:
    """The policy of an imported certificate: the requested one over what the certificate determines."""
    imported = version.imported
    key = {
        "exportable": True,
        "kty": "RSA" if isinstance(imported.key, rsa.RSAPrivateKey) else "EC",
        "key_size": imported.key_size,
        "reuse_key": False,
    }
    if imported.curve is not None:
        key["crv"] = imported.curve
    requested_key = {
        k: v for k, v in (version.policy.get("key_props") or {}).items() if k in ("exportable", "reuse_key")
    }
    return {
        "id": f"https://{host_name(vault)}/certificates/{name}/policy",
        "key_props": key | requested_key,
        "secret_props": {"contentType": imported.content_type},
        "x509_props": _x509_properties(imported.certificate),
        "lifetime_actions": [{"trigger": {"lifetime_percentage": 80}, "action": {"action_type": "EmailContacts"}}],
        "issuer": {"name": "Unknown"},
        "attributes": {"enabled": True, **_dates(version.created)},
    }


def _x509_properties(certificate: x509.Certificate) -> dict[str, Any]:
    lifetime = certificate.not_valid_after_utc - certificate.not_valid_before_utc
    properties: dict[str, Any] = {
        "subject": certificate.subject.rfc4514_string(),
        "ekus": [],
        "key_usage": [],
        "validity_months": round(lifetime.days / 30.44),
    }
    for extension in certificate.extensions:
        match extension.value:
            case x509.SubjectAlternativeName() as names:
                properties["sans"] = {"dns_names": names.get_values_for_type(x509.DNSName)}
            case x509.ExtendedKeyUsage() as usages:
                properties["ekus"] = [usage.dotted_string for usage in usages]
            case x509.KeyUsage() as usage:
                properties["key_usage"] = [text for name, text in _USAGES.items() if getattr(usage, name)]
    return properties


def _recovery(vault: Document) -> dict[str, Any]:
    days = retention_days(vault)
    level = ("" if days == 90 else "Customized") + "Recoverable"
    return {
        "recoveryLevel": level if vault["properties"].get("enablePurgeProtection") else f"{level}+Purgeable",
        "recoverableDays": days,
    }


def _dates(created: datetime, updated: datetime | None = None) -> dict[str, int]:
    return {"created": _seconds(created), "updated": _seconds(updated or created)}


def _seconds(moment: datetime) -> int:
    return int(moment.timestamp())
