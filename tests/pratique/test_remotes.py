"""Which remotes a prefix covers, when others can choose the remote."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pratique import remotes


@pytest.mark.parametrize(
    ("prefix", "remote"),
    [
        ("https://forge.example", "https://forge.example/contoso/green.git"),
        ("https://forge.example/contoso", "https://FORGE.example/contoso/green"),
        ("https://forge.example/contoso/green", "https://forge.example/contoso/green.git"),
        ("https://forge.example:8443/", "https://forge.example:8443/contoso/green"),
        ("git@forge.example:contoso", "git@forge.example:contoso/green.git"),
        ("ssh://git@forge.example/contoso", "ssh://git@forge.example/contoso/green"),
        ("/srv/git", "/srv/git/green.git"),
        ("file:///srv/git", "file:///srv/git/green.git"),
    ],
)
def test_covered(prefix: str, remote: str) -> None:
    """The same host, and the same folder or one below; hosts in any letter case."""
    assert remotes.covers(prefix, remote)


@pytest.mark.parametrize(
    "remote",
    [
        "https://forge.example.evil.test/contoso/green",
        "https://forge.example@evil.test/contoso/green",
        "https://token:secret@forge.example/contoso/green",
        "https://forge.example:8443/contoso/green",
        "https://forge.example/contoso-evil/green",
        "https://forge.example/contoso/../evil/green",
        "https://forge.example/contoso/%2e%2e/evil/green",
        "https://forge.example\\@evil.test/contoso/green",
        "https://evil.test/?https://forge.example/contoso/",
        "https://evil.test/#https://forge.example/contoso/",
        "http://forge.example/contoso/green",
        "git@forge.example:contoso/green",
        "ext::sh -c https://forge.example/contoso/green",
        "--upload-pack=https://forge.example/contoso/green",
        "https://forge.example/contoso/green\nhttps://evil.test",
        "/srv/git/green.git",
        "file:///srv/git/green.git",
        "https://[forge.example/contoso/green",
        "",
    ],
)
def test_not_covered(remote: str) -> None:
    """Neither another host that looks alike, nor another protocol, nor what two readers could read in two ways."""
    assert not remotes.covers("https://forge.example/contoso", remote)


@given(st.text(max_size=40))
def test_any_text_is_decided(text: str) -> None:
    """What anybody writes into the records is covered or not, and is never an error."""
    assert remotes.covers("https://forge.example", text) in (True, False)
    assert remotes.is_branch(text) in (True, False)
    assert remotes.is_folder(text) in (True, False)


@pytest.mark.parametrize("branch", ["main", "release/1.0", "green-2"])
def test_branches(branch: str) -> None:
    """Ordinary names are branches."""
    assert remotes.is_branch(branch)


@pytest.mark.parametrize(
    "branch", ["", "-f", "--orphan", "a..b", "a b", "a\n", "/a", "a/", "a.lock", "a@{0}", "a:b", "*"]
)
def test_no_branches(branch: str) -> None:
    """What a command of git could take for something else is none."""
    assert not remotes.is_branch(branch)


@pytest.mark.parametrize("folder", [".", "cluster-manifests", "clusters/green"])
def test_folders(folder: str) -> None:
    """Paths that stay inside of the repository."""
    assert remotes.is_folder(folder)


@pytest.mark.parametrize("folder", ["", "/etc", "..", "a/../..", "-f", "--stdin", "a\nb", ".git/hooks", "a\\b"])
def test_no_folders(folder: str) -> None:
    """Paths that lead out of it, or that look like an option."""
    assert not remotes.is_folder(folder)
