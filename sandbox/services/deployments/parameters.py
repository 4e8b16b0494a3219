"""The parameters of a template: values from the request or by default, checked against their definitions."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from sandbox.services.deployments.errors import TemplateError, unsupported
from sandbox.services.deployments.functions import key_of, same, text

TYPES = {
    "string": "String",
    "securestring": "SecureString",
    "int": "Int",
    "bool": "Bool",
    "object": "Object",
    "secureobject": "SecureObject",
    "array": "Array",
}
"""Type names: in a template, in lower case, to their spelling in responses."""

_PYTHON: dict[str, type[Any]] = {
    "String": str,
    "SecureString": str,
    "Int": int,
    "Bool": bool,
    "Object": dict,
    "SecureObject": dict,
    "Array": list,
}
_USAGE = "Please see https://aka.ms/arm-create-parameter-file for usage details."


class Parameters:
    """The parameters of one deployment.

    :param definitions: the template's ``parameters`` section
    :param supplied: the request's ``parameters``: ``{"name": {"value": …}}``
    :param evaluate: evaluates a default value, which may refer to other parameters
    :raises TemplateError: when a supplied parameter is not defined, or is a Key Vault reference
    """

    def __init__(
        self, definitions: Mapping[str, Any], supplied: Mapping[str, Any], evaluate: Callable[[Any], Any]
    ) -> None:
        self._definitions = definitions
        self._supplied = _values(definitions, supplied)
        self._evaluate = evaluate
        self._known: dict[str, Any] = {}
        self._pending: list[str] = []

    def __getitem__(self, name: str) -> Any:
        """The value of a parameter.

        :raises TemplateError: when it does not exist, has no value, or has an invalid value
        """
        key = key_of(self._definitions, name)
        if key is None:
            raise TemplateError(f"The template parameter '{name}' is not found. {_USAGE}")
        if key not in self._known:
            self._known[key] = self._resolve(key)
        return self._known[key]

    def check(self) -> None:
        """:raises TemplateError: for the first parameter with a missing or invalid value"""
        for name in self._definitions:
            self[name]

    def echo(self) -> dict[str, Any]:
        """The parameters as a deployment shows them: without the values of secure ones."""
        return {name: typed(type_of(definition, name), self[name]) for name, definition in self._definitions.items()}

    def _resolve(self, name: str) -> Any:
        definition = self._definitions[name]
        if name in self._supplied:
            value = self._supplied[name]
        elif "defaultValue" in definition:
            if name in self._pending:
                raise TemplateError(f"The default values of '{' -> '.join([*self._pending, name])}' form a circle.")
            self._pending.append(name)
            try:
                value = self._evaluate(definition["defaultValue"])
            finally:
                self._pending.remove(name)
        else:
            raise TemplateError(f"The value for the template parameter '{name}' is not provided. {_USAGE}")
        _check(name, definition, value)
        return value


def type_of(definition: Mapping[str, Any], name: str) -> str:
    """The type of a parameter or output, in the spelling of responses.

    :raises TemplateError: for an unknown type
    """
    found = TYPES.get(str(definition.get("type", "")).lower())
    if found is None:
        raise TemplateError(f"The type of '{name}' is not valid: it must be one of '{', '.join(TYPES.values())}'.")
    return found


def fits(kind: str, value: Any) -> bool:
    """Whether a JSON value has a type."""
    return isinstance(value, _PYTHON[kind]) and (kind != "Int" or not isinstance(value, bool))


def typed(kind: str, value: Any) -> dict[str, Any]:
    """A parameter or output as responses show it."""
    return {"type": kind} if kind.startswith("Secure") else {"type": kind, "value": value}


def _values(definitions: Mapping[str, Any], supplied: Mapping[str, Any]) -> dict[str, Any]:
    values: dict[str, Any] = {}
    if unknown := [name for name in supplied if key_of(definitions, name) is None]:
        raise TemplateError(
            f"The template parameters '{', '.join(unknown)}' in the parameters file are not valid; they are not "
            "present in the original template and can therefore not be provided at deployment time. The only supported "
            f"parameters for this template are '{', '.join(definitions)}'. {_USAGE}"
        )
    for name, entry in supplied.items():
        if isinstance(entry, Mapping) and "reference" in entry:
            raise unsupported(f"Key Vault references (parameter '{name}')")
        if not isinstance(entry, Mapping) or "value" not in entry:
            raise TemplateError(f"The parameter '{name}' must be an object with a 'value'. {_USAGE}")
        values[key_of(definitions, name) or name] = entry["value"]
    return values


def _check(name: str, definition: Mapping[str, Any], value: Any) -> None:
    kind = type_of(definition, name)
    prefix = f"The provided value for the template parameter '{name}' is not valid."
    if not fits(kind, value):
        raise TemplateError(f"{prefix} Expected a value of type '{kind}'. {_USAGE}")
    if "allowedValues" in definition:
        for item in value if kind == "Array" else [value]:
            if not any(same(item, allowed) for allowed in definition["allowedValues"]):
                allowed_values = ",".join(map(text, definition["allowedValues"]))
                raise TemplateError(f"{prefix} The value is not part of the allowed value(s): '{allowed_values}'.")
    measure, size = ("Value", value) if kind == "Int" else ("Length", 0 if kind == "Bool" else len(value))
    least, most = definition.get(f"min{measure}"), definition.get(f"max{measure}")
    if least is not None and size < least:
        raise TemplateError(f"{prefix} {measure} must be greater than or equal to '{least}'. {_USAGE}")
    if most is not None and size > most:
        raise TemplateError(f"{prefix} {measure} must be less than or equal to '{most}'. {_USAGE}")
