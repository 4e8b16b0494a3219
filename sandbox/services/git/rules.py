"""What repositories demand of pushes to a branch: a hook of the bare repository that answers in the forge's words.

Facts: GitHub Docs, "About protected branches" and "Available rules for rulesets"; Azure Repos, "Branch policies". The
wording of refused pushes is the forges' as reported by users (UNVERIFIED).
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from sandbox.scenario import GitRepository

_SIGNERS = "signers"
_PULL_REQUEST = "Changes must be made through a pull request."
_SIGNATURE = "Commits must have verified signatures."


def install(settings: GitRepository, bare: Path) -> None:
    """Install the hook, if the repository demands anything."""
    if settings.may_bypass or not (settings.protected or settings.signed):
        return
    (bare / _SIGNERS).write_text("".join(f"* {key}\n" for key in settings.signers))
    hook = bare / "hooks" / "update"
    hook.parent.mkdir(exist_ok=True)
    hook.write_text("\n".join(["#!/bin/sh", "name=$1 new=$3", *_checks(settings, bare), "exit 0", ""]))
    hook.chmod(0o755)


def _checks(settings: GitRepository, bare: Path) -> Iterator[str]:
    for branch in sorted(settings.protected):
        yield f"if [ \"$name\" = 'refs/heads/{branch}' ]; then"
        yield from _refusal(settings, branch, _PULL_REQUEST)
        yield "fi"
    for branch in sorted(settings.signed):
        verify = f"git -c gpg.ssh.allowedSignersFile='{bare / _SIGNERS}' verify-commit"
        yield f"if [ \"$name\" = 'refs/heads/{branch}' ]; then"
        yield '  for commit in $(git rev-list "$new" --not --all); do'
        yield f'    if ! {verify} "$commit" 2>/dev/null; then'
        yield from _refusal(settings, branch, _SIGNATURE)
        yield "    fi"
        yield "  done"
        yield "fi"


def _refusal(settings: GitRepository, branch: str, reason: str) -> Iterator[str]:
    lines = [f"error: GH006: Protected branch update failed for refs/heads/{branch}.", f"error: {reason}"]
    if settings.rules_in == "rulesets":
        lines = [f"error: GH013: Repository rule violations found for refs/heads/{branch}.", f"- {reason}"]
    if not settings.url.startswith("https://github.com/"):
        lines = [
            "TF402455: Pushes to this branch are not permitted; you must use a pull request to update this branch."
        ]
    for line in lines:
        yield f"echo '{line}' >&2"
    yield "exit 1"
