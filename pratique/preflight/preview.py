"""Looks what a run would do, and does nothing: Azure, registries and the gate's sources are only read, and manifests
are edited in a clone that is thrown away.

::

    plan = await make_plan(config, sight, public_certificate, network_id)
    print(plan.text())
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import httpx

from pratique.access.requirements import required_access
from pratique.azure.registries import Registry
from pratique.azure.session import AzureSession
from pratique.azure.vault import Vault
from pratique.azure.what_if import ResourceChange
from pratique.cluster.infrastructure import Infrastructure, find_infrastructure, forecast
from pratique.cluster.stamp_parameters import StampEdit, stamp_parameters
from pratique.config import Bootstrap, Release
from pratique.errors import NotFound
from pratique.evidence.candidates import candidates
from pratique.evidence.setup import GateSetup
from pratique.gate.wait import WaitPolicy, assess_once
from pratique.git.checkout import CommitAuthor, Repository, checkout
from pratique.git.pending import reapply_pending
from pratique.git.publish import apply_edit
from pratique.images import ImageReference, ImportedImage, ResolvedImage, UnresolvedReference
from pratique.oci.client import OciClient
from pratique.preflight.plan import Plan, PlannedAccess, PlannedCommit, PlannedImage
from pratique.release.delivery import working_branch
from pratique.release.manifest_edits import edits, images_edit
from pratique.release.promotion import NotReadable, digest_at, resolve

_REGISTRY, _VAULT = "Microsoft.ContainerRegistry/registries", "Microsoft.KeyVault/vaults"
_NEW = "Not in quarantine yet, so nobody can have assessed it."
_AT_ONCE = 16


@dataclass(frozen=True)
class PlanContext:
    """What a plan looks through.

    :ivar gate: sets up the gate's sources
    """

    session: AzureSession
    http: httpx.AsyncClient
    oci: OciClient
    gate: Callable[[], Awaitable[GateSetup]]
    repository: Repository


@dataclass(frozen=True)
class _Look:
    """One image as it stands."""

    release: str
    image: ResolvedImage | UnresolvedReference
    planned: PlannedImage


async def make_plan(config: Bootstrap, sight: PlanContext, public_certificate: str, network_id: str) -> Plan:
    """What ``prepare_cluster`` would do now.

    :param public_certificate: base64 of the ingress certificate's PEM
    :param network_id: resource id of the spoke network
    :raises PratiqueError: what would stop the run before it did anything
    """
    session = sight.session
    changes = await forecast(session, config.cluster, config.network, network_id, public_certificate)
    try:
        stands, infrastructure = True, await find_infrastructure(session, config.cluster)
    except NotFound:
        stands, infrastructure = False, await _predicted(session, changes or ())
    looks: list[_Look] = []
    for release in config.catalogue.releases:
        looks += await _images(config, sight, release, infrastructure, stands)
    access = await _access(config, sight, infrastructure.vault, stands)
    commits = await _commits(config, sight, infrastructure, looks, network_id, stands)
    return Plan(changes, tuple(look.planned for look in looks), access, commits, tuple(_notes(config, looks, stands)))


async def _predicted(session: AzureSession, changes: Sequence[ResourceChange]) -> Infrastructure:
    """Names of what does not stand yet. The identity's client id is nothing that Azure could foretell."""
    found = {kind: change.id for change in changes for kind in (_REGISTRY, _VAULT) if _is(change, kind)}
    if found.keys() != {_REGISTRY, _VAULT}:
        raise NotFound(
            "foretell the infrastructure",
            "the template",
            "It makes no registry or no vault.",
            "Deploy it first, or name a template that makes both.",
        )
    name = found[_REGISTRY].rpartition("/")[2]
    login_server = f"{name.lower()}{session.cloud.acr_suffix}"
    registry = Registry(id=found[_REGISTRY], name=name, login_server=login_server, location="", public_access=False)
    vault = Vault(found[_VAULT].rpartition("/")[2], found[_VAULT])
    return Infrastructure(
        quarantine=registry,
        registry=registry,
        vault=vault,
        ingress_client_id="",
        tenant_id=(await session.caller()).tenant_id,
        outcome="planned",
        seconds=0,
    )


def _is(change: ResourceChange, kind: str) -> bool:
    parts = change.name.split("/")
    return change.kind != "Ignore" and len(parts) == 3 and "/".join(parts[:2]).lower() == kind.lower()


async def _images(
    config: Bootstrap, sight: PlanContext, release: Release, infrastructure: Infrastructure, stands: bool
) -> list[_Look]:
    limit = asyncio.Semaphore(_AT_ONCE)

    async def look(reference: ImageReference, source: str) -> _Look:
        async with limit:
            image = await resolve(sight.oci, reference)
            digest = "" if isinstance(image, UnresolvedReference) else image.digest
            if not stands:
                return _Look(release.name, image, PlannedImage(release.name, source, digest, "import", _NEW, "promote"))
            there = await digest_at(sight.oci, reference.quarantined(infrastructure.quarantine.login_server))
            live = await digest_at(sight.oci, reference.released(infrastructure.registry.login_server))
            planned = PlannedImage(release.name, source, digest, _quarantine(there, digest), _NEW, _live(live, digest))
            return _Look(release.name, image, planned)

    looks = await asyncio.gather(*(look(image.reference, image.source) for image in release.images))
    return await _judged(config, sight, release, infrastructure, list(looks))


