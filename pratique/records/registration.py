"""Registers a cluster for the registry that it uses, and compares its policy with the registry's, in one commit.

Both are decided on the records as they are when the commit is pushed, so two clusters that register at once do not
overlook each other, whatever server their runs are on.
"""

from __future__ import annotations

from collections.abc import Collection

from pratique.git.publish import Publication
from pratique.records import clusters as cluster_file
from pratique.records import registry_policy as policy_file
from pratique.records.branch import RecordsBranch
from pratique.records.clusters import Clusters, RegisteredCluster
from pratique.records.registry_policy import PolicyRecord, RegistryPolicies, decides


async def register(
    branch: RecordsBranch, cluster: RegisteredCluster, policy: PolicyRecord, *, setting: str, run: str
) -> Publication:
    """Register a cluster. What is on record already makes no commit.

    :param policy: the configuration's
    :param setting: ``registries.policy``
    :param run: id of the flow run, for the commit's trailer
    :raises ConfigurationError: when the configuration is laxer than the registry's policy; then nothing is written
    :raises UnreadableAnswer: when one of the files is malformed
    :raises PratiqueError: as :func:`pratique.git.publish.publish`
    """
    others: list[RegisteredCluster] = []

    def clusters(text: str | None) -> str | None:
        known = Clusters.parse(text)
        others[:] = [other for other in known.of(cluster.registry) if other.cluster != cluster.cluster]
        after = known.with_cluster(cluster)
        return text if after == known else after.text()

    def policies(text: str | None) -> str | None:
        known = RegistryPolicies.parse(text)
        after = known.with_policy(policy, decides=decides(setting, others))
        return text if after == known else after.text()

    # In this order: the second rewrite needs the other clusters, which the first one has read.
    files = {cluster_file.FILE: clusters, policy_file.FILE: policies}
    return await branch.write(files, f"Register {cluster.name} for {cluster.registry}.", run=run)


def require_policy(text: str | None, own: PolicyRecord, *, setting: str, others: Collection[object]) -> None:
    """Check a configuration against its registry's policy, and write nothing.

    :param text: of the file with the policies of registries
    :param own: the configuration's
    :param setting: ``registries.policy``
    :param others: the other clusters that are registered for the registry
    :raises ConfigurationError: when the configuration is laxer, and does not decide
    :raises UnreadableAnswer: when the file is malformed
    """
    known = RegistryPolicies.parse(text).find(own.registry)
    if known is not None and not decides(setting, others):
        known.require_as_strict(own.policy)
