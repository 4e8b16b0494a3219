"""The product and containerd's own code, asked about thousands of generated images.

``make tools`` builds the program that asks containerd, from tests/oracles/containerd.
"""

from __future__ import annotations

import base64
import json
import subprocess
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from itertools import product
from pathlib import Path
from typing import Any

import pytest

from pratique.errors import NotFound, UnreadableAnswer
from pratique.images import UNKNOWN_PLATFORM, ImageReference, ResolvedImage
from pratique.oci.documents import Ambiguous
from pratique.oci.index import Content, read_image
from pratique.platforms import Platform, required_manifests
from tests.oracles.images import ODD_PLATFORMS, ORDINARY_PLATFORMS, Generator, Image

ORACLE = Path(__file__).parents[2] / ".tools" / "containerd-choice"
#: Required platforms, and nodes that are of each, as containerd writes them.
NODES: Mapping[str, Sequence[str]] = {
    "linux/amd64": ("linux/amd64", "linux/amd64/v2", "linux/amd64/v3"),
    "linux/arm64": ("linux/arm64", "linux/arm64/v8.2", "linux/arm64/v9"),
    "linux/arm": ("linux/arm/v5", "linux/arm/v6", "linux/arm/v7", "linux/arm/v8"),
    "linux/arm/v7": ("linux/arm/v7",),
    "linux/arm64/v8": ("linux/arm64/v8",),
    "linux/amd64/v3": ("linux/amd64/v3",),
    "linux/386": ("linux/386",),
    "linux/s390x": ("linux/s390x",),
    "windows/amd64": ("windows/amd64", "windows(10.0.20348)/amd64", "windows(10.0.26100)/amd64"),
}
REFERENCE = ImageReference.parse("registry.example/image:1")
EVERY_NODE = tuple(dict.fromkeys(node for nodes in NODES.values() for node in nodes))


def choices(images: Iterable[Image]) -> list[Mapping[str, str | None]]:
    """For each image, the digest of the manifest that containerd runs on each node; ``None`` where it runs none."""
    if not ORACLE.exists():
        pytest.fail("The program that asks containerd is missing: make tools")
    lines = [
        json.dumps(
            {
                "blobs": {digest: base64.b64encode(content).decode() for digest, content in image.blobs.items()},
                "top": {
                    "mediaType": image.types[image.top],
                    "digest": image.top,
                    "size": len(image.blobs[image.top]),
                },
                "platforms": EVERY_NODE,
            }
        )
        for image in images
    ]
    ran = subprocess.run([ORACLE], input="\n".join(lines), capture_output=True, text=True, check=True)
    answers: list[list[dict[str, Any]]] = [json.loads(line) for line in ran.stdout.splitlines()]
    assert len(answers) == len(lines)
    return [{one["platform"]: one.get("digest") for one in answer} for answer in answers]


async def resolved(image: Image) -> ResolvedImage | str:
    """The image as the product sees it, or why it is refused."""
    content = Content(image.types[image.top], image.blobs[image.top])
    try:
        found = await read_image(image, image.top, content)
    except (Ambiguous, NotFound, UnreadableAnswer) as error:
        return str(error)
    return ResolvedImage(REFERENCE, image.top, found.platforms, found.others, found.digests)


def generated(count: int, *, ordinary: bool) -> list[Image]:
    return [Generator(seed, ordinary=ordinary).image() for seed in range(count)]


@pytest.mark.parametrize(("ordinary", "count"), [(True, 6_000), (False, 14_000)], ids=["ordinary", "odd"])
async def test_what_containerd_runs_needs_a_verdict(
    ordinary: bool, count: int, capsys: pytest.CaptureFixture[str]
) -> None:
    """The manifest that containerd runs on a node of a required platform needs a verdict, or the product refuses the
    image; it refuses no ordinary image that containerd would run."""
    images, counts = generated(count, ordinary=ordinary), Counter[str]()
    for image, chosen in zip(images, choices(images), strict=True):
        found = await resolved(image)
        if isinstance(found, str):
            runs = any(chosen.values())
            counts["refused, and containerd runs it" if runs else "refused, and containerd runs nothing"] += 1
            assert not (ordinary and runs), found
            continue
        for platform, nodes in NODES.items():
            required, missing = required_manifests(found, [platform])
            digests, offered = {one.digest for one in required}, {one.platform for one in required}
            for node in nodes:
                assert chosen[node] is None or chosen[node] in digests, (node, image)
                assert chosen[node] is None or not missing or UNKNOWN_PLATFORM in offered, (node, image)
                counts[_kind(chosen[node], digests)] += 1
    with capsys.disabled():
        print(f"\n{count} {'ordinary' if ordinary else 'odd'} images: {dict(sorted(counts.items()))}")  # noqa: T201 - the result
    assert counts["the same manifest"] > count


def _kind(chosen: str | None, digests: set[str]) -> str:
    if chosen is None:
        return "containerd runs nothing, some need a verdict" if digests else "nothing either way"
    return "the same manifest" if digests == {chosen} else "containerd's manifest and others need a verdict"


SYSTEMS = ("linux", "LINUX", "Linux", "windows", "macos", "darwin", "", "unknown")
ARCHITECTURES = ("amd64", "x86_64", "X86-64", "386", "i386", "arm", "armhf", "armel", "arm64", "aarch64", "")
VARIANTS = ("", "v1", "v2", "3", "v5", "6", "7", "v7", "8", "v8", "V8", "v8.0", "v8.5", "9", "v9", "9.0", "x")


async def test_every_spelling_of_a_platform_matches_as_in_containerd() -> None:
    """An index of one entry runs on the same nodes, whether the entry or the configuration names the platform."""
    names = [
        {"os": system, "architecture": architecture, "variant": variant}
        for system, architecture, variant in product(SYSTEMS, ARCHITECTURES, VARIANTS)
    ]
    names += [dict(platform) for platform in (*ORDINARY_PLATFORMS, *ODD_PLATFORMS)]
    images = [
        image for platform in names for image in (_one_entry(platform, stated=True), _one_entry(platform, stated=False))
    ]
    for image, chosen in zip(images, choices(images), strict=True):
        found = await resolved(image)
        if isinstance(found, str):
            continue
        for required, nodes in NODES.items():
            runs = bool(required_manifests(found, [required])[0])
            assert runs or not any(chosen[node] for node in nodes), (required, image.blobs[image.top])


def _one_entry(platform: Mapping[str, Any], *, stated: bool) -> Image:
    image = Image()
    config = image.add(json.dumps({} if stated else platform).encode())
    body = {"schemaVersion": 2, "config": {"mediaType": "application/vnd.oci.image.config.v1+json", "digest": config}}
    kind = "application/vnd.oci.image.manifest.v1+json"
    digest = image.add(json.dumps(body).encode(), kind)
    entry = {"mediaType": kind, "digest": digest, "size": 1} | ({"platform": platform} if stated else {})
    index = "application/vnd.oci.image.index.v1+json"
    image.top = image.add(json.dumps({"schemaVersion": 2, "manifests": [entry]}).encode(), index)
    return image


def test_platforms_are_normalised() -> None:
    """Names of one platform have one spelling."""
    assert str(Platform.of("Linux", "X86_64", "v1")) == "linux/amd64"
    assert str(Platform.parse("linux/armhf")) == "linux/arm/v7"
