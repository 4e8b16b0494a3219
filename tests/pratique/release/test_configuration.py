"""Configurations in Git: what is read, from which commit, and what is refused."""

from __future__ import annotations

import os
from collections.abc import Mapping
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from pratique.azure.templates import load_template
from pratique.config.source import ConfigSource, parse_parameter, path_in_repository
from pratique.errors import ConfigurationError, GitRejected, NotFound, PratiqueError
from pratique.gate.exceptions.exemption import read as read_exceptions
from pratique.git.status import git_status
from pratique.named_files import files_below, located
from pratique.release.configuration import ReadConfig, read_config
from tests.pratique.repositories import git, make_remote

EXAMPLE = Path(__file__).parents[3] / "examples" / "bootstrap.yaml"
PATH = "clusters/green.yaml"


def example(**changes: Mapping[str, Any]) -> str:
    """The example, without its paths."""
    document = YAML(typ="safe").load(EXAMPLE)
    document["cluster"].pop("template")
    document["gate"].pop("exceptions")
    for section, fields in changes.items():
        document[section] = {**document.get(section, {}), **fields}
    text = StringIO()
    YAML().dump(document, text)
    return text.getvalue()


class ConfigRepository:
    """A bare repository with configurations, and a clone from which somebody pushes."""

    def __init__(self, folder: Path) -> None:
        self.remote, self.clone = make_remote(folder), folder / "seed"

    def push(self, files: Mapping[str, str], *options: str, branch: str = "main") -> str:
        """Commit files, push them to a branch, and return the commit."""
        for name, text in files.items():
            (self.clone / name).parent.mkdir(parents=True, exist_ok=True)
            (self.clone / name).write_text(text)
        git("add", "--all", cwd=self.clone)
        git("commit", "--quiet", "--message", "change", *options, cwd=self.clone)
        git("push", "--quiet", "--force", "origin", f"HEAD:{branch}", cwd=self.clone)
        return git("rev-parse", "HEAD", cwd=self.clone)

    def source(self, **changes: Any) -> ConfigSource:
        return ConfigSource.model_validate({"remote": f"file://{self.remote}", "path": PATH, **changes})


@pytest.fixture
def repository(tmp_path: Path) -> ConfigRepository:
    return ConfigRepository(tmp_path)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    path = tmp_path / "run"
    path.mkdir(mode=0o700)
    return path


async def no_secret(name: str) -> bytes:
    raise AssertionError(name)


async def read(source: ConfigSource, folder: Path, commit: str | None = None) -> ReadConfig:
    return await read_config(source, folder, no_secret, commit=commit)


async def refused(source: ConfigSource, folder: Path, commit: str | None = None) -> PratiqueError:
    with pytest.raises(PratiqueError) as error:
        await read(source, folder, commit)
    return error.value


def written(folder: Path) -> list[str]:
    """The files of the work tree."""
    paths = [path.relative_to(folder) for path in folder.rglob("*") if path.is_file() or path.is_symlink()]
    return sorted(str(path) for path in paths if path.parts[0] != ".git")


async def test_the_branchs_last_commit_is_read(repository: ConfigRepository, folder: Path) -> None:
    """The configuration is the one of the last commit, and its origin says so."""
    repository.push({PATH: example()})
    commit = repository.push({PATH: example(cluster={"resource_group": "rg-green"})})
    found = await read(repository.source(), folder)
    assert found.config.cluster.resource_group == "rg-green"
    assert found.origin.commit == commit
    assert found.config.cluster.template.is_file()


async def test_files_are_those_of_the_same_commit(repository: ConfigRepository, folder: Path) -> None:
    """Relative paths lead to the files of that commit, whatever was pushed since; records name the commit."""
    gate = {"exceptions": ["exceptions.yaml", "../all-clusters/exceptions.yaml"], "trust_store": ["roots/a.pem"]}
    gate |= {"trusted_identities": ["x509.subject: C=US, ST=WA, O=x"], "vex": ["./vex.json"]}
    files = {"clusters/exceptions.yaml": "exceptions: []\n", "all-clusters/exceptions.yaml": "acceptances: []\n"}
    files |= {"clusters/roots/a.pem": "a root", "clusters/vex.json": "{}", "clusters/stamp.json": '{"resources": []}'}
    commit = repository.push({PATH: example(gate=gate, cluster={"template": "stamp.json"}), **files})
    repository.push({"clusters/exceptions.yaml": "changed"})
    found = await read(repository.source(), folder, commit)
    with files_below(found.folder):
        assert read_exceptions(found.config.gate.exceptions[0]) == b"exceptions: []\n"
        assert read_exceptions(found.config.gate.exceptions[1]) == b"acceptances: []\n"
        assert located(Path("roots/a.pem")).read_text() == "a root"
        assert await load_template(found.config.cluster.template) == {"resources": []}
        assert await git_status(located(found.config.gate.exceptions[0])) == f"commit {commit}"
    assert [str(path) for path in found.config.gate.exceptions] == gate["exceptions"]
    assert len(written(folder)) == 5


