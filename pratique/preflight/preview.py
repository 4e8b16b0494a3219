"""Finds out what a run would change, and changes nothing.

It only reads from Azure, registries and the gate's sources, and edits manifests in a temporary clone::

    plan = await make_plan(config, context, public_certificate, network_id)
    print(plan.text())
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Literal

import httpx

from pratique.access.requirements import check_locks, required_access
from pratique.azure.registries import Registry
from pratique.azure.session import AzureSession
from pratique.cluster.forecast import make_forecast
from pratique.cluster.infrastructure import Infrastructure, find_infrastructure
from pratique.cluster.stamp_parameters import StampEdit, stamp_parameters
from pratique.config import Bootstrap, Image, Release
from pratique.errors import NotFound, PratiqueError
from pratique.evidence.candidates import candidates
from pratique.evidence.setup import GateSetup
from pratique.gate.wait import WaitPolicy, assess_once
from pratique.git.checkout import CommitAuthor, Repository, checkout
from pratique.git.pending import reapply_pending
from pratique.git.publish import apply_edit
from pratique.images import ImageReference, ImportedImage, Location, ResolvedImage, UnresolvedReference
from pratique.oci.client import OciClient
from pratique.preflight.plan import Plan, PlannedAccess, PlannedCommit, PlannedImage
from pratique.preflight.prediction import predicted_infrastructure
from pratique.preflight.waivers import listed_waivers
from pratique.release.contents import NotReadable, digest_at
from pratique.release.delivery import working_branch
from pratique.release.manifest_edits import edits, images_edit
from pratique.release.promotion import resolve
from pratique.replicas import Replication

_NOT_ASSESSED = "Not in quarantine yet, so it cannot have been assessed."
_CONCURRENT_LOOKUPS = 16


@dataclass(frozen=True, kw_only=True)
class PlanContext:
    """Connections for a plan.

    :ivar gate: sets up the gate's sources
    :ivar replication: finds what promotions into a registry have to reach
    """

    session: AzureSession
    http: httpx.AsyncClient
    oci: OciClient
    gate: Callable[[], Awaitable[GateSetup]]
    repository: Repository
    replication: Callable[[Registry], Awaitable[Replication]]


@dataclass(frozen=True)
class _Target:
    """The infrastructure of a plan.

    :ivar deployed: whether it exists; otherwise its names are predicted
    """

    infrastructure: Infrastructure
    deployed: bool

    @property
    def quarantine(self) -> Registry | None:
        """The registry with ``quarantine/``; ``None`` while it does not exist."""
        found = self.infrastructure.quarantine
        return found if self.deployed or found.location else None

    @property
    def live(self) -> Registry | None:
        """The registry with ``live/``; ``None`` while it does not exist."""
        found = self.infrastructure.registry
        return found if self.deployed or found.location else None


@dataclass(frozen=True)
class _Preview:
    """An image with its plan."""

    image: ResolvedImage | UnresolvedReference
    planned: PlannedImage


async def make_plan(config: Bootstrap, context: PlanContext, public_certificate: str, network_id: str) -> Plan:
    """What ``prepare_cluster`` would change at present.

    :param public_certificate: base64 of the ingress certificate's PEM
    :param network_id: resource id of the spoke network
    :raises PratiqueError: when the run would fail before it changes anything
    """
    session = context.session
    forecast = await make_forecast(session, config.cluster, config.network, network_id, public_certificate)
    try:
        target = _Target(await find_infrastructure(session, config.cluster, config.registries), deployed=True)
    except NotFound:
        predicted = await predicted_infrastructure(session, forecast.changes or (), config.registries)
        target = _Target(predicted, deployed=False)
    previews: list[_Preview] = []
    for release in config.catalogue.releases:
        previews += await _images(config, context, release, target)
    return Plan(
        resources=forecast.changes,
        removals=tuple(forecast.removals.lines()),
        images=tuple(preview.planned for preview in previews),
        access=await _access(config, context, target),
        commits=await _commits(config, context, target, previews, network_id),
        waivers=listed_waivers(config, datetime.now(UTC)),
        notes=(
            *_notes(config, previews, target),
            *await _replica_notes(context, target),
            *forecast.notes,
            *await _obstacles(config, session, target),
        ),
    )


async def _images(config: Bootstrap, context: PlanContext, release: Release, target: _Target) -> list[_Preview]:
    limit = asyncio.Semaphore(_CONCURRENT_LOOKUPS)

    async def preview(entry: Image) -> _Preview:
        async with limit:
            image = await resolve(context.oci, entry.reference, config.gate.platforms, entry.target or "")
            digest = "" if isinstance(image, UnresolvedReference) else image.digest
            quarantine, live = await _digests(context.oci, entry.location, target)
            planned = PlannedImage(
                release=release.name,
                source=entry.source,
                digest=digest,
                quarantine=_quarantine_action(quarantine, digest),
                gate=_NOT_ASSESSED,
                live=_live_action(live, digest),
            )
            return _Preview(image, planned)

    previews = await asyncio.gather(*(preview(image) for image in release.images))
    return await _with_verdicts(config, context, release, target, list(previews))


async def _digests(
    client: OciClient, location: Location, target: _Target
) -> tuple[str | NotReadable | None, str | NotReadable | None]:
    """The current digests in ``quarantine/`` and ``live/``."""
    quarantine, live = target.quarantine, target.live
    return (
        await digest_at(client, location.quarantined(quarantine.login_server)) if quarantine else None,
        await digest_at(client, location.released(live.login_server)) if live else None,
    )


async def _with_verdicts(
    config: Bootstrap, context: PlanContext, release: Release, target: _Target, previews: list[_Preview]
) -> list[_Preview]:
    """The previews, with the gate's current verdicts on the images that are already in quarantine."""
    quarantined = [preview for preview in previews if preview.planned.quarantine == "already there"]
    if not quarantined:
        return previews
    gate, ready = config.gate, await context.gate()
    server = target.infrastructure.quarantine.login_server
    images = [
        _already_there(preview.image, preview.image.location.quarantined(server))
        for preview in quarantined
        if isinstance(preview.image, ResolvedImage)
    ]
    waiting = await candidates(context.oci, server, images, gate.platforms)
    wait_policy = WaitPolicy(gate.interval, gate.patience, release.deadline or gate.deadline, fail_fast=False)
    report = await assess_once(release.name, waiting, ready.rules, wait_policy, poller=ready.poller)
    verdicts = {verdict.image.reference: f"{verdict.state}: {verdict.reason}" for verdict in report.verdicts}
    return [
        replace(preview, planned=replace(preview.planned, gate=verdicts[preview.image.reference]))
        if preview in quarantined
        else preview
        for preview in previews
    ]


