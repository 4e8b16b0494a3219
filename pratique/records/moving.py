"""Copies the records of one repository to another one, when a registry's records get a repository of their own."""

from __future__ import annotations

from collections.abc import Callable

from pratique.errors import ConfigurationError, Conflict, NotFound
from pratique.git.checkout import Repository, connection, remote_head
from pratique.git.publish import Publication
from pratique.records import cases as case_file
from pratique.records import clusters as cluster_file
from pratique.records import promotions as promotion_file
from pratique.records import registry_policy as policy_file
from pratique.records import seals as seal_file
from pratique.records.branch import RecordsBranch
from pratique.records.cases import Cases
from pratique.records.clusters import Clusters
from pratique.records.promotions import Promotions
from pratique.records.registry_policy import RegistryPolicies
from pratique.records.seals import Seals

#: All files with records. That of drills is kept by :mod:`pratique.audit.drill.report`.
DRILLS = "drills.json"
FILES = (promotion_file.FILE, case_file.FILE, cluster_file.FILE, policy_file.FILE, seal_file.FILE, DRILLS)
_ATTEMPTED = "copy the records"


async def require_moved(new: Repository, old: Repository) -> None:
    """Check that no records were left behind when the configuration named another repository for them.

    :param new: where the records are to be
    :param old: where they were without ``registries.records.remote``
    :raises ConfigurationError: when only the old repository has records: without them holds and clocks would be lost
    :raises PratiqueError: when a repository cannot be read
    """
    if await _head(new) is None and (head := await _head(old)) is not None:
        raise ConfigurationError(
            "use the records",
            str(new),
            f"It has no records yet, and {old} has (commit {head[:12]}). Holds, clocks and promotions would be lost.",
            "Run 'pratique records copy' with this configuration. If those are of another registry, delete that "
            "branch.",
        )


async def copy_records(new: RecordsBranch, old: RecordsBranch) -> Publication:
    """Copy all records, in one commit that says where their history is. What the new repository has already stays.

    :raises NotFound: when the old repository has no records
    :raises Conflict: when both have drills
    :raises UnreadableAnswer: when a file is malformed
    """
    head = await _head(old.repository)
    if head is None:
        raise NotFound(_ATTEMPTED, str(old.repository), "There is no such branch.", "There is nothing to copy.")
    texts = await old.texts(*FILES)
    merges = {file: _merge(file, text) for file, text in texts.items()}
    message = f"Copy the records of {old.repository}, commit {head}, which has their history."
    return await new.write(merges, message, run="")


def _merge(file: str, text: str) -> Callable[[str | None], str]:
    def merge(present: str | None) -> str:
        if present is None or present == text:
            return text
        if file == promotion_file.FILE:
            return Promotions.parse(present).with_records(Promotions.parse(text).records).text()
        if file == case_file.FILE:
            here = Cases.parse(present)
            return Cases(
                (*here.cases, *(case for case in Cases.parse(text).cases if case.key not in here.by_key))
            ).text()
        if file == cluster_file.FILE:
            clusters = Clusters.parse(present)
            known = {cluster.key for cluster in clusters.clusters}
            new = (cluster for cluster in Clusters.parse(text).clusters if cluster.key not in known)
            return Clusters((*clusters.clusters, *new)).text()
        if file == policy_file.FILE:
            policies = RegistryPolicies.parse(present)
            new_policies = (each for each in RegistryPolicies.parse(text).records if not policies.find(each.registry))
            return RegistryPolicies((*policies.records, *new_policies)).text()
        if file == seal_file.FILE:
            seals = Seals.parse(present)
            return Seals.parse(text).with_changes(seals.records).text()
        observed = f"Both repositories have {file}, which cannot be merged."
        raise Conflict(_ATTEMPTED, file, observed, "Merge that file by hand on the new branch, then copy again.")

    return merge


async def _head(repository: Repository) -> str | None:
    async with connection(repository) as (git, root):
        return await remote_head(git, repository, root)
