"""Reading the manifests of every cluster that uses a registry, from places that others have written down."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from pratique.config import load
from pratique.config.registries import Reader, Registries
from pratique.errors import ConfigurationError
from pratique.git.credentials import Credentials
from pratique.records.clusters import RegisteredCluster
from pratique.rescan.usage import Usage, no_reader, read_usage
from tests.pratique.records.test_registration import BLUE, EXAMPLE, GREEN, HOST
from tests.pratique.repositories import make_remote, somebody_pushes, there

DIGEST = "sha256:" + "a" * 64
IMAGE = f"image: {HOST}/live/web:1@{DIGEST}\n"


@pytest.fixture
def forge(tmp_path: Path) -> Path:
    """A folder with the repositories of two clusters; green's manifests use an image."""
    for name in ("blue", "green"):
        (tmp_path / name).mkdir()
        remote = make_remote(tmp_path / name)
        somebody_pushes(remote, f"{name}/app.yaml", IMAGE if name == "green" else "image: x\n")
    return tmp_path


async def usage(forge: Path, *, prefix: str | None = None, **green: str) -> Usage:
    """What blue's rescan reads.

    :param prefix: the only remotes that ``registries.readers`` names; by default all of them
    :param green: fields of green's entry
    """
    registries = Registries(readers=(Reader(remote=prefix or forge.as_uri()),))

    async def find_login(remote: str) -> Credentials:
        if registries.reader_of(remote) is None:
            raise no_reader(remote)
        return Credentials()

    own = replace(there(forge / "blue" / "remote.git"), folder="blue")
    entry = GREEN.entry() | {"remote": (forge / "green" / "remote.git").as_uri(), "folder": "green"} | green
    return await read_usage(HOST, own, [RegisteredCluster.read(entry)], find_login, cluster=BLUE.cluster)


async def test_other_clusters_manifests_count(forge: Path) -> None:
    """Their references are found, each under the cluster's name."""
    found = await usage(forge)
    assert [(use.place, use.repository, use.cluster) for use in found.uses] == [
        ("rg-green: green/app.yaml", "live/web", GREEN.cluster)
    ]
    assert (found.unreadable, found.notes) == ((), ())


@pytest.mark.parametrize(
    ("green", "reason"),
    [
        ({"folder": "elsewhere"}, "The folder does not exist"),
        ({"branch": "elsewhere"}, "elsewhere"),
        ({"folder": "../blue"}, "cannot exist"),
        ({"folder": "/etc"}, "cannot exist"),
        ({"folder": "--stdin"}, "cannot exist"),
        ({"branch": "--orphan"}, "cannot exist"),
        ({"remote": "https://forge.example.evil.test/green"}, "names no login"),
        ({"remote": "ext::sh -c touch% oops"}, "names no login"),
        ({"remote": "--upload-pack=touch oops"}, "names no login"),
        ({"remote": "/etc"}, "names no login"),
    ],
)
async def test_what_cannot_be_read_may_use_every_image(forge: Path, green: dict[str, str], reason: str) -> None:
    """Whatever is wrong with another cluster's entry or repository, the rescan goes on, and the cluster counts as using
    every image. The note says why, and what to do."""
    found = await usage(forge, **green)
    (other,) = found.unreadable
    assert (other.label, other.cluster) == ("rg-green", GREEN.cluster)
    (note,) = found.notes
    assert reason in note
    assert "rg-green" in note
    assert "Next: " in note


async def test_a_repository_that_no_reader_names(forge: Path) -> None:
    """Nothing is read that the configuration does not name, also a folder of this machine."""
    (note,) = (await usage(forge, prefix="https://forge.example")).notes
    assert "registries.readers names no login" in note


async def test_broken_manifests_may_use_every_image(forge: Path) -> None:
    """A file that cannot be understood could name any image."""
    somebody_pushes(forge / "green" / "remote.git", "green/kustomization.yaml", "images: [\n")
    assert (await usage(forge)).unreadable


async def test_clusters_of_one_name(forge: Path) -> None:
    """Two clusters whose resource groups have the same name are told apart by their subscriptions."""
    found = await usage(forge, cluster="1111/rg-blue")
    assert [use.label for use in found.uses] == ["1111/rg-blue"]


def test_the_most_specific_reader_wins() -> None:
    """A login for one repository wins over that for the whole host, whatever their order."""
    readers = [Reader(remote=remote) for remote in ("https://a.test", "https://a.test/org/green", "https://a.test/org")]
    registries = Registries(readers=tuple(readers))
    assert registries.reader_of("https://a.test/org/green.git") == readers[1]
    assert registries.reader_of("https://a.test/org/blue") == readers[2]
    assert registries.reader_of("https://b.test/org/green") is None


@pytest.mark.parametrize(
    "reader",
    [
        {"remote": "https://user:secret@a.test"},
        {"remote": "http://a.test", "token": "env:TOKEN"},
        {"remote": "/srv/git", "token": "env:TOKEN"},
        {"remote": "https://a.test", "ssh": {"key": "env:KEY", "host_keys": ["a.test ssh-ed25519 AAAA"]}},
        {"remote": ""},
    ],
)
def test_logins_that_do_not_fit(reader: dict[str, object]) -> None:
    """A token goes over HTTPS only and a key over SSH only; a prefix holds no credentials."""
    with pytest.raises(ValueError, match=r"remote|token|ssh"):
        Reader.model_validate(reader)


def test_the_example_names_no_reader() -> None:
    """Without readers, nothing of other clusters is read."""
    assert load(EXAMPLE).registries.reader_of("https://forge.example/contoso/green.git") is None
    assert isinstance(no_reader("https://forge.example"), ConfigurationError)
