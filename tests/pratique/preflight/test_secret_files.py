"""Files with secrets that others can read."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from pratique.config import Bootstrap
from pratique.config.secret_names import secret_names
from pratique.preflight.secret_files import ExposedFile, exposed_files
from tests.flows.world import PROJECT
from tests.pratique.repositories import git

HOST_KEY = "git.contoso.com ssh-ed25519 AAAA"


def configuration(**secrets: str) -> Bootstrap:
    """The example with every field that names a secret.

    :param secrets: the locations of ``pem``, ``password``, ``token`` and ``key`` (for SSH), if not variables
    """
    given = {"pem": "env:A", "password": "env:B", "token": "env:D", "key": "env:F"} | secrets
    document: dict[str, Any] = YAML(typ="safe").load(PROJECT / "examples" / "bootstrap.yaml")
    document["certificate"] |= {"pem": given["pem"], "password": given["password"]}
    document["catalogue"]["credentials"] = [{"registry": "docker.io", "username": "me", "password": "env:C"}]
    document["manifests"] |= {
        "remote": "ssh://git@git.contoso.com/cluster",
        "token": given["token"],
        "signing_key": "env:E",
        "ssh": {"key": given["key"], "host_keys": [HOST_KEY]},
    }
    document["registries"] = {
        "records": {
            "remote": "ssh://git@git.contoso.com/records",
            "token": "env:G",
            "signing_key": "env:H",
            "ssh": {"key": "env:I", "host_keys": [HOST_KEY]},
        },
        "readers": [
            {"remote": "https://git.contoso.com/green", "token": "env:J"},
            {"remote": "ssh://git@git.contoso.com/green", "ssh": {"key": "env:K", "host_keys": [HOST_KEY]}},
        ],
    }
    return Bootstrap.model_validate(document)


async def exposed(**secrets: str) -> list[ExposedFile]:
    return [file async for file in exposed_files(configuration(**secrets))]


def test_every_field_that_names_a_secret_is_found() -> None:
    """As many as the schema has, each with its place and its value."""
    found = dict(secret_names(configuration()))
    assert found == {
        "catalogue.credentials[0].password": "env:C",
        "certificate.pem": "env:A",
        "certificate.password": "env:B",
        "manifests.token": "env:D",
        "manifests.ssh.key": "env:F",
        "manifests.signing_key": "env:E",
        "registries.records.token": "env:G",
        "registries.records.ssh.key": "env:I",
        "registries.records.signing_key": "env:H",
        "registries.readers[0].token": "env:J",
        "registries.readers[1].ssh.key": "env:K",
    }
    definitions = {"ssh.key" if place.endswith("ssh.key") else place for place in found}
    assert str(Bootstrap.model_json_schema()).count("(file|env|prefect-secret):.+$") == len(definitions)


@pytest.mark.parametrize(
    ("mode", "who"),
    [(0o600, ""), (0o400, ""), (0o700, ""), (0o644, "every user"), (0o604, "every user"), (0o640, "its group")],
)
async def test_permissions(mode: int, who: str, tmp_path: Path) -> None:
    """Only the owner may read a secret; the remedy is the command, also for a name with blanks."""
    path = tmp_path / "ingress tls.pem"
    path.touch()
    path.chmod(mode)
    found = await exposed(pem=f"file:{path}")
    assert [file.remedy for file in found] == [f"chmod 600 '{path}'"] * bool(who)
    assert all(f"Its mode is {mode:04o}, so {who}" in file.observed for file in found)


async def test_a_file_that_git_tracks(tmp_path: Path) -> None:
    """Committed or only staged, changed since or not, and behind a link; ignored and other files are no warning."""
    git("init", "--quiet", cwd=tmp_path)
    path, link = tmp_path / "deploy-key", tmp_path / "link"
    path.touch(mode=0o600)
    link.symlink_to(path)
    (tmp_path / ".gitignore").write_text("deploy-key\n")
    assert await exposed(key=f"file:{path}", pem=f"file:{link}") == []
    git("add", "--force", "deploy-key", cwd=tmp_path)
    staged = await exposed(key=f"file:{path}", pem=f"file:{link}", token=f"file:{path}")
    assert {(file.path, file.fields) for file in staged} == {
        (path, ("manifests.token", "manifests.ssh.key")),
        (link, ("certificate.pem",)),
    }
    assert "Git tracks it" in staged[0].observed
    assert f"git rm --cached {staged[0].path}; add it to .gitignore, and replace the secret" in staged[0].remedy
    git("commit", "--quiet", "--message", "A mistake", cwd=tmp_path)
    path.write_text("changed")
    assert len(await exposed(key=f"file:{path}")) == 1


async def test_files_that_are_not_there(tmp_path: Path) -> None:
    """They are left to the checks that read them, as are names that no file can have."""
    assert await exposed(pem=f"file:{tmp_path / 'none.pem'}", key="file:a\0b", password=f"file:{tmp_path}/x/y") == []


async def test_without_git(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where git is not installed, permissions are still looked at."""
    path = tmp_path / "key.pem"
    path.touch(mode=0o600)
    path.chmod(0o644)
    monkeypatch.setenv("PATH", str(tmp_path))
    (file,) = await exposed(pem=f"file:{path}")
    assert "0644" in file.observed
