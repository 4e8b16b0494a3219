"""Answers that never come. Whoever holds the connection acts on these; no layer between turns them into an answer."""

from __future__ import annotations


class Cut(Exception):
    """There is no answer: the connection ends, or nothing is said until the client ends it.

    :ivar reset: whether the sandbox aborts the connection at once
    """

    def __init__(self, *, reset: bool) -> None:
        super().__init__(reset)
        self.reset = reset
