"""Reads the configuration from YAML, and reports invalid fields."""

from __future__ import annotations

from io import StringIO
from pathlib import Path

from pydantic import ValidationError
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from pratique.config.bootstrap import Bootstrap
from pratique.errors import ConfigurationError

#: Fields whose invalid value may be a misplaced secret. Errors do not repeat it.
_SENSITIVE = frozenset({"pem", "password", "token", "remote", "key", "signing_key"})


def load(path: Path) -> Bootstrap:
    """Read a configuration file.

    :raises ConfigurationError: names each invalid field, its value, and what is allowed
    """
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise ConfigurationError(
            "read the configuration", str(path), f"{error.strerror}.", "Start from examples/bootstrap.yaml."
        ) from None
    return parse(text, str(path))


def parse(text: str, name: str = "configuration") -> Bootstrap:
    """Read a configuration from text.

    :param name: of the configuration, for errors
    :raises ConfigurationError: as :func:`load`
    """
    try:
        document = YAML(typ="safe", pure=True).load(StringIO(text))
    except YAMLError as error:
        raise ConfigurationError(
            "read the configuration", name, f"It is not valid YAML: {error}", "Fix the file."
        ) from None
    try:
        return Bootstrap.model_validate(document)
    except ValidationError as error:
        raise ConfigurationError(
            "use the configuration", name, _explain(error), "Correct these fields. See examples/bootstrap.yaml."
        ) from None


def _explain(error: ValidationError) -> str:
    lines = []
    for problem in error.errors(include_url=False):
        field = ".".join(str(step) for step in problem["loc"]) or "the file"
        value = problem["input"]
        hidden = (
            isinstance(value, dict | list | tuple) or problem["type"] == "missing" or _SENSITIVE & {*problem["loc"]}
        )
        shown = "" if hidden else f" is {value!r}"
        lines.append(f"{field}{shown}: {problem['msg']}")
    return "; ".join(lines) + "."
