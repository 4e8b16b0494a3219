"""Why each image stands in ``live/``: by a record of ours, by the registry's log, or for no reason that anybody knows.

An image is explained by the record of its promotion, or by the import of its very digest from ``quarantine/`` of this
registry, done by the pipeline's identity. Every other import and every push into ``live/`` is named with time, identity
and address. What neither a record nor the log explains, because it is older than the log reaches back, is unexplained:
that is no excuse for it.

Facts: table ContainerRegistryRepositoryEvents. UNVERIFIED: that imports are logged as ``importImage`` with the source
in ``MediaType`` (evidenced by the walkthrough's rule only), and that ``Identity`` holds the caller's object id.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from pratique.errors import LiveImagesUnexplained
from pratique.images import DRILL, ImageReference
from pratique.markdown import literal, one_line, table
from pratique.records.promotions import Promotions

#: For how long a bypass is told of whose image is gone, or was judged since.
RECENT = timedelta(days=7)
_NAMED = 5  # irregularities that an error's message names; the report has all
_ROWS = 200  # of a table in the report; what is more is counted


@dataclass(frozen=True)
class LiveEvent:
    """Equal operations on one digest of a repository in ``live/``, as the registry's log has them.

    :ivar way: ``importImage`` or ``Push``
    :ivar promoted: an import from ``quarantine/`` of the same registry
    :ivar source: of an import; a push has none
    :ivar identity: object id of who did it, as the log has it
    :ivar address: from where, the last time
    :ivar tag: of the last time
    """

    repository: str
    digest: str
    tag: str
    way: str
    promoted: bool
    source: str
    identity: str
    address: str
    first: datetime
    last: datetime
    times: int


class IrregularityKind(StrEnum):
    """What is wrong with an image."""

    BYPASS = "bypassed the quarantine"
    UNGATED = "left quarantine by another hand than ours"
    UNEXPLAINED = "unexplained"
    JUDGED = "bypassed the quarantine, judged since"
    GONE = "bypassed the quarantine, gone since"
    DRILL = "a drill's"


@dataclass(frozen=True)
class Irregularity:
    """One image, and the event that brought it, where the log has one.

    :ivar reference: where it stands, or stood, with its digest
    """

    kind: IrregularityKind
    reference: ImageReference
    event: LiveEvent | None = None

    @property
    def alarming(self) -> bool:
        """Whether somebody has to look at it. A drill's image that is gone is a drill that went well."""
        return self.kind is not IrregularityKind.DRILL

    def __str__(self) -> str:
        if self.event is None:
            return f"{self.reference}: {self.kind}"
        how = "imported from " + self.event.source if self.event.source else "pushed"
        at = self.event.last.isoformat(timespec="seconds")
        return one_line(
            f"{self.reference}: {self.kind}: {how} by {self.event.identity} from {self.event.address}, {at}"
        )


@dataclass(frozen=True)
class AuditReport:
    """The outcome.

    :ivar images: how many stand in ``live/``
    :ivar recorded: how many of them a record of ours explains
    :ivar logged: how many the registry's log explains
    :ivar log_begins: the oldest entry of the log; ``None`` when it has none at all
    """

    registry: str
    at: datetime
    images: int
    recorded: int
    logged: int
    log_begins: datetime | None
    irregularities: tuple[Irregularity, ...]

    @property
    def alarming(self) -> tuple[Irregularity, ...]:
        return tuple(one for one in self.irregularities if one.alarming)

    @property
    def clean(self) -> bool:
        """Whether everything is explained, by a log that would have told of a bypass."""
        return not self.alarming and self.log_begins is not None

    def require_explained(self) -> None:
        """:raises LiveImagesUnexplained: when something in ``live/`` bypassed the quarantine, or nobody could tell"""
        if self.clean:
            return
        found = " ".join(f"{irregularity}." for irregularity in self.alarming[:_NAMED])
        if (more := len(self.alarming) - _NAMED) > 0:
            found += f" And {more} more."
        raise LiveImagesUnexplained(
            "explain the images in live/",
            self.registry,
            found or "The registry's log is empty: nobody could tell what bypassed the quarantine.",
            "Ask who did it, and remove what nobody answers for; what is wanted comes in by 'pratique release'. "
            "docs/continuous-scanning.md tells more.",
        )

    def markdown(self) -> str:
        """For people to read."""
        reach = f"The registry's log goes back to {self.log_begins:%Y-%m-%d %H:%M} UTC." if self.log_begins else _BLIND
        parts = [
            f"# {'Every image in live/ is explained' if self.clean else 'Not everything in live/ is explained'}",
            f"{self.images} images in {self.registry}: {self.recorded} by records of ours, {self.logged} by the "
            f"registry's log, {len(self.alarming)} to look at. {reach}",
        ]
        if self.irregularities:
            rows = [_row(one) for one in self.irregularities[:_ROWS]]
            parts.append(table(("what", "image", "digest", "how", "when", "identity", "address"), rows))
        if (more := len(self.irregularities) - _ROWS) > 0:
            parts.append(f"And {more} more.")
        if any(one.kind is IrregularityKind.UNEXPLAINED for one in self.irregularities):
            parts.append(literal(_UNEXPLAINED))
        return "\n\n".join(parts) + "\n"


