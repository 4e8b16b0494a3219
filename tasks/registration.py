"""Registers the cluster for its registry, before the first promotion."""

from __future__ import annotations

from posixpath import normpath

from prefect import get_run_logger

from pratique.cluster.infrastructure import Infrastructure
from pratique.config import Bootstrap
from pratique.evidence.registry_policy import registry_policy
from pratique.git.publish import Publication
from pratique.records.clusters import RegisteredCluster
from pratique.records.registration import register
from pratique.records.registry_policy import PolicyRecord
from tasks.policies import UNCACHED
from tasks.runtime import current, run_id
from tasks.step import NOTHING_TO_DO, step


@step(
    name="register cluster",
    run_name="register {config.cluster.resource_group} for {infrastructure.registry.name}",
    outcome=lambda publication: NOTHING_TO_DO if publication.unchanged else None,
    unlinked=("config",),
    **UNCACHED,
)
async def register_cluster(config: Bootstrap, infrastructure: Infrastructure) -> Publication:
    """Record the cluster's manifests, identity and regions, and check its policy against the registry's.

    :raises ConfigurationError: when the configuration is laxer than the registry's policy
    """
    runtime, run = current(), run_id()
    at, registry = runtime.clock.now(), infrastructure.registry.login_server
    cluster = RegisteredCluster(
        registry=registry.lower(),
        cluster=runtime.cluster_key,
        remote=config.manifests.remote,
        branch=config.manifests.branch,
        folder=normpath(config.manifests.folder),
        identities=((await runtime.session.caller()).object_id,),
        regions=tuple(sorted(set(config.registries.regions))),
        catalogue=tuple(sorted(f"{repository}:{tag}" for repository, tag in config.catalogue.sources)),
        registered=at,
        run=run,
    )
    policy = PolicyRecord.of(registry, registry_policy(config, at), cluster=cluster.cluster, at=at, run=run)
    branch = await runtime.records()
    published = await register(branch, cluster, policy, setting=config.registries.policy, run=run)
    for commit in published.commits:
        get_run_logger().info("Registered on %s as %s", branch.repository.branch, commit.sha[:12])
    return published
