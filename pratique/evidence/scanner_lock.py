"""A lock for all processes on this machine, so that one scanner at a time updates a database."""

from __future__ import annotations

import asyncio
import fcntl
import hashlib
import os
import tempfile
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

_PAUSE = 0.2  # seconds between two attempts to take the lock


@asynccontextmanager
async def exclusive(name: Sequence[str]) -> AsyncIterator[None]:
    """Hold the lock of that name. It ends with the process at the latest.

    :raises OSError: when its file cannot be opened
    """
    digest = hashlib.sha256("\0".join(name).encode()).hexdigest()[:16]
    path = Path(tempfile.gettempdir()) / f"pratique-{os.getuid()}-{digest}.lock"
    descriptor = os.open(path, os.O_CREAT | os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        while True:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                await asyncio.sleep(_PAUSE)
        yield
    finally:
        os.close(descriptor)
