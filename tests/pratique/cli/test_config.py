"""``pratique config migrate``: shows a diff, and writes only when asked."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from pratique.cli.app import app
from pratique.config.migration import CURRENT

OLD = "# mine\nmanifests:\n  remote: r # where\n  records_branch: kept\n"
#: Six aliases that repeat each other ten times.
BOMB = "a0: &a0 [x]\n" + "".join(f"a{n + 1}: &a{n + 1} [{', '.join([f'*a{n}'] * 10)}]\n" for n in range(6))


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "mine.yaml"
    path.write_text(OLD)
    return path


def test_the_diff_is_shown_and_nothing_is_written(file: Path) -> None:
    """Without --write, the command shows what it would change."""
    result = CliRunner().invoke(app, ["config", "migrate", str(file)])
    assert result.exit_code == 0
    assert "-  records_branch: kept" in result.output.splitlines()
    assert "+version: 2" in result.output.splitlines()
    assert "--write" in result.output
    assert file.read_text() == OLD


def test_the_file_is_written_once(file: Path) -> None:
    """With --write the file has the current version, and a second call finds nothing to do."""
    assert CliRunner().invoke(app, ["config", "migrate", str(file), "--write"]).exit_code == 0
    written = file.read_text()
    assert f"version: {CURRENT}" in written
    assert "remote: r # where" in written
    again = CliRunner().invoke(app, ["config", "migrate", str(file), "--write"])
    assert "already" in again.output
    assert file.read_text() == written


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"version: 3\n", "upgrade Pratique"),
        (b"- a list\n", "not a mapping"),
        (b"a: [\n", "while parsing"),
        (b"a: \xff\n", "UTF-8"),
        (BOMB.encode(), "more than"),
    ],
    ids=["newer version", "list", "no YAML", "Latin-1", "YAML bomb"],
)
def test_what_cannot_be_migrated_is_refused(content: bytes, said: str, file: Path) -> None:
    """The error names the file, and says why."""
    file.write_bytes(content)
    result = CliRunner().invoke(app, ["config", "migrate", str(file), "--write"])
    assert result.exit_code == 2
    assert said in result.output
    assert file.read_bytes() == content


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    """No traceback for a wrong path."""
    result = CliRunner().invoke(app, ["config", "migrate", str(tmp_path / "none.yaml")])
    assert result.exit_code == 1
    assert "none.yaml" in result.output
