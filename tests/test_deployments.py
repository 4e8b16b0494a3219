"""deployments/prefect.yaml against Prefect's own schema: unknown keys would be ignored in silence."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path
from zoneinfo import ZoneInfo

import yaml
from prefect.cli.deploy._models import DeploymentConfig, PrefectYamlModel

from pratique.deployment import enter

ROOT = Path(__file__).parent.parent
FILE = ROOT / "deployments" / "prefect.yaml"


def test_every_key_is_one_that_prefect_knows() -> None:
    """A misspelt key would be dropped without a word by `prefect deploy`."""
    document = yaml.safe_load(FILE.read_text())
    model = PrefectYamlModel.model_validate(document)
    for written, read in zip(document["deployments"], model.deployments, strict=True):
        assert set(written) <= set(DeploymentConfig.model_fields), written["name"]
        assert read.name == written["name"]


def test_every_entrypoint_is_a_flow_that_exists() -> None:
    """Files and functions are where the deployments say."""
    for deployment in yaml.safe_load(FILE.read_text())["deployments"]:
        path, _, function = deployment["entrypoint"].partition(":")
        spec = importlib.util.spec_from_file_location("entrypoint", ROOT / path)
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        assert getattr(module, function).name == function


def test_schedules_wait_for_somebody_to_switch_them_on() -> None:
    """They need parameters first, and say in whose time they are meant."""
    schedules = {
        deployment["entrypoint"].rpartition(":")[2]: schedule
        for deployment in yaml.safe_load(FILE.read_text())["deployments"]
        for schedule in deployment.get("schedules", [])
    }
    assert "renew_certificate" in schedules
    for schedule in schedules.values():
        assert schedule["active"] is False
        assert ZoneInfo(schedule["timezone"])


def test_runs_find_their_flows_where_they_are() -> None:
    """No deployment holds a folder of the machine that deployed it: the pull step tells that of the run's machine."""
    pull = yaml.safe_load(FILE.read_text())["pull"]
    assert pull == [{"pratique.deployment.enter": {}}]
    assert Path(enter()["directory"]) == ROOT


def test_workers_look_for_runs_often() -> None:
    """A worker that starts in a checkout, as the documentation says, asks every two seconds, without a setting."""
    program = "from prefect.settings import get_current_settings; print(get_current_settings().worker.query_seconds)"
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PREFECT_")}
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, env=environment, check=True, capture_output=True, text=True
    )
    assert float(done.stdout) == 2