def _already_there(image: ResolvedImage, reference: ImageReference) -> ImportedImage:
    return ImportedImage(image=image, reference=reference.at(image.digest), outcome="already there", verified=True)


def _quarantine_action(
    current: str | NotReadable | None, digest: str
) -> Literal["import", "already there", "cannot be seen from here"]:
    if isinstance(current, NotReadable):
        return "cannot be seen from here"
    return "already there" if digest and current == digest else "import"


def _live_action(
    current: str | NotReadable | None, digest: str
) -> Literal["promote", "already there", "conflict", "cannot be seen from here"]:
    if isinstance(current, NotReadable):
        return "cannot be seen from here"
    if current is None or not digest:
        return "promote"
    return "already there" if current == digest else "conflict"


async def _access(config: Bootstrap, context: PlanContext, target: _Target) -> PlannedAccess:
    access, vault = config.access, target.infrastructure.vault
    if target.deployed:
        required = await required_access(context.session, context.http, vault, access)
        principal, role = required.principal, required.role
        address = str(required.address) if required.address else None
    else:
        principal, address = (await context.session.caller()).object_id, None
        role = None if access.role == "none" else access.role_definition
    return PlannedAccess(
        vault=vault.name, principal=principal, role=role, address=address, minutes=access.lease_minutes
    )


async def _obstacles(config: Bootstrap, session: AzureSession, target: _Target) -> list[str]:
    """What would keep a run from opening the vault."""
    vault_id = target.infrastructure.vault.id
    try:
        await check_locks(session, vault_id if target.deployed else vault_id.partition("/providers")[0], config.access)
    except PratiqueError as error:
        return [f"The run would stop at the vault: {error.observed} Next: {error.remedy}"]
    return []


async def _commits(
    config: Bootstrap, context: PlanContext, target: _Target, previews: Sequence[_Preview], network_id: str
) -> tuple[PlannedCommit, ...]:
    """The run's edits, applied to a clone on top of the commits that wait to be merged, with git's diffs."""
    manifests, infrastructure = config.manifests, target.infrastructure
    server = infrastructure.registry.login_server
    promoted = [
        _already_there(preview.image, preview.image.location.released(server))
        for preview in previews
        if isinstance(preview.image, ResolvedImage)
    ]
    images = images_edit(manifests, config.catalogue, infrastructure, promoted)
    # Before the first deployment the client id that the last two edits write does not exist.
    certificate = config.certificate.name if target.deployed else None
    parameters = stamp_parameters(config, infrastructure, network_id) if target.deployed else None
    stamp = StampEdit.from_config(config, parameters) if parameters is not None else None
    author, commits = CommitAuthor(manifests.author.name, manifests.author.email), []
    async with checkout(context.repository) as tree:
        if manifests.deliver != "push":
            await reapply_pending(tree, working_branch(config.cluster.resource_group), author)
        for message, edit in edits(manifests, infrastructure, images, certificate, stamp):
            changes = await apply_edit(edit, tree.root)
            if await tree.commit(message, author, {change.file for change in changes}):
                command = ("show", "--format=", "--no-color", "--no-ext-diff", "HEAD")
                diff = await tree.git.output(*command, cwd=tree.root, attempted="show the manifests' changes")
                commits.append(PlannedCommit(message, diff))
    return tuple(commits)


async def _replica_notes(context: PlanContext, target: _Target) -> list[str]:
    """What the run would do about replicas of the registry with ``live/``, if it has any."""
    if target.live is None:
        return []
    replication = await context.replication(target.live)
    return [replication.description] if replication.needed else []


def _notes(config: Bootstrap, previews: Sequence[_Preview], target: _Target) -> Iterator[str]:
    yield "Images are promoted, and manifests committed, only if every image of a release passes the gate."
    records = config.registries.records
    yield f"Promotions are recorded on branch {records.branch} of {records.remote or config.manifests.remote}."
    yield f"The certificate {config.certificate.name} is imported unless the vault has it; only the run can check that."
    if not target.deployed:
        yield "The vault is not deployed yet, so the plan cannot show whether its firewall will block this worker."
        yield "The commit of the SecretProviderClass is not shown, as the identity in it has no client id yet."
    for preview in previews:
        source = preview.planned.source
        if isinstance(preview.image, UnresolvedReference):
            yield f"{source}: this worker cannot read its digest, so it is not in the diff."
        if preview.planned.live == "conflict":
            yield f"{source}: its tag in live/ refers to another digest, so the run would stop there."
    if config.manifests.deliver != "push":
        yield "The commits go to the working branch, on top of those that wait there; the diffs show what they add."
