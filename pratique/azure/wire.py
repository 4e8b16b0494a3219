"""What the SDKs' models hold, as it was on the wire."""

from __future__ import annotations

from enum import Enum


def word(value: object) -> str:
    """A value of one of the SDKs' string enums as the service wrote it; empty for none.

    ``str()`` of such a member is its Python name (``NetworkRuleAction.DENY``), and values newer than the SDK are
    plain strings.
    """
    return str(value.value) if isinstance(value, Enum) else "" if value is None else str(value)
