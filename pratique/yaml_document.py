"""Reads YAML that people write, in bounded time and memory.

>>> load_yaml(b"images: [busybox]")
{'images': ['busybox']}

YAML can describe far more than it contains: aliases and merge keys (``<<``) repeat a value, and repeat the repetition.
A document is refused when it is too large or too deep, also with its aliases expanded. So are values that no later
step could write down again: integers beyond 64 bits, and text that is not Unicode.
"""

from __future__ import annotations

from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.composer import Composer, MaxDepthExceededError
from ruamel.yaml.error import YAMLError
from ruamel.yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from pratique.markdown import plain

#: Bytes of one document.
LARGEST = 1024 * 1024
#: Levels of lists and mappings inside each other, with aliases expanded.
DEEPEST = 64
#: Values of one document, with aliases expanded.
MOST_VALUES = 100_000

_TOO_DEEP = f"it is nested more than {DEEPEST} levels deep"
_INTEGER = "tag:yaml.org,2002:int"
_LONGEST_INTEGER = len("-0b") + 64  # characters


class InvalidYaml(ValueError):
    """The text is not YAML, or not YAML that is read here. The message says why."""


def load_yaml(content: bytes) -> Any:
    """The value of a document.

    :param content: UTF-8
    :raises InvalidYaml: when it cannot be read
    """
    if len(content) > LARGEST:
        raise InvalidYaml(f"it is larger than {LARGEST} bytes")
    reader = YAML(typ="safe", pure=True)
    reader.max_depth = DEEPEST
    reader.Composer = _BoundedComposer
    try:
        return reader.load(content.decode("utf-8"))
    except MaxDepthExceededError:
        raise InvalidYaml(_TOO_DEEP) from None
    except Exception as error:  # not only YAMLError: ruamel.yaml's own checks are incomplete, as with !!int ''
        raise InvalidYaml(plain(str(error))) from None


class _BoundedComposer(Composer):
    """Checks a document before any value is made of it."""

    def compose_document(self) -> Any:
        node = super().compose_document()
        _measure(node, 1, {})
        return node


def _measure(node: Node, level: int, known: dict[int, tuple[int, int]]) -> tuple[int, int]:
    """How many values a value has, itself included, and how many levels.

    :raises YAMLError: when it is beyond a limit
    """
    if id(node) not in known and level <= DEEPEST:
        if isinstance(node, ScalarNode):
            _require_readable(node)
        parts = [_measure(part, level + 1, known) for part in _parts(node)]
        known[id(node)] = 1 + sum(values for values, _ in parts), 1 + max((levels for _, levels in parts), default=0)
    values, levels = known.get(id(node), (1, 1))  # an alias that contains itself has no end
    if level + levels - 1 > DEEPEST:
        raise YAMLError(_TOO_DEEP)
    if values > MOST_VALUES:
        raise YAMLError(f"it has more than {MOST_VALUES} values")
    return values, levels


def _parts(node: Node) -> list[Node]:
    if isinstance(node, MappingNode):
        return [part for pair in node.value for part in pair]
    return list(node.value) if isinstance(node, SequenceNode) else []


def _require_readable(node: ScalarNode) -> None:
    text = str(node.value)
    if node.tag == _INTEGER and (len(text) > _LONGEST_INTEGER or not -(2**63) <= _integer(text) < 2**64):
        raise YAMLError("an integer has more than 64 bits")
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        raise YAMLError("it has half of a surrogate pair") from None


def _integer(text: str) -> int:
    try:
        return int(text.replace("_", ""), 0)
    except ValueError:  # such as 010: no integer to Python, and short
        return 0
