"""What is sent to the control host, checked: a mistake is answered with 400 and the name of the field."""

from __future__ import annotations

from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from sandbox.core.errors import HttpFault, arm_fault
from sandbox.core.routing import Call

Model = TypeVar("Model", bound=BaseModel)


class Jump(BaseModel):
    """How far the clock goes forward."""

    model_config = ConfigDict(extra="forbid")

    jump: float = Field(ge=0, allow_inf_nan=False, description="Seconds of Azure's time.")


class Page(BaseModel):
    """Which requests of the log."""

    model_config = ConfigDict(extra="forbid")

    since: int = Field(default=0, ge=0, description="The number of the last request that is already known.")


class Purge(BaseModel):
    """Where to delete manifests that have no tag."""

    model_config = ConfigDict(extra="forbid")

    repositories: str = Field(default="*", description="Pattern for the repositories' names; * matches any text.")


def read(model: type[Model], call: Call) -> Model:
    """The body, JSON or YAML, as a model.

    :raises HttpFault: 400 InvalidInput; ``target`` and ``details`` name the fields
    """
    try:
        document = yaml.safe_load(call.body)
    except yaml.YAMLError as error:
        raise refused("body", f"The body is neither JSON nor YAML: {error}") from None
    return check(model, document if document is not None else {})


def check(model: type[Model], document: Any) -> Model:
    """:raises HttpFault: 400 InvalidInput; ``target`` and ``details`` name the fields"""
    try:
        return model.model_validate(document)
    except ValidationError as error:
        details = [
            {"code": "InvalidValue", "target": _field(problem["loc"]), "message": problem["msg"]}
            for problem in error.errors(include_url=False, include_input=False, include_context=False)
        ]
        text = "; ".join(f"{detail['target']}: {detail['message']}" for detail in details)
        raise arm_fault(400, "InvalidInput", text, target=details[0]["target"], details=details) from None


def refused(field: str, message: str) -> HttpFault:
    """400 for a field that makes no sense here."""
    return arm_fault(400, "InvalidInput", message, target=field)


def _field(place: tuple[int | str, ...]) -> str:
    return ".".join(str(part) for part in place) or "body"
