"""Connections that end without a response. The application acts on them; no layer turns them into a response."""

from __future__ import annotations


class Cut(Exception):
    """No response: the connection is reset, or stays silent until the client closes it.

    :ivar reset: whether the sandbox resets the connection at once
    """

    def __init__(self, *, reset: bool) -> None:
        super().__init__(reset)
        self.reset = reset
