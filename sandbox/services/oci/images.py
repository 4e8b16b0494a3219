"""Builds small but real container images, and reads the packages back from their bytes.

Every image has the structure that public registries serve today: an index with one manifest for each platform, each
followed by the attestation manifest that BuildKit adds (platform ``unknown/unknown``), with gzipped tar layers, configs
with the layers' own ``diff_ids``, and real sha256 digests throughout. The same spec gives the same bytes on every
machine::

    image = build(ImageSpec("ghcr.io", "kubereboot/kured", "1.14.0", BASES["alpine:3.19"], packages))
    image.index.digest
    read_packages(image.blobs, image.platforms["linux/amd64"])

Sources: OCI image-spec v1.1 (manifest, image-index, config, layer); BuildKit attestation storage; RFC 1951, 3.2.4, and
RFC 1952.
"""

from __future__ import annotations

import io
import struct
import tarfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import PurePosixPath

from sandbox.services.oci.manifests import (
    DOCKER_LAYER_GZIP,
    IN_TOTO,
    OCI_CONFIG,
    OCI_INDEX,
    OCI_LAYER,
    OCI_LAYER_GZIP,
    OCI_MANIFEST,
    Descriptor,
    Manifest,
    encoded,
    sha256,
)
from sandbox.services.oci.packages import Layout, Package, database_files, is_database, parse_databases

DEFAULT_PLATFORMS = ("linux/amd64", "linux/arm64")
PROVENANCE = "https://slsa.dev/provenance/v0.2"

_CREATED = "2024-11-21T00:00:00Z"
_MTIME = 1732147200
_STORED_BLOCK = 0xFFFF  # bytes, at most
_ELF_MACHINES = {"amd64": 62, "arm64": 183}
_TAR_TYPES = frozenset({OCI_LAYER, OCI_LAYER_GZIP, DOCKER_LAYER_GZIP})


@dataclass(frozen=True, kw_only=True)
class Base:
    """A base image: a distribution and its packages.

    :param pretty_name: as in /etc/os-release
    :param layout: where the distribution keeps its package database
    """

    identifier: str
    version: str
    pretty_name: str
    layout: Layout
    packages: tuple[Package, ...] = ()


@dataclass(frozen=True, kw_only=True)
class ImageSpec:
    """One image of the catalogue.

    :param registry: the host in image references, e.g. ``docker.io``
    :param packages: in addition to the base image's
    :param platforms: ``os/architecture``, in the order of the index
    """

    registry: str
    repository: str
    tag: str
    base: Base
    packages: tuple[Package, ...] = ()
    platforms: tuple[str, ...] = DEFAULT_PLATFORMS

    @property
    def reference(self) -> str:
        return f"{self.registry}/{self.repository}:{self.tag}"


@dataclass(frozen=True)
class BuiltImage:
    """A complete image, ready to be stored in a registry.

    :param platforms: image manifests by ``os/architecture``
    :param manifests: all manifests in the index, including attestations; children before parents
    :param blobs: configs and layers by digest
    """

    index: Manifest
    platforms: Mapping[str, Manifest]
    manifests: tuple[Manifest, ...]
    blobs: Mapping[str, bytes]


