"""Platforms are read and matched as containerd does it; tests/oracles asks containerd itself."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pratique.images import ImageReference, PlatformManifest, ResolvedImage
from pratique.platforms import Platform, required_manifests, runs_on

DIGEST = "sha256:" + "a" * 64
NAMES = st.sampled_from(
    ["linux", "Linux", "windows", "macos", "amd64", "x86_64", "i386", "arm", "armhf", "arm64", "aarch64"]
)
VARIANTS = st.sampled_from(["", "v1", "v6", "7", "V7", "v8", "8", "v8.0", "9", "v9.1"])


@pytest.mark.parametrize(
    ("names", "normalised"),
    [
        (("linux", "x86_64"), "linux/amd64"),
        (("linux", "X86-64", "v1"), "linux/amd64"),
        (("Linux", "AMD64", "V2"), "linux/amd64/v2"),
        (("linux", "aarch64", "v8"), "linux/arm64"),
        (("linux", "arm64", "9.0"), "linux/arm64/v9"),
        (("linux", "i386", "v1"), "linux/386"),
        (("linux", "armhf"), "linux/arm/v7"),
        (("linux", "armel"), "linux/arm/v6"),
        (("linux", "arm"), "linux/arm/v7"),
        (("linux", "arm", "5"), "linux/arm/v5"),
        (("macOS", "arm64"), "darwin/arm64"),
    ],
)
def test_names_of_one_platform_have_one_spelling(names: tuple[str, ...], normalised: str) -> None:
    """Systems, architectures and variants are normalised."""
    assert str(Platform.of(*names)) == normalised


@given(NAMES, NAMES, VARIANTS)
def test_a_normalised_platform_stays_as_it_is(system: str, architecture: str, variant: str) -> None:
    """Normalising again changes nothing, so that records can be read back."""
    once = Platform.of(system, architecture, variant)
    assert Platform.parse(str(once)) == once


@pytest.mark.parametrize(
    ("offered", "required", "runs"),
    [
        ("linux/arm64/v8", "linux/arm64", True),
        ("linux/arm64/v9", "linux/arm64", True),
        ("linux/arm64/v9", "linux/arm64/v8", False),
        ("linux/arm64/v8.5", "linux/arm64/v9", True),
        ("linux/arm64/v8.6", "linux/arm64/v9", False),
        ("linux/amd64", "linux/amd64/v3", True),
        ("linux/amd64/v4", "linux/amd64/v3", False),
        ("linux/386", "linux/amd64", False),
        ("windows/amd64", "linux/amd64", False),
    ],
)
def test_a_node_runs_its_own_variant_and_older_ones(offered: str, required: str, runs: bool) -> None:
    """A required platform without a variant stands for all of its variants."""
    assert runs_on(PlatformManifest(offered, DIGEST), required) is runs


def test_an_image_without_an_index_is_always_required() -> None:
    """A node runs it whatever its platform is."""
    manifest = PlatformManifest("linux/s390x", DIGEST)
    image = ResolvedImage(ImageReference.parse("docker.io/a/b:1"), DIGEST, (manifest,))
    assert required_manifests(image, ["linux/amd64"]) == ((manifest,), ())
