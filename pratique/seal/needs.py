"""Why an image in ``live/`` is still needed, so that it stays locked: pure decisions.

The registry is shared. An image is retired only when no registered cluster's manifests use it, no catalogue names it,
and no case about it is open. What cannot be read counts as needing every image.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from pratique.images import LIVE
from pratique.records.cases import Case, Cases, Condition
from pratique.rescan.users import Users
from pratique.seal.images import PromotedImage

#: How the reason begins that only a case gives.
OPEN_CASE = "an open case"

#: Conditions in which somebody has to act on an image, or its clock runs.
_OPEN = (Condition.BAD, Condition.WATCHED)


@dataclass(frozen=True)
class Needs:
    """Who may need images.

    :ivar users: by the manifests of all registered clusters
    :ivar catalogues: by the name of each cluster, what its catalogue has below ``live/``, as ``repository:tag``;
        ``None`` where that is not on record
    """

    users: Users
    cases: Cases
    catalogues: Mapping[str, frozenset[str] | None]

    def of(self, image: PromotedImage) -> tuple[str, ...]:
        """Why an image is still needed, for people; nothing if it is not."""
        place = (image.repository, image.digests, image.names)
        files = self.users.own(*place)
        others = map(str, self.users.elsewhere(*place))
        return (*files, *others, *self._catalogues(image), *self._case(self.cases.by_key.get(image.key)))

    def _catalogues(self, image: PromotedImage) -> Iterator[str]:
        names = {f"{image.repository.removeprefix(LIVE)}:{tag}" for tag in image.names}
        for cluster, catalogue in self.catalogues.items():
            if catalogue is None:
                yield f"the catalogue of {cluster} is not on record: release to that cluster again"
            elif names & catalogue:
                yield f"the catalogue of {cluster}"

    @staticmethod
    def _case(case: Case | None) -> Iterator[str]:
        if case is None:
            return
        if case.condition in _OPEN:
            yield f"{OPEN_CASE}: {case.condition} since {case.since:%Y-%m-%d}"
        elif case.held_since or case.blocked_since:
            yield f"{OPEN_CASE}: held, or pulls blocked"
