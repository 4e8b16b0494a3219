"""What a forge demands of pushes to a branch."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class BranchRules:
    """The rules of a branch, as far as the forge shows them to this token. Rules that it may bypass do not count.

    :ivar pull_request: whether changes need a pull request; ``None`` when the forge does not show it
    :ivar signatures: whether commits need a verified signature; ``None`` when the forge does not show it
    """

    pull_request: bool | None = False
    signatures: bool | None = False