async def _judged(
    config: Bootstrap, sight: PlanContext, release: Release, infrastructure: Infrastructure, looks: list[_Look]
) -> list[_Look]:
    """The same with what the gate would say of those that are in quarantine already."""
    there = [look for look in looks if look.planned.quarantine == "already there"]
    if not there:
        return looks
    gate, ready = config.gate, await sight.gate()
    server = infrastructure.quarantine.login_server
    moved = [
        ImportedImage(
            image=look.image,
            reference=look.image.reference.quarantined(server).at(look.image.digest),
            outcome="already there",
            verified=True,
        )
        for look in there
        if isinstance(look.image, ResolvedImage)
    ]
    waiting = await candidates(sight.oci, server, moved, gate.platforms)
    wait_policy = WaitPolicy(gate.interval, gate.patience, release.deadline or gate.deadline, fail_fast=False)
    report = await assess_once(release.name, waiting, ready.rules, wait_policy, poller=ready.poller)
    said = {one.image.reference: f"{one.state}: {one.reason}" for one in report.verdicts}
    return [
        replace(look, planned=replace(look.planned, gate=said[look.image.reference])) if look in there else look
        for look in looks
    ]


def _quarantine(
    there: str | NotReadable | None, digest: str
) -> Literal["import", "already there", "cannot be seen from here"]:
    if isinstance(there, NotReadable):
        return "cannot be seen from here"
    return "already there" if digest and there == digest else "import"


def _live(
    there: str | NotReadable | None, digest: str
) -> Literal["promote", "already there", "conflict", "cannot be seen from here"]:
    if isinstance(there, NotReadable):
        return "cannot be seen from here"
    if there is None or not digest:
        return "promote"
    return "already there" if there == digest else "conflict"


async def _access(config: Bootstrap, sight: PlanContext, vault: Vault, stands: bool) -> PlannedAccess:
    access = config.access
    if not stands:
        principal = (await sight.session.caller()).object_id
        role = None if access.role == "none" else access.role_definition
        return PlannedAccess(vault.name, principal, role, None, access.lease_minutes)
    found = await required_access(sight.session, sight.http, vault, access)
    address = str(found.address) if found.address else None
    return PlannedAccess(vault.name, found.principal, found.role, address, access.lease_minutes)


async def _commits(
    config: Bootstrap,
    sight: PlanContext,
    infrastructure: Infrastructure,
    looks: Sequence[_Look],
    network_id: str,
    stands: bool,
) -> tuple[PlannedCommit, ...]:
    """Each edit of the run, applied to a clone of its own and shown by git, on top of what waits to be merged."""
    target, server = config.manifests, infrastructure.registry.login_server
    promoted = [
        ImportedImage(
            image=look.image,
            reference=look.image.reference.released(server).at(look.image.digest),
            outcome="already there",
            verified=True,
        )
        for look in looks
        if isinstance(look.image, ResolvedImage)
    ]
    images = images_edit(target, infrastructure, promoted)
    # Where the identity does not stand yet, nobody knows the client id that the last two edits write.
    certificate = config.certificate.name if stands else None
    stamp = StampEdit.from_config(config, stamp_parameters(config, infrastructure, network_id)) if stands else None
    author, commits = CommitAuthor(target.author.name, target.author.email), []
    async with checkout(sight.repository) as tree:
        if target.deliver != "push":
            await reapply_pending(tree, working_branch(config.cluster.resource_group), author)
        for message, edit in edits(target, infrastructure, images, certificate, stamp):
            await apply_edit(edit, tree.root)
            if await tree.commit(message, author):
                command = ("show", "--format=", "--no-color", "--no-ext-diff", "HEAD")
                diff = await tree.git.output(*command, cwd=tree.root, attempted="show the manifests' changes")
                commits.append(PlannedCommit(message, diff))
    return tuple(commits)


def _notes(config: Bootstrap, looks: Sequence[_Look], stands: bool) -> Iterator[str]:
    yield "Nothing is promoted, and nothing committed, unless the gate lets each image of a release pass."
    yield f"Promotions are put on record, on the repository's branch {config.manifests.records_branch}."
    yield f"The certificate {config.certificate.name} is imported unless the vault has it; to see that takes access."
    if not stands:
        yield "Whether the vault, which does not stand yet, will keep this worker's address out can only be seen then."
        yield "The commit of the SecretProviderClass cannot be shown: the identity that it names has no client id yet."
    for look in looks:
        if isinstance(look.image, UnresolvedReference):
            yield f"{look.planned.source}: its digest cannot be learned from here, so it is not in the diff."
        if look.planned.live == "conflict":
            yield f"{look.planned.source}: its tag in live/ stands for another digest, so the run would stop there."
    if config.manifests.deliver != "push":
        yield "The commits go to a branch of our own, on top of what waits there; the diff is what would be added."
