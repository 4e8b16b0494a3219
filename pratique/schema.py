"""What Prefect's forms need of a model's schema beyond what pydantic writes."""

from __future__ import annotations

from typing import Any


def in_order(schema: dict[str, Any]) -> None:
    """Number the fields, as ``json_schema_extra`` of a model: the form shows them in the model's order."""
    for position, field in enumerate(schema.get("properties", {}).values()):
        field["position"] = position
