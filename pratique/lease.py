"""The record of temporary access, stored in Azure beside the resources that it opens.

The vault has it as a tag and the role assignment as its description, so that anybody can revoke the access with no
state other than Azure's own::

    pratique-lease-3f2a9c81d0b4 = {"owner": "flow-run/…", "address": "203.0.113.10", "assignment": "…", "expires": "…"}

A rule and an assignment can serve several leases at once. They are removed with the last tag that names them.

Others can write tags, too. So a record only counts if it could be one of this project's, and even then it says only
which leases need a rule or an assignment: whether leases made them is read from the rules and assignments themselves
(:mod:`.azure.rule_marks`, :func:`.azure.roles.is_temporary`).
"""

from __future__ import annotations

import json
import re
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from ipaddress import IPv4Address

from pratique.markdown import plain

TAG_PREFIX = "pratique-lease-"
#: ``access.lease_minutes`` at most.
LONGEST_MINUTES = 240
_CLOCKS_DIFFER = timedelta(minutes=15)
_DESCRIPTION = "Temporary access of Pratique, to be removed: "
_NAMESPACE = uuid.UUID("4a1c1d1e-6d8b-5f0e-9a57-6f2f1e0b7c11")
_FIELDS = frozenset({"owner", "address", "assignment", "expires"})
_OWNER = re.compile(r"[\w./:@ -]{1,100}", re.ASCII)
#: A role assignment, or an activation as named by :mod:`.azure.pim`. Never a path.
_ASSIGNMENT = re.compile(r"(?:pim:)?[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")


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


@dataclass(frozen=True, kw_only=True)
class UnusableRecord:
    """A record that is damaged, or that somebody else wrote. Nothing is done because of it.

    :ivar name: of the tag, or GUID of the role assignment whose description it is
    :ivar reason: why it is no lease of this project
    :ivar address: that it names, if that can be read
    :ivar assignment: the same
    """

    name: str
    reason: str
    address: IPv4Address | None = None
    assignment: str = ""

    def __str__(self) -> str:
        return f"{plain(self.name)}: {self.reason}"


@dataclass(frozen=True)
class Records:
    """The records among a vault's tags."""

    leases: tuple[Lease, ...]
    unusable: tuple[UnusableRecord, ...]


def lease_id(owner: str, vault_id: str) -> str:
    """The ID of an owner's lease at a vault. It is always the same, so that a repeated attempt finds its own lease."""
    return uuid.uuid5(_NAMESPACE, f"{owner}|{vault_id.lower()}").hex[:12]


def is_record(tag_name: str) -> bool:
    """Whether a tag has the name of a lease's record; Azure ignores the letter case of names."""
    return tag_name.lower().startswith(TAG_PREFIX)


def read_tags(tags: Mapping[str, str], vault_id: str) -> Records:
    """The records among a vault's tags."""
    read = [_read(name, value, name.lower().removeprefix(TAG_PREFIX), vault_id) for name, value in _records(tags)]
    return Records(
        tuple(record for record in read if isinstance(record, Lease)),
        tuple(record for record in read if isinstance(record, UnusableRecord)),
    )


def read_description(name: str, text: str | None, vault_id: str) -> Lease | UnusableRecord | None:
    """The record in a role assignment's description; ``None`` when the description is none.

    :param name: GUID of the assignment
    """
    if not text or not text.startswith(_DESCRIPTION):
        return None
    record = text.removeprefix(_DESCRIPTION)
    return _read(name, record, _parsed(record).get("lease", ""), vault_id)


def _records(tags: Mapping[str, str]) -> list[tuple[str, str]]:
    return [(name, value) for name, value in tags.items() if is_record(name)]


def _read(name: str, text: str, identifier: str, vault_id: str) -> Lease | UnusableRecord:
    record = _parsed(text)
    owner, assignment = record.get("owner", ""), record.get("assignment", "")
    address, expires = _address(record.get("address", "")), _time(record.get("expires", ""))
    follows = _OWNER.fullmatch(owner) is not None and identifier == lease_id(owner, vault_id)
    objections = {
        "it is damaged": record.keys() - {"lease"} != _FIELDS,
        "its name does not follow from its owner and the vault": not follows,
        "its address is not an IPv4 address": address is None and record.get("address") != "",
        "its assignment is not a GUID": assignment != "" and _ASSIGNMENT.fullmatch(assignment) is None,
        "it expires later than any lease can": expires is not None and expires > _latest(),
    }
    reason = next((text for text, applies in objections.items() if applies), "")
    if reason or expires is None:
        known = assignment if _ASSIGNMENT.fullmatch(assignment) else ""
        reason = reason or "it has no valid time of expiry"
        return UnusableRecord(name=name, reason=reason, address=address, assignment=known)
    return Lease(id=identifier, owner=owner, expires=expires, address=address, assignment=assignment)


def _parsed(text: str) -> dict[str, str]:
    """The members of a JSON object that are text."""
    try:
        record = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    members = record.items() if isinstance(record, dict) else ()
    return {key: value for key, value in members if isinstance(value, str)}


def _address(text: str) -> IPv4Address | None:
    """The address, if it is written as this project writes it."""
    try:
        address = IPv4Address(text)
    except ValueError:
        return None
    return address if str(address) == text else None


def _time(text: str) -> datetime | None:
    try:
        time = datetime.fromisoformat(text)
        return time.astimezone(UTC) if time.tzinfo is not None else None
    except (ValueError, OverflowError):
        return None


def _latest() -> datetime:
    return datetime.now(UTC) + timedelta(minutes=LONGEST_MINUTES) + _CLOCKS_DIFFER
