"""The images of the public registries, as built and as read back."""

from __future__ import annotations

import gzip
import io
import json
import tarfile
from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sandbox.services.oci.catalogue import BASES, WALKTHROUGH, image_spec, merged
from sandbox.services.oci.images import BuiltImage, ImageSpec, build, read_packages
from sandbox.services.oci.manifests import OCI_CONFIG, OCI_LAYER_GZIP, OCI_MANIFEST, Manifest, encoded, sha256
from sandbox.services.oci.packages import Package


def test_the_catalogue_is_the_walkthroughs_seven_images() -> None:
    """Every image that the walkthrough imports is there, under its very name."""
    assert {spec.reference for spec in WALKTHROUGH} == {
        "docker.io/falcosecurity/falco-no-driver:0.39.2",
        "docker.io/falcosecurity/falco-driver-loader:0.39.2",
        "docker.io/falcosecurity/falcoctl:0.10.1",
        "docker.io/library/busybox:1.37.0",
        "ghcr.io/kubereboot/kured:1.14.0",
        "registry.k8s.io/ingress-nginx/controller:v1.11.3",
        "registry.k8s.io/ingress-nginx/kube-webhook-certgen:v1.4.4",
    }


@pytest.mark.parametrize("spec", WALKTHROUGH, ids=lambda spec: spec.repository)
def test_an_image_is_the_same_bytes_every_time(spec: ImageSpec) -> None:
    """Building is deterministic, and what was built is small."""
    first, second = build(spec), build(spec)
    assert first == second
    assert sum(map(len, first.blobs.values())) < 50_000


@pytest.mark.parametrize("spec", WALKTHROUGH, ids=lambda spec: spec.repository)
def test_every_digest_and_size_is_true(spec: ImageSpec) -> None:
    """Descriptors name existing content with its real digest and size; diff_ids are those of the unpacked layers."""
    image = build(spec)
    contents = {**image.blobs, **{m.digest: m.content for m in image.manifests}}
    for manifest in (image.index, *image.manifests):
        for descriptor in (*manifest.children, *manifest.blobs):
            assert sha256(contents[descriptor.digest]) == descriptor.digest
            assert len(contents[descriptor.digest]) == descriptor.size
    for manifest in image.platforms.values():
        config = json.loads(image.blobs[manifest.blobs[0].digest])
        layers = [gzip.decompress(image.blobs[layer.digest]) for layer in manifest.layers]
        assert config["rootfs"]["diff_ids"] == [sha256(layer) for layer in layers]


def test_the_index_lists_platforms_and_their_attestations() -> None:
    """As BuildKit writes it: each platform, and for each an attestation that belongs to no platform."""
    image = build(WALKTHROUGH[0])
    entries = image.index.body["manifests"]
    platforms = [f"{entry['platform']['os']}/{entry['platform']['architecture']}" for entry in entries]
    assert platforms == ["linux/amd64", "linux/arm64", "unknown/unknown", "unknown/unknown"]
    described = [e["annotations"]["vnd.docker.reference.digest"] for e in entries if "annotations" in e]
    assert described == [image.platforms["linux/amd64"].digest, image.platforms["linux/arm64"].digest]


def test_the_platforms_of_an_image_differ() -> None:
    """Two architectures never share a manifest."""
    for spec in WALKTHROUGH:
        assert len({manifest.digest for manifest in build(spec).platforms.values()}) == 2


@pytest.mark.parametrize("spec", WALKTHROUGH, ids=lambda spec: spec.repository)
def test_packages_are_read_back_from_the_layers(spec: ImageSpec) -> None:
    """What the layers' databases say is what the image was made with, on every platform."""
    image = build(spec)
    for manifest in image.platforms.values():
        assert read_packages(image.blobs, manifest) == sorted((*spec.base.packages, *spec.packages))


def test_busybox_has_no_package_manager() -> None:
    """A minimal image gives a scanner nothing to read."""
    image = build(next(spec for spec in WALKTHROUGH if spec.repository == "library/busybox"))
    assert read_packages(image.blobs, image.platforms["linux/amd64"]) == []


