"""Image references: parsed once, without default values."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pratique.errors import ConfigurationError
from pratique.images import ImageReference, official_name

hosts = st.sampled_from(["docker.io", "ghcr.io", "registry.k8s.io", "localhost", "acraks1.azurecr.io", "r.test:5000"])
components = st.from_regex(r"[a-z0-9]{1,6}(?:[._-][a-z0-9]{1,4})?", fullmatch=True)
repositories = st.lists(components, min_size=1, max_size=4).map("/".join)
tags = st.from_regex(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,20}", fullmatch=True)
digests = st.from_regex(r"sha256:[a-f0-9]{64}", fullmatch=True)


@given(hosts, repositories, st.one_of(st.none(), tags), st.one_of(st.none(), digests))
def test_a_reference_survives_printing_and_parsing(
    host: str, repository: str, tag: str | None, digest: str | None
) -> None:
    """A printed reference with a tag or a digest parses to the same reference."""
    reference = ImageReference(host, repository, tag, digest)
    if tag or digest:
        assert ImageReference.parse(str(reference)) == reference


@pytest.mark.parametrize(
    "text",
    [
        "busybox",
        "library/busybox:1",
        "docker.io/library/busybox",
        "docker.io/Library/busybox:1",
        "docker.io/busybox:1@sha256:abc",
        "docker.io//busybox:1",
        "docker.io/busybox:1 ",
        "",
    ],
)
def test_a_partial_reference_is_rejected(text: str) -> None:
    """A missing registry, repository or tag is never guessed."""
    with pytest.raises(ConfigurationError):
        ImageReference.parse(text)


@pytest.mark.parametrize(
    ("text", "observed", "remedy"),
    [
        ("oci://ghcr.io/a/b:1", "It begins with oci://.", "Leave that out"),
        ("docker://docker.io/library/busybox:1", "It begins with docker://.", "Leave that out"),
        ("https://ghcr.io/a/b:1", "It begins with https://.", "Leave that out"),
        ("HTTP://ghcr.io/a/b:1", "It begins with HTTP://.", "Leave that out"),
        ("ghcr.io/a/b:1@sha512:" + "a" * 128, "Its digest is SHA-512.", "SHA-256"),
        ("ghcr.io/a/b@sha512:" + "a" * 128, "Its digest is SHA-512.", "SHA-256"),
        ("ghcr.io/a/b:1@sha256:" + "A" * 64, "64 hexadecimal digits in lower case", "Correct the digest"),
        ("ghcr.io/a/b:1@sha256:abc", "64 hexadecimal digits", "Correct the digest"),
        ("ghcr.io/Kubereboot/kured:1.14.0-Beta", "upper-case", ": ghcr.io/kubereboot/kured:1.14.0-Beta"),
        ("docker.io/library/BusyBox:1@sha256:" + "a" * 64, "upper-case", ": docker.io/library/busybox:1"),
        ("busybox:1", "not of the form", "Include the registry"),
        ("busybox", "not of the form", "Include the registry"),
    ],
)
def test_what_is_wrong_is_named(text: str, observed: str, remedy: str) -> None:
    """A prefix, another kind of digest and upper-case letters are called what they are."""
    with pytest.raises(ConfigurationError) as refused:
        ImageReference.parse(text)
    assert observed in refused.value.observed
    assert remedy in refused.value.remedy


@pytest.mark.parametrize(
    ("registry", "repository", "expected"),
    [
        ("docker.io", "nats", "library/nats"),
        ("index.docker.io", "nats", "library/nats"),
        ("docker.io", "library/nats", None),
        ("docker.io", "falcosecurity/falcoctl", None),
        ("registry.example", "nats", None),
    ],
)
def test_official_images_of_docker_hub(registry: str, repository: str, expected: str | None) -> None:
    """Only there does a name of one part lack something."""
    assert official_name(registry, repository) == expected


def test_an_image_keeps_its_name_in_quarantine_and_live() -> None:
    """Quarantine and live are prefixes in the target registry; the tag and digest stay the same."""
    reference = ImageReference.parse("ghcr.io/kubereboot/kured:1.14.0").at("sha256:" + "a" * 64)
    assert str(reference.location().quarantined("r.azurecr.io")).startswith(
        "r.azurecr.io/quarantine/kubereboot/kured:1.14.0@sha256:"
    )
    assert reference.location().released("r.azurecr.io").repository == "live/kubereboot/kured"