def build(spec: ImageSpec) -> BuiltImage:
    """Build the image that `spec` describes. Pure: the same spec gives the same digests."""
    blobs: dict[str, bytes] = {}
    platforms = {platform: _platform_manifest(spec, platform, blobs) for platform in spec.platforms}
    attestations = {p: _attestation(spec, p, manifest, blobs) for p, manifest in platforms.items()}
    entries = [_index_entry(m, *platform.split("/", 1)) for platform, m in platforms.items()]
    entries += [_attestation_entry(attestations[p], m) for p, m in platforms.items()]
    index = Manifest(encoded({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": entries}), OCI_INDEX)
    return BuiltImage(index, platforms, (*platforms.values(), *attestations.values()), blobs)


def read_packages(blobs: Mapping[str, bytes], manifest: Manifest) -> list[Package]:
    """The packages that an image's layers record as installed, sorted; empty for an image without package manager.

    :param blobs: content by digest; must contain at least the manifest's layers
    :raises ValueError: for an index, which has no layers of its own
    :raises KeyError: when a layer's bytes are missing
    """
    if manifest.is_index:
        raise ValueError("an index has no layers: read a platform's manifest")
    files: dict[str, bytes] = {}
    for layer in manifest.layers:
        if layer.media_type in _TAR_TYPES:
            _apply_layer(files, blobs[layer.digest])
    return parse_databases(files)


def _apply_layer(files: dict[str, bytes], layer: bytes) -> None:
    """Apply a layer to the package databases found so far, including whiteouts (image-spec, layer.md)."""
    with tarfile.open(fileobj=io.BytesIO(layer), mode="r:*") as archive:
        for member in archive:
            path = member.name.removeprefix("./").lstrip("/")
            folder, _, name = path.rpartition("/")
            if name == ".wh..wh..opq":
                _remove(files, folder)
            elif name.startswith(".wh."):
                _remove(files, f"{folder}/{name.removeprefix('.wh.')}".lstrip("/"))
            elif is_database(path) and (content := archive.extractfile(member)):
                files[path] = content.read()


def _remove(files: dict[str, bytes], path: str) -> None:
    for name in [name for name in files if name == path or name.startswith(path + "/")]:
        del files[name]


def _platform_manifest(spec: ImageSpec, platform: str, blobs: dict[str, bytes]) -> Manifest:
    system, architecture = platform.split("/", 1)
    program = spec.repository.rsplit("/", 1)[-1]
    packages = (*spec.base.packages, *spec.packages)
    upper = {f"usr/bin/{program}": _program(f"{program} {spec.tag}", architecture)}
    if spec.packages:
        upper |= database_files(spec.base.layout, packages, architecture)
    tars = [_base_tar(spec.base, architecture), _tar(upper)]
    layers = [_add(blobs, gzipped, OCI_LAYER_GZIP) for gzipped in map(_gzip, tars)]
    config = {
        "created": _CREATED,
        "architecture": architecture,
        "os": system,
        "config": {"Entrypoint": [f"/usr/bin/{program}"], "Env": ["PATH=/usr/bin:/bin"]},
        "rootfs": {"type": "layers", "diff_ids": [sha256(tar) for tar in tars]},
        "history": [
            {"created": _CREATED, "created_by": f"base {spec.base.identifier}:{spec.base.version}"},
            {"created": _CREATED, "created_by": f"COPY {program} /usr/bin/{program}"},
        ],
    }
    return _manifest(_add(blobs, encoded(config), OCI_CONFIG), [_entry(layer) for layer in layers])


def _attestation(spec: ImageSpec, platform: str, manifest: Manifest, blobs: dict[str, bytes]) -> Manifest:
    """BuildKit's provenance of one platform: an in-toto statement wrapped as an image manifest."""
    statement = encoded(
        {
            "_type": "https://in-toto.io/Statement/v0.1",
            "predicateType": PROVENANCE,
            "subject": [
                {
                    "name": f"pkg:docker/{spec.repository}@{spec.tag}?platform={platform.replace('/', '%2F')}",
                    "digest": {"sha256": manifest.digest.removeprefix("sha256:")},
                }
            ],
            "predicate": {"builder": {"id": ""}, "buildType": "https://mobyproject.org/buildkit@v1", "materials": []},
        }
    )
    layer = _add(blobs, statement, IN_TOTO)
    config = {
        "architecture": "unknown",
        "os": "unknown",
        "config": {},
        "rootfs": {"type": "layers", "diff_ids": [layer.digest]},
    }
    entry = _entry(layer) | {"annotations": {"in-toto.io/predicate-type": PROVENANCE}}
    return _manifest(_add(blobs, encoded(config), OCI_CONFIG), [entry])


def _manifest(config: Descriptor, layers: list[dict[str, object]]) -> Manifest:
    body = {"schemaVersion": 2, "mediaType": OCI_MANIFEST, "config": _entry(config), "layers": layers}
    return Manifest(encoded(body), OCI_MANIFEST)


def _index_entry(manifest: Manifest, system: str, architecture: str) -> dict[str, object]:
    entry = _entry(Descriptor(manifest.media_type, manifest.digest, manifest.size))
    return entry | {"platform": {"architecture": architecture, "os": system}}


def _attestation_entry(attestation: Manifest, subject: Manifest) -> dict[str, object]:
    return _index_entry(attestation, "unknown", "unknown") | {
        "annotations": {
            "vnd.docker.reference.digest": subject.digest,
            "vnd.docker.reference.type": "attestation-manifest",
        }
    }


def _entry(descriptor: Descriptor) -> dict[str, object]:
    return {"mediaType": descriptor.media_type, "digest": descriptor.digest, "size": descriptor.size}


def _add(blobs: dict[str, bytes], content: bytes, media_type: str) -> Descriptor:
    digest = sha256(content)
    blobs[digest] = content
    return Descriptor(media_type, digest, len(content))


@lru_cache(maxsize=64)
def _base_tar(base: Base, architecture: str) -> bytes:
    release = f'ID={base.identifier}\nVERSION_ID="{base.version}"\nPRETTY_NAME="{base.pretty_name}"\n'
    files = {"etc/os-release": release.encode(), "bin/sh": _program("sh", architecture)}
    if base.identifier == "debian":  # by which Trivy recognises it
        files["etc/debian_version"] = f"{base.version}\n".encode()
    return _tar(files | database_files(base.layout, base.packages, architecture))


def _tar(files: Mapping[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        folders = {str(folder) for path in files for folder in PurePosixPath(path).parents} - {"."}
        for folder in sorted(folders):  # without which Grype does not find files by pattern
            entry = tarfile.TarInfo(folder)
            entry.type, entry.mode, entry.mtime = tarfile.DIRTYPE, 0o755, _MTIME
            archive.addfile(entry)
        for path, content in sorted(files.items()):
            member = tarfile.TarInfo(path)
            member.size, member.mtime = len(content), _MTIME
            member.mode = 0o755 if path.startswith(("bin/", "usr/bin/")) else 0o644
            archive.addfile(member, io.BytesIO(content))
    return buffer.getvalue()


@lru_cache(maxsize=64)
def _gzip(content: bytes) -> bytes:
    """The content in gzip's format, in stored blocks: what compression gives depends on the machine's zlib."""
    starts = range(0, len(content), _STORED_BLOCK)
    blocks = [
        struct.pack("<BHH", start == starts[-1], len(block), len(block) ^ 0xFFFF) + block
        for start in starts
        for block in [content[start : start + _STORED_BLOCK]]
    ]
    header = b"\x1f\x8b\x08" + bytes(6) + b"\xff"
    return header + b"".join(blocks) + struct.pack("<II", zlib.crc32(content), len(content))


def _program(text: str, architecture: str) -> bytes:
    """An ELF64 header for the architecture, followed by a line of text: enough for tools that detect file types."""
    machine = _ELF_MACHINES.get(architecture, 0)
    identity = b"\x7fELF\x02\x01\x01" + bytes(9)
    header = struct.pack("<HHIQQQIHHHHHH", 2, machine, 1, 0, 0, 0, 0, 64, 0, 0, 0, 0, 0)
    return identity + header + text.encode() + b"\n"
