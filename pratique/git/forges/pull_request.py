"""Opens a pull request for a branch, or updates the one that is open.

::

    request = await propose(forge_of(remote, token, http), Proposal("pratique/rg-bu0001a0008", "main", title, body))
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from pratique.errors import Conflict, Unavailable
from pratique.git.forges.branch_rules import BranchRules


@dataclass(frozen=True)
class Proposal:
    """Branches and texts of a pull request.

    :ivar source: branch with the commits
    :ivar target: branch to merge them into
    :ivar body: Markdown
    """

    source: str
    target: str
    title: str
    body: str


@dataclass(frozen=True)
class PullRequest:
    """An open pull request, as the forge shows it.

    :ivar url: of its page
    """

    number: int
    url: str
    title: str
    body: str


class Forge(Protocol):
    """The pull requests of one repository, and the rules of its branches.

    Each method raises only this project's errors. :class:`Unavailable` means that there was no response, so the request
    may or may not have taken effect.
    """

    async def find(self, source: str, target: str) -> PullRequest | None:
        """The open pull request between two branches; there is never more than one."""

    async def open(self, proposal: Proposal) -> PullRequest:
        """Open a pull request.

        :raises Conflict: when one is open already
        """

    async def update(self, request: PullRequest, proposal: Proposal) -> PullRequest:
        """Set the title and the body of a pull request."""

    async def rules(self, branch: str) -> BranchRules:
        """What the forge demands of pushes to a branch, which need not exist."""


async def propose(forge: Forge, proposal: Proposal, *, update: bool = True) -> PullRequest:
    """The open pull request for a branch, or a new one. A closed pull request stays closed.

    :param update: whether an open pull request gets this title and body
    :raises PratiqueError: when the forge refuses
    """
    found = await forge.find(proposal.source, proposal.target)
    if found is None:
        try:
            return await forge.open(proposal)
        except (Unavailable, Conflict):
            # It was opened but the response was lost, or another run was faster.
            found = await forge.find(proposal.source, proposal.target)
            if found is None:
                raise
    if update and (found.title, found.body) != (proposal.title, proposal.body):
        return await forge.update(found, proposal)
    return found
