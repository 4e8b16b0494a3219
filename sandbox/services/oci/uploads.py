"""Upload sessions: blobs that arrive in several requests (OCI distribution spec v1.1, "Pushing a blob in chunks")."""

from __future__ import annotations

import uuid

from sandbox.services.oci.errors import BlobUploadInvalid, BlobUploadUnknown
from sandbox.services.oci.store import RegistryStore


class Uploads:
    """The open sessions of one registry; each belongs to the repository in which it started."""

    def __init__(self, store: RegistryStore) -> None:
        self._store = store
        self._sessions: dict[str, tuple[str, bytearray]] = {}

    def begin(self, repository: str) -> str:
        """Open a session and return its id."""
        self._store.writable(repository)
        upload = str(uuid.uuid4())
        self._sessions[upload] = (repository, bytearray())
        return upload

    def append(self, repository: str, upload: str, chunk: bytes, start: int | None = None) -> int:
        """Add a chunk and return the bytes received so far.

        :param start: the offset from the client; None without one
        :raises BlobUploadInvalid: when the chunk does not continue where the last one ended
        """
        received = self._received(repository, upload)
        if start is not None and start != len(received):
            raise BlobUploadInvalid({"expected": len(received), "start": start}, "chunks must be uploaded in order")
        received.extend(chunk)
        return len(received)

    def finish(self, repository: str, upload: str, digest: str) -> str:
        """Turn the received bytes into a blob; the session ends only when the digest matches."""
        stored = self._store.put_blob(repository, bytes(self._received(repository, upload)), digest)
        del self._sessions[upload]
        return stored

    def cancel(self, repository: str, upload: str) -> None:
        """:raises BlobUploadUnknown: when the repository has no such session"""
        self._received(repository, upload)
        del self._sessions[upload]

    def _received(self, repository: str, upload: str) -> bytearray:
        owner, received = self._sessions.get(upload, (None, bytearray()))
        if owner != repository:
            raise BlobUploadUnknown({"upload": upload})
        return received
