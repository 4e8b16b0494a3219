"""The record of temporary access, stored in Azure beside the resources that it opens.

The vault has it as a tag and the role assignment as its description, so that anybody can revoke the access with no
state other than Azure's own::

    pratique-lease-3f2a9c81d0b4 = {"owner": "flow-run/…", "address": "203.0.113.10", "assignment": "…", "expires": "…"}

A rule and an assignment can serve several leases at once. They are removed with the last tag that names them.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from ipaddress import IPv4Address

TAG_PREFIX = "pratique-lease-"
_DESCRIPTION = "Temporary access of Pratique, to be removed: "
_NAMESPACE = uuid.UUID("4a1c1d1e-6d8b-5f0e-9a57-6f2f1e0b7c11")


@dataclass(frozen=True, kw_only=True)
class Lease:
    """Temporary access with an expiry.

    :ivar id: 12 hexadecimal digits, the same for every attempt of one run at one vault
    :ivar owner: the run that took the lease
    :ivar expires: time after which a sweep revokes access that the owner could not revoke (UTC)
    :ivar address: that the lease's firewall rule allows; ``None`` when the lease uses no rule made by leases
    :ivar assignment: source of the role: the GUID of a role assignment, or an activation as named by
        :mod:`.azure.pim`; empty when the role is not temporary
    """

    id: str
    owner: str
    expires: datetime
    address: IPv4Address | None = None
    assignment: str = ""

    @property
    def tag_name(self) -> str:
        return TAG_PREFIX + self.id

    @property
    def tag_value(self) -> str:
        """The record as the value of a tag (at most 256 characters)."""
        return self._text({})

    @property
    def description(self) -> str:
        """The record as the description of a role assignment."""
        return _DESCRIPTION + self._text({"lease": self.id})

    def expired(self, at: datetime) -> bool:
        return self.expires <= at

    def __str__(self) -> str:
        rule = f"rule for {self.address}" if self.address else "no rule"
        return f"{self.id} of {self.owner}: {rule}, until {self.expires.isoformat(timespec='seconds')}"

    def _text(self, more: Mapping[str, str]) -> str:
        record = {
            **more,
            "owner": self.owner,
            "address": str(self.address) if self.address else "",
            "assignment": self.assignment,
            "expires": self.expires.astimezone(UTC).isoformat(timespec="seconds"),
        }
        return json.dumps(record, separators=(",", ":"))


def lease_id(owner: str, vault_id: str) -> str:
    """The ID of an owner's lease at a vault. It is always the same, so that a repeated attempt finds its own lease."""
    return uuid.uuid5(_NAMESPACE, f"{owner}|{vault_id.lower()}").hex[:12]


def from_tags(tags: Mapping[str, str]) -> list[Lease]:
    """The leases among a vault's tags. A damaged record counts as expired, so that a sweep revokes it."""
    return [_read(name.removeprefix(TAG_PREFIX), value) for name, value in tags.items() if name.startswith(TAG_PREFIX)]


def from_description(text: str | None) -> Lease | None:
    """The lease in a role assignment's description; ``None`` when no lease made the assignment."""
    if not text or not text.startswith(_DESCRIPTION):
        return None
    record = text.removeprefix(_DESCRIPTION)
    try:
        name = json.loads(record)["lease"]
    except (ValueError, KeyError, TypeError):
        name = ""
    return _read(str(name), record)


def _read(name: str, value: str) -> Lease:
    try:
        record = json.loads(value)
        address = IPv4Address(record["address"]) if record["address"] else None
        expires = datetime.fromisoformat(record["expires"]).astimezone(UTC)
        return Lease(
            id=name,
            owner=str(record["owner"]),
            expires=expires,
            address=address,
            assignment=str(record["assignment"]),
        )
    except (ValueError, KeyError, TypeError):
        return Lease(id=name, owner="unreadable", expires=datetime.min.replace(tzinfo=UTC))
