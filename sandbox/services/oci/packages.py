"""Package databases of Debian, distroless and Alpine images: written into layers, and read back.

Formats: deb-control(5) stanzas in ``/var/lib/dpkg/status`` (distroless: a file a package in ``status.d/``), and
apk's ``P:``/``V:`` records in ``/lib/apk/db/installed``.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

Manager = Literal["dpkg", "apk"]
Layout = Literal["debian", "distroless", "alpine", "none"]

DPKG_STATUS = "var/lib/dpkg/status"
DPKG_STATUS_D = "var/lib/dpkg/status.d/"
APK_INSTALLED = "lib/apk/db/installed"

APK_ARCHITECTURES = {"amd64": "x86_64", "arm64": "aarch64"}


@dataclass(frozen=True, order=True)
class Package:
    """One installed package.

    :param version: in the manager's syntax
    :param manager: the manager whose database contains it
    """

    name: str
    version: str
    manager: Manager


def manager_of(layout: Layout) -> Manager | None:
    """The package manager of a layout; None for an image without one."""
    managers: dict[Layout, Manager] = {"debian": "dpkg", "distroless": "dpkg", "alpine": "apk"}
    return managers.get(layout)


def database_files(layout: Layout, packages: Sequence[Package], architecture: str) -> dict[str, bytes]:
    """The files, by path, that record `packages` as installed; empty when the layout has no package manager."""
    if layout == "debian":
        return {DPKG_STATUS: "\n".join(_dpkg_stanza(p, architecture) for p in packages).encode()}
    if layout == "distroless":
        return {DPKG_STATUS_D + p.name: _dpkg_stanza(p, architecture).encode() for p in packages}
    if layout == "alpine":
        return {APK_INSTALLED: "".join(_apk_record(p, architecture) for p in packages).encode()}
    return {}


def parse_databases(files: Mapping[str, bytes]) -> list[Package]:
    """All packages recorded in a root file system (content by path without leading slash), sorted."""
    found: set[Package] = set()
    for path, content in files.items():
        if is_database(path):
            text = content.decode(errors="replace")
            found.update(_parse_apk(text) if path == APK_INSTALLED else _parse_dpkg(text))
    return sorted(found)


def is_database(path: str) -> bool:
    """Whether scanners read packages from this path."""
    if path.startswith(DPKG_STATUS_D):
        return not path.endswith(".md5sums")
    return path in (DPKG_STATUS, APK_INSTALLED)


def _dpkg_stanza(package: Package, architecture: str) -> str:
    return (
        f"Package: {package.name}\nStatus: install ok installed\nPriority: optional\nSection: libs\n"
        f"Architecture: {architecture}\nVersion: {package.version}\nDescription: {package.name}\n"
    )


def _apk_record(package: Package, architecture: str) -> str:
    identity = f"{package.name}-{package.version}-{architecture}".encode()
    checksum = base64.b64encode(hashlib.sha1(identity, usedforsecurity=False).digest()).decode()
    return (
        f"C:Q1{checksum}\nP:{package.name}\nV:{package.version}\n"
        f"A:{APK_ARCHITECTURES.get(architecture, architecture)}\nT:{package.name}\no:{package.name}\n\n"
    )


def _parse_dpkg(text: str) -> Iterable[Package]:
    for fields in _records(text, ": "):
        status = fields.get("Status", "install ok installed")
        if "Package" in fields and "Version" in fields and status.endswith(" installed"):
            yield Package(fields["Package"], fields["Version"], "dpkg")


def _parse_apk(text: str) -> Iterable[Package]:
    for fields in _records(text, ":"):
        if "P" in fields and "V" in fields:
            yield Package(fields["P"], fields["V"], "apk")


def _records(text: str, separator: str) -> Iterable[dict[str, str]]:
    for block in text.split("\n\n"):
        lines = [line for line in block.splitlines() if line and not line[0].isspace()]
        yield {key: value for key, found, value in (line.partition(separator) for line in lines) if found}
