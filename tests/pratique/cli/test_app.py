"""The command line before it reaches Azure or Prefect: help, imports, wrong configurations."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from pratique.cli.app import app

EXAMPLE = Path(__file__).parents[3] / "examples" / "bootstrap.yaml"
COMMANDS = ["check", "probe", "plan", "prepare", "release", "renew", "rescan", "drill", "sweep", "deploy", "demo"]


def _imported(*modules: str) -> set[str]:
    """The top-level packages, and azure's own, that a new process holds after importing these modules."""
    program = f"import sys, {', '.join(modules)}; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True).stdout.split()
    return {name.partition(".")[0] for name in loaded}


def test_help_needs_neither_prefect_nor_azure() -> None:
    """Importing all commands imports neither Prefect nor an Azure SDK, so that --help starts fast."""
    imported = _imported("pratique.cli.app")
    assert "typer" in imported
    assert not imported & {"prefect", "azure", "flows", "tasks"}


def test_check_probe_and_sweep_need_no_prefect() -> None:
    """What these commands run on Azure works without Prefect."""
    modules = ("pratique.preflight.check", "pratique.preflight.probe.run", "pratique.access.revoke")
    imported = _imported("pratique.cli.app", *modules)
    assert "azure" in imported
    assert not imported & {"prefect", "flows", "tasks"}


@pytest.mark.parametrize("command", [[], *([command] for command in COMMANDS)])
def test_help(command: list[str]) -> None:
    """Every command explains itself."""
    # A process of its own: the demo replaces the process that starts it.
    run = [sys.executable, "-m", "pratique", *command, "--help"]
    helped = subprocess.run(run, check=False, capture_output=True, text=True)
    assert helped.returncode == 0
    assert "Usage:" in helped.stdout
    if not command:
        assert all(name in helped.stdout for name in COMMANDS)


@pytest.mark.parametrize("command", ["prepare", "release", "rescan", "renew", "check", "probe", "sweep"])
def test_wrong_configuration(command: str, tmp_path: Path) -> None:
    """Exit code 2 when the file is missing or fields are wrong. One line names each of them."""
    missing = CliRunner().invoke(app, [command, str(tmp_path / "absent.yaml")])
    assert missing.exit_code == 2
    assert missing.stderr.startswith("pratique: ConfigurationError: ")
    path = tmp_path / "wrong.yaml"
    example = EXAMPLE.read_text()
    path.write_text(example.replace("deadline: 240", "deadline: never").replace("branch: main", "brunch: main"))
    wrong = CliRunner().invoke(app, [command, str(path)])
    assert wrong.exit_code == 2
    assert len(wrong.stderr.splitlines()) == 1
    for part in ("gate.deadline is 'never'", "manifests.brunch", "Next: "):
        assert part in wrong.stderr


def test_a_drill_needs_its_confirmation() -> None:
    """Exit code 2, and nothing is started, unless --confirm has the right words."""
    refused = CliRunner().invoke(app, ["drill", str(EXAMPLE), "--confirm", "yes"])
    assert refused.exit_code == 2
    assert refused.stderr.startswith("pratique: ConfigurationError: Could not start the drill (yes): ")
    assert "--confirm 'bypass the quarantine'" in refused.stderr
