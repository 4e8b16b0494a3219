"""``pratique config``."""

from __future__ import annotations

import difflib
from typing import Annotated

import typer

from pratique.cli.frame import ConfigArgument, exit_on_error
from pratique.cli.output import print_line
from pratique.errors import ConfigurationError

config = typer.Typer(no_args_is_help=True, help="Work on a configuration file.")


def migrate(
    file: ConfigArgument,
    write: Annotated[bool, typer.Option("--write", help="Change the file. Without it, only show the diff.")] = False,
) -> None:
    """Bring an older configuration file up to date: show what changes, and write it with --write."""
    from pratique.config.migrated_text import migrated_text
    from pratique.config.migration import CURRENT, VersionProblem
    from pratique.yaml_document import LARGEST, InvalidYaml

    with file.open("rb") as opened:
        content = opened.read(LARGEST + 1)
    before = _text(content, str(file))
    try:
        after = migrated_text(before)
    except (InvalidYaml, VersionProblem) as error:
        raise ConfigurationError("migrate the configuration", str(file), f"{error}.", "Fix the file.") from None
    if after == before:
        print_line(f"{file} has version {CURRENT} already")
        return
    for line in difflib.unified_diff(
        before.splitlines(), after.splitlines(), str(file), f"{file}, version {CURRENT}", lineterm=""
    ):
        print_line(line)
    if not write:
        print_line(f"\nNothing is written. Add --write to change {file}.")
        return
    file.write_bytes(after.encode())
    print_line(f"\n{file} is written. Run `pratique check {file}`.")


def _text(content: bytes, name: str) -> str:
    try:
        return content.decode()
    except UnicodeDecodeError:
        raise ConfigurationError("migrate the configuration", name, "It is not UTF-8.", "Save it as UTF-8.") from None


config.command()(exit_on_error(migrate))


@config.callback()
def _group() -> None:
    """Without a callback, typer would leave out the name of a group's only command."""
