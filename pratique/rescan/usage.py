"""Reads which images of a registry's ``live/`` are in use, in the manifests of every cluster that uses the registry.

Where the other clusters' manifests are says ``clusters.json``, which others can write. So their repositories are read
with the logins of ``registries.readers`` only, and not at all where none is named. A cluster whose manifests cannot be
read counts as using every image: nothing is known about what it runs.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace

from pratique import remotes
from pratique.errors import ConfigurationError, NotFound, PratiqueError, UnreadableAnswer
from pratique.git.checkout import Repository, checkout
from pratique.git.credentials import Credentials
from pratique.manifests.usage import Use, references
from pratique.records.clusters import RegisteredCluster
from pratique.rescan.users import OtherUse

_AT_ONCE = 4

#: Finds the login to the repository of another cluster.
#:
#: :raises ConfigurationError: when the configuration names none
FindLogin = Callable[[str], Awaitable[Credentials]]


@dataclass(frozen=True)
class Usage:
    """References to the images of one registry.

    :ivar uses: in the manifests of all clusters
    :ivar unreadable: clusters whose manifests cannot be read
    :ivar notes: sentences on what cannot be read
    """

    uses: tuple[Use, ...]
    unreadable: tuple[OtherUse, ...] = ()
    notes: tuple[str, ...] = ()


async def read_usage(
    registry: str, own: Repository, others: Sequence[RegisteredCluster], find_login: FindLogin, *, cluster: str
) -> Usage:
    """Read the manifests of all clusters.

    :param registry: login server
    :param own: repository of the configuration's own manifests
    :param others: the other clusters that are registered for the registry
    :param cluster: key of the configuration's own cluster
    :raises PratiqueError: when the own manifests cannot be read
    """
    labels, limit = _labels(others, cluster), asyncio.Semaphore(_AT_ONCE)

    async def read(other: RegisteredCluster) -> Usage:
        async with limit:
            return await _read_other(registry, other, labels[other.cluster], find_login)

    async def read_own() -> Usage:
        async with checkout(own) as tree:
            return Usage(tuple(await asyncio.to_thread(references, tree.root, own.folder, registry)))

    found = await asyncio.gather(read_own(), *map(read, others))
    return Usage(
        tuple(use for usage in found for use in usage.uses),
        tuple(use for usage in found for use in usage.unreadable),
        tuple(note for usage in found for note in usage.notes),
    )


def unreadable_clusters(error: PratiqueError, label: str = "other clusters") -> Usage:
    """What is known when the list of the clusters itself cannot be read: any of them may use any image.

    :param label: what to call them
    """
    return _unreadable(label, "", error)


async def _read_other(registry: str, other: RegisteredCluster, label: str, find_login: FindLogin) -> Usage:
    try:
        repository = _repository(other, await find_login(other.remote))
        async with checkout(repository) as tree:
            if not (tree.root / other.folder).is_dir():
                raise NotFound(
                    "read the manifests",
                    other.manifests,
                    "The folder does not exist.",
                    "Release to that cluster again.",
                )
            found = await asyncio.to_thread(references, tree.root, other.folder, registry)
    except PratiqueError as error:
        return _unreadable(label, other.cluster, error)
    except (OSError, RecursionError) as error:  # files that no manifest should be must not stop this cluster's rescan
        odd = UnreadableAnswer("read the manifests", other.manifests, f"{error}.", "Look at that repository.")
        return _unreadable(label, other.cluster, odd)
    return Usage(tuple(replace(use, cluster=other.cluster, label=label) for use in found))


def _repository(other: RegisteredCluster, credentials: Credentials) -> Repository:
    """:raises UnreadableAnswer: when the branch or the folder are none"""
    if not (remotes.is_branch(other.branch) and remotes.is_folder(other.folder)):
        raise UnreadableAnswer(
            "read the records of clusters",
            other.manifests,
            "This branch or folder cannot exist.",
            f"Correct the entry of {other.cluster} in clusters.json on the records branch, or remove it with "
            "'pratique clusters forget'.",
        )
    return Repository(remote=other.remote, branch=other.branch, folder=other.folder, credentials=credentials)


def _unreadable(label: str, cluster: str, error: PratiqueError) -> Usage:
    reason = "manifests that cannot be read, so that it counts as using every image"
    note = (
        f"The manifests of {label} cannot be read ({error.subject}: {error.observed}), so {label} counts as using "
        f"every image: no pulls are blocked, nothing counts as replaced, and nothing is unlocked. Next: {error.remedy}"
    )
    return Usage((), (OtherUse(label, reason, cluster or label),), (note,))


def _labels(others: Sequence[RegisteredCluster], own: str) -> dict[str, str]:
    """What to call each cluster: its resource group, or more where several clusters have one of that name."""
    names = Counter([own.partition("/")[2], *(other.name for other in others)])
    return {other.cluster: other.cluster if names[other.name] > 1 else other.name for other in others}


def no_reader(remote: str) -> ConfigurationError:
    """The error for a remote that no entry of ``registries.readers`` names."""
    return ConfigurationError(
        "read the manifests of another cluster",
        remote,
        "registries.readers names no login for it, and no other login is used.",
        "Add an entry for this remote to registries.readers, or remove the cluster with 'pratique clusters forget'.",
    )
