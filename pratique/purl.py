"""Package URLs, as far as packages and images are identified by them here.

>>> purl = Purl.parse("pkg:oci/busybox@sha256%3Aabc?repository_url=docker.io/library/busybox&tag=1.37.0")
>>> purl.name, purl.version, purl.qualifiers["tag"]
('busybox', 'sha256:abc', '1.37.0')

Grammar: ECMA-427 (Package-URL).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import unquote

#: Types of packages that belong to a distribution.
DISTRIBUTIONS = frozenset({"alpm", "apk", "deb", "rpm"})
#: Stands for any of them where a source says only that a package belongs to the image's distribution. Not registered.
SYSTEM = "os"


@dataclass(frozen=True, kw_only=True)
class Purl:
    """``pkg:type/namespace/name@version?qualifiers#subpath``; missing parts are empty."""

    type: str
    namespace: str
    name: str
    version: str
    qualifiers: Mapping[str, str] = field(hash=False)
    subpath: str

    @classmethod
    def parse(cls, text: str) -> Purl:
        """Read a package URL.

        :raises ValueError: when it is not one
        """
        scheme, _, rest = text.partition(":")
        rest, _, subpath = rest.partition("#")
        rest, _, query = rest.partition("?")
        kind, _, path = rest.strip("/").partition("/")
        namespace, _, last = path.strip("/").rpartition("/")
        name, _, version = last.partition("@")
        pairs = [pair.partition("=") for pair in query.split("&") if pair]
        qualifiers = {key.lower(): unquote(value) for key, _, value in pairs}
        if scheme.lower() != "pkg" or not kind or not name or len(qualifiers) != len(pairs):
            raise ValueError(f"{text!r} is not a package URL")
        return cls(
            type=kind.lower(),
            namespace=unquote(namespace),
            name=unquote(name),
            version=unquote(version),
            qualifiers=qualifiers,
            subpath=subpath,
        )

    @property
    def package(self) -> str:
        """Namespace and name, spelled so that equal packages of one type are equal text."""
        path = f"{self.namespace}/{self.name}".casefold().lstrip("/")
        return path.replace("_", "-").replace(".", "-") if self.type == "pypi" else path
