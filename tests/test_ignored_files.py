"""What Git and Docker leave out: secrets, and the configurations of whoever works in a clone."""

from __future__ import annotations

import fnmatch
import re
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
SECRETS = (
    ".env",
    ".env.local",
    "ingress.pem",
    "ingress.pfx",
    "ingress.p12",
    "tls.key",
    "leaf.cer",
    "leaf.der",
    "id_rsa",
)


def git(*arguments: str, stdin: str = "") -> str:
    if not (ROOT / ".git").exists() or not shutil.which("git"):
        pytest.skip("needs a clone, and git")
    return subprocess.run(
        ["git", *arguments], cwd=ROOT, input=stdin, check=False, capture_output=True, text=True
    ).stdout


def test_secrets_are_ignored() -> None:
    """In every folder, by the names that files with secrets have."""
    paths = [f"{folder}{name}" for folder in ("", "examples/", "deployments/compose/") for name in SECRETS]
    assert git("check-ignore", "--no-index", "--stdin", stdin="\n".join(paths)).split() == paths


def test_configurations_are_ignored() -> None:
    """The file that README copies the example to, and others beside it; the example stays."""
    copies = re.findall(r"^    cp examples/bootstrap\.yaml (\S+)", (ROOT / "README.md").read_text(), re.MULTILINE)
    assert copies
    paths = [*copies, "production.yaml", "production.yml", "docker-compose.override.yml"]
    assert git("check-ignore", "--no-index", "--stdin", stdin="\n".join([*paths, "examples/x.yaml"])).split() == paths


def test_nothing_of_the_project_is_ignored() -> None:
    """No file under version control has a name that is ignored, so nobody misses one that is new."""
    assert git("ls-files", "--cached", "--ignored", "--exclude-standard") == ""


def test_images_contain_no_secrets() -> None:
    """What Git ignores as a secret is left out of the context of a Docker build as well."""
    excluded = [line.removeprefix("**/") for line in (ROOT / ".dockerignore").read_text().splitlines() if "**/" in line]
    named = [name for name in SECRETS if not name.startswith("id_")]
    assert all(any(fnmatch.fnmatch(name, pattern) for pattern in excluded) for name in named)
