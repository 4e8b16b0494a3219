"""Small OCI images for the real scanners: files in one layer, in a registry of the local Azure."""

from __future__ import annotations

import gzip
import io
import tarfile
from collections.abc import Mapping

from sandbox.services.oci.manifests import OCI_CONFIG, OCI_LAYER_GZIP, OCI_MANIFEST, Manifest, encoded, sha256
from tests.conftest import RunningSandbox
from tests.sandbox.registries import content

Files = Mapping[str, str]


def release(name: str, version: str) -> dict[str, str]:
    """The file by which scanners recognise a distribution."""
    text = f'ID={name}\nVERSION_ID="{version}"\nPRETTY_NAME="{name} {version}"\n'
    files = {"etc/os-release": text}
    if name == "alpine":
        files["etc/alpine-release"] = f"{version}\n"
    if name == "debian":
        files["etc/debian_version"] = f"{version}\n"
    return files


def apk(*packages: tuple[str, str]) -> dict[str, str]:
    """Alpine's package database."""
    record = "C:Q1p78yvTLG094tHE1+dToJGbmYzQE=\nP:{name}\nV:{version}\nA:x86_64\nT:{name}\no:{name}\n\n"
    return {"lib/apk/db/installed": "".join(record.format(name=name, version=version) for name, version in packages)}


def dpkg(*packages: tuple[str, str]) -> dict[str, str]:
    """Debian's package database."""
    record = (
        "Package: {name}\nStatus: install ok installed\nPriority: optional\nSection: libs\nMaintainer: nobody\n"
        "Architecture: amd64\nVersion: {version}\nDescription: {name}\n\n"
    )
    return {"var/lib/dpkg/status": "".join(record.format(name=name, version=version) for name, version in packages)}


def python_package(name: str, version: str) -> dict[str, str]:
    """A package of Python, as pip leaves it."""
    folder = f"usr/lib/python3/dist-packages/{name}-{version}.dist-info"
    return {f"{folder}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n", f"{folder}/RECORD": ""}


def push(sandbox: RunningSandbox, registry: str, repository: str, files: Files) -> str:
    """Put an image for linux/amd64 into the registry, and return the digest of its manifest."""
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w") as tar:
        for path, text in sorted(files.items()):
            member = tarfile.TarInfo(path)
            member.size = len(text.encode())
            tar.addfile(member, io.BytesIO(text.encode()))
    layer = gzip.compress(archive.getvalue(), mtime=0)
    config = encoded(
        {
            "architecture": "amd64",
            "os": "linux",
            "config": {},
            "rootfs": {"type": "layers", "diff_ids": [sha256(archive.getvalue())]},
            "history": [{"created_by": "COPY . /"}],
        }
    )
    document = {
        "schemaVersion": 2,
        "mediaType": OCI_MANIFEST,
        "config": {"mediaType": OCI_CONFIG, "digest": sha256(config), "size": len(config)},
        "layers": [{"mediaType": OCI_LAYER_GZIP, "digest": sha256(layer), "size": len(layer)}],
    }
    manifest = Manifest(encoded(document), OCI_MANIFEST)

    async def put() -> None:
        store = content(sandbox, registry)
        for blob in (layer, config):
            store.put_blob(repository, blob)
        store.put_manifest(repository, manifest.digest, manifest)

    sandbox.run(put())
    return manifest.digest
