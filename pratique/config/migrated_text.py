"""Migrates the text of a configuration file, and keeps comments, order and layout.

The few lines that change are edited in place. A file that writes them in an unusual way (in one line, with anchors) is
written anew by ruamel.yaml, which keeps comments but not every space. Either way the result is read again: it has to
have the same value as the migrated document.
"""

from __future__ import annotations

from io import StringIO

from ruamel.yaml import YAML
from ruamel.yaml.nodes import MappingNode, Node, ScalarNode

from pratique.config.migration import CURRENT, migrate, version_of
from pratique.yaml_document import InvalidYaml, load_yaml


def migrated_text(text: str) -> str:
    """The text in the current version; unchanged if it has that already.

    :raises InvalidYaml: when it is not the YAML of a configuration
    :raises VersionProblem: as :func:`~pratique.config.migration.migrate`
    """
    if "\r\n" in text:
        return migrated_text(text.replace("\r\n", "\n")).replace("\n", "\r\n")
    document = load_yaml(text.encode())
    if not isinstance(document, dict):
        raise InvalidYaml("it is not a mapping of sections")
    version_of(document)
    if document.get("version") == CURRENT:
        return text
    wanted, edited = migrate(document), _edited(text)
    if edited is not None and _reads_as(edited, wanted):
        return edited
    return _written_anew(text)


def _reads_as(text: str, wanted: object) -> bool:
    try:
        return bool(load_yaml(text.encode()) == wanted)
    except InvalidYaml:
        return False


def _written_anew(text: str) -> str:
    yaml = YAML()
    yaml.preserve_quotes = True
    yaml.width = 4096
    yaml.indent(mapping=2, sequence=4, offset=2)
    document = yaml.load(text)
    migrated = migrate(document)
    for key in [key for key in document if key not in migrated or document[key] != migrated[key]]:
        if key in migrated:
            document[key] = migrated[key]
        else:
            del document[key]
    for key in [key for key in migrated if key not in document]:
        document.insert(0, key, migrated[key])
    written = StringIO()
    yaml.dump(document, written)
    return written.getvalue()


def _edited(text: str) -> str | None:
    """The text with the lines of version 2, or ``None`` when they are not written the usual way."""
    root = YAML(typ="safe", pure=True).compose(text)
    if not isinstance(root, MappingNode) or root.flow_style or not root.value:
        return None
    lines = text.splitlines(keepends=True)
    if lines and not lines[-1].endswith("\n"):
        lines[-1] += "\n"
    first = root.value[0][0].start_mark.line
    moved = _line_of(_find(root, "manifests"), "records_branch", lines)
    inserted: dict[int, str] = {first: f"version: {CURRENT}\n\n"}
    if stated := _entry(root, "version"):
        inserted.clear()
        lines[stated[0].start_mark.line] = f"version: {CURRENT}\n"
    if moved is not None:
        number, value = moved
        lines[number] = ""
        at, new = _place_of_branch(root, value, first)
        inserted[at] = inserted.get(at, "") + new
    elif _entry(_find(root, "manifests"), "records_branch"):
        return None
    for at in sorted(inserted, reverse=True):
        lines.insert(at, inserted[at])
    return "".join(lines)


def _place_of_branch(root: MappingNode, value: str, first: int) -> tuple[int, str]:
    """Where ``registries.records.branch`` goes: number of the line before which it is inserted, and its text."""
    registries = _find(root, "registries")
    records = _find(registries, "records")
    if records is not None and records.value:
        key = records.value[0][0]
        return key.start_mark.line, f"{' ' * key.start_mark.column}branch:{value}"
    if registries is not None and registries.value:
        key = registries.value[0][0]
        indent = " " * key.start_mark.column
        return key.start_mark.line, f"{indent}records:\n{indent}  branch:{value}"
    return first, f"registries:\n  records:\n    branch:{value}\n"


def _line_of(mapping: MappingNode | None, key: str, lines: list[str]) -> tuple[int, str] | None:
    """Number of the line that holds that key and its scalar alone, and what follows the key and its colon."""
    entry = _entry(mapping, key)
    if entry is None or mapping is None or mapping.flow_style:
        return None
    name, value = entry
    number, written = name.start_mark.line, f"{key}:"
    line = lines[number]
    if not isinstance(value, ScalarNode) or value.end_mark.line != number or not line.lstrip().startswith(written):
        return None
    return number, line.partition(written)[2]


def _find(mapping: MappingNode | None, key: str) -> MappingNode | None:
    entry = _entry(mapping, key)
    return entry[1] if entry is not None and isinstance(entry[1], MappingNode) else None


def _entry(mapping: MappingNode | None, key: str) -> tuple[Node, Node] | None:
    found = [(name, value) for name, value in (mapping.value if mapping else ()) if name.value == key]
    return found[0] if found else None
