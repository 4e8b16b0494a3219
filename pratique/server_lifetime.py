"""Whether the Prefect server of this process ends with it: then no other run and no person reaches it."""

from __future__ import annotations

from contextvars import ContextVar

#: Set by the command line around a run for which it has started a server.
server_is_temporary: ContextVar[bool] = ContextVar("pratique_server_is_temporary", default=False)
