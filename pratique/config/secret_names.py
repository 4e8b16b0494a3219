"""Which fields of a configuration name a secret."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from pydantic import BaseModel

from pratique.config.base import NamesSecret, has_mark


def secret_names(section: BaseModel, path: str = "") -> Iterator[tuple[str, str]]:
    """Each field that names a secret, for example ``manifests.ssh.key``, and the location that it names."""
    for name, field in type(section).model_fields.items():
        value, place = getattr(section, name), f"{path}{name}"
        if value is not None and has_mark(field, NamesSecret):
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