_BLIND = "The registry's log is empty: a bypass would go unseen. Check the registry's diagnostic setting."
_UNEXPLAINED = (
    "Unexplained: neither a record nor the log tells how the image came here. It may be older than the log. Release it "
    "again with 'pratique release', which judges and records it, or remove it."
)


class Audit:
    """Takes the events of the log one after the other, in any order, and keeps of them what it has to tell.

    :param registry: login server
    :param images: all that stand in ``live/``, each with tag and digest
    :param promoters: identities whose imports from quarantine are this project's, as the log has them
    :param at: now
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
        self._standing = {_key(one): one for one in images}
        self._open = {key for key in self._standing if promotions.find(*key, registry) is None}
        self._ours = {name.lower() for name in promoters}
        self._logged: set[tuple[str, str]] = set()
        self._strange: dict[tuple[str, str], Irregularity] = {}
        self._bypasses: list[Irregularity] = []

    def take(self, event: LiveEvent) -> None:
        """Count one event of the log."""
        key = (event.repository, event.digest)
        if not event.promoted:
            self._take_bypass(key, event)
        elif key in self._open:
            if event.identity.lower() in self._ours:
                self._logged.add(key)
            else:
                self._strange[key] = Irregularity(IrregularityKind.UNGATED, self._standing[key], event)

    def _take_bypass(self, key: tuple[str, str], event: LiveEvent) -> None:
        there, recent = self._standing.get(key), self._at - event.last <= RECENT
        if there is not None and (recent or key in self._open):
            kind = IrregularityKind.BYPASS if key in self._open else IrregularityKind.JUDGED
            self._bypasses.append(Irregularity(kind, there, event))
        elif there is None and recent:
            gone = ImageReference(self._registry, event.repository, event.tag or None, event.digest or None)
            kind = IrregularityKind.DRILL if event.repository.startswith(DRILL) else IrregularityKind.GONE
            self._bypasses.append(Irregularity(kind, gone, event))

    def report(self, log_begins: datetime | None) -> AuditReport:
        """The outcome, once all events are taken.

        :param log_begins: the oldest entry of the log; ``None`` when it has none at all
        """
        named = {_key(one.reference) for one in self._bypasses}
        rest = self._open - self._logged - named
        unexplained = (
            self._strange.get(key) or Irregularity(IrregularityKind.UNEXPLAINED, self._standing[key]) for key in rest
        )
        told = sorted(
            [*self._bypasses, *unexplained], key=lambda one: (list(IrregularityKind).index(one.kind), str(one))
        )
        keys = [_key(one) for one in self._images]
        return AuditReport(
            registry=self._registry,
            at=self._at,
            images=len(keys),
            recorded=sum(key not in self._open for key in keys),
            logged=sum(key in self._logged for key in keys),
            log_begins=log_begins,
            irregularities=tuple(told),
        )


def _key(reference: ImageReference) -> tuple[str, str]:
    return reference.repository, reference.digest or ""


def _row(one: Irregularity) -> tuple[str, ...]:
    digest = one.reference.digest or ""
    if one.event is None:
        return (one.kind, one.reference.short, digest, "-", "-", "-", "-")
    event = one.event
    how = f"import from {event.source}" if event.source else "push"
    when = event.last.isoformat(timespec="seconds")
    if event.times > 1:
        when += f", {event.times} times since {event.first.isoformat(timespec='seconds')}"
    return (one.kind, one.reference.short, digest, how, when, event.identity or "anonymous", event.address)
