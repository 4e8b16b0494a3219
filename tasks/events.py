"""What happened, told to Prefect as events, for automations and for whoever keeps a record; docs/events.md lists them.

An event's name is ``pratique.<what>.<happened>``. Its resource is an image, a release, or the cluster, which is named
by its resource group and related to every event. Payloads are small and hold no secret. Prefect adds the run.
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
    "image.quarantined",
    "image.promoted",
    "gate.asked",
    "gate.passed",
    "gate.blocked",
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
    "live.notified",
    "image.bypassed",
    "image.ungated",
    "image.unexplained",
    "drill.begun",
    "drill.passed",
    "drill.failed",
]
Value: TypeAlias = str | list[str]

#: Characters of a reason in a payload: an event has room for a megabyte, its reader for a paragraph.
_REASON = 1000


def emit(what: Event, about: str | None = None, *, cluster: str | None = None, **payload: Value) -> None:
    """Emit one event.

    :param about: the resource below ``pratique``, for example ``image.library/busybox:1.37.0``; the cluster if left out
    :param cluster: its resource group; that of this run if left out
    """
    group = cluster or current().cluster
    place = {"prefect.resource.id": f"pratique.cluster.{group}", "prefect.resource.name": group}
    if about is None:
        emit_event(f"pratique.{what}", place, payload=payload)
        return
    resource = {"prefect.resource.id": f"pratique.{about}", "prefect.resource.name": about.partition(".")[2]}
    related = [place | {"prefect.resource.role": "cluster"}]
    emit_event(f"pratique.{what}", resource, related=related, payload=payload)


def emit_imported(what: Literal["image.quarantined", "image.promoted"], moved: ImportedImage) -> None:
    """An image has come to another place; nothing is told of one that was there already."""
    if moved.outcome == "imported":
        image = moved.image
        about = f"image.{image.reference.short}"
        emit(what, about, source=str(image.reference), digest=image.digest, reference=str(moved.reference))


def emit_revoked(vault: str, leases: Iterable[Lease], *, cluster: str | None = None) -> None:
    """Access was taken back; nothing is told when none was held."""
    if ended := [lease.id for lease in leases]:
        emit("access.revoked", cluster=cluster, vault=vault, leases=ended)


@contextmanager
def emit_on_block(release: str) -> Iterator[None]:
    """Tell of a gate that says no in here, wherever it does."""
    try:
        yield
    except GateBlocked as error:
        reason, next_step = error.observed[:_REASON], error.remedy[:_REASON]
        emit("gate.blocked", f"release.{release}", release=release, reason=reason, remedy=next_step)
        raise


@contextmanager
def emit_on_leak(vault: str, lease: str | None = None, *, cluster: str | None = None) -> Iterator[None]:
    """Tell of access that cannot be taken back in here.

    :param lease: the one that was to end; without it, whatever stands
    """
    try:
        yield
    except AccessNotRevoked as error:
        leases, reason, next_step = [lease] if lease else [], error.observed[:_REASON], error.remedy[:_REASON]
        emit("access.leaked", cluster=cluster, vault=vault, leases=leases, reason=reason, remedy=next_step)
        raise
