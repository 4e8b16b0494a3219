"""Entries of an exceptions file as text: ready to paste, and written into the file.

The edit adds one entry and keeps every other byte of the file, because people maintain it: comments, order, quotes and
line endings stay. The result is read again and must differ in that entry only.
"""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any, ClassVar, NoReturn

from ruamel.yaml import YAML
from ruamel.yaml.nodes import CollectionNode, MappingNode, Node, ScalarNode, SequenceNode

from pratique.errors import ConfigurationError
from pratique.gate.exceptions.entry import PLACEHOLDER
from pratique.gate.exceptions.exemption import unreadable
from pratique.gate.exceptions.file import AcceptedKind
from pratique.gate.policy import Policy
from pratique.images import ImageReference
from pratique.manifests.yaml_scalar import render
from pratique.markdown import one_line
from pratique.yaml_document import InvalidYaml, load_yaml

#: Days that an acceptance lasts unless a person says otherwise.
DEFAULT_DAYS = 90

#: Start and end as offsets in the text, and the new text.
_Splice = tuple[int, int, str]


class NewEntry(ABC):
    """An entry to be written.

    :cvar section: the list of the file that it belongs to
    :cvar noun: what it is called in errors
    """

    section: ClassVar[str]
    noun: ClassVar[str]

    @property
    @abstractmethod
    def entry(self) -> dict[str, Any]:
        """The entry as the file's reader sees it."""

    @property
    def yaml(self) -> str:
        """A whole exceptions file with nothing but this entry."""
        return "\n".join([f"{self.section}:", *self.lines("  "), ""])

    def lines(self, indent: str) -> Iterator[str]:
        """The entry as an item of a list."""
        for number, (name, value) in enumerate(self.entry.items()):
            yield f"{indent}{'  ' if number else '- '}{name}: {_rendered(value)}"

    @property
    def json(self) -> str:
        """The entry for a list in flow style."""
        values = {name: _time(value) if isinstance(value, datetime) else value for name, value in self.entry.items()}
        return json.dumps(values, default=str, ensure_ascii=False)


@dataclass(frozen=True, kw_only=True)
class NewAcceptance(NewEntry):
    """An acceptance to be written.

    :ivar image: with its tag and digest
    :ivar expires: its last day, in UTC
    """

    section = "acceptances"
    noun = "acceptance"

    image: ImageReference
    states: tuple[AcceptedKind, ...] = ("unverified",)
    reason: str = PLACEHOLDER
    owner: str = PLACEHOLDER
    approver: str = PLACEHOLDER
    expires: date

    @property
    def entry(self) -> dict[str, Any]:
        people = {name: one_line(getattr(self, name)) for name in ("reason", "owner", "approver")}
        return {"image": str(self.image), "states": list(self.states), **people, "expires": self.expires}


@dataclass(frozen=True, kw_only=True)
class NewBreakGlass(NewEntry):
    """A break-glass entry to be written.

    :ivar image: with its digest
    :ivar opened: since when it counts, in UTC, to the second
    :ivar until: when it ends, in UTC, to the second
    """

    section = "break_glass"
    noun = "break-glass entry"

    image: ImageReference
    reason: str
    incident: str
    requested_by: str
    opened: datetime
    until: datetime

    @property
    def entry(self) -> dict[str, Any]:
        texts = {name: one_line(getattr(self, name)) for name in ("reason", "incident", "requested_by")}
        return {"image": str(self.image), **texts, "opened": self.opened, "until": self.until}


def _rendered(value: object) -> str:
    """A value of an entry in block style."""
    if isinstance(value, datetime):
        return _time(value)
    if isinstance(value, date):
        return value.isoformat()
    return f"[{', '.join(value)}]" if isinstance(value, list) else render(str(value))


def _time(at: datetime) -> str:
    return f"{at.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"


def default_end(now: datetime, policy: Policy) -> date:
    """The last day (UTC) of an acceptance for which nobody chose one."""
    return now.astimezone(UTC).date() + timedelta(days=min(DEFAULT_DAYS, policy.exception_days))


