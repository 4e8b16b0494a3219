"""Who uses an image of ``live/``: the configuration's own manifests, and other clusters that use the registry."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from pratique.manifests.usage import Use


@dataclass(frozen=True, order=True)
class OtherUse:
    """Another cluster that uses an image, or may use it.

    :ivar label: the cluster's name, for people
    :ivar detail: the manifest file, or why the cluster counts as using every image
    :ivar cluster: its key
    """

    label: str
    detail: str
    cluster: str

    def __str__(self) -> str:
        return f"{self.label}: {self.detail}"


class Users:
    """Finds the users of an image by its digests or tags; a reference without either may be to any of its repository.

    :param uses: references in the manifests of all clusters
    :param unreadable: clusters whose manifests cannot be read. They count as using every image
    """

    def __init__(self, uses: Sequence[Use], unreadable: Sequence[OtherUse] = ()) -> None:
        self._own: dict[tuple[str, str], set[str]] = {}
        self._elsewhere: dict[tuple[str, str], set[OtherUse]] = {}
        self._unreadable = frozenset(unreadable)
        for use in uses:
            key = (use.repository, use.digest or use.tag)
            if use.cluster:
                self._elsewhere.setdefault(key, set()).add(OtherUse(use.label, use.file, use.cluster))
            else:
                self._own.setdefault(key, set()).add(use.file)

    def own(self, repository: str, digests: Collection[str], tags: Sequence[str]) -> tuple[str, ...]:
        """The files of the own manifests that use an image."""
        return tuple(sorted({file for key in _keys(repository, digests, tags) for file in self._own.get(key, ())}))

    def elsewhere(self, repository: str, digests: Collection[str], tags: Sequence[str]) -> tuple[OtherUse, ...]:
        """The other clusters that use an image, or may use it."""
        found = {use for key in _keys(repository, digests, tags) for use in self._elsewhere.get(key, ())}
        return tuple(sorted(found | self._unreadable))


def _keys(repository: str, digests: Collection[str], tags: Sequence[str]) -> list[tuple[str, str]]:
    return [(repository, name) for name in (*digests, *tags, "")]
