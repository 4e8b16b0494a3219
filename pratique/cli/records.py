"""``pratique clusters`` and ``pratique records``: the records that clusters share. They need no Prefect server."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Annotated

import typer

from pratique.cli.frame import ConfigArgument, exit_on_error, load
from pratique.cli.output import print_line
from pratique.errors import ConfigurationError

if TYPE_CHECKING:
    from pathlib import Path

    from pratique.records.branch import RecordsBranch

clusters = typer.Typer(
    no_args_is_help=True, help="Show which clusters use the registries, and remove ones that are gone."
)
records = typer.Typer(no_args_is_help=True, help="Move the records of the registries to another repository.")


def show(config: ConfigArgument) -> None:
    """List the registered clusters: registry, manifests, identities, regions."""
    found = asyncio.run(_records(config).clusters())
    for cluster in sorted(found.clusters, key=lambda cluster: cluster.key):
        print_line(f"{cluster.cluster} uses {cluster.registry}")
        print_line(f"  manifests:  {cluster.manifests}")
        print_line(f"  identities: {', '.join(cluster.identities)}")
        print_line(f"  regions:    {', '.join(cluster.regions) or 'not known'}")
        print_line(f"  registered: {cluster.registered:%Y-%m-%d %H:%M} UTC by run {cluster.run or 'unknown'}")
    print_line(f"{len(found.clusters)} registered")


def forget(
    config: ConfigArgument,
    name: Annotated[str, typer.Argument(help="Its resource group, or subscription/resource group.")],
) -> None:
    """Remove a cluster that is gone. Rescans no longer read its manifests, and may block what only it used."""
    from pratique.records import clusters as cluster_file
    from pratique.records.clusters import Clusters

    files = {cluster_file.FILE: lambda text: Clusters.parse(text).without(name).text()}
    asyncio.run(_records(config).write(files, f"Forget the cluster {name}.", run=""))
    print_line(f"{name} is no longer registered. Name its identities in registries.promoters if it promoted images.")


def copy(config: ConfigArgument) -> None:
    """Copy the records from the manifests' repository to registries.records.remote. The old branch stays."""
    from pratique.records.moving import copy_records

    loaded = load(config)
    if loaded.registries.records.remote is None:
        raise ConfigurationError(
            "copy the records",
            str(config),
            "registries.records has no remote, so the records already are where they are to be.",
            "Set registries.records.remote first.",
        )
    new = _records(config)
    published = asyncio.run(copy_records(new, _records(config, beside_manifests=True)))
    print_line(f"copied to {new.repository}" if published.commits else "nothing to do: everything is there already")


def _records(path: Path, *, beside_manifests: bool = False) -> RecordsBranch:
    """The records branch of a configuration.

    :param beside_manifests: the one that it would have without a remote of its own for records
    """
    from pratique.git.checkout import CommitAuthor
    from pratique.records.branch import RecordsBranch
    from pratique.release import delivery
    from pratique.secret import SecretSource

    async def read(name: str) -> bytes:
        return SecretSource.parse(name).read()

    config = load(path)
    author, find = config.manifests.author, delivery.former_records if beside_manifests else delivery.records_repository
    return RecordsBranch(asyncio.run(find(config, read)), CommitAuthor(author.name, author.email))


clusters.command("list")(exit_on_error(show))
clusters.command()(exit_on_error(forget))
records.command()(exit_on_error(copy))