def with_entry(content: bytes, new: NewEntry, name: str) -> bytes:
    """An exceptions file with one more entry.

    :param content: of the file; empty for a new one
    :param name: the file's name in errors
    :raises ConfigurationError: when it is not YAML, or cannot be edited without changing anything else
    """
    try:
        before = load_yaml(content)
    except InvalidYaml as error:
        raise unreadable(name, f"It is not YAML: {error}.") from None
    text = content.decode("utf-8")
    start = len(text) - len(text.removeprefix("\ufeff"))
    edited = text[:start] + _edited(text[start:], new, name)
    try:
        after = load_yaml(edited.encode("utf-8"))
    except InvalidYaml:
        after = None
    expected = dict(before) if isinstance(before, dict) else {}
    expected[new.section] = [*(expected.get(new.section) or ()), new.entry]
    if _comparable(after) != _comparable(expected):
        _refuse(new, name)
    return edited.encode("utf-8")


def _edited(text: str, new: NewEntry, name: str) -> str:
    pieces, position = [], 0
    for start, end, added in _splices(text, new, name):
        pieces += [text[position:start], added]
        position = end
    return "".join([*pieces, text[position:]])


def _splices(text: str, new: NewEntry, name: str) -> list[_Splice]:
    root = YAML(typ="safe", pure=True).compose(text)
    if root is None:
        return [_lines(text, len(text), [f"{new.section}:", *new.lines("  ")])]
    if not isinstance(root, MappingNode):
        _refuse(new, name)
    found = next((value for key, value in root.value if key.value == new.section), None)
    if found is None and root.flow_style:
        return [_item(root, f'"{new.section}": [{new.json}]')]
    if found is None:
        return [_lines(text, len(text), [f"{new.section}:", *new.lines("  ")])]
    if not isinstance(found, SequenceNode):
        _refuse(new, name)
    if found.flow_style and (found.value or root.flow_style):
        return [_item(found, new.json)]
    start, end = found.start_mark.index, found.end_mark.index
    if found.flow_style:  # an empty list makes room for lines
        line = text.find("\n", end) + 1 or len(text)
        return [(start - text[:start].endswith(" "), end, ""), _lines(text, line, [*new.lines("  ")])]
    return [_lines(text, _end_of_block(text, found), [*new.lines(" " * found.start_mark.column)])]


def _lines(text: str, position: int, lines: list[str]) -> _Splice:
    """Whole lines at a position that is the start of a line, or the end of the text."""
    newline = "\r\n" if "\r\n" in text else "\n"
    before = newline if position and text[position - 1] != "\n" else ""
    return position, position, before + "".join(f"{line}{newline}" for line in lines)


def _item(node: CollectionNode, item: str) -> _Splice:
    """One more item at the end of a collection in flow style."""
    if not node.value:
        return node.end_mark.index - 1, node.end_mark.index - 1, item
    last = node.value[-1][1] if isinstance(node, MappingNode) else node.value[-1]
    return last.end_mark.index, last.end_mark.index, f", {item}"


def _end_of_block(text: str, node: Node) -> int:
    """The start of the line after a value in block style."""
    while isinstance(node, CollectionNode) and node.value and not node.flow_style:
        key, node = node.value[-1] if isinstance(node, MappingNode) else (None, node.value[-1])
        if key is not None and node.start_mark.index == node.end_mark.index:
            node = key
    end = node.end_mark.index
    if isinstance(node, ScalarNode) and node.style in ("|", ">"):  # ends where the next value begins
        return int(text.rfind("\n", 0, end) + 1) if end < len(text) else len(text)
    return text.find("\n", end) + 1 or len(text)


def _comparable(value: object) -> str:
    return json.dumps(value, default=_text, sort_keys=True)


def _text(value: object) -> str:
    """A value that JSON has no type for: one moment is one text, whatever its offset."""
    return _time(value) if isinstance(value, datetime) and value.tzinfo else str(value)


def _refuse(new: NewEntry, name: str) -> NoReturn:
    raise ConfigurationError(
        f"add the {new.noun}",
        name,
        "It cannot be added without changing other parts of the file.",
        f"Add it by hand:\n{new.yaml}",
    )
