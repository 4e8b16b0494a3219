"""The names that runs of this project end in."""

from __future__ import annotations

from pratique.errors import PratiqueError
from tasks.step import ACCESS_REVOKED, BREAK_GLASS_USED, NOT_VERIFIED, NOTHING_TO_DO, PLANNED

RESULTS = frozenset({NOTHING_TO_DO, ACCESS_REVOKED, PLANNED, NOT_VERIFIED, BREAK_GLASS_USED})


def failures(kind: type[PratiqueError] = PratiqueError) -> frozenset[str]:
    """The names of states that errors of a class, and of the classes below it, end a run in."""
    own = {kind.state_name} if kind.state_name else set()
    return frozenset(own).union(*(failures(subclass) for subclass in kind.__subclasses__()))
