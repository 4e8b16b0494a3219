"""The variables of a template, each evaluated on first use."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from sandbox.services.deployments.errors import TemplateError, unsupported
from sandbox.services.deployments.functions import key_of


class Variables:
    """The variables of one deployment.

    :param definitions: the template's ``variables`` section
    :param evaluate: evaluates a definition, which may refer to parameters and other variables
    """

    def __init__(self, definitions: Mapping[str, Any], evaluate: Callable[[Any], Any]) -> None:
        if "copy" in definitions:
            raise unsupported("a copy loop of variables")
        self._definitions = definitions
        self._evaluate = evaluate
        self._known: dict[str, Any] = {}
        self._pending: list[str] = []

    def __getitem__(self, name: str) -> Any:
        """:raises TemplateError: when the variable does not exist, or depends on itself"""
        key = key_of(self._definitions, name)
        if key is None:
            raise TemplateError(f"The template variable '{name}' is not found.")
        if key in self._pending:
            raise TemplateError(f"The variables '{' -> '.join([*self._pending, key])}' form a circle.")
        if key not in self._known:
            self._pending.append(key)
            try:
                self._known[key] = self._evaluate(self._definitions[key])
            finally:
                self._pending.remove(key)
        return self._known[key]
