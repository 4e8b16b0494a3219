"""The contents of a vault that ARM does not show: certificate versions, deleted certificates, and secrets.

A deletion or recovery takes a while. Meanwhile the certificate is neither active nor deleted, and all changes to it are
refused as ``ObjectIsBeingDeleted`` or ``ObjectIsBeingRecovered``: documented for keys, assumed for certificates.
"""

from __future__ import annotations

import re
import uuid
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from sandbox.core.clock import Clock
from sandbox.core.errors import HttpFault, vault_fault
from sandbox.services.keyvault.certificates import Imported

_NAME = re.compile(r"[0-9A-Za-z-]{1,127}")


@dataclass(frozen=True, kw_only=True)
class Version:
    """One version of a certificate.

    :ivar policy: the policy in the import request
    :ivar updated: the time of the last change, if any
    """

    id: str
    imported: Imported
    created: datetime
    enabled: bool = True
    tags: dict[str, str] = field(default_factory=dict)
    policy: dict[str, Any] = field(default_factory=dict)
    updated: datetime | None = None


@dataclass(frozen=True)
class Certificate:
    """A certificate and its versions, the newest last.

    :ivar deleted: the time of its deletion, if it is deleted
    :ivar stable_at: when its deletion or recovery completes, in Azure seconds since the start
    """

    name: str
    versions: tuple[Version, ...]
    deleted: datetime | None = None
    stable_at: float = 0

    @property
    def newest(self) -> Version:
        return self.versions[-1]


@dataclass(frozen=True, kw_only=True)
class Secret:
    """A secret that does not belong to a certificate."""

    name: str
    version: str
    value: str
    content_type: str | None
    created: datetime


class Contents:
    """The objects of one vault; names match in any letter case."""

    def __init__(self, clock: Clock, delay: float = 0) -> None:
        """
        :param delay: Azure seconds that a deletion or recovery takes
        """
        self._clock = clock
        self._delay = delay
        self._certificates: dict[str, Certificate] = {}
        self._deleted: dict[str, Certificate] = {}
        self._secrets: dict[str, Secret] = {}

    def certificates(self) -> list[Certificate]:
        return [found for found in self._certificates.values() if self._is_stable(found)]

    def deleted_certificates(self) -> list[Certificate]:
        return [found for found in self._deleted.values() if self._is_stable(found)]

    def certificate(self, name: str) -> Certificate:
        """:raises HttpFault: 404 CertificateNotFound"""
        found = self._certificates.get(name.lower())
        if found is None or not self._is_stable(found):
            raise not_found("certificate", name)
        return found

    def version(self, name: str, version: str) -> Version:
        """:raises HttpFault: 404 CertificateNotFound"""
        for candidate in self.certificate(name).versions:
            if candidate.id == version.lower():
                return candidate
        raise not_found("certificate", f"{name}/{version}")

    def add(self, name: str, version: Version) -> Certificate:
        """Add a version; creates the certificate if necessary.

        :raises HttpFault: 409 while a deleted certificate has the name or is being deleted, 400 for an invalid name
        """
        if not _NAME.fullmatch(name):
            raise vault_fault(
                400,
                "BadParameter",
                f"The certificate name '{name}' must match ^[0-9a-zA-Z-]+$ and be at most 127 long.",
            )
        self._require_stable(name)
        if name.lower() in self._deleted:
            message = (
                f"Certificate {name} is currently in a deleted but recoverable state, and its name cannot be reused; "
                "in this state, the certificate can only be recovered or purged."
            )
            raise vault_fault(409, "Conflict", message, "ObjectIsDeletedButRecoverable")
        before = self._certificates.get(name.lower(), Certificate(name, ()))
        after = replace(before, versions=(*before.versions, version))
        self._certificates[name.lower()] = after
        return after

    def change(self, name: str, version: Version) -> None:
        """Replace the version with the same id."""
        before = self.certificate(name)
        versions = tuple(version if known.id == version.id else known for known in before.versions)
        self._certificates[name.lower()] = replace(before, versions=versions)

    def delete(self, name: str, at: datetime) -> Certificate:
        """:raises HttpFault: 404 CertificateNotFound, 409 while it is being deleted or recovered"""
        self._require_stable(name)
        found = replace(self.certificate(name), deleted=at, stable_at=self._clock.after(self._delay))
        del self._certificates[name.lower()]
        self._deleted[name.lower()] = found
        return found

    def deleted(self, name: str) -> Certificate:
        """:raises HttpFault: 404 CertificateNotFound"""
        found = self._deleted.get(name.lower())
        if found is None or not self._is_stable(found):
            raise vault_fault(404, "CertificateNotFound", f"Deleted Certificate not found: {name}")
        return found

    def recover(self, name: str) -> Certificate:
        """:raises HttpFault: 404 CertificateNotFound, 409 while it is being deleted or recovered"""
        self._require_stable(name)
        found = replace(self.deleted(name), deleted=None, stable_at=self._clock.after(self._delay))
        del self._deleted[name.lower()]
        self._certificates[name.lower()] = found
        return found

    def purge(self, name: str) -> None:
        """:raises HttpFault: 404 CertificateNotFound, 409 while it is being deleted or recovered"""
        self._require_stable(name)
        self.deleted(name)
        del self._deleted[name.lower()]

    def _is_stable(self, certificate: Certificate) -> bool:
        return certificate.stable_at <= self._clock.elapsed()

    def _require_stable(self, name: str) -> None:
        for known, doing in ((self._deleted, "Deleted"), (self._certificates, "Recovered")):
            found = known.get(name.lower())
            if found is not None and not self._is_stable(found):
                message = f"Certificate is currently being {doing.lower()}."
                raise vault_fault(409, "Conflict", message, f"ObjectIsBeing{doing}")

    def set_secret(self, name: str, value: str, content_type: str | None, at: datetime) -> Secret:
        secret = Secret(name=name, version=uuid.uuid4().hex, value=value, content_type=content_type, created=at)
        self._secrets[name.lower()] = secret
        return secret

    def secret(self, name: str, version: str | None) -> Secret:
        """A plain secret, or the secret of a certificate.

        :param version: ``None`` for the newest
        :raises HttpFault: 404 SecretNotFound, 403 SecretDisabled
        """
        if self.is_managed(name):
            try:
                known = self.version(name, version) if version else self.certificate(name).newest
            except HttpFault:
                raise not_found("secret", f"{name}/{version}") from None
            if not known.enabled:
                message = "Operation get is not allowed on a disabled secret."
                raise vault_fault(403, "Forbidden", message, "SecretDisabled")
            return Secret(
                name=name,
                version=known.id,
                value=known.imported.secret,
                content_type=known.imported.content_type,
                created=known.created,
            )
        found = self._secrets.get(name.lower())
        if found is None or version not in (None, found.version):
            raise not_found("secret", name)
        return found

    def is_managed(self, name: str) -> bool:
        """Whether the secret belongs to a certificate."""
        return name.lower() in self._certificates


def not_found(kind: str, name: str) -> HttpFault:
    message = (
        f"A {kind} with (name/id) {name} was not found in this key vault. If you recently deleted this {kind} you may "
        f"be able to recover it using the correct recovery command. For help resolving this issue, please see "
        "https://go.microsoft.com/fwlink/?linkid=2125182"
    )
    return vault_fault(404, f"{kind.capitalize()}NotFound", message)
