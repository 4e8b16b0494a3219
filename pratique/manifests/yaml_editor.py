"""Sets single values in YAML text and leaves every other byte unchanged.

People maintain the GitOps repository, so their comments, order, quotes and line endings are kept. The text is not
serialised again; a scalar is found by its path and replaced in place:

>>> text = YamlText("kustomization.yaml", "images:\\n- name: busybox  # utility\\n  newTag: '1.36'\\n")
>>> print(text.edited({(0, "images", 0, "newTag"): "1.37.0"}).text, end="")
images:
- name: busybox  # utility
  newTag: '1.37.0'

The result is parsed again and must differ in those values only. Text where that is impossible (the value is an alias,
or folded over several lines) is refused.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from itertools import count
from typing import NoReturn, TypeAlias

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError
from ruamel.yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from pratique.errors import ManifestRejected
from pratique.manifests.yaml_scalar import quote, render
from pratique.markdown import plain

# The number of the document in the file, then keys and list positions.
Path: TypeAlias = tuple[str | int, ...]
Plain: TypeAlias = "str | list[Plain] | dict[str, Plain] | None"

_NULL = "tag:yaml.org,2002:null"
_VALUE_LIMIT = 1_000_000  # with aliases expanded: a few lines can expand to more than fits into memory
_PROPERTIES = re.compile(r"(?:[&!]\S*\s+)+")  # an anchor or a tag before a value
_ALIAS = re.compile(r"\s*:\s+\*[^\s,\[\]{}]+")


@dataclass(frozen=True)
class YamlText:
    """The text of one YAML file.

    :ivar file: its name, for error messages
    """

    file: str
    text: str

    @cached_property
    def documents(self) -> list[Plain]:
        """The parsed documents. Scalars are not converted: ``1.10`` stays ``"1.10"``.

        :raises ManifestRejected: when the text is not YAML, or a mapping has a duplicate key
        """
        return self._parse()

    def edited(self, values: Mapping[Path, str | None]) -> YamlText:
        """The text with the values at these paths set; the same object when all of them are set already.

        If the last key of a path is missing, it is added to its mapping, in the order given. If the value is ``None``,
        the key is removed with its line.

        :raises ManifestRejected: when a path does not exist, or the edit would change anything else
        """
        removed = {path for path, value in values.items() if value is None}
        splices = [splice for path, value in values.items() for splice in self._splices(path, value, removed)]
        if not splices:
            return self
        pieces, position = [], 0
        for start, end, new in sorted(splices, key=lambda splice: splice[0]):
            pieces += [self.text[position:start], new]
            position = max(position, end)
        result = YamlText(self.file, "".join([*pieces, self.text[position:]]))
        expected = self._parse()
        for path, value in values.items():
            _assign(expected, path, value)
        if result.documents != expected:
            self.refuse("The edit would change other values as well.")
        return result

    def replaced(self, old: str, new: str, *, but: Collection[Path] = ()) -> YamlText:
        """The text with a string replaced everywhere, including comments, like ``sed s/old/new/g``.

        :param but: paths of values that stay unchanged
        """
        if old not in self.text:
            return self
        pieces, position = [], 0
        for start, end in sorted({(node.start_mark.index, node.end_mark.index) for node in map(self._node, but)}):
            pieces += [self.text[position:start].replace(old, new), self.text[start:end]]
            position = end
        return YamlText(self.file, "".join([*pieces, self.text[position:].replace(old, new)]))

    def refuse(self, observed: str, remedy: str = "Write the value as a plain or quoted scalar.") -> NoReturn:
        """Raise :class:`ManifestRejected` about this file."""
        raise ManifestRejected("edit the manifest", self.file, observed, remedy)

    @cached_property
    def _nodes(self) -> list[Node]:
        # The pure safe parser: the round-trip parser moves comments, and the C parser has no character indexes.
        try:
            try:
                return list(YAML(typ="safe", pure=True).compose_all(self.text))
            except YAMLError:
                if "\t" not in self.text:
                    raise
                # ruamel.yaml allows tabs within scalars only; kustomize and Kubernetes treat them as spaces.
                return list(YAML(typ="safe", pure=True).compose_all(self.text.replace("\t", " ")))
        except YAMLError as error:
            self.refuse(f"It is not valid YAML: {' '.join(str(error).split())}", "Correct the file.")
        except RecursionError:
            self.refuse("It is nested too deeply.", "Correct the file.")
        except (ArithmeticError, LookupError, TypeError, ValueError) as error:  # ruamel.yaml's checks are incomplete
            self.refuse(f"It is not valid YAML: {plain(str(error))}", "Correct the file.")

    @cached_property
    def _aliased(self) -> set[int]:
        """Ids of the nodes that occur more than once."""
        seen: set[int] = set()
        repeated: set[int] = set()
        nodes = list(self._nodes)
        while nodes:
            node = nodes.pop()
            if id(node) in seen:
                repeated.add(id(node))
                continue
            seen.add(id(node))
            if isinstance(node, MappingNode):
                nodes += [key_or_value for pair in node.value for key_or_value in pair]
            elif isinstance(node, SequenceNode):
                nodes += node.value
        return repeated

    def _parse(self) -> list[Plain]:
        """The parsed documents, as new objects that the caller may change."""
        counter = count()
        try:
            return [self._plain(node, counter) for node in self._nodes]
        except RecursionError:
            self.refuse("It is nested too deeply, or an alias contains itself.", "Replace aliases with values.")

    def _plain(self, node: Node | None, counter: Iterator[int]) -> Plain:
        if next(counter) > _VALUE_LIMIT:
            self.refuse("Its aliases expand to too many values.", "Replace aliases with values.")
        if node is None:
            return None
        if isinstance(node, MappingNode):
            plain = {str(key.value): self._plain(value, counter) for key, value in node.value}
            if len(plain) != len(node.value):
                line = node.start_mark.line + 1
                self.refuse(f"The mapping in line {line} has a duplicate key.", "Remove one of the two.")
            return plain
        if isinstance(node, SequenceNode):
            return [self._plain(item, counter) for item in node.value]
        return None if node.tag == _NULL else str(node.value)

    def _node(self, path: Path) -> Node:
        node: Node = self._nodes[int(path[0])]
        for step in path[1:]:
            found = _child(node, step)
            if found is None:
                self._refuse_path(path)
            node = found[1]
        return node

    def _refuse_path(self, path: Path) -> NoReturn:
        self.refuse(f"There is no {'.'.join(map(str, path[1:]))}.", "Compare it with the sample repository.")

    def _splices(self, path: Path, value: str | None, removed: Collection[Path]) -> Iterator[tuple[int, int, str]]:
        """Replacements: start and end as offsets in the text, and the new text."""
        holder, step = self._node(path[:-1]), path[-1]
        found = _child(holder, step)
        if found is None:
            if not isinstance(holder, MappingNode) or not holder.value:
                self._refuse_path(path)
            if value is not None:
                self._refuse_aliases(path[:-1])
                removed_keys = {other[-1] for other in removed if other[:-1] == path[:-1]}
                yield self._addition(holder, removed_keys, str(step), value)
            return
        key, node = found
        if value is None and isinstance(holder, MappingNode):
            self._refuse_aliases(path)
            yield self._removal(holder, str(step))
        elif value is not None:
            yield from self._replacement(path, key, node, value)

    def _refuse_aliases(self, path: Path) -> None:
        if any(id(self._node(path[:length])) in self._aliased for length in range(1, len(path) + 1)):
            self.refuse("It uses YAML aliases there.", "Replace the alias with its value.")

    def _replacement(self, path: Path, key: Node | None, node: Node, value: str) -> Iterator[tuple[int, int, str]]:
        if not isinstance(node, ScalarNode):
            self.refuse(f"{'.'.join(map(str, path[1:]))} is not a single value.")
        if node.value == value and node.tag != _NULL:
            return
        self._refuse_aliases(path)
        if node.style == ">":
            self.refuse(f"{'.'.join(map(str, path[1:]))} is folded over several lines.")
        if node.style == "|":
            yield from self._block(node, value)
        elif node.start_mark.index == node.end_mark.index and key is not None:  # "key:" and nothing after it
            after = self.text.index(":", key.end_mark.index) + 1
            yield after, after, " " + render(value)
        else:
            properties = _PROPERTIES.match(self.text, node.start_mark.index)
            start = properties.end() if properties else node.start_mark.index
            yield start, node.end_mark.index, render(value, node.style)

    def _block(self, node: ScalarNode, value: str) -> Iterator[tuple[int, int, str]]:
        """Changed lines of a literal block: each is a line of the text, after the indentation."""
        before, after = node.value.split("\n"), value.split("\n")
        if len(before) != len(after):
            self.refuse("The edit would change the number of lines in a literal block.")
        start = self.text.index("\n", node.start_mark.index) + 1
        for old, new in zip(before, after, strict=True):
            end = self.text.find("\n", start)
            end = end if end >= 0 else len(self.text)
            content = self.text[start:end].removesuffix("\r")
            if old != new:
                yield start + len(content) - len(old), start + len(content), new
            start = end + 1

    def _addition(
        self, node: MappingNode, removed_keys: Collection[str | int], name: str, value: str
    ) -> tuple[int, int, str]:
        first = node.value[0][0]
        end = self._end(*[pair for pair in node.value if pair[0].value not in removed_keys][-1])
        if node.flow_style:
            return end, end, f", {name}: {quote(value)}"
        end = self._end_of_line(end)
        newline = "\r\n" if "\r\n" in self.text else "\n"
        return end, end, f"{newline}{' ' * first.start_mark.column}{name}: {render(value)}"

    def _removal(self, holder: MappingNode, name: str) -> tuple[int, int, str]:
        index = next(number for number, (key, _) in enumerate(holder.value) if key.value == name)
        start, end = holder.value[index][0].start_mark.index, self._end(*holder.value[index])
        after = holder.value[index + 1][0].start_mark.index if index + 1 < len(holder.value) else None
        if "\n" in self.text[start:end] or (index == 0 and after is None):
            self.refuse(f"{name} cannot be removed with its line.", "Remove it by hand.")
        if holder.flow_style:
            return (
                (start, after, "")
                if after is not None and index == 0
                else (self._end(*holder.value[index - 1]), end, "")
            )
        if index == 0 and after is not None:  # it shares its line with the dash of a list
            if "#" in self.text[self._end_of_line(end) : after]:
                self.refuse(f"{name} cannot be removed: a comment follows it.", "Remove it by hand.")
            return start, after, ""
        # The line and the newline before it, so that removing the last line leaves no trailing newline.
        before = self.text.rindex("\n", 0, start)
        return before - self.text[:before].endswith("\r"), self._end_of_line(end), ""

    def _end(self, key: Node, value: Node) -> int:
        """Offset at which the text of a value ends. For an alias, its node has the position of the anchor."""
        alias = _ALIAS.match(self.text, key.end_mark.index)
        if alias is not None:
            return alias.end()
        empty = value.end_mark.index <= value.start_mark.index
        return int(key.end_mark.index if empty else value.end_mark.index)

    def _end_of_line(self, index: int) -> int:
        end = self.text.find("\n", index)
        end = end if end >= 0 else len(self.text)
        return end - self.text[:end].endswith("\r")


def _child(node: Node, step: str | int) -> tuple[Node | None, Node] | None:
    if isinstance(node, MappingNode):
        return next(((key, value) for key, value in node.value if key.value == step), None)
    if isinstance(node, SequenceNode) and isinstance(step, int) and step < len(node.value):
        return None, node.value[step]
    return None


def _assign(documents: list[Plain], path: Path, value: str | None) -> None:
    holder: Plain = documents
    for step in path[:-1]:
        holder = holder[step]  # type: ignore[index]  # _splices has walked the same path
    if value is not None:
        holder[path[-1]] = value  # type: ignore[index]
    elif isinstance(holder, dict):
        holder.pop(str(path[-1]), None)
