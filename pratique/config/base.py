"""Base model and field types of all sections of the configuration."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from typing import Annotated, Any, get_args

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    GetJsonSchemaHandler,
    ValidationInfo,
    field_validator,
    model_validator,
)
from pydantic.fields import FieldInfo
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, PydanticCustomError

from pratique.config.embedded_secrets import ADDRESS_PATTERN, TEXT_PATTERN, embedded_secret, has_secret_name
from pratique.schema import in_order

#: Type of pydantic's error about a value that holds a secret.
HOLDS_SECRET = "holds_secret"  # noqa: S105
_MOVE = "Remove it, renew it if anybody else can have read it, and name its location in the field that takes one"

ResourceGroup = Annotated[
    str,
    Field(
        pattern=r"^[-\w._()]{1,89}[-\w_()]$",
        description="Name of the resource group: up to 90 letters, digits and . _ - ( ), without a dot at the end.",
    ),
]
DeploymentName = Annotated[
    str,
    Field(
        pattern=r"^[-\w._()]{1,64}$",
        description="Name of the deployment in the resource group: up to 64 letters, digits and . _ - ( ).",
    ),
]


#: Pattern of an id in Azure, without anchors.
GUID = "[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}"
RegistryId = Annotated[
    str,
    Field(
        pattern=rf"^/subscriptions/{GUID}/resource[gG]roups/"
        r"[-\w._()]{1,89}[-\w_()]/providers/Microsoft\.ContainerRegistry/registries/[a-zA-Z0-9]{5,50}$",
        description="Resource id of a container registry: az acr show -n NAME --query id.",
    ),
]
ClientId = Annotated[
    str,
    Field(
        pattern=f"^{GUID}$",
        description="Client id of a managed identity.",
    ),
]


class FormPattern:
    """Sets the pattern of a field in the JSON schema, by which Prefect's server refuses values before it stores them.

    pydantic's own patterns know no look-ahead.
    """

    pattern = TEXT_PATTERN

    def __get_pydantic_json_schema__(self, core: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        return {**handler(core), "pattern": self.pattern}


class NamesSecret(FormPattern):
    """Marks the fields that name the location of a secret."""

    pattern = rf"{TEXT_PATTERN}(file|env|prefect-secret):.+$"


class HoldsAddress(FormPattern):
    """Marks the fields whose values are addresses, or may contain one."""

    pattern = ADDRESS_PATTERN


#: A URL, ``user@host:path`` or reference, without login, query and fragment.
Address = Annotated[str, HoldsAddress()]
AddressPath = Annotated[Path, HoldsAddress()]
SecretName = Annotated[
    str,
    Field(
        pattern=r"^(file|env|prefect-secret):.+$",
        description="Location of the secret: file:PATH, env:NAME or prefect-secret:BLOCK. Never the secret itself.",
    ),
    NamesSecret(),
]


class Model(BaseModel):
    """A section of the configuration. No value in it may hold a secret (:mod:`pratique.config.embedded_secrets`)."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True, json_schema_extra=in_order)

    @model_validator(mode="before")
    @classmethod
    def _no_secret_for_a_key(cls, section: Any) -> Any:
        if isinstance(section, dict) and any(map(_is_secret, section)):
            raise _refusal("The name of a field holds a secret.")
        return section

    @field_validator("*", mode="before")
    @classmethod
    def _no_secret(cls, value: Any, info: ValidationInfo) -> Any:
        field = cls.model_fields[info.field_name or ""]
        sections = any(_is_section(kind) for kind in _types(field.annotation))
        if problem := next(_problems(value, address=has_mark(field, HoldsAddress), sections=sections), None):
            raise _refusal(problem)
        return value


def has_mark(field: FieldInfo, mark: type) -> bool:
    """Whether a field's type, or one within it, such as that of its items, is annotated with an object of a class."""
    return any(isinstance(found, mark) for found in chain(field.metadata, _annotations(field.annotation)))


def _annotations(kind: Any) -> Iterator[Any]:
    return chain.from_iterable(getattr(part, "__metadata__", ()) for part in _types(kind))


def _types(kind: Any) -> Iterator[Any]:
    """A type, and the types within it: those of a union or of items."""
    yield kind
    for part in get_args(kind):
        yield from _types(part)


def _is_section(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, Model)


def _problems(value: Any, *, address: bool, sections: bool) -> Iterator[str]:
    """What is wrong with the secrets in a value.

    :param sections: whether a group in it is a section, which looks after its own fields
    """
    match value:
        case str() | Path():
            if problem := embedded_secret(str(value), address=address):
                yield problem
        case list() | tuple():
            for item in value:
                yield from _problems(item, address=address, sections=sections)
        case dict() if not sections:
            for key, item in value.items():
                if _is_secret(key):
                    yield "The name of a field holds a secret."
                elif isinstance(item, str) and item and has_secret_name(str(key)):
                    yield f"By its name, {key} is a secret."
                yield from _problems(item, address=address, sections=False)


def _is_secret(key: object) -> bool:
    return isinstance(key, str) and embedded_secret(key, address=False) is not None


def _refusal(problem: str) -> PydanticCustomError:
    # Messages of pydantic are templates, and pass into logs and states of runs: no value is in them.
    return PydanticCustomError(HOLDS_SECRET, "{problem} {step}", {"problem": problem, "step": _MOVE})