def test_an_index_has_no_packages_of_its_own() -> None:
    """Only a platform's manifest can be read."""
    image = build(WALKTHROUGH[0])
    with pytest.raises(ValueError, match="read a platform's manifest"):
        read_packages(image.blobs, image.index)


_NAMES = st.from_regex(r"[a-z][a-z0-9+.-]{0,20}", fullmatch=True)
_VERSIONS = st.from_regex(r"[0-9][0-9a-z.+~:-]{0,20}", fullmatch=True)


@given(base=st.sampled_from(["debian:12", "distroless:12", "alpine:3.20"]), packages=st.dictionaries(_NAMES, _VERSIONS))
def test_any_packages_survive_the_round_trip(base: str, packages: Mapping[str, str]) -> None:
    """Whatever a scenario installs is found again by a reader of the layers."""
    spec = image_spec("docker.io/acme/tool:1", base, packages, ["linux/amd64"])
    found = read_packages(*_one_platform(build(spec)))
    assert set(spec.packages) <= set(found)
    assert len(set(found)) == len(found)


def test_an_upper_layer_can_remove_a_package_database() -> None:
    """Whiteouts count: a database deleted by a later layer is not read."""
    image = build(WALKTHROUGH[0])
    blobs, manifest = _one_platform(image)
    whiteout = _layer({"var/lib/dpkg/.wh.status": b""})
    config = encoded({"architecture": "amd64", "os": "linux"})
    layers = [*manifest.body["layers"], _descriptor(whiteout, OCI_LAYER_GZIP)]
    body = {"schemaVersion": 2, "config": _descriptor(config, OCI_CONFIG), "layers": layers}
    edited = Manifest(encoded(body), OCI_MANIFEST)
    assert read_packages({**blobs, sha256(whiteout): whiteout}, edited) == []


def test_packages_that_are_not_installed_do_not_count() -> None:
    """A removed Debian package whose configuration remains is no package."""
    status = b"Package: gone\nStatus: deinstall ok config-files\nVersion: 1\n\nPackage: here\nVersion: 2\n"
    layer = _layer({"./var/lib/dpkg/status": status})
    config = encoded({})
    body = {"config": _descriptor(config, OCI_CONFIG), "layers": [_descriptor(layer, OCI_LAYER_GZIP)]}
    manifest = Manifest(encoded({"schemaVersion": 2, **body}), OCI_MANIFEST)
    assert read_packages({sha256(layer): layer}, manifest) == [Package("here", "2", "dpkg")]


def test_a_scenario_replaces_and_adds_images() -> None:
    """The same reference is replaced, a new one added; the rest stays."""
    replaced = image_spec("docker.io/library/busybox:1.37.0", "alpine:3.20", {"busybox": "1.37.0-r0"})
    added = image_spec("ghcr.io/acme/tool:1", "debian:12", {})
    catalogue = {spec.reference: spec for spec in merged(WALKTHROUGH, [replaced, added])}
    assert len(catalogue) == len(WALKTHROUGH) + 1
    assert catalogue["docker.io/library/busybox:1.37.0"].base is BASES["alpine:3.20"]


@pytest.mark.parametrize(
    ("reference", "base", "packages"),
    [
        ("docker.io/acme/tool", "debian:12", {}),
        ("docker.io/acme/tool:1", "plan9", {}),
        ("docker.io/acme/tool:1", "scratch", {"a": "1"}),
    ],
)
def test_a_spec_that_makes_no_sense_is_refused(reference: str, base: str, packages: Mapping[str, str]) -> None:
    """A missing tag, an unknown base, and packages without a manager."""
    with pytest.raises(ValueError, match=r"docker\.io|plan9"):
        image_spec(reference, base, packages)


def _one_platform(image: BuiltImage) -> tuple[Mapping[str, bytes], Manifest]:
    return image.blobs, image.platforms["linux/amd64"]


def _layer(files: Mapping[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        for path, content in files.items():
            member = tarfile.TarInfo(path)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return buffer.getvalue()


def _descriptor(content: bytes, media_type: str) -> dict[str, object]:
    return {"mediaType": media_type, "digest": sha256(content), "size": len(content)}
