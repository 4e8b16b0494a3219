"""Generates images: nested indexes, odd platforms, entries without one, and JSON that readers do not agree on.

An image is a store of blobs by digest, and the descriptor of its index or manifest. Everything comes from one seed.
"""

from __future__ import annotations

import hashlib
import json
import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from pratique.errors import NotFound
from pratique.oci.index import Content
from pratique.oci.media_types import DOCKER_CONFIG, DOCKER_LIST, DOCKER_MANIFEST, OCI_CONFIG, OCI_INDEX, OCI_MANIFEST

Pairs = list[tuple[str, Any]]
ORDINARY_PLATFORMS: Sequence[dict[str, Any]] = (
    {"os": "linux", "architecture": "amd64"},
    {"os": "linux", "architecture": "arm64"},
    {"os": "linux", "architecture": "arm64", "variant": "v8"},
    {"os": "linux", "architecture": "arm", "variant": "v7"},
    {"os": "linux", "architecture": "arm", "variant": "v6"},
    {"os": "linux", "architecture": "386"},
    {"os": "linux", "architecture": "s390x"},
    {"os": "linux", "architecture": "x86_64"},
    {"os": "linux", "architecture": "aarch64"},
    {"os": "windows", "architecture": "amd64", "os.version": "10.0.20348.2700"},
    {"os": "windows", "architecture": "amd64", "os.version": "10.0.26100.1742", "os.features": ["win32k"]},
    {"os": "unknown", "architecture": "unknown"},
)
ODD_PLATFORMS: Sequence[dict[str, Any]] = (
    {"os": "Linux", "architecture": "AMD64"},
    {"os": "linux", "architecture": "x86-64"},
    {"os": "linux", "architecture": "amd64", "variant": "v1"},
    {"os": "linux", "architecture": "amd64", "variant": "v2"},
    {"os": "linux", "architecture": "amd64", "variant": "V3"},
    {"os": "linux", "architecture": "amd64", "variant": "3"},
    {"os": "linux", "architecture": "amd64", "os.features": ["sse9"]},
    {"os": "linux", "architecture": "amd64", "os.version": "6.1"},
    {"os": "linux", "architecture": "i386"},
    {"os": "linux", "architecture": "I386", "variant": "x"},
    {"os": "linux", "architecture": "arm"},
    {"os": "linux", "architecture": "arm", "variant": "8"},
    {"os": "linux", "architecture": "arm", "variant": "v5"},
    {"os": "linux", "architecture": "armhf"},
    {"os": "linux", "architecture": "armel", "variant": "v9"},
    {"os": "linux", "architecture": "arm64", "variant": "8"},
    {"os": "linux", "architecture": "arm64", "variant": "v8.0"},
    {"os": "linux", "architecture": "arm64", "variant": "v8.2"},
    {"os": "linux", "architecture": "arm64", "variant": "v9"},
    {"os": "linux", "architecture": "arm64", "variant": "9.0"},
    {"os": "macos", "architecture": "arm64"},
    {"os": "", "architecture": "amd64"},
    {"architecture": "amd64"},
    {"architecture": "386"},
    {"os": "linux"},
    {},
    {"os": "unknown", "architecture": "amd64"},
    {"os": "linux", "architecture": "unknown"},
    {"os": None, "architecture": "amd64", "variant": None},
    {"os": "windows", "architecture": "386"},
    {"os": "windows", "architecture": "amd64", "os.version": "6"},
    {"os": "l\u0130nux", "architecture": "amd64"},
    {"os": "linux ", "architecture": "amd64"},
    {"os": "linux/amd64", "architecture": "v8"},
    {"os": "linux", "architecture": "amd\ufeff64"},
    {"os": 7, "architecture": "amd64"},
    {"os": "linux", "architecture": ["amd64"]},
    {"os": "linux", "architecture": "amd64", "os.features": "sse4"},
)
_RESPELLED = {"s": "\u017f", "S": "\u017f", "k": "\u212a", "K": "\u212a"}


@dataclass
class Image:
    """An image in a repository of its own; a source for :func:`pratique.oci.index.read_image`.

    :ivar types: media type with which each manifest or index was pushed
    """

    blobs: dict[str, bytes] = field(default_factory=dict)
    types: dict[str, str] = field(default_factory=dict)
    top: str = ""

    def add(self, content: bytes, media_type: str = "") -> str:
        digest = f"sha256:{hashlib.sha256(content).hexdigest()}"
        self.blobs[digest] = content
        if media_type:
            self.types[digest] = media_type
        return digest

    async def manifest(self, digest: str) -> Content:
        if digest not in self.types:
            raise NotFound("read the manifest", digest, "404", "")
        return Content(self.types[digest], self.blobs[digest])

    async def config(self, digest: str) -> bytes:
        if digest not in self.blobs:
            raise NotFound("read the blob", digest, "404", "")
        return self.blobs[digest]


def written(value: Any) -> str:
    """JSON of a value in which objects may be lists of pairs, so that a key can be there twice."""
    if isinstance(value, list) and value and all(isinstance(part, tuple) for part in value):
        return "{" + ",".join(f"{json.dumps(key)}:{written(part)}" for key, part in value) + "}"
    if isinstance(value, dict):
        return written(list(value.items())) if value else "{}"
    if isinstance(value, list):
        return "[" + ",".join(map(written, value)) + "]"
    return json.dumps(value)


