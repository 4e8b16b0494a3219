"""Platforms as containerd reads, matches and falls back between them.

>>> str(Platform.of("Linux", "x86_64")), str(Platform.of("linux", "arm64", "v8"))
('linux/amd64', 'linux/arm64')
>>> runs_on(PlatformManifest("linux/arm64/v8", "sha256:…"), "linux/arm64")
True

containerd is the runtime of AKS nodes. It chooses among the entries of an index with ``platforms.Only`` for the node's
own platform: names are normalised, and a node whose platform is not offered takes what it can also run, such as a 386
image on amd64.

Facts: containerd/platforms v1.0.0-rc.5, ``database.go`` and ``compare.go``; tests/oracles compares this module with it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from pratique.images import UNKNOWN_PLATFORM, PlatformManifest, ResolvedImage

_OS: Final = {"macos": "darwin"}
_ARCHITECTURES: Final = {
    "i386": ("386", ""),
    "x86_64": ("amd64", None),
    "x86-64": ("amd64", None),
    "aarch64": ("arm64", None),
    "armhf": ("arm", "v7"),
    "armel": ("arm", "v6"),
}
_VARIANTS: Final = {
    "amd64": {"v1": ""},
    "arm64": {"8": "", "v8": "", "v8.0": "", "9": "v9", "9.0": "v9", "v9.0": "v9"},
    "arm": {"": "v7", "7": "v7", "5": "v5", "6": "v6", "8": "v8"},
}
#: Architecture of an image, and of the nodes that fall back to it.
FALLBACK: Final = {"386": "amd64", "arm": "arm64"}


@dataclass(frozen=True)
class Platform:
    """A platform in containerd's normalised spelling.

    :ivar os: empty for the node's own
    :ivar specific: whether it asks for a version or features of the system, so that not every node of the platform fits
    """

    os: str
    architecture: str
    variant: str = ""
    specific: bool = False

    @classmethod
    def of(cls, os: str, architecture: str, variant: str = "", *, specific: bool = False) -> Platform:
        """Normalise the names as containerd does."""
        os, architecture, variant = os.lower(), architecture.lower(), variant.lower()
        architecture, implied = _ARCHITECTURES.get(architecture, (architecture, None))
        variant = _VARIANTS.get(architecture, {}).get(variant, variant) if implied is None else implied
        return cls(_OS.get(os, os), architecture, variant, specific)

    @classmethod
    def parse(cls, text: str) -> Platform:
        """From ``os/architecture[/variant]``."""
        os, _, rest = text.partition("/")
        architecture, _, variant = rest.partition("/")
        return cls.of(os, architecture, variant)

    def __str__(self) -> str:
        return "/".join(filter(None, (self.os, self.architecture, self.variant)))

    @property
    def runnable(self) -> bool:
        """False for attestations (``unknown/unknown``), and where no architecture is named: no node matches that."""
        return bool(self.architecture) and (self.os, self.architecture) != ("unknown", "unknown")


def required_manifests(
    image: ResolvedImage, platforms: Iterable[str]
) -> tuple[tuple[PlatformManifest, ...], tuple[str, ...]]:
    """The manifests that need a verdict, and the platforms that the image does not have.

    Each manifest that containerd could choose on a node of a required platform needs a verdict, and so does each whose
    platform is not known. An index may list several manifests for one platform; a platform without a variant stands for
    all its variants. An image for a single platform needs a verdict whatever its platform is: containerd runs it on any
    node.
    """
    if len(image.platforms) == 1 and image.platforms[0].digest == image.digest:
        return image.platforms, ()
    wanted = {
        platform: [manifest for manifest in image.platforms if runs_on(manifest, platform)] for platform in platforms
    }
    required = tuple(
        manifest
        for manifest in image.platforms
        if manifest.platform == UNKNOWN_PLATFORM or any(manifest in found for found in wanted.values())
    )
    return tuple(dict.fromkeys(required)), tuple(platform for platform, found in wanted.items() if not found)


def runs_on(manifest: PlatformManifest, required: str) -> bool:
    """Whether containerd could choose a manifest of an index on a node of the required platform."""
    node, offered = Platform.parse(required), Platform.parse(manifest.platform)
    places = [Platform.parse(platform) for platform in manifest.also]
    if (node.os, node.architecture) in [(place.os, place.architecture) for place in places]:
        return True
    if (node.os, node.architecture) != (offered.os, offered.architecture):
        return False
    return required.count("/") < 2 or offered.variant in compatible_variants(node)


def compatible_variants(node: Platform) -> frozenset[str]:
    """Variants of a node's own architecture that it runs; ``""`` is the common one."""
    own = {node.variant}
    major, minor = _version(node.variant)
    match node.architecture:
        case "amd64":
            own |= {f"v{lower}" for lower in range(1, major)}
        case "arm":
            own |= {f"v{lower}" for lower in range(5, major)}
        case "arm64":
            own |= _arm64_variants(major or 8, minor)
    return frozenset(Platform.of(node.os, node.architecture, variant).variant for variant in own)


def _arm64_variants(major: int, minor: int) -> set[str]:
    """ARMv9.n includes ARMv8.(n + 5), as far as there is one."""
    newest = {8: minor} if major == 8 else {major: minor, 8: min(minor + 5, 9)}
    return {f"v{version}.{lower}" for version, most in newest.items() for lower in range(most + 1)}


def _version(variant: str) -> tuple[int, int]:
    match = re.fullmatch(r"v?(\d)(?:\.(\d))?", variant)
    return (int(match[1]), int(match[2] or 0)) if match else (0, 0)
