"""A repository of somebody else, whose configuration starts a program wherever git lets it."""

from __future__ import annotations

from pathlib import Path

# Settings whose value is a program: section, subsection, key.
_PROGRAMS = (
    ("core", "", "alternateRefsCommand"),
    ("core", "", "askPass"),
    ("core", "", "editor"),
    ("core", "", "fsmonitor"),
    ("core", "", "gitProxy"),
    ("core", "", "pager"),
    ("core", "", "sshCommand"),
    ("credential", "", "helper"),
    ("credential", "https://git.contoso.com", "helper"),
    ("diff", "", "external"),
    ("diff", "foreign", "command"),
    ("diff", "foreign", "textconv"),
    ("filter", "foreign", "clean"),
    ("filter", "foreign", "process"),
    ("filter", "foreign", "smudge"),
    ("gpg", "", "program"),
    ("gpg", "ssh", "program"),
    ("merge", "foreign", "driver"),
    ("remote", "origin", "receivepack"),
    ("remote", "origin", "uploadpack"),
    ("uploadpack", "", "packObjectsHook"),
    *(
        (section, "", command)
        for section in ("alias", "pager")
        for command in ("config", "log", "ls-files", "ls-remote", "rev-list", "rev-parse", "status")
    ),
)
_HOOKS = ("post-checkout", "post-index-change", "pre-commit", "reference-transaction")
_OTHERS = '[log]\n\tshowSignature = true\n[protocol "ext"]\n\tallow = always\n[core]\n\thooksPath = {}\n'
_ATTRIBUTES = "* filter=foreign diff=foreign merge=foreign\n"


def booby_trap(repository: Path, ran: Path) -> None:
    """Let settings, hooks and attributes of a repository start programs that write their names into a file."""
    folder = repository / ".git"
    programs, hooks = folder / "programs", folder / "traps"
    settings = _OTHERS.format(hooks)
    for section, subsection, key in _PROGRAMS:
        program = _program(programs, f"{section}.{subsection or '-'}.{key}".replace("/", "_"), ran)
        name = f'{section} "{subsection}"' if subsection else section
        settings += f"[{name}]\n\t{key} = {program}\n"
    for name in _HOOKS:
        _program(hooks, name, ran)
    (folder / "included").write_text(settings)
    with (folder / "config").open("a") as file:
        file.write("[include]\n\tpath = included\n")
    (repository / ".gitattributes").write_text(_ATTRIBUTES)


def _program(folder: Path, name: str, ran: Path) -> Path:
    folder.mkdir(exist_ok=True)
    program = folder / name
    program.write_text(f"#!/bin/sh\necho {name} >> '{ran}'\n")
    program.chmod(0o755)
    return program
