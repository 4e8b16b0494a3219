"""Temporary access to a vault, in its two halves: a role assignment and a firewall rule."""

from __future__ import annotations

from pratique.azure.firewall import LEASE_TAG_PREFIX, Firewall, Opening, close_firewall, firewall, open_firewall
from pratique.azure.roles import (
    CERTIFICATES_OFFICER,
    Assignment,
    Grant,
    assignment_name,
    find_assignment,
    grant_role,
    list_assignments,
    revoke_role,
    role_exists,
)

__all__ = [
    "CERTIFICATES_OFFICER",
    "LEASE_TAG_PREFIX",
    "Assignment",
    "Firewall",
    "Grant",
    "Opening",
    "assignment_name",
    "close_firewall",
    "find_assignment",
    "firewall",
    "grant_role",
    "list_assignments",
    "open_firewall",
    "revoke_role",
    "role_exists",
]