class Generator:
    """Makes images.

    :param ordinary: only what publishers really write: nothing that readers disagree on
    """

    def __init__(self, seed: int, *, ordinary: bool) -> None:
        self._random = random.Random(seed)  # noqa: S311 - no secret
        self._ordinary = ordinary
        self._number = 0

    def image(self) -> Image:
        image = Image()
        if self._often(0.05):
            image.top = self._manifest(image, {"os": "linux", "architecture": "arm64"} if self._ordinary else None)
        else:
            image.top = self._index(image, 0)
        return image

    def _often(self, share: float) -> bool:
        return self._random.random() < share

    def _oddly(self, share: float) -> bool:
        return not self._ordinary and self._often(share)

    def _platform(self) -> dict[str, Any]:
        odd = self._oddly(0.25)
        return dict(self._random.choice(ODD_PLATFORMS if odd else ORDINARY_PLATFORMS))

    def _manifest(self, image: Image, platform: dict[str, Any] | None = None) -> str:
        config = image.add(json.dumps(platform).encode() if platform else self._config())
        if self._oddly(0.02):
            del image.blobs[config]
        docker = self._often(0.3)
        self._number += 1
        body: Pairs = [
            ("schemaVersion", 2),
            ("mediaType", DOCKER_MANIFEST if docker else OCI_MANIFEST),
            (
                "config",
                [
                    ("mediaType", DOCKER_CONFIG if docker else OCI_CONFIG),
                    ("digest", config),
                    ("size", len(image.blobs.get(config, b""))),
                ],
            ),
            ("layers", []),
            ("annotations", {"number": str(self._number)}),
        ]
        if self._oddly(0.03):
            body.append(("manifests", []))
        return image.add(written(self._muddled(body)).encode(), body[1][1])

    def _config(self) -> bytes:
        self._number += 1
        if self._oddly(0.05):
            return self._random.choice((b"", b"[]", b"{", b"\xff{}", b"null", b'{"os": "linux", "architecture": NaN}'))
        body: Pairs = [*self._platform().items(), ("created", str(self._number)), ("config", {"Env": []})]
        if self._often(0.1):
            body = [("config", {})]
        return written(self._muddled(body)).encode()

    def _index(self, image: Image, depth: int) -> str:
        entries: list[Any] = [self._entry(image, depth) for _ in range(self._random.randint(0 if depth else 1, 6))]
        if entries and self._often(0.2):
            entries.append(self._random.choice(entries))
        if self._oddly(0.02):
            entries.append(None)
        docker = self._often(0.3)
        self._number += 1
        body: Pairs = [
            ("schemaVersion", 2),
            ("mediaType", DOCKER_LIST if docker else OCI_INDEX),
            ("manifests", entries),
            ("annotations", {"number": str(self._number), "Number": "x", "digest": "none"}),
        ]
        if self._oddly(0.03):
            body.append((self._random.choice(("config", "layers", "fsLayers")), self._random.choice((None, [], {}))))
        if self._oddly(0.04):
            others = [self._entry(image, depth) for _ in range(2)]
            body.append((self._respelled("manifests") if self._often(0.5) else "manifests", others))
        return image.add(written(self._muddled(body)).encode(), body[1][1])

    def _entry(self, image: Image, depth: int) -> Any:
        nested = depth < 3 and self._often(0.2)
        digest = self._index(image, depth + 1) if nested else self._manifest(image)
        media_type = image.types[digest]
        if self._oddly(0.06):
            media_type = self._random.choice((OCI_INDEX, OCI_MANIFEST, "application/x", "", media_type.upper()))
        entry: Pairs = [("mediaType", media_type), ("digest", digest), ("size", len(image.blobs[digest]))]
        if not self._often(0.3 if nested else 0.15):
            entry.append(("platform", self._muddled(list(self._platform().items())) or {}))
        elif self._oddly(0.1):
            entry.append(("platform", None))
        if self._often(0.1):
            entry.append(("annotations", {"vnd.docker.reference.type": "attestation-manifest"}))
        if self._oddly(0.01):
            del image.types[digest], image.blobs[digest]
        return self._muddled(entry)

    def _muddled(self, pairs: Pairs) -> Pairs:
        """The object with, now and then, a key in another spelling or twice."""
        if not pairs or not self._oddly(0.01):
            return pairs
        key, value = self._random.choice(pairs)
        other = self._random.choice(pairs)[1] if self._often(0.3) else value
        added = (self._respelled(key) if self._often(0.7) else key, other)
        if self._often(0.3):
            pairs = [pair for pair in pairs if pair[0] != key]
        pairs = list(pairs)
        pairs.insert(self._random.randint(0, len(pairs)), added)
        return pairs

    def _respelled(self, key: str) -> str:
        if self._often(0.5):
            key = "".join(_RESPELLED.get(letter, letter) for letter in key)
        return self._random.choice((key.upper(), key.title(), key.swapcase(), key))
