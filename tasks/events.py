"""Emits Prefect events for automations and for records; docs/events.md lists them.

An event's name is ``pratique.<what>.<happened>``. Its resource is an image, a release or the cluster. The cluster is
named by its resource group and related to every event. Payloads are small and contain no secret. Prefect adds the run.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Literal, TypeAlias

from prefect.events import emit_event

from pratique.errors import AccessNotRevoked, GateBlocked
from pratique.images import ImportedImage
from pratique.lease import Lease
from tasks.runtime import current

Event = Literal[
    "configuration.read",
    "image.quarantined",
    "image.promoted",
    "gate.asked",
    "gate.break-glass-asked",
    "gate.passed",
    "gate.blocked",
    "gate.break-glass-used",
    "access.opened",
    "access.revoked",
    "access.leaked",
    "certificate.imported",
    "certificate.expiring",
    "manifests.published",
    "live.newly-bad",
    "live.overdue",
    "live.cured",
    "live.held",
    "live.lifted",
    "live.pulls-blocked",
    "live.pulls-allowed",
    "live.proposed",
    "live.break-glass-overdue",
    "live.break-glass-assessed",
    "live.notified",
    "live.sealed",
    "live.unsealed",
    "live.seal-undone",
    "live.seal-failed",
    "image.bypassed",
    "image.ungated",
    "image.unexplained",
    "drill.begun",
    "drill.passed",
    "drill.failed",
]
Value: TypeAlias = str | list[str]

#: Characters of a reason in a payload: an event could hold a megabyte, but people read a paragraph.
_REASON = 1000


def emit(event: Event, about: str | None = None, *, cluster: str | None = None, **payload: Value) -> None:
    """Emit an event.

    :param about: the resource below ``pratique``, for example ``image.library/busybox:1.37.0``; by default the cluster
    :param cluster: its resource group; by default that of this run
    """
    group = cluster or current().cluster
    cluster_resource = {"prefect.resource.id": f"pratique.cluster.{group}", "prefect.resource.name": group}
    if about is None:
        emit_event(f"pratique.{event}", cluster_resource, payload=payload)
        return
    resource = {"prefect.resource.id": f"pratique.{about}", "prefect.resource.name": about.partition(".")[2]}
    related = [cluster_resource | {"prefect.resource.role": "cluster"}]
    emit_event(f"pratique.{event}", resource, related=related, payload=payload)


def emit_imported(event: Literal["image.quarantined", "image.promoted"], imported: ImportedImage) -> None:
    """Emit that an image was imported; nothing if it was already there."""
    if imported.outcome == "imported":
        image = imported.image
        about = f"image.{image.location.short}"
        emit(event, about, source=str(image.reference), digest=image.digest, reference=str(imported.reference))


def emit_revoked(vault: str, leases: Iterable[Lease], *, cluster: str | None = None) -> None:
    """Emit that leases were revoked; nothing if there were none."""
    if revoked := [lease.id for lease in leases]:
        emit("access.revoked", cluster=cluster, vault=vault, leases=revoked)


@contextmanager
def emit_on_block(release: str) -> Iterator[None]:
    """Emit an event if the gate blocks the release in this block."""
    try:
        yield
    except GateBlocked as error:
        reason, next_step = error.observed[:_REASON], error.remedy[:_REASON]
        emit("gate.blocked", f"release.{release}", release=release, reason=reason, remedy=next_step)
        raise


@contextmanager
def emit_on_leak(vault: str, lease: str | None = None, *, cluster: str | None = None) -> Iterator[None]:
    """Emit an event if access cannot be revoked in this block.

    :param lease: id of the lease to revoke; without it, any leases
    """
    try:
        yield
    except AccessNotRevoked as error:
        leases, reason, next_step = [lease] if lease else [], error.observed[:_REASON], error.remedy[:_REASON]
        emit("access.leaked", cluster=cluster, vault=vault, leases=leases, reason=reason, remedy=next_step)
        raise
