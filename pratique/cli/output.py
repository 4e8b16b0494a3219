"""What commands print, and the file that ``--output`` writes."""

from __future__ import annotations

import json
import sys
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table

from pratique.errors import ConfigurationError

if TYPE_CHECKING:
    from pratique.release.summary import Delivery


class _Console(Console):
    def on_broken_pipe(self) -> None:
        """Nobody reads the output any longer. :func:`~pratique.cli.frame.exit_on_error` ends the command."""
        raise BrokenPipeError


#: Outside a terminal, lines are not wrapped at 80 columns: digests must stay whole to be copied and compared.
console = _Console(soft_wrap=True, width=None if sys.stdout.isatty() else 240)


def print_line(text: str) -> None:
    """Print text as it is: square brackets are not markup."""
    console.print(text, markup=False, highlight=False)


def print_images(delivery: Delivery) -> None:
    """Print a table of the released images."""
    table = Table(title=delivery.title)
    for heading in ("image", "digest", "verdict", "live reference"):
        table.add_column(heading, overflow="fold")
    for image in delivery.images:
        table.add_row(image.source, image.digest, image.verdict, image.live_tag)
    console.print(table)


def print_commits(delivery: Delivery) -> None:
    """Print the commits to the manifests, and warnings about images that do not match them."""
    for sha, message in delivery.commits:
        print_line(f"commit {sha[:12]} {message}")
    if not delivery.commits:
        print_line(f"manifests unchanged at {delivery.head[:12]}")
    for warning in delivery.usage.warnings():
        print_line(f"warning: {warning}")


def print_certificate(name: str, vault: str, thumbprint: str, expires_on: datetime | None) -> None:
    """Print which certificate the vault holds."""
    print_line(f"certificate {name} in {vault}: thumbprint {thumbprint}, expires {expires_on:%Y-%m-%d}")


def write_json(value: object, path: Path | None) -> None:
    """Write a command's result, if a file was asked for. What JSON has no type for is written as text.

    :raises ConfigurationError: when the file cannot be written
    """
    if path is None:
        return
    try:
        path.write_text(json.dumps(value, default=str, indent=1))
    except OSError as error:
        remedy = "Write to another place. What the command did in Azure is done."
        raise ConfigurationError("write the result", str(path), f"{error.strerror}.", remedy) from None
