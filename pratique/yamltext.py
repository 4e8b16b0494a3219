"""Sets single values in YAML text and leaves every other byte as it was.

A GitOps repository belongs to people: their comments, order, quotes and line ends are kept. So nothing is dumped
again; the scalar is found by its path, and replaced where it stands:

>>> text = YamlText("kustomization.yaml", "images:\\n- name: busybox  # utility\\n  newTag: '1.36'\\n")
>>> print(text.edited({(0, "images", 0, "newTag"): "1.37.0"}).text, end="")
images:
- name: busybox  # utility
  newTag: '1.37.0'

The result is read again and must differ in those values alone; text for which that cannot be had (aliases, folded
scalars) is refused instead of damaged.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import NoReturn, TypeAlias

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError
from ruamel.yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from pratique.errors import ManifestRejected

# Keys and list positions, after the number of the document within the file.
Path: TypeAlias = tuple[str | int, ...]
Plain: TypeAlias = "str | list[Plain] | dict[str, Plain] | None"

_NULL = "tag:yaml.org,2002:null"
_STRING = "tag:yaml.org,2002:str"
_PLAIN = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._/:@-]*[A-Za-z0-9._/@-])?")


@dataclass(frozen=True)
class YamlText:
    """The text of one YAML file.

    :ivar file: its name, for messages
    """

    file: str
    text: str

    @cached_property
    def documents(self) -> list[Plain]:
        """What the text says, every scalar as it is written: no type is guessed, ``1.10`` stays ``"1.10"``.

        :raises ManifestRejected: when the text is not YAML, uses aliases, or has a key twice in a mapping
        """
        return [self._plain(node, set()) for node in self._nodes]

    def edited(self, values: Mapping[Path, str]) -> YamlText:
        """The text with the strings at some paths set; the very same object when they all are there already.

        A last key that is missing is added to its mapping, in the order given.

        :raises ManifestRejected: when a path leads nowhere, or the text cannot be edited without touching more
        """
        splices = [splice for path, value in values.items() for splice in self._splices(path, value)]
        if not splices:
            return self
        pieces, done = [], 0
        for start, end, new in sorted(splices, key=lambda splice: splice[0]):
            pieces += [self.text[done:start], new]
            done = end
        result = YamlText(self.file, "".join([*pieces, self.text[done:]]))
        expected: list[Plain] = [self._plain(node, set()) for node in self._nodes]
        for path, value in values.items():
            _assign(expected, path, value)
        if result.documents != expected:
            self.refuse("It is written in a way that cannot be changed in one place only.")
        return result

    def refuse(self, observed: str, remedy: str = "Write the value as a plain or quoted scalar.") -> NoReturn:
        """Raise :class:`ManifestRejected` about this file."""
        raise ManifestRejected("edit the manifest", self.file, observed, remedy)

    @cached_property
    def _nodes(self) -> list[Node]:
        # The pure parser of the safe kind: the round-trip kind moves comments about, and the C one has no indexes.
        try:
            return list(YAML(typ="safe", pure=True).compose_all(self.text))
        except YAMLError as error:
            self.refuse(f"It is not valid YAML: {' '.join(str(error).split())}", "Correct the file.")

    def _plain(self, node: Node | None, seen: set[int]) -> Plain:
        if node is None:
            return None
        if id(node) in seen:
            self.refuse("It uses YAML aliases.", "Write the values out.")
        seen.add(id(node))
        if isinstance(node, MappingNode):
            plain = {str(key.value): self._plain(value, seen) for key, value in node.value}
            if len(plain) != len(node.value):
                self.refuse(f"Line {node.start_mark.line + 1} begins a mapping with a key twice.", "Keep one of them.")
            return plain
        if isinstance(node, SequenceNode):
            return [self._plain(item, seen) for item in node.value]
        return None if node.tag == _NULL else str(node.value)

    def _splices(self, path: Path, value: str) -> Iterator[tuple[int, int, str]]:
        """What to replace: start, end (offsets in the text) and the new text."""
        node: Node = self._nodes[int(path[0])]
        key: Node | None = None
        for depth, step in enumerate(path[1:], start=2):
            found = _child(node, step)
            if found is not None:
                key, node = found
            elif depth == len(path) and isinstance(node, MappingNode) and node.value:
                yield self._addition(node, str(step), value)
                return
            else:
                self.refuse(f"There is no {'.'.join(map(str, path[1:]))}.", "Compare it with the sample repository.")
        if not isinstance(node, ScalarNode):
            self.refuse(f"{'.'.join(map(str, path[1:]))} is not a single value.")
        if node.value == value and node.tag != _NULL:
            return
        if node.style == ">":
            self.refuse(f"{'.'.join(map(str, path[1:]))} is folded over lines.")
        if node.style == "|":
            yield from self._block(node, value)
        elif node.start_mark.index == node.end_mark.index and key is not None:  # "key:" and nothing after it
            after = self.text.index(":", key.end_mark.index) + 1
            yield after, after, " " + _rendered(value)
        else:
            yield node.start_mark.index, node.end_mark.index, _rendered(value, node.style)

    def _block(self, node: ScalarNode, value: str) -> Iterator[tuple[int, int, str]]:
        """Changed lines of a literal block: each of its lines stands on a line of the text, after the indentation."""
        before, after = node.value.split("\n"), value.split("\n")
        if len(before) != len(after):
            self.refuse("A literal block would change its number of lines.")
        start = self.text.index("\n", node.start_mark.index) + 1
        for old, new in zip(before, after, strict=True):
            end = self.text.find("\n", start)
            end = end if end >= 0 else len(self.text)
            content = self.text[start:end].removesuffix("\r")
            if old != new:
                yield start + len(content) - len(old), start + len(content), new
            start = end + 1

    def _addition(self, node: MappingNode, name: str, value: str) -> tuple[int, int, str]:
        first, (key, last) = node.value[0][0], node.value[-1]
        end = last.end_mark.index if last.end_mark.index > last.start_mark.index else key.end_mark.index
        if node.flow_style:
            return end, end, f", {name}: {json.dumps(value)}"
        end = self.text.find("\n", end)
        end = end if end >= 0 else len(self.text)
        end -= self.text[:end].endswith("\r")
        newline = "\r\n" if "\r\n" in self.text else "\n"
        return end, end, f"{newline}{' ' * first.start_mark.column}{name}: {_rendered(value)}"


def _child(node: Node, step: str | int) -> tuple[Node | None, Node] | None:
    if isinstance(node, MappingNode):
        return next(((key, value) for key, value in node.value if key.value == step), None)
    if isinstance(node, SequenceNode) and isinstance(step, int) and step < len(node.value):
        return None, node.value[step]
    return None


def _assign(documents: list[Plain], path: Path, value: str) -> None:
    holder: Plain = documents
    for step in path[:-1]:
        holder = holder[step]  # type: ignore[index]  # _splices has walked the same path
    holder[path[-1]] = value  # type: ignore[index]


def _rendered(value: str, style: str | None = None) -> str:
    if style == "'":
        return "'" + value.replace("'", "''") + "'"
    return value if style is None and _reads_as_string(value) else json.dumps(value, ensure_ascii=False)


def _reads_as_string(value: str) -> bool:
    """Whether a plain scalar is a string to readers of YAML 1.1 and 1.2 alike: ``v1.11.3`` is, ``1.37`` is not."""
    if not _PLAIN.fullmatch(value):
        return False
    for version in (1, 1), (1, 2):
        reader = YAML(typ="safe", pure=True)
        reader.version = version
        if reader.compose(value).tag != _STRING:
            return False
    return True
