"""Older versions of the configuration: how they are read, and how a file is rewritten."""

from __future__ import annotations

import difflib
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from pratique.config import Bootstrap, parse
from pratique.config.migrated_text import migrated_text
from pratique.config.migration import CURRENT, VersionProblem, migrate
from pratique.errors import ConfigurationError
from pratique.yaml_document import load_yaml

EXAMPLE = Path(__file__).parents[2] / "examples" / "bootstrap.yaml"


def version_1(branch: str = "mine", *, stated: bool = False) -> str:
    """The example as version 1 wrote it."""
    lines = EXAMPLE.read_text().splitlines(keepends=True)
    start = next(number for number, line in enumerate(lines) if line.startswith("registries:"))
    end = next(number for number, line in enumerate(lines) if line.startswith("catalogue:"))
    kept = [line for line in [*lines[:start], *lines[end:]] if not line.startswith("version:")]
    at = next(number for number, line in enumerate(kept) if line.startswith("manifests:"))
    old = f"  records_branch: {branch} # promotions, findings and holds\n"
    return ("version: 1\n" if stated else "") + "".join([*kept[: at + 1], old, *kept[at + 1 :]])


def changed(before: str, after: str) -> tuple[list[str], list[str]]:
    """The lines that are only in the first text, and those that are only in the second."""
    diff = list(difflib.ndiff(before.splitlines(), after.splitlines()))
    return [line[2:] for line in diff if line[0] == "-"], [line[2:] for line in diff if line[0] == "+"]


@pytest.mark.parametrize("stated", [False, True])
def test_version_1_is_read_as_it_was_meant(stated: bool) -> None:
    """A file without a version, or with version 1, is converted in memory."""
    config = parse(version_1(stated=stated))
    assert config.version == CURRENT
    assert config.registries.records.branch == "mine"


def test_stored_parameters_of_version_1_are_read() -> None:
    """What an older Pratique stored as a flow's parameter is a plain object, and read in the same way."""
    document = YAML(typ="safe").load(version_1())
    assert Bootstrap.model_validate(document).registries.records.branch == "mine"
    assert document["manifests"]["records_branch"] == "mine"


def test_migration_moves_the_field_and_touches_no_other_line() -> None:
    """The diff shows the version and the branch with its comment, and nothing else."""
    before = version_1()
    after = migrated_text(before)
    removed, added = changed(before, after)
    assert removed == ["  records_branch: mine # promotions, findings and holds"]
    assert [line for line in added if line] == [
        "version: 2",
        "registries:",
        "  records:",
        "    branch: mine # promotions, findings and holds",
    ]
    assert parse(after) == parse(before)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("network: {}\n", {"network": {}}),
        ("# x\nversion: 1\nnetwork: {}\n", {"network": {}}),
        ("manifests:\n  records_branch: a", {"manifests": None, "registries": {"records": {"branch": "a"}}}),
        (
            "registries:\n  identity: i # whose\nmanifests:\n  records_branch: 'a'\n  remote: r\n",
            {"registries": {"records": {"branch": "a"}, "identity": "i"}, "manifests": {"remote": "r"}},
        ),
        (
            "registries:\n    records:\n        remote: q\nmanifests:\n    remote: r\n    records_branch: a\n",
            {"registries": {"records": {"branch": "a", "remote": "q"}}, "manifests": {"remote": "r"}},
        ),
        (
            "registries: {records: {branch: a}}\nmanifests: {remote: r, records_branch: a} # all in one line\n",
            {"registries": {"records": {"branch": "a"}}, "manifests": {"remote": "r"}},
        ),
        (
            "manifests:\n  records_branch: >-\n    a\n  remote: r\n",
            {"registries": {"records": {"branch": "a"}}, "manifests": {"remote": "r"}},
        ),
    ],
)
def test_any_layout_can_be_migrated(text: str, expected: dict[str, Any]) -> None:
    """However the file is written, its new text has the value of the migrated document, with all comments."""
    after = migrated_text(text)
    expected = {key: {} if value is None else value for key, value in expected.items()}
    found = {key: {} if value is None else value for key, value in load_yaml(after.encode()).items()}
    assert found == {"version": CURRENT, **expected}
    assert [line.partition("#")[2] for line in text.splitlines() if "#" in line] == [
        line.partition("#")[2] for line in after.splitlines() if "#" in line
    ]


def test_the_current_version_stays_as_it_is() -> None:
    """Nothing is rewritten without need, and line endings stay."""
    assert migrated_text(EXAMPLE.read_text()) == EXAMPLE.read_text()
    windows = version_1().replace("\n", "\r\n")
    assert migrated_text(windows).count("\r\n") == migrated_text(windows).count("\n")
    assert migrate({"version": CURRENT, "network": {}}) == {"version": CURRENT, "network": {}}


@pytest.mark.parametrize("version", [3, 0, -1, "2", True, None, 1.5, [2]])
def test_unknown_versions_are_refused(version: object) -> None:
    """A newer version is refused with a next step, and so is what is no version."""
    with pytest.raises(VersionProblem, match="version: "):
        migrate({"version": version})
    with pytest.raises(ConfigurationError, match="upgrade Pratique" if version == 3 else "version: "):
        parse(f"version: {'null' if version is None else repr(version)}\n")


def test_two_branches_contradict_each_other() -> None:
    """A file that sets the old and the new field to different branches says which one to remove."""
    with pytest.raises(VersionProblem, match="remove one"):
        migrate({"manifests": {"records_branch": "a"}, "registries": {"records": {"branch": "b"}}})
