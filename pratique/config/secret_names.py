"""Which fields of a configuration name a secret."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain
from typing import Any, get_args

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from pratique.config.base import NamesSecret


def secret_names(section: BaseModel, path: str = "") -> Iterator[tuple[str, str]]:
    """Each field that names a secret, for example ``manifests.ssh.key``, and the location that it names."""
    for name, field in type(section).model_fields.items():
        value, place = getattr(section, name), f"{path}{name}"
        if value is not None and _names_secret(field):
            yield place, value
        else:
            yield from _within(value, place)


def _within(value: Any, place: str) -> Iterator[tuple[str, str]]:
    match value:
        case BaseModel():
            yield from secret_names(value, f"{place}.")
        case tuple() | list():
            for number, entry in enumerate(value):
                yield from _within(entry, f"{place}[{number}]")
        case dict():
            for key, entry in value.items():
                yield from _within(entry, f"{place}.{key}")


def _names_secret(field: FieldInfo) -> bool:
    """Also when the field is optional: its type is then a union, and one member of it is annotated."""
    members = (getattr(member, "__metadata__", ()) for member in get_args(field.annotation))
    return any(isinstance(mark, NamesSecret) for mark in chain(field.metadata, *members))
