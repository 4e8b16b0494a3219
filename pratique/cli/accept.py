"""``pratique accept``."""

from __future__ import annotations

import asyncio
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from pratique.cli.frame import ConfigArgument, load
from pratique.cli.output import print_line

if TYPE_CHECKING:
    from pratique.gate.exceptions.file import AcceptedKind

ImageArgument = Annotated[
    str, typer.Argument(help="Image as in the catalogue, with its tag. Add @sha256:… to name a digest.")
]


def accept(
    config: ConfigArgument,
    image: ImageArgument,
    reason: Annotated[str, typer.Option(help="Why no source assesses the image.")] = "",
    owner: Annotated[str, typer.Option(help="Who is responsible for it.")] = "",
    approver: Annotated[str, typer.Option(help="Who approved it: another person than the owner.")] = "",
    until: Annotated[
        datetime | None, typer.Option(formats=["%Y-%m-%d"], help="Last day, in UTC. The default is 90 days ahead.")
    ] = None,
    state: Annotated[
        Literal["unverified", "not-applicable", "both"],
        typer.Option(help="What to accept: no proof of a scan, or that Defender is told not to assess the image."),
    ] = "unverified",
    file: Annotated[
        Path | None, typer.Option(help="Exceptions file to edit, if the configuration names several.")
    ] = None,
) -> None:
    """Accept an image that no source assesses: add its digest to the exceptions file. Never accepts findings."""
    from pratique.images import ImageReference
    from pratique.release import acceptance

    states: tuple[AcceptedKind, ...] = ("unverified", "not-applicable") if state == "both" else (state,)
    decision = acceptance.Decision(
        image=ImageReference.parse(image),
        states=states,
        reason=reason,
        owner=owner,
        approver=approver,
        until=until.date() if until else None,
    )
    loaded = load(config)
    path, new = asyncio.run(acceptance.accept(loaded, decision, file))
    print_line(f"added to {path}:")
    for line in new.lines("  "):
        print_line(line)
    if decision.image.at("") not in [known.reference.at("") for known in loaded.catalogue.images]:
        print_line("note: the catalogue has no such image")
    print_line(f"Commit {path.name}, and let {new.approver} review it.")
