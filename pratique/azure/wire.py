"""Values of the SDKs' models as they were on the wire."""

from __future__ import annotations

from enum import Enum


def enum_value(value: object) -> str:
    """The value of an SDK string enum as the service wrote it; empty for ``None``.

    ``str()`` of an enum member is its Python name (``NetworkRuleAction.DENY``); values that are newer than the SDK are
    plain strings.
    """
    return str(value.value) if isinstance(value, Enum) else "" if value is None else str(value)
