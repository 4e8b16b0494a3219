"""Reads JSON only where containerd, which is written in Go, cannot read something else in it.

Go's ``encoding/json`` finds a field by its name without regard to case (the Kelvin sign is a ``k``), and of fields that
are there twice it takes the last, or merges them. A document in which that makes a difference is refused::

    document = parse_document(b'{"manifests": [], "Manifests": [1]}')
    document.check(DOCUMENT_FIELDS)  # raises Ambiguous

Facts: Go 1.26, ``encoding/json`` (``fold.go``, ``decode.go``); OCI image-spec v1.1; containerd 2.4,
``validateMediaType``.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Collection
from typing import Any

from pratique.images import DIGEST_PATTERN
from pratique.platforms import Platform

#: What containerd reads of an index or a manifest, to tell one from the other as well.
DOCUMENT_FIELDS = frozenset(
    {
        "schemaVersion",
        "mediaType",
        "artifactType",
        "manifests",
        "config",
        "layers",
        "fsLayers",
        "subject",
        "annotations",
    }
)
_DESCRIPTOR_FIELDS = frozenset(
    {"mediaType", "digest", "size", "urls", "annotations", "data", "platform", "artifactType"}
)
_PLATFORM_FIELDS = frozenset({"architecture", "os", "os.version", "os.features", "variant"})
_NAME = re.compile(r"[A-Za-z0-9_.+-]*")  # of an operating system, an architecture or a variant


class Ambiguous(ValueError):
    """The document does not say one thing to every reader.

    :ivar reason: why, as a sentence
    :ivar within: digest of the manifest below the image that it is about; empty for the image itself
    """

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason
        self.within = ""

    def __str__(self) -> str:
        return f"In {self.within} below it: {self.reason}" if self.within else self.reason


class NoImages(Ambiguous):
    """The index lists nothing that can be run."""


class Document(dict[str, Any]):
    """A JSON object that knows which of its keys were there more than once."""

    def __init__(self, pairs: list[tuple[str, Any]]) -> None:
        super().__init__(pairs)
        self.repeated = frozenset() if len(self) == len(pairs) else _repeated([key for key, _ in pairs])

    def check(self, fields: Collection[str]) -> None:
        """:raises Ambiguous: when one of the fields is there twice, or in another spelling that Go reads as well"""
        folded = {field.casefold(): field for field in fields}
        for key in self:
            field = folded.get(key.casefold())
            if field is not None and key != field:
                raise Ambiguous(f"It has the key {key!r}, which some readers take for {field!r}.")
            if field is not None and key in self.repeated:
                raise Ambiguous(f"It has the key {key!r} twice.")

    def text(self, field: str) -> str:
        """A field's text; empty where it is absent or null."""
        value = self.get(field)
        if value is not None and not isinstance(value, str):
            raise Ambiguous(f"Its {field!r} is {value!r:.80}, not a text.")
        return value or ""

    def object(self, field: str) -> Document | None:
        """A field's object; ``None`` where it is absent or null."""
        value = self.get(field)
        if value is not None and not isinstance(value, Document):
            raise Ambiguous(f"Its {field!r} is {value!r:.80}, not an object.")
        return value


def parse_document(content: bytes) -> Document:
    """A JSON object in UTF-8.

    :raises Ambiguous: when it is none
    """
    try:
        document = json.loads(content.decode(), object_pairs_hook=Document, parse_constant=_no_constant)
    except (ValueError, RecursionError):
        raise Ambiguous("It is not JSON in UTF-8.") from None
    if not isinstance(document, Document):
        raise Ambiguous("It is not a JSON object.")
    return document


def index_entries(content: bytes) -> list[Document]:
    """The descriptors of an index, each with a valid digest.

    :raises Ambiguous: when it is not an index, or not only that
    """
    index = parse_document(content)
    index.check(DOCUMENT_FIELDS)
    if mixed := sorted({"config", "layers", "fsLayers"} & index.keys()):
        raise Ambiguous(f"It is an index and has {mixed[0]!r}, as only a manifest has.")
    entries = _descriptors(index, "manifests")
    for entry in entries:
        if not re.fullmatch(DIGEST_PATTERN, entry.text("digest")):
            raise Ambiguous(f"It names {entry.get('digest')!r:.100}, which is not a SHA-256 digest.")
    return entries


def manifest_config(content: bytes) -> Document:
    """The descriptor of a manifest's configuration. Those of its layers are checked as well.

    :raises Ambiguous: when it is not a manifest, or not only that
    """
    manifest = parse_document(content)
    manifest.check(DOCUMENT_FIELDS)
    if mixed := sorted({"manifests", "fsLayers"} & manifest.keys()):
        raise Ambiguous(f"It is a manifest and has {mixed[0]!r}, which belongs to another type.")
    _descriptors(manifest, "layers")
    config = manifest.object("config") or Document([])
    config.check(_DESCRIPTOR_FIELDS)
    return config


def _descriptors(document: Document, field: str) -> list[Document]:
    """The descriptors in a list; none where it is absent or null."""
    entries = document.get(field)
    if entries is None:
        return []
    if not isinstance(entries, list) or not all(isinstance(entry, Document) for entry in entries):
        raise Ambiguous(f"Its {field!r} is not a list of descriptors.")
    for entry in entries:
        entry.check(_DESCRIPTOR_FIELDS)
        for name in ("digest", "mediaType"):
            entry.text(name)  # refuses what is not a text
    return entries


def platform_of(document: Document) -> Platform:
    """The platform that a descriptor's ``platform`` or an image's configuration names.

    :raises Ambiguous: when it cannot be told for certain
    """
    document.check(_PLATFORM_FIELDS)
    names = [document.text(field) for field in ("os", "architecture", "variant")]
    for name in names:
        if not _NAME.fullmatch(name):
            raise Ambiguous(f"It names the platform {'/'.join(names)!r:.100}.")
    specific = bool(document.text("os.version") or document.get("os.features"))
    return Platform.of(*names, specific=specific)


def _repeated(keys: list[str]) -> frozenset[str]:
    return frozenset(key for key, count in Counter(keys).items() if count > 1)


def _no_constant(name: str) -> None:
    raise ValueError(name)
