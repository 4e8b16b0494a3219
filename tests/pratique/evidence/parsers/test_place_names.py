"""Names of images in statements: which of them say that the image stands elsewhere."""

from __future__ import annotations

import pytest

from pratique.evidence.parsers.place import is_elsewhere

DIGEST = "sha256:" + "0f" * 32


@pytest.mark.parametrize(
    "name",
    [
        "acraks.azurecr.io/quarantine/app",
        "https://ACRAKS.azurecr.io:443/quarantine/app:1.0",
        f"acraks.azurecr.io/quarantine/app:1.0@{DIGEST}",
        "acraks.privatelink.azurecr.io/quarantine/app",
        f"pkg:oci/app@{DIGEST}?repository_url=acraks.azurecr.io/quarantine/app",
        *("", " ", DIGEST, "app", "app:1.0", "quarantine/app", "live/app", "library/busybox", "acraks.azurecr.io"),
        *("pkg:oci/app", "pkg:", "pkg:docker/library/app@1.0", "/", "x", "https://"),
    ],
)
def test_here_or_anywhere(name: str) -> None:
    """A name of this place, and one without a registry and a repository, do not speak of another place."""
    assert not is_elsewhere(name, "acraks.azurecr.io", "quarantine/app")


@pytest.mark.parametrize(
    "name",
    [
        "other.azurecr.io/quarantine/app",
        "acraks.azurecr.io/live/app",
        f"acraks.azurecr.io/app:1.0@{DIGEST}",
        "acraks.azurecr.io.example.com/quarantine/app",
        "acraks.example.com/quarantine/app",
        "xacraks.azurecr.io/quarantine/app",
        "localhost:5000/quarantine/app",
        "localhost/quarantine/app",
        "pkg:oci/app?repository_url=other.azurecr.io/quarantine/app",
    ],
)
def test_elsewhere(name: str) -> None:
    """A name with another registry or repository speaks of another place."""
    assert is_elsewhere(name, "acraks.azurecr.io", "quarantine/app")
