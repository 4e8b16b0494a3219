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
#: All but the demo, which replaces the process that starts it.
IN_PROCESS = [*(command for command in COMMANDS if command != "demo"), "trust", "clusters", "records", "config"]
#: Packages that only what a command runs needs.
HEAVY = {"aiohttp", "asn1crypto", "cbor2", "cryptography", "httpx", "msal", "pydantic_settings", "requests", "ruamel"}


def _imported(program: str) -> set[str]:
    """The modules that a process holds after a program."""
    run = [sys.executable, "-c", f"import sys\n{program}\nprint('modules:', *sys.modules)"]
    done = subprocess.run(run, check=True, capture_output=True, text=True)
    return {*done.stdout.rpartition("modules:")[2].split()}


def _packages(modules: set[str]) -> set[str]:
    return {name.partition(".")[0] for name in modules}


@pytest.mark.parametrize("arguments", [["--help"], ["--version"], *([command, "--help"] for command in IN_PROCESS)])
def test_help_imports_little(arguments: list[str]) -> None:
    """Neither Prefect, an SDK, nor the model of the configuration, nor what those are made of. They take seconds."""
    program = (
        f"from pratique.cli.app import app\ntry: app({arguments})\nexcept SystemExit as ended: assert not ended.code"
    )
    modules = _imported(program)
    assert "typer" in modules
    assert not _packages(modules) & {"prefect", "azure", "flows", "tasks", *HEAVY}
    assert not {name for name in modules if name.startswith(("pratique.config", "pratique.gate", "pratique.azure"))}


def test_check_probe_and_sweep_need_no_prefect() -> None:
    """What these commands run on Azure works without Prefect."""
    modules = ("pratique.cli.app", "pratique.preflight.check", "pratique.preflight.probe.run", "pratique.access.revoke")
    imported = _packages(_imported(f"import {', '.join(modules)}"))
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