async def test_pasted_certificates_and_secrets_are_no_files_of_the_repository(
    repository: ConfigRepository, folder: Path
) -> None:
    """PEM text stays in the configuration, and a secret's file is the worker's."""
    gate = {"trust_store": ["-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"]}
    gate |= {"trusted_identities": ["x509.subject: C=US, ST=WA, O=x"]}
    repository.push({PATH: example(gate=gate, certificate={"pem": "file:/run/secrets/ingress.pem"})})
    assert (await read(repository.source(), folder)).config.certificate.pem == "file:/run/secrets/ingress.pem"


async def test_a_named_commit_of_the_branch_is_used(repository: ConfigRepository, folder: Path) -> None:
    """An older commit of the branch may be named, in the source or by the run that began with it."""
    old = repository.push({PATH: example(cluster={"resource_group": "rg-old"})})
    repository.push({PATH: example(cluster={"resource_group": "rg-new"})})
    found = await read(repository.source(commit=old), folder)
    assert (found.config.cluster.resource_group, found.origin.commit) == ("rg-old", old)


async def test_a_commit_of_another_branch_is_refused(repository: ConfigRepository, folder: Path) -> None:
    """A commit that only another branch has is not the branch's, even when the server would send it."""
    repository.push({PATH: example()})
    other = repository.push({PATH: example(cluster={"resource_group": "rg-attack"})}, branch="feature")
    error = await refused(repository.source(commit=other), folder)
    assert isinstance(error, ConfigurationError)
    assert "does not have this commit" in str(error)
    assert other in error.subject


async def test_a_commit_that_was_forced_away_is_refused(repository: ConfigRepository, folder: Path) -> None:
    """A run whose commit the branch has lost does not go on with it, nor with another one."""
    repository.push({PATH: example()})
    lost = repository.push({PATH: example(cluster={"resource_group": "rg-lost"})})
    repository.push({PATH: example(cluster={"resource_group": "rg-forced"})}, "--amend")
    error = await refused(repository.source(), folder, lost)
    assert "moved by force" in str(error)
    assert "Start a new run" in error.remedy


async def test_a_commit_that_does_not_exist_is_refused(repository: ConfigRepository, folder: Path) -> None:
    """As is one that nobody has."""
    repository.push({PATH: example()})
    assert "does not have this commit" in str(await refused(repository.source(commit="0" * 40), folder))


async def test_a_tag_is_no_branch(repository: ConfigRepository, folder: Path) -> None:
    """A tag can be moved by whoever may push, and protects nothing."""
    repository.push({PATH: example()})
    git("tag", "released", cwd=repository.clone)
    git("push", "--quiet", "origin", "released", cwd=repository.clone)
    error = await refused(repository.source(branch="released"), folder)
    assert isinstance(error, NotFound | GitRejected)
    assert "released" in str(error)


@pytest.mark.parametrize("branch", ["-x", "refs heads", "a:b", "*", "a\nb", "", "x^{}"])
def test_what_is_no_name_of_a_branch_is_refused(branch: str) -> None:
    """Nor is an option, a pattern or an expression of git."""
    with pytest.raises(ValueError, match="branch"):
        ConfigSource(remote="file:///srv/config.git", branch=branch)


@pytest.mark.parametrize(
    "path",
    ["/etc/passwd", "../outside.yaml", "a/../../outside.yaml", "", ".", "..", ".git/config", "a/.GIT/config", "a\0b"],
)
def test_paths_out_of_the_repository_are_refused(path: str) -> None:
    """Neither the configuration nor a file that it names may be elsewhere on the worker."""
    with pytest.raises(ValueError, match=r"way out|git's own"):
        path_in_repository(path)


@pytest.mark.parametrize(
    ("section", "field", "path"),
    [
        ("gate", "exceptions", "/etc/passwd"),
        ("gate", "exceptions", "../../outside.yaml"),
        ("gate", "vex", "../.git/config"),
        ("gate", "trust_store", "/etc/ssl/cert.pem"),
        ("gate", "tsa_trust_store", "../../../x"),
        ("cluster", "template", "/srv/template.json"),
        ("cluster", "template", "main.bicep"),
    ],
)
async def test_a_configuration_that_names_files_elsewhere_is_refused(
    section: str, field: str, path: str, repository: ConfigRepository, folder: Path
) -> None:
    """The error names the file, the commit and the field."""
    commit = repository.push({PATH: example(**{section: {field: path if section == "cluster" else [path]}})})
    error = await refused(repository.source(), folder)
    assert isinstance(error, ConfigurationError)
    assert f"{section}.{field}" in str(error)
    assert PATH in error.subject
    assert commit[:12] in error.subject


