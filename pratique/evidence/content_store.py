"""Keeps the bytes of attestations on this machine, so that the next rescan does not download them again.

::

    with ContentStore.open() as store:
        manifest = await fetch_manifest(client, artifact, store)

Only bytes are kept, under the digest that names them, and never what followed from them. The registry is always asked
which attestations an image has. What comes from here is hashed again, and then parsed and verified like a download:
under the trust stores, identities and revocation settings of this run, and at its time. Nothing is kept of an answer
without a digest: no list, no absence, no error, no revocation status. Whoever can write the file can therefore make a
run download more, and cannot change a verdict.

The file is a cache. Without it, or where it cannot be written, everything is downloaded.
"""

from __future__ import annotations

import contextlib
import json
import os
import sqlite3
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Self

from pratique.images import ImageReference, digest_of
from pratique.oci.client import Manifest, OciClient
from pratique.oci.media_types import INDEXES, MANIFESTS

LARGEST = 1024 * 1024  # bytes of one content; larger ones are rare, and downloaded each time
LARGEST_TOTAL = 1024 * 1024 * 1024  # bytes; beyond this nothing more is kept
KEPT = 30  # days since the last use

_TABLE = "CREATE TABLE IF NOT EXISTS contents (digest TEXT PRIMARY KEY, content BLOB NOT NULL, used INTEGER NOT NULL)"
#: A crash may lose or damage the file. Both are noticed, and cost a download.
_SETTINGS = ("PRAGMA journal_mode = WAL", "PRAGMA synchronous = OFF", _TABLE)


def cache_file() -> Path:
    """Where this user's contents are kept: below ``XDG_CACHE_HOME``, by default ``~/.cache``.

    :raises RuntimeError: when the user has no home
    """
    configured = os.environ.get("XDG_CACHE_HOME", "")
    folder = Path(configured) if os.path.isabs(configured) else Path("~/.cache").expanduser()
    return folder / "pratique" / "attestations.sqlite"


class ContentStore:
    """Contents by digest, in a file that concurrent runs may share.

    Reads and writes take microseconds each, so they do not leave the event loop. None of them ever waits for a lock.
    """

    def __init__(self, path: Path, database: sqlite3.Connection | None) -> None:
        """For a usable store call :meth:`open`.

        :param database: ``None`` keeps nothing
        """
        self._path = path
        self._database = database
        self._today = datetime.now(UTC).date().toordinal()
        self._room = 0 if database is None else LARGEST_TOTAL - _size(database)

    @classmethod
    def open(cls, path: Path | None = None) -> ContentStore:
        """Open the file, or create it, and drop what nobody used for long. Without a usable file, nothing is kept.

        :param path: of the file; by default :func:`cache_file`
        """
        try:
            path = path or cache_file()
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            path.touch(mode=0o600)
            try:
                return cls(path, _connect(path))
            except sqlite3.Error as error:
                if not _is_damaged(error):
                    raise
                _remove(path)
                return cls(path, _connect(path))
        except (OSError, RuntimeError, sqlite3.Error):
            return cls(Path(), None)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._database is not None:
            self._database.close()
        self._database = None

    def get(self, digest: str) -> bytes | None:
        """The bytes with this digest; ``None`` when they are not kept, or what is kept has another digest."""
        found = self._run("SELECT content, used FROM contents WHERE digest = ?", digest)
        if not found:
            return None
        content, used = found[0]
        if not isinstance(content, bytes) or digest_of(content) != digest:
            self._run("DELETE FROM contents WHERE digest = ?", digest)
            return None
        if used != self._today:
            self._run("UPDATE contents SET used = ? WHERE digest = ?", self._today, digest)
        return content

    def add(self, digest: str, content: bytes) -> None:
        """Keep bytes whose digest was checked, as far as there is room."""
        if len(content) <= min(LARGEST, self._room):
            self._room -= len(content)
            self._run("INSERT OR REPLACE INTO contents VALUES (?, ?, ?)", digest, content, self._today)

    def _run(self, statement: str, *values: object) -> list[tuple[object, object]]:
        """The rows; none where another run holds the lock, or the file cannot be used."""
        if self._database is None:
            return []
        try:
            return self._database.execute(statement, values).fetchall()
        except sqlite3.Error as error:
            if _is_damaged(error):
                self.__exit__(None, None, None)
                _remove(self._path)
            return []


async def fetch_manifest(client: OciClient, reference: ImageReference, store: ContentStore | None) -> Manifest:
    """The manifest of a digest that the registry has just listed; errors are those of :meth:`.OciClient.manifest`.

    A manifest is kept if it states its own media type: nothing else names that, and signatures cover it.
    """
    known = store.get(reference.digest or "") if store else None
    if known is not None and (manifest := _manifest(known, reference.digest or "")) is not None:
        return manifest
    found = await client.manifest(reference)
    if store and found.document.get("mediaType") == found.media_type:
        store.add(found.digest, found.content)
    return found


async def fetch_blob(
    client: OciClient, reference: ImageReference, digest: str, store: ContentStore | None, *, largest: int
) -> bytes:
    """A blob that a manifest names; parameters and errors are those of :meth:`.OciClient.blob`."""
    known = store.get(digest) if store else None
    if known is not None and len(known) <= largest:
        return known
    content = await client.blob(reference, digest, largest=largest)
    if store:
        store.add(digest, content)
    return content


def _manifest(content: bytes, digest: str) -> Manifest | None:
    """The manifest as :meth:`.OciClient.manifest` reads it; ``None`` for other bytes."""
    try:
        document = json.loads(content)
    except (ValueError, RecursionError):
        return None
    media_type = document.get("mediaType") if isinstance(document, dict) else None
    if not isinstance(media_type, str) or media_type not in INDEXES | MANIFESTS:
        return None
    return Manifest(media_type, digest, content, document)


def _connect(path: Path) -> sqlite3.Connection:
    database = sqlite3.connect(path, timeout=0, isolation_level=None)
    try:
        for setting in _SETTINGS:
            database.execute(setting)
        oldest = datetime.now(UTC).date().toordinal() - KEPT
        with contextlib.suppress(sqlite3.OperationalError):  # another run is writing
            database.execute("DELETE FROM contents WHERE used < ?", (oldest,))
    except sqlite3.Error:
        database.close()
        raise
    return database


def _is_damaged(error: sqlite3.Error) -> bool:
    """Whether the file is no database, or its content is lost; not whether another run is using it, say."""
    code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_OK)
    return code & 0xFF in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)


def _size(database: sqlite3.Connection) -> int:
    """Bytes in use."""
    pages, free, size = (
        int(database.execute(f"PRAGMA {name}").fetchone()[0]) for name in ("page_count", "freelist_count", "page_size")
    )
    return (pages - free) * size


def _remove(path: Path) -> None:
    for suffix in ("", "-wal", "-shm"):
        Path(f"{path}{suffix}").unlink(missing_ok=True)
