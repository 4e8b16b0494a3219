"""Reads the configuration from YAML, and reports invalid fields."""

from __future__ import annotations

import re
from pathlib import Path

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from pratique.config.base import HOLDS_SECRET
from pratique.config.bootstrap import Bootstrap
from pratique.errors import ConfigurationError
from pratique.masking import shortened
from pratique.yaml_document import LARGEST, InvalidYaml, load_yaml

#: Parts of the names of fields whose invalid value may be a misplaced secret. Errors do not repeat it.
_SENSITIVE = re.compile(r"pem|passw|passphrase|pwd|token|remote|key|secret|credential|auth|sign", re.IGNORECASE)
_LONGEST = 200  # characters of a value in an error


def load(path: Path) -> Bootstrap:
    """Read a configuration file.

    :raises ConfigurationError: names each invalid field, its value, and what is allowed
    """
    try:
        with path.open("rb") as file:
            content = file.read(LARGEST + 1)
    except (OSError, ValueError) as error:
        observed = getattr(error, "strerror", None) or str(error)
        raise ConfigurationError(
            "read the configuration", str(path), f"{observed}.", "Start from examples/bootstrap.yaml."
        ) from None
    return parse(content, str(path))


def parse(content: str | bytes, name: str = "configuration") -> Bootstrap:
    """Read a configuration from YAML.

    :param content: text, or UTF-8
    :param name: of the configuration, for errors
    :raises ConfigurationError: as :func:`load`
    """
    try:
        document = load_yaml(content.encode("utf-8", "replace") if isinstance(content, str) else content)
    except InvalidYaml as error:
        raise ConfigurationError(
            "read the configuration", name, f"It is not valid YAML: {error}.", "Fix the file."
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
        shown = "" if _is_hidden(problem) else f" is {shortened(repr(problem['input']), _LONGEST)}"
        lines.append(f"{field}{shown}: {problem['msg']}")
    return "; ".join(lines) + "."


def _is_hidden(problem: ErrorDetails) -> bool:
    """Whether an error must not repeat the value. What an unknown field was meant for, nobody knows."""
    return (
        problem["type"] in ("missing", "extra_forbidden", "model_type", HOLDS_SECRET)
        or isinstance(problem["input"], dict | list | tuple)
        or any(isinstance(step, str) and _SENSITIVE.search(step) for step in problem["loc"])
    )
