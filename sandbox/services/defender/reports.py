"""The result of one image's scan, independent of Defender's row formats."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from sandbox.scenario import Finding
from sandbox.services.defender.images import ScannedImage
from sandbox.services.oci.manifests import OCI_MANIFEST

Row = dict[str, Any]
Status = Literal["Healthy", "Unhealthy", "NotApplicable"]

UNKNOWN = "Unknown"

_SEVERITIES = ("Critical", "High", "Medium", "Low")
_SCORES = {"Critical": 9.8, "High": 7.5, "Medium": 5.5, "Low": 3.1}


@dataclass(frozen=True, kw_only=True)
class Report:
    """The result of one scan.

    :ivar status: ``NotApplicable`` for an exempted image, whose findings are reported as not applicable
    :ivar pushed: when the image arrived in its repository
    """

    image: ScannedImage
    status: Status
    findings: tuple[Finding, ...]
    pushed: datetime
    scanned: datetime
    tenant_id: str
    tags: tuple[str, ...] = ()
    media_type: str = OCI_MANIFEST

    def status_document(self) -> dict[str, str]:
        """``code``, ``cause`` and ``description``, as in all row formats."""
        exempt = self.status == "NotApplicable"
        return {
            "code": self.status,
            "cause": "Exempt" if exempt else "",
            "description": "Disabled parent assessment" if exempt else "",
        }

    def row(self, type_: str, below: str, name: str, properties: dict[str, Any]) -> Row:
        """A row of ``securityresources`` about this image, as an extension of its registry.

        :param below: the path from the registry to the row's name
        """
        return registry_row(self.image.registry_id, self.tenant_id, type_, f"{below}/{name}", properties)

    def name_of(self, *parts: str) -> str:
        """An id derived from what a row is about, so that a rescan replaces its row."""
        key = "/".join((self.image.registry_id, f"{self.image.repository}@{self.image.digest}", *parts))
        return str(uuid.uuid5(uuid.NAMESPACE_URL, key.lower()))


def registry_row(registry_id: str, tenant_id: str, type_: str, path: str, properties: dict[str, Any]) -> Row:
    """A row below a registry, in Resource Graph's format."""
    subscription, group = registry_id.split("/")[2:5:2]
    return {
        "id": f"{registry_id}/providers/Microsoft.Security/{path}",
        "name": path.rsplit("/", 1)[-1],
        "type": type_,
        "tenantId": tenant_id,
        "resourceGroup": group.lower(),
        "subscriptionId": subscription,
        "properties": properties,
    }


def score(finding: Finding) -> float | None:
    """The finding's CVSS base score, or a score in its severity's range; ``None`` when it is unrated."""
    return finding.cvss if finding.cvss is not None else _SCORES.get(finding.severity or "")


def worst(found: Sequence[Finding]) -> str:
    """The highest severity of several findings."""
    severities = {finding.severity for finding in found}
    return next((severity for severity in _SEVERITIES if severity in severities), UNKNOWN)


def moment(time: datetime) -> str:
    return time.isoformat(timespec="seconds").replace("+00:00", "Z")


def published(finding: Finding) -> str | None:
    return f"{finding.published}T00:00:00Z" if finding.published else None
