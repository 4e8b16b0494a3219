"""Reports on a run of the seal for people and auditors: a summary, a record, and the error that names what is wrong."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import timedelta
from typing import Any

from pratique.errors import LiveImagesNotSealed
from pratique.markdown import literal, table
from pratique.oci.locks import Part
from pratique.records.document import format_time
from pratique.seal.locking import SealOutcome
from pratique.seal.needs import OPEN_CASE
from pratique.seal.plan import ImageSeal
from pratique.text import first_few

SEALED, NOT_SEALED = "Sealed", "Not sealed"

#: Rows per table: as many as Prefect's page still shows.
_MOST_ROWS = 500
_NAMED = 5  # tags and manifests that an error names; the summary has more, the record all


def outcome_of(outcome: SealOutcome) -> str:
    """Whether everything on record is as it should be."""
    return NOT_SEALED if outcome.failed or outcome.survey.recorded.moved else SEALED


def require_sealed(outcome: SealOutcome) -> None:
    """:raises LiveImagesNotSealed: when something could not be locked or unlocked, or a tag was moved"""
    failed, moved = outcome.failed, outcome.survey.recorded.moved
    if not (failed or moved):
        return
    observed = [f"{tag}." for tag in moved[:_NAMED]]
    observed += [f"And {len(moved) - _NAMED} more tags."] if len(moved) > _NAMED else []
    if failed:
        names = first_few([str(each.part) for each in failed], most=_NAMED)
        observed.append(f"Could not lock or unlock {names}: {failed[0].observed}")
    steps = ["Find out who moved the tags, and move them back: docs/seal.md."] if moved else []
    steps += dict.fromkeys(each.remedy for each in failed[:_NAMED])
    raise LiveImagesNotSealed("seal live/", outcome.survey.registry, " ".join(observed), " ".join(steps))


def markdown(outcome: SealOutcome, days: int) -> str:
    """The summary, as Markdown.

    :param days: after which what nothing needs is unlocked
    """
    survey, plan = outcome.survey, outcome.plan
    recorded, failed = survey.recorded, outcome.failed
    parts = [
        f"# Seal of live/ of {survey.registry}",
        f"**{outcome_of(outcome)}** at {outcome.action.at:%Y-%m-%d %H:%M:%S} UTC, by {literal(outcome.action.by)}: "
        f"{len(plan.images)} images on record, {sum(each.retired for each in plan.images)} of them retired.",
        *(f"**{literal(note)}**" for note in _notes(outcome)),
        *_list("Locked", outcome.locked),
        *_list("Found unlocked, although they were locked", sorted(plan.undone)),
        *_list("Unlocked", outcome.unlocked),
        *_rows("Not locked or unlocked", ("what", "why"), [(str(each.part), each.observed) for each in failed]),
        *_rows(
            "Moved tags",
            ("tag", "promoted as", "names", "locked"),
            [(str(tag.part), tag.promoted, tag.current, "yes" if tag.locked else "no") for tag in recorded.moved],
        ),
        *_rows("Unused", ("image", "since", "unlocked from", "digest"), _unused(plan.images, days)),
        *_rows("Unused, but for an open case", ("image", "why", "digest"), _with_case(plan.images)),
        *_rows(
            "Let in by break glass and not assessed since, so not locked",
            ("image", "digest"),
            [(image.name, image.digest) for image in recorded.unassessed],
        ),
        *_list("Not on record, so not locked", recorded.unrecorded),
    ]
    return "\n\n".join(parts) + "\n"


def record(outcome: SealOutcome) -> dict[str, Any]:
    """The record, as JSON data."""
    plan, recorded = outcome.plan, outcome.survey.recorded
    return {
        "at": format_time(outcome.action.at),
        "by": outcome.action.by,
        "registry": outcome.survey.registry,
        "outcome": outcome_of(outcome),
        "changed": outcome.changed,
        "images": len(plan.images),
        "locked": _names(outcome.locked),
        "undone": _names(sorted(plan.undone)),
        "unlocked": _names(outcome.unlocked),
        "failed": [{"part": str(each.part), "why": each.observed} for each in outcome.failed],
        "moved": [
            {"tag": str(tag.part), "promoted": tag.promoted, "current": tag.current, "locked": tag.locked}
            for tag in recorded.moved
        ],
        "unused": [
            {
                "image": each.image.name,
                "digest": each.image.digest,
                "since": format_time(since),
                "retired": each.retired,
            }
            for each in plan.images
            if (since := each.unused_since) is not None
        ],
        "unassessed": [{"image": image.name, "digest": image.digest} for image in recorded.unassessed],
        "unrecorded": _names(recorded.unrecorded),
        "notes": list(_notes(outcome)),
    }


def _notes(outcome: SealOutcome) -> Iterator[str]:
    yield from outcome.survey.notes
    for repository in outcome.survey.recorded.closed:
        yield (
            f"The repository {repository} itself is locked, so nothing can be promoted into it: az acr repository "
            f"update -n <registry> --repository {repository} --write-enabled true."
        )
    for standing in outcome.plan.images:
        if standing.image.missing:
            yield f"{standing.image.name} lacks {first_few(standing.image.missing)} below it; a release restores that."


def _unused(images: Iterable[ImageSeal], days: int) -> list[tuple[str, ...]]:
    return [
        (each.image.name, f"{since:%Y-%m-%d}", f"{since + timedelta(days=days):%Y-%m-%d}", each.image.digest)
        for each in images
        if (since := each.unused_since) is not None and not each.retired
    ]


def _with_case(images: Iterable[ImageSeal]) -> list[tuple[str, ...]]:
    """What would be unlocked one day if no case were open about it."""
    return [
        (each.image.name, each.needed_by[0], each.image.digest)
        for each in images
        if each.needed_by and all(reason.startswith(OPEN_CASE) for reason in each.needed_by)
    ]


def _list(heading: str, parts: Sequence[Part]) -> Iterator[str]:
    return _rows(heading, ("what",), [(str(part),) for part in parts])


def _rows(heading: str, headings: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterator[str]:
    if rows:
        yield f"## {heading}: {len(rows)}"
        yield table(headings, rows[:_MOST_ROWS])


def _names(parts: Iterable[Part]) -> list[str]:
    return [str(part) for part in parts]
