"""``pratique break-glass``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pratique.cli.frame import ConfigArgument, load
from pratique.cli.output import print_line

if TYPE_CHECKING:
    from pratique.images import ImageReference

ImageArgument = Annotated[
    str, typer.Argument(help="Image as in the catalogue, with @sha256:… and its digest. A tag alone is refused.")
]


def break_glass(
    config: ConfigArgument,
    image: ImageArgument,
    hours: Annotated[
        float, typer.Option(help="Hours from now on, at most the policy's break_glass_hours.", show_default=False)
    ],
    reason: Annotated[str, typer.Option(help="Why it cannot wait for an assessment.")] = "",
    incident: Annotated[str, typer.Option(help="Ticket of the incident.")] = "",
    requested_by: Annotated[str, typer.Option(help="Who asks: you. Another person has to approve.")] = "",
    file: Annotated[
        Path | None, typer.Option(help="Exceptions file to edit, if the configuration names several.")
    ] = None,
) -> None:
    """Ask to let one digest in before it is assessed, for some hours. Another person approves it in Prefect's UI."""
    from pratique.images import ImageReference
    from pratique.release.break_glass import Request, request_break_glass

    request = Request(
        image=ImageReference.parse(image), hours=hours, reason=reason, incident=incident, requested_by=requested_by
    )
    loaded = load(config)
    path, new = request_break_glass(loaded, request, file)
    print_line(f"added to {path}:")
    for line in new.lines("  "):
        print_line(line)
    sources = [known for known in loaded.catalogue.images if _is(known.reference, request.image)]
    if not sources:
        print_line("note: the catalogue has no such image")
    print_line(f"Commit {path.name} and push it, then release the image:")
    only = "".join(f" --only {known.source}" for known in sources)
    print_line(f"  pratique release {config}{only}")
    print_line(f"The run asks in Prefect's UI. Another person than {new.entry['requested_by']} has to approve.")


def _is(known: ImageReference, asked: ImageReference) -> bool:
    same_place = (known.registry, known.repository) == (asked.registry, asked.repository)
    return same_place and asked.tag in (None, known.tag)
