"""What git says of a file of this worker's, for records."""

from __future__ import annotations

import subprocess
from pathlib import Path

from pratique.git import standing


def git(folder: Path, *arguments: str) -> str:
    identity = ("-c", "user.name=Test", "-c", "user.email=test@localhost")
    return subprocess.run(
        ["git", *identity, *arguments], cwd=folder, check=True, capture_output=True, text=True
    ).stdout.strip()


async def test_how_a_file_stands(tmp_path: Path) -> None:
    """Outside of Git, not committed, as committed, changed since, and ignored: only one of them names a commit."""
    path = tmp_path / "exceptions.yaml"
    path.write_text("acceptances: []\n")
    assert await standing(path) == "not under Git"
    git(tmp_path, "init", "--quiet")
    assert await standing(path) == "not as committed"
    git(tmp_path, "add", "--all")
    git(tmp_path, "commit", "--quiet", "--message", "Accept")
    assert await standing(path) == f"commit {git(tmp_path, 'rev-parse', 'HEAD')}"
    path.write_text("acceptances: [ ]\n")
    assert await standing(path) == "not as committed"
    (tmp_path / ".gitignore").write_text("other.yaml\n")
    other = tmp_path / "other.yaml"
    other.write_text("")
    assert await standing(other) == "not as committed"
