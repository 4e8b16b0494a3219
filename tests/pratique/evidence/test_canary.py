"""The canary: an SBOM of old packages, in the words of the scanner that is asked about it."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pratique.evidence.canary import PACKAGES, canary
from pratique.evidence.parsers.assessment import Distribution

COMPONENT = {"type": "operating-system", "name": "debian", "version": "12"}


def of(purl: str) -> bytes | None:
    return canary(Distribution("debian 12", COMPONENT, purl))


@pytest.mark.parametrize(
    ("purl", "expected"),
    [
        ("pkg:deb/debian/base-files@12.4?arch=amd64&distro=debian-12", "pkg:deb/debian/openssl@0-0?distro=debian-12"),
        ("pkg:apk/alpine/musl@1.2.5-r0?arch=x86_64&distro=3.22.1", "pkg:apk/alpine/openssl@0-r0?distro=3.22.1"),
        ("pkg:rpm/redhat/bash@5.1-2?arch=x86_64&epoch=1", "pkg:rpm/redhat/openssl@0-0"),
        ("pkg:rpm/bash@5.1-2#sub/path", "pkg:rpm/openssl@0-0"),
    ],
)
def test_packages(purl: str, expected: str) -> None:
    """Every package is of the distribution and of its oldest version; the distribution is described as it was."""
    content = of(purl)
    assert content is not None
    document = json.loads(content)
    assert document["bomFormat"] == "CycloneDX"
    system, *packages = document["components"]
    assert system == COMPONENT
    assert expected in {package["purl"] for package in packages}
    assert [package["name"] for package in packages] == [*PACKAGES]


@given(st.text(max_size=30) | st.sampled_from(["", "pkg:pypi/requests@2", "pkg:deb", "deb/debian/x@1", "pkg:deb/"]))
def test_other_packages(purl: str) -> None:
    """There is no canary for packages of any other kind."""
    assert of(purl) is None
