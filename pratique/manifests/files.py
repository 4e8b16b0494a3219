"""Reads and writes manifests of a checkout, byte for byte, and never outside it."""

from __future__ import annotations

from pathlib import Path

from pratique.errors import ManifestRejected
from pratique.manifests.yaml_editor import Plain, YamlText


def path_inside(root: Path, relative: str | Path) -> Path:
    """The path below the root.

    :raises ManifestRejected: when it leads out of the root
    """
    path = root / relative
    if not is_inside(root, path):
        raise ManifestRejected(
            "find the manifests", str(relative), "It leads out of the repository.", "Use a path within the repository."
        )
    return path


def is_inside(root: Path, path: Path) -> bool:
    """Whether a path stays below the root, also through links."""
    try:
        return path.resolve().is_relative_to(root.resolve())
    except (OSError, RuntimeError, ValueError):  # links in a circle, or characters that no name can have
        return False


def exists_inside(root: Path, path: Path) -> bool:
    """Whether there is such a file or folder below the root."""
    try:
        return is_inside(root, path) and path.exists()
    except (OSError, ValueError):  # such as a name that is too long
        return False


def read_yaml(root: Path, path: Path) -> YamlText:
    """Read a file below the root.

    :raises ManifestRejected: when the file cannot be read, or is invalid UTF-8
    """
    file = path.relative_to(root).as_posix()
    try:
        # As bytes: reading as text would convert the line endings.
        return YamlText(file, path_inside(root, file).read_bytes().decode())
    except (OSError, UnicodeDecodeError) as error:
        raise ManifestRejected("read the manifest", file, f"{error}.", "Check the path and the file.") from error


def write_yaml(path: Path, text: YamlText) -> None:
    """Write a file, unless it already has that content."""
    data = text.text.encode()
    if path.read_bytes() != data:
        path.write_bytes(data)


def mapping(plain: Plain) -> dict[str, Plain]:
    """The mapping, or an empty one if the value is something else."""
    return plain if isinstance(plain, dict) else {}


def scalar(plain: Plain) -> str | None:
    """The scalar, or ``None`` if the value is something else."""
    return plain if isinstance(plain, str) else None
