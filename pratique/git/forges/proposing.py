"""One pull request from a branch of ours, however often it is asked for.

::

    request = await propose(forge_of(remote, token, http), Proposal("pratique/rg-bu0001a0008", "main", title, body))
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from pratique.errors import Conflict, Unavailable


@dataclass(frozen=True)
class Proposal:
    """What a pull request asks for.

    :ivar source: branch with the commits
    :ivar target: branch that is to get them
    :ivar body: Markdown
    """

    source: str
    target: str
    title: str
    body: str


@dataclass(frozen=True)
class PullRequest:
    """An open one, as the forge shows it.

    :ivar url: of its page
    """

    number: int
    url: str
    title: str
    body: str


class Forge(Protocol):
    """The pull requests of one repository. Each method raises errors of ours only, :class:`Unavailable` when there was
    no answer, so that nobody knows what came of it."""

    async def find(self, source: str, target: str) -> PullRequest | None:
        """The open pull request between two branches; there is never more than one."""

    async def open(self, proposal: Proposal) -> PullRequest:
        """:raises Conflict: when there is one already"""

    async def update(self, request: PullRequest, proposal: Proposal) -> PullRequest:
        """Give it another title and body."""


async def propose(forge: Forge, proposal: Proposal, *, again: bool = True) -> PullRequest:
    """The pull request for a branch: the one that is open, or a new one. One that was closed stays closed.

    :param again: whether one that is open gets this title and body
    :raises PratiqueError: what the forge refuses with
    """
    found = await forge.find(proposal.source, proposal.target)
    if found is None:
        try:
            return await forge.open(proposal)
        except (Unavailable, Conflict):
            # Opened after all, and the answer was lost; or another run was quicker.
            found = await forge.find(proposal.source, proposal.target)
            if found is None:
                raise
    if again and (found.title, found.body) != (proposal.title, proposal.body):
        return await forge.update(found, proposal)
    return found
