"""Which fields of a configuration a text names, and which of them the models do not have.

Two files are configured by hand: a run's (``Bootstrap``) and the local Azure's (``Scenario``).
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, get_args, get_origin

import yaml
from pydantic import BaseModel

from pratique.config import Bootstrap
from sandbox.scenario import Scenario
from tests.docs.names import module_of, visible
from tests.docs.texts import Text, blocks, inline_code

MODELS: tuple[type[BaseModel], ...] = (Bootstrap, Scenario)
_DOTTED = re.compile(r"(?:config\.)?([a-z_]+(?:\.\w+)+)")
_FILE = re.compile(r".*\.(?:md|py|json|ya?ml|pem|pfx|lock|sh)")


def models_in(annotation: Any) -> Iterator[type[BaseModel]]:
    """The models that a value of this type may hold, at any depth of lists, mappings and alternatives."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    elif get_origin(annotation) is Annotated:
        yield from models_in(get_args(annotation)[0])
    else:
        for argument in get_args(annotation):
            yield from models_in(argument)


def has(path: str, model: type[BaseModel]) -> bool:
    """Whether a dotted path of field names leads somewhere in the model."""
    head, _, rest = path.partition(".")
    field = _fields(model).get(head)
    if field is None:
        return False
    return not rest or any(has(rest, inner) for inner in models_in(field)) or _maps(field)


@functools.cache
def _fields(model: type[BaseModel]) -> Mapping[str, Any]:
    named = {name: field.annotation for name, field in model.model_fields.items()}
    return named | {field.alias: field.annotation for field in model.model_fields.values() if field.alias}


def _maps(annotation: Any) -> bool:
    """Whether it is a mapping, whose keys are the user's."""
    kinds = [get_origin(each) or each for each in (annotation, *get_args(annotation))]
    return any(isinstance(kind, type) and issubclass(kind, Mapping) for kind in kinds)


def unknown_paths(text: Text) -> Iterator[tuple[int, str]]:
    """Position and name of each dotted path in inline code that begins like a configuration's and leads nowhere."""
    for position, code in inline_code(text.text):
        match = _DOTTED.fullmatch(code.partition(":")[0].strip())
        if match is None or _is_something_else(text, code):
            continue
        begun = [model for model in MODELS if has(match[1].partition(".")[0], model)]
        if begun and not any(has(match[1], model) for model in begun):
            yield position, match[1]


def _is_something_else(text: Text, code: str) -> bool:
    """A file, or in a docstring something of Python's."""
    name = code.partition(".")[0]
    return bool(_FILE.fullmatch(code)) or (text.file.endswith(".py") and visible(name, module_of(text.file)))


def unknown_keys(text: Text) -> Iterator[tuple[int, str]]:
    """Position and path of each key that no model has, in the blocks that show a part of a configuration."""
    for position, language, block in blocks(text.text):
        if language in ("", "yaml"):
            yield from ((position, key) for key in _unknown_keys(block))


def _unknown_keys(block: str) -> list[str]:
    """Keys that are wrong by the model that knows most of the block's own; none when no model knows any."""
    try:
        data = yaml.safe_load(block)
    except yaml.YAMLError:
        return []
    if not isinstance(data, dict):
        return []
    best = max(MODELS, key=lambda model: len(data.keys() & _fields(model).keys()))
    return list(_wrong(data, best, "")) if data.keys() & _fields(best).keys() else []


def _wrong(data: Mapping[str, Any], model: type[BaseModel], above: str) -> Iterator[str]:
    for key, value in data.items():
        annotation = _fields(model).get(key)
        if annotation is None:
            yield f"{above}{key}"
            continue
        for inner in models_in(annotation):
            for path, entry in _entries(value, annotation, f"{above}{key}."):
                yield from _wrong(entry, inner, path)


def _entries(value: Any, annotation: Any, path: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """The mappings that have to be of the model: of a list all of them, of a mapping what its keys stand for."""
    if _maps(annotation) and isinstance(value, dict):
        yield from ((f"{path}{key}.", entry) for key, entry in value.items() if isinstance(entry, dict))
    elif isinstance(value, list):
        yield from ((path, entry) for entry in value if isinstance(entry, dict))
    elif isinstance(value, dict):
        yield path, value
