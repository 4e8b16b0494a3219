"""Which images to hold, and whose pulls to block or allow again: pure decisions, from the conditions of the cases."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from pratique.config.scanning import Scanning
from pratique.records.cases import Case, Condition
from pratique.rescan.conditions import BAD
from pratique.rescan.inventory import LiveImageEntry


def hold_since(case: Case | None, condition: Condition, scanning: Scanning, at: datetime) -> datetime | None:
    """Since when releases refuse an image in this condition; ``None`` when they do not.

    :param case: as on record
    """
    if "hold" not in scanning.reactions or condition is not Condition.BAD:
        return None
    return (case.held_since if case else None) or at


@dataclass(frozen=True)
class PullBlockPlan:
    """The pulls to block and to allow.

    :ivar new: cases to block, with the time of the block
    :ivar repeated: cases on record as blocked whose pulls are allowed: an earlier run did not get to block them
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
    new, repeated, obsolete, warnings = [], [], [], []
    for case in cases:
        image = images[case.key]
        objection = _objection(case, image, scanning)
        if objection is None and not case.blocked_since and image.readable:
            new.append(replace(case, blocked_since=at))
        elif objection is None and case.blocked_since and image.readable:
            repeated.append(case)
        elif objection is not None and case.blocked_since:
            obsolete.append((case, objection))
        elif objection is not None and _wants_block(case, scanning):
            warnings.append(f"Pulls of {case.name} are not blocked: {objection}.")
    if len(new) > scanning.most_blocks:
        warnings.append(
            f"No pulls are blocked: this rescan would block {len(new)} images at once, and scanning.most_blocks allows "
            f"{scanning.most_blocks}. So many may be a scanner's mistake, or cause an outage."
        )
        new = []
    return PullBlockPlan(tuple(new), tuple(repeated), tuple(obsolete), tuple(warnings))


def _wants_block(case: Case, scanning: Scanning) -> bool:
    return "block-pulls" in scanning.reactions and case.condition in BAD


def _objection(case: Case, image: LiveImageEntry, scanning: Scanning) -> str | None:
    """Why not to block pulls of an image; ``None`` when they are to be blocked."""
    if case.condition not in BAD:
        return "it is no longer bad"
    if not _wants_block(case, scanning):
        return "scanning.reactions no longer has block-pulls"
    if image.users and not scanning.block_pulls_referenced:
        return f"{', '.join(image.users[:3])} refers to it, and its pods could not start again"
    return None
