"""What a vault holds that ARM does not show: certificates in versions, deleted ones, and secrets.

A deletion or recovery takes a while. Meanwhile the certificate is neither here nor there, and every change of it is
refused as ``ObjectIsBeingDeleted`` or ``ObjectIsBeingRecovered``: recorded for keys, taken to be the same here.
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


@dataclass(frozen=True)
class Version:
    """One version of a certificate.

    :ivar policy: what the import asked for
    :ivar updated: when it was changed, if it was
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
    """A name with its versions, the newest last.

    :ivar deleted: when it was deleted, if it was
    :ivar settles: when its deletion or recovery is complete, in Azure seconds since the start
    """

    name: str
    versions: tuple[Version, ...]
    deleted: datetime | None = None
    settles: float = 0

    @property
    def newest(self) -> Version:
        return self.versions[-1]


@dataclass(frozen=True)
class Secret:
    """A secret that no certificate stands before."""

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
        return [found for found in self._certificates.values() if self._settled(found)]

    def deleted_certificates(self) -> list[Certificate]:
        return [found for found in self._deleted.values() if self._settled(found)]

    def certificate(self, name: str) -> Certificate:
        """:raises HttpFault: 404 CertificateNotFound"""
        found = self._certificates.get(name.lower())
        if found is None or not self._settled(found):
            raise not_found("certificate", name)
        return found

    def version(self, name: str, version: str) -> Version:
        """:raises HttpFault: 404 CertificateNotFound"""
        for candidate in self.certificate(name).versions:
            if candidate.id == version.lower():
                return candidate
        raise not_found("certificate", f"{name}/{version}")

    def add(self, name: str, version: Version) -> Certificate:
        """A new version, of a new certificate if need be.

        :raises HttpFault: 409 while a deleted certificate has the name or is on its way, 400 for what cannot be a name
        """
        if not _NAME.fullmatch(name):
            raise vault_fault(
                400,
                "BadParameter",
                f"The certificate name '{name}' must match ^[0-9a-zA-Z-]+$ and be at most 127 long.",
            )
        self._require_settled(name)
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
        """Put a version in the place of the one with its id."""
        before = self.certificate(name)
        versions = tuple(version if known.id == version.id else known for known in before.versions)
        self._certificates[name.lower()] = replace(before, versions=versions)

    def delete(self, name: str, now: datetime) -> Certificate:
        """:raises HttpFault: 404 CertificateNotFound, 409 while it is on its way"""
        self._require_settled(name)
        found = replace(self.certificate(name), deleted=now, settles=self._clock.after(self._delay))
        del self._certificates[name.lower()]
        self._deleted[name.lower()] = found
        return found

    def deleted(self, name: str) -> Certificate:
        """:raises HttpFault: 404 CertificateNotFound"""
        found = self._deleted.get(name.lower())
        if found is None or not self._settled(found):
            raise vault_fault(404, "CertificateNotFound", f"Deleted Certificate not found: {name}")
        return found

    def recover(self, name: str) -> Certificate:
        """:raises HttpFault: 404 CertificateNotFound, 409 while it is on its way"""
        self._require_settled(name)
        found = replace(self.deleted(name), deleted=None, settles=self._clock.after(self._delay))
        del self._deleted[name.lower()]
        self._certificates[name.lower()] = found
        return found

    def purge(self, name: str) -> None:
        """:raises HttpFault: 404 CertificateNotFound, 409 while it is on its way"""
        self._require_settled(name)
        self.deleted(name)
        del self._deleted[name.lower()]

    def _settled(self, certificate: Certificate) -> bool:
        return certificate.settles <= self._clock.elapsed()

    def _require_settled(self, name: str) -> None:
        for known, doing in ((self._deleted, "Deleted"), (self._certificates, "Recovered")):
            found = known.get(name.lower())
            if found is not None and not self._settled(found):
                message = f"Certificate is currently being {doing.lower()}."
                raise vault_fault(409, "Conflict", message, f"ObjectIsBeing{doing}")

    def set_secret(self, name: str, value: str, content_type: str | None, now: datetime) -> Secret:
        secret = Secret(name, uuid.uuid4().hex, value, content_type, now)
        self._secrets[name.lower()] = secret
        return secret

    def secret(self, name: str, version: str | None) -> Secret:
        """A plain secret, or the one behind a certificate.

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
            return Secret(name, known.id, known.imported.secret, known.imported.content_type, known.created)
        found = self._secrets.get(name.lower())
        if found is None or version not in (None, found.version):
            raise not_found("secret", name)
        return found

    def is_managed(self, name: str) -> bool:
        """Whether a certificate stands before the secret."""
        return name.lower() in self._certificates


def not_found(kind: str, name: str) -> HttpFault:
    message = (
        f"A {kind} with (name/id) {name} was not found in this key vault. If you recently deleted this {kind} you may "
        f"be able to recover it using the correct recovery command. For help resolving this issue, please see "
        "https://go.microsoft.com/fwlink/?linkid=2125182"
    )
    return vault_fault(404, f"{kind.capitalize()}NotFound", message)