async def test_a_missing_file_is_named(repository: ConfigRepository, folder: Path) -> None:
    """The configuration itself, or a file beside it."""
    commit = repository.push({PATH: example(gate={"exceptions": ["exceptions.yaml"]})})
    error = await refused(repository.source(), folder)
    assert "clusters/exceptions.yaml" in error.subject
    assert commit[:12] in error.subject
    assert "no such file" in error.observed


async def test_a_missing_configuration_is_named(repository: ConfigRepository, folder: Path) -> None:
    """Nobody has committed it, or its path is wrong."""
    assert "clusters/red.yaml" in (await refused(repository.source(path="clusters/red.yaml"), folder)).subject


@pytest.mark.parametrize("link", ["clusters/exceptions.yaml", "clusters/linked", PATH])
async def test_symbolic_links_are_refused(link: str, repository: ConfigRepository, folder: Path) -> None:
    """A link, or a folder that is one, is not followed: neither in the repository nor out of it."""
    path = "linked/hosts" if link.endswith("linked") else "exceptions.yaml"
    repository.push({PATH: example(gate={"exceptions": [path]}), "clusters/exceptions.yaml": "exceptions: []\n"})
    (repository.clone / link).unlink(missing_ok=True)
    os.symlink("/etc" if link.endswith("linked") else "/etc/hosts", repository.clone / link)
    repository.push({"other.txt": ""})
    error = await refused(repository.source(), folder)
    assert isinstance(error, ConfigurationError)
    assert "symbolic link" in error.observed
    assert not (folder / link).exists()


async def test_a_folder_is_no_file(repository: ConfigRepository, folder: Path) -> None:
    """A path that names a folder is refused."""
    repository.push({PATH: example(gate={"exceptions": ["../clusters"]})})
    assert "folder" in (await refused(repository.source(), folder)).observed


async def test_a_huge_file_is_refused_by_its_size(repository: ConfigRepository, folder: Path) -> None:
    """It is not read into memory."""
    repository.push({PATH: "# " + "x" * 1024 * 1024})
    error = await refused(repository.source(), folder)
    assert "1048578 bytes" in error.observed


BOMB = "a0: &a0 [x]\n" + "".join(f"a{n + 1}: &a{n + 1} [{', '.join([f'*a{n}'] * 10)}]\n" for n in range(6))


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (BOMB, "more than"),
        ("a: [", "not valid YAML"),
        ("version: 3\n", "upgrade Pratique"),
        (example(certificate={"pem": "pa55w0rd-in-plain-text"}), "certificate.pem"),
        (example(access={"lease_minutes": 1}), "access.lease_minutes is 1"),
    ],
    ids=["YAML bomb", "no YAML", "newer version", "secret in the file", "out of bounds"],
)
async def test_an_invalid_configuration_is_refused(
    content: str, said: str, repository: ConfigRepository, folder: Path
) -> None:
    """The error names the file, the commit and the field, and repeats no secret."""
    commit = repository.push({PATH: content})
    error = await refused(repository.source(), folder)
    assert isinstance(error, ConfigurationError)
    assert said in error.observed
    assert PATH in error.subject
    assert commit[:12] in error.subject
    assert "pa55w0rd" not in str(error)


async def test_a_server_without_filters_is_enough(repository: ConfigRepository, folder: Path) -> None:
    """It sends all files; only those that are named are written."""
    git("config", "uploadpack.allowFilter", "false", cwd=repository.remote)
    old = repository.push({PATH: example(gate={"exceptions": ["e.yaml"]}), "clusters/e.yaml": "exceptions: []\n"})
    repository.push({"other.txt": "x"})
    found = await read(repository.source(commit=old), folder)
    assert written(folder) == ["clusters/e.yaml"]
    assert found.origin.commit == old


async def test_attributes_convert_nothing(repository: ConfigRepository, folder: Path) -> None:
    """Files are those that were committed, byte for byte, whatever the repository's attributes say."""
    files = {PATH: example(gate={"exceptions": ["e.yaml"]}), "clusters/e.yaml": "# $Id$\nexceptions: []\n"}
    repository.push({**files, ".gitattributes": "* text eol=crlf filter=evil ident\n"})
    found = await read(repository.source(), folder)
    with files_below(found.folder):
        assert read_exceptions(found.config.gate.exceptions[0]) == files["clusters/e.yaml"].encode()


def test_a_parameter_is_a_configuration_or_its_place() -> None:
    """What a deployment stores is told apart by its content, and errors are about what was meant."""
    document = YAML(typ="safe").load(EXAMPLE)
    assert not isinstance(parse_parameter(document), ConfigSource)
    assert isinstance(parse_parameter({"remote": "https://forge.example/config", "path": "a.yaml"}), ConfigSource)
    document["access"]["lease_minutes"] = 1
    with pytest.raises(ValueError, match="lease_minutes") as error:
        parse_parameter(document)
    assert "remote" not in str(error.value)
    with pytest.raises(ValueError, match="holds credentials") as error:
        parse_parameter({"remote": "https://me:hunter2@forge.example/config"})
    assert "hunter2" not in str(error.value)
