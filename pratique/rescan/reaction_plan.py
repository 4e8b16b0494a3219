"""Which images to hold, and whose pulls to block or allow again: pure decisions, from the conditions of the cases.

Several clusters may rescan one registry, each with reactions of its own. What has changed about an image ends every
reaction to it. What has changed in a configuration ends only the reactions of that configuration's own cluster, and
those of clusters that are no longer registered.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from pratique.config.scanning import Scanning
from pratique.records.cases import REACTED_TO, Case, Condition
from pratique.rescan.conditions import BAD
from pratique.rescan.inventory import LiveImageEntry


@dataclass(frozen=True)
class Actor:
    """The cluster whose rescan reacts.

    :ivar cluster: its key
    :ivar registered: keys of all clusters that use the registry
    """

    cluster: str
    registered: Collection[str]

    def may_end(self, by: str) -> bool:
        """Whether this cluster's configuration ends a reaction.

        :param by: key of the cluster whose rescan reacted; empty where that is not on record
        """
        return by in ("", self.cluster) or by not in self.registered


def hold_of(
    case: Case | None, condition: Condition, scanning: Scanning, actor: Actor, at: datetime
) -> tuple[datetime | None, str]:
    """Since when releases refuse an image in this condition, and whose rescan holds it; ``None`` when they do not.

    :param case: as on record
    """
    since, by = (case.held_since, case.held_by) if case else (None, "")
    if condition not in REACTED_TO:
        return None, ""
    if "hold" in scanning.reactions:
        return since or at, actor.cluster if since is None or actor.may_end(by) else by
    return (None, "") if since is None or actor.may_end(by) else (since, by)


@dataclass(frozen=True)
class PullBlockPlan:
    """The pulls to block and to allow.

    :ivar new: cases to block, with the time of the block
    :ivar repeated: cases on record as blocked whose pulls are allowed, with a new time: an earlier run did not get to
        block them
    :ivar obsolete: cases whose pulls to allow again, and why
    :ivar warnings: sentences about blocks that are refused
    """

    new: tuple[Case, ...] = ()
    repeated: tuple[Case, ...] = ()
    obsolete: tuple[tuple[Case, str], ...] = ()
    warnings: tuple[str, ...] = ()


def plan_pull_blocks(
    cases: Sequence[Case],
    images: Mapping[tuple[str, str, str], LiveImageEntry],
    scanning: Scanning,
    *,
    actor: Actor,
    complete: bool,
    at: datetime,
) -> PullBlockPlan:
    """Plan the pull blocks of the cases.

    :param images: the images of the cases, by key
    :param complete: whether the registry itself listed all its images; without that, nothing is blocked or allowed
    """
    if not complete:
        affected = any(case.blocked_since or _wants_block(case, scanning) for case in cases)
        warning = "Pulls are neither blocked nor allowed: the registry did not list all its images."
        return PullBlockPlan(warnings=(warning,) if affected else ())
    new: list[Case] = []
    repeated: list[Case] = []
    obsolete: list[tuple[Case, str]] = []
    warnings: list[str] = []
    for case in cases:
        image = images[case.key]
        objection, wanted = _objection(case, image, scanning, actor), _wants_block(case, scanning)
        blocked = replace(case, blocked_since=at, blocked_by=actor.cluster)
        if objection is None and wanted and image.readable:
            (repeated if case.blocked_since else new).append(blocked)
        elif objection is not None and case.blocked_since:
            obsolete.append((case, objection))
        elif objection is not None and wanted:
            warnings.append(f"Pulls of {case.name} are not blocked: {objection}.")
    if len(new) > scanning.most_blocks:
        warnings.append(
            f"No pulls are blocked: this rescan would block {len(new)} images at once, and scanning.most_blocks allows "
            f"{scanning.most_blocks}. So many may be a scanner's mistake, or cause an outage."
        )
        new = []
    return PullBlockPlan(tuple(new), tuple(repeated), tuple(obsolete), tuple(warnings))


def _wants_block(case: Case, scanning: Scanning) -> bool:
    return "block-pulls" in scanning.reactions and case.condition in (*BAD, *REACTED_TO)


def _objection(case: Case, image: LiveImageEntry, scanning: Scanning, actor: Actor) -> str | None:
    """Why not to block pulls of an image; ``None`` when they are to be blocked, or to stay blocked.

    ``block_pulls_referenced`` is about a cluster's own manifests only. No cluster may cut off another one.
    """
    foreign = case.blocked_since is not None and not actor.may_end(case.blocked_by)
    if case.condition not in (*BAD, *REACTED_TO):
        return "it is no longer bad"
    if not _wants_block(case, scanning) and not foreign:
        return "scanning.reactions no longer has block-pulls"
    blocker = case.blocked_by if foreign else actor.cluster
    if other := [use for use in image.elsewhere if use.cluster != blocker]:
        return f"{'; '.join(map(str, other[:3]))}; that cluster's pods could not start again"
    if image.users and (foreign or not scanning.block_pulls_referenced):
        return f"{', '.join(image.users[:3])} refers to it, and its pods could not start again"
    return None
