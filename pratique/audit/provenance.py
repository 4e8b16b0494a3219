"""Finds out why each image is in ``live/``: a promotion record or the registry's log explains it, or nothing does.

An image is explained by the record of its promotion, or by the import of the same digest from ``quarantine/`` of the
quarantine registry by the pipeline's identity. Every other import into ``live/``, and every push, is reported with its
time, identity and address. An image that neither a record nor the log explains is unexplained, even if it may be older
than the log. An image that two people let in unassessed is explained, and listed with both.

Facts: table ContainerRegistryRepositoryEvents. UNVERIFIED: that imports are logged as ``importImage`` with the source
in ``MediaType`` (evidenced by the walkthrough's rule only), and that ``Identity`` holds the caller's object id.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from pratique.errors import LiveImagesUnexplained
from pratique.gate.exceptions.break_glass import BreakGlassUse, format_minute
from pratique.images import DRILL, ImageReference
from pratique.markdown import literal, one_line, table
from pratique.records.promotions import Promotions

#: How long a bypass is reported whose image was deleted or passed the gate since.
RECENT = timedelta(days=7)
_NAMED = 5  # irregularities that an error's message names; the report lists all
_ROWS = 200  # rows of the report's table; the rest is counted


@dataclass(frozen=True, kw_only=True)
class LiveEvent:
    """Equal operations on one digest of a repository in ``live/``, from the registry's log.

    :ivar operation: ``importImage`` or ``Push``
    :ivar promoted: whether it is an import from ``quarantine/`` of the quarantine registry
    :ivar source: source of an import; empty for a push
    :ivar identity: object id of the caller, as the log has it
    :ivar address: the caller's address at the last operation
    :ivar tag: tag of the last operation
    """

    repository: str
    digest: str
    tag: str
    operation: str
    promoted: bool
    source: str
    identity: str
    address: str
    first: datetime
    last: datetime
    times: int


class IrregularityKind(StrEnum):
    """How an image in ``live/`` is irregular."""

    BYPASS = "bypassed the quarantine"
    UNGATED = "promoted by another identity"
    UNEXPLAINED = "unexplained"
    PASSED_SINCE = "bypassed the quarantine, passed the gate since"
    DELETED_SINCE = "bypassed the quarantine, deleted since"
    DRILL = "drill"


@dataclass(frozen=True)
class Irregularity:
    """An irregular image, and the event that put it into ``live/``, if the log has it.

    :ivar reference: its place in ``live/``, with its digest
    """

    kind: IrregularityKind
    reference: ImageReference
    event: LiveEvent | None = None

    @property
    def needs_attention(self) -> bool:
        """Whether a person should look at it. A deleted image of a drill is expected."""
        return self.kind is not IrregularityKind.DRILL

    def __str__(self) -> str:
        if self.event is None:
            return f"{self.reference}: {self.kind}"
        operation = "imported from " + self.event.source if self.event.source else "pushed"
        at = self.event.last.isoformat(timespec="seconds")
        return one_line(
            f"{self.reference}: {self.kind}: {operation} by {self.event.identity} from {self.event.address}, {at}"
        )


@dataclass(frozen=True, kw_only=True)
class AuditReport:
    """The result of an audit.

    :ivar images: number of images in ``live/``
    :ivar recorded: number of them that a promotion record explains
    :ivar logged: number of them that the registry's log explains
    :ivar log_begins: time of the log's oldest entry; ``None`` when the log is empty
    :ivar break_glass: those that came in by break glass, assessed since or not
    """

    registry: str
    at: datetime
    images: int
    recorded: int
    logged: int
    log_begins: datetime | None
    irregularities: tuple[Irregularity, ...]
    break_glass: tuple[tuple[ImageReference, BreakGlassUse], ...] = ()

    @property
    def needing_attention(self) -> tuple[Irregularity, ...]:
        """The irregularities that a person should look at."""
        return tuple(irregularity for irregularity in self.irregularities if irregularity.needs_attention)

    @property
    def clean(self) -> bool:
        """Whether every image is explained, and the log exists that would show a bypass."""
        return not self.needing_attention and self.log_begins is not None

    def require_explained(self) -> None:
        """:raises LiveImagesUnexplained: when an image bypassed the quarantine, or no log would show whether one did"""
        if self.clean:
            return
        observed = " ".join(f"{irregularity}." for irregularity in self.needing_attention[:_NAMED])
        if (more := len(self.needing_attention) - _NAMED) > 0:
            observed += f" And {more} more."
        raise LiveImagesUnexplained(
            "explain the images in live/",
            self.registry,
            observed or "The registry's log is empty, so it cannot show whether an image bypassed the quarantine.",
            "Find out who did it, and remove images that nobody vouches for; release those that you want with "
            "'pratique release'. See docs/continuous-scanning.md.",
        )

    def markdown(self) -> str:
        """The report as Markdown."""
        log = f"The registry's log goes back to {self.log_begins:%Y-%m-%d %H:%M} UTC." if self.log_begins else _NO_LOG
        parts = [
            f"# {'Every image in live/ is explained' if self.clean else 'Not every image in live/ is explained'}",
            f"{self.images} images in {self.registry}: {self.recorded} explained by promotion records, {self.logged} "
            f"by the registry's log; {len(self.needing_attention)} need attention. {log}",
        ]
        if self.irregularities:
            rows = [_row(irregularity) for irregularity in self.irregularities[:_ROWS]]
            parts.append(table(("finding", "image", "digest", "operation", "time", "identity", "address"), rows))
        if (more := len(self.irregularities) - _ROWS) > 0:
            parts.append(f"And {more} more.")
        parts += _break_glass(self.break_glass)
        if any(irregularity.kind is IrregularityKind.UNEXPLAINED for irregularity in self.irregularities):
            parts.append(literal(_UNEXPLAINED))
        return "\n\n".join(parts) + "\n"


_NO_LOG = "The registry's log is empty, so a bypass would go unnoticed. Check the registry's diagnostic setting."
_UNEXPLAINED = (
    "Unexplained: neither a record nor the log shows how the image got into live/. It may be older than the log. "
    "Release it again with 'pratique release', which gates and records it, or remove it."
)


class Audit:
    """Collects the irregularities from the log's events, which are added in any order.

    :param registry: login server
    :param images: all images in ``live/``, each with tag and digest
    :param promoters: identities of the pipeline, as the log has them
    :param at: the current time
    """

    def __init__(
        self,
        registry: str,
        images: Sequence[ImageReference],
        promotions: Promotions,
        *,
        promoters: Collection[str],
        at: datetime,
    ) -> None:
        self._registry, self._images, self._at = registry, images, at
        self._by_key = {_key(image): image for image in images}
        self._promotions = promotions
        self._unrecorded = {key for key, image in self._by_key.items() if not _is_recorded(image, promotions)}
        self._promoters = {name.lower() for name in promoters}
        self._logged: set[tuple[str, str]] = set()
        self._ungated: dict[tuple[str, str], Irregularity] = {}
        self._bypasses: list[Irregularity] = []

    def add(self, event: LiveEvent) -> None:
        """Add one event of the log."""
        key = (event.repository, event.digest)
        if not event.promoted:
            self._add_bypass(key, event)
        elif key in self._unrecorded:
            if event.identity.lower() in self._promoters:
                self._logged.add(key)
            else:
                self._ungated[key] = Irregularity(IrregularityKind.UNGATED, self._by_key[key], event)

    def _add_bypass(self, key: tuple[str, str], event: LiveEvent) -> None:
        image, recent = self._by_key.get(key), self._at - event.last <= RECENT
        if image is not None and (recent or key in self._unrecorded):
            kind = IrregularityKind.BYPASS if key in self._unrecorded else IrregularityKind.PASSED_SINCE
            self._bypasses.append(Irregularity(kind, image, event))
        elif image is None and recent:
            deleted = ImageReference(self._registry, event.repository, event.tag or None, event.digest or None)
            kind = IrregularityKind.DRILL if event.repository.startswith(DRILL) else IrregularityKind.DELETED_SINCE
            self._bypasses.append(Irregularity(kind, deleted, event))

    def report(self, log_begins: datetime | None) -> AuditReport:
        """The result, once all events are added.

        :param log_begins: time of the log's oldest entry; ``None`` when the log is empty
        """
        bypassed = {_key(irregularity.reference) for irregularity in self._bypasses}
        unexplained = [
            self._ungated.get(key) or Irregularity(IrregularityKind.UNEXPLAINED, self._by_key[key])
            for key in self._unrecorded - self._logged - bypassed
        ]
        keys = [_key(image) for image in self._images]
        return AuditReport(
            registry=self._registry,
            at=self._at,
            images=len(keys),
            recorded=sum(key not in self._unrecorded for key in keys),
            logged=sum(key in self._logged for key in keys),
            log_begins=log_begins,
            irregularities=tuple(sorted([*self._bypasses, *unexplained], key=_severity)),
            break_glass=tuple(_let_in(self._images, self._promotions)),
        )


def _severity(irregularity: Irregularity) -> tuple[int, str]:
    return list(IrregularityKind).index(irregularity.kind), str(irregularity)


def _is_recorded(image: ImageReference, promotions: Promotions) -> bool:
    """Whether a record explains the image.

    That of an index explains what is below it, but no tag on that: manifests of platforms that nobody requires had no
    verdict.
    """
    record = promotions.find(image.repository, image.digest or "", image.registry)
    return record is not None and (record.digest == image.digest or image.tag is None)


def _let_in(images: Sequence[ImageReference], promotions: Promotions) -> Iterator[tuple[ImageReference, BreakGlassUse]]:
    """Each use of break glass that an image in ``live/`` has on record."""
    for image in images:
        place = (image.registry, image.repository, image.digest or "")
        yield from ((image, use) for use in promotions.break_glass_uses(*place))


def _break_glass(found: Sequence[tuple[ImageReference, BreakGlassUse]]) -> Iterator[str]:
    if found:
        yield f"## Let in by break glass: {len(found)}"
        rows = [
            (
                image.short,
                use.glass.incident,
                use.glass.requested_by,
                use.approved_by,
                format_minute(use.at),
                format_minute(use.glass.until),
                use.verdict or "not assessed yet",
                use.run,
                image.digest or "",
            )
            for image, use in found[:_ROWS]
        ]
        headings = ("image", "incident", "asked for by", "approved by", "at", "until", "verdict since", "run", "digest")
        yield table(headings, rows)


def _key(reference: ImageReference) -> tuple[str, str]:
    return reference.repository, reference.digest or ""


def _row(irregularity: Irregularity) -> tuple[str, ...]:
    kind, image, digest = irregularity.kind, irregularity.reference.short, irregularity.reference.digest or ""
    event = irregularity.event
    if event is None:
        return (kind, image, digest, "-", "-", "-", "-")
    operation = f"import from {event.source}" if event.source else "push"
    time = event.last.isoformat(timespec="seconds")
    if event.times > 1:
        time += f", {event.times} times since {event.first.isoformat(timespec='seconds')}"
    return (kind, image, digest, operation, time, event.identity or "anonymous", event.address)
