"""Additions to pydantic's JSON schema that Prefect's forms need."""

from __future__ import annotations

from typing import Any


def in_order(schema: dict[str, Any]) -> None:
    """Number the fields, so that forms show them in the model's order. Use it as a model's ``json_schema_extra``."""
    for position, field in enumerate(schema.get("properties", {}).values()):
        field["position"] = position
