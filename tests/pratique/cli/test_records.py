"""The commands on the records that clusters share."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from ruamel.yaml import YAML
from typer.testing import CliRunner

from pratique.cli.app import app
from tests.pratique.records.test_records import BUSYBOX
from tests.pratique.records.test_registration import BLUE, EXAMPLE, GREEN, STRICT, branch, registering
from tests.pratique.repositories import git, make_remote


@pytest.fixture
def remote(tmp_path: Path) -> Path:
    """A repository in whose records two clusters are registered."""
    found = make_remote(tmp_path)

    async def fill() -> None:
        await registering(branch(found), BLUE, STRICT)
        await registering(branch(found), GREEN, STRICT)
        await branch(found).record([BUSYBOX], run="run-1")

    asyncio.run(fill())
    return found


def configuration(folder: Path, remote: Path, records: Path | None = None) -> str:
    document = YAML(typ="safe").load(EXAMPLE)
    document["manifests"] = {"remote": str(remote)}
    document["registries"] = {"records": {"remote": str(records)} if records else {}}
    path = folder / "my.yaml"
    YAML().dump(document, path)
    return str(path)


def run(*words: str) -> tuple[int, str]:
    ended = CliRunner().invoke(app, list(words))
    return ended.exit_code, ended.output


def test_listing_and_forgetting_clusters(remote: Path, tmp_path: Path) -> None:
    """The list says where the manifests are and who promotes; a forgotten cluster is gone, and to forget it again is an
    error that names the others."""
    config = configuration(tmp_path, remote)
    code, listed = run("clusters", "list", config)
    assert code == 0
    for part in (BLUE.cluster, GREEN.cluster, GREEN.remote, "blue-identity", "2 registered"):
        assert part in listed
    code, told = run("clusters", "forget", config, "rg-green")
    assert (code, "registries.promoters" in told) == (0, True)
    assert "1 registered" in run("clusters", "list", config)[1]
    code, told = run("clusters", "forget", config, "rg-green")
    assert (code, BLUE.cluster in told) == (1, True)


def test_copying_records(remote: Path, tmp_path: Path) -> None:
    """Records move to a repository of their own; without one there is nothing to copy to."""
    (tmp_path / "new").mkdir()
    new = make_remote(tmp_path / "new")
    assert run("records", "copy", configuration(tmp_path, remote))[0] == 2
    config = configuration(tmp_path, remote, new)
    assert run("records", "copy", config)[0] == 0
    assert git("show", "pratique-records:promotions.json", cwd=new)
    assert "nothing to do" in run("records", "copy", config)[1]
