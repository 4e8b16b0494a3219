"""The demo's folder, and its deployments with the configuration that belongs to it, as a file for Prefect.

Runs in a container of docker-compose.yml, before the demo's worker. What is there already stays: the GitOps
repository goes on where the last run ended.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from ruamel.yaml import YAML

from demo.workspace import Workspace

FOLDER = Path("/demo")


def main() -> None:
    """Write what is missing."""
    speed = float(os.environ["SANDBOX_SPEED"])
    workspace = Workspace(FOLDER / "workspace", speed)
    if not workspace.configuration.exists():
        shutil.rmtree(workspace.folder, ignore_errors=True)
        workspace = Workspace.create(workspace.folder, speed)
        workspace.write_configuration()
    YAML().dump(deployments(workspace), FOLDER / "prefect.yaml")


def deployments(workspace: Workspace) -> dict[str, object]:
    """The contents of the file for ``prefect deploy``."""
    usual = {
        "name": "demo",
        "tags": ["pratique", "sandbox"],
        "parameters": {"config": YAML(typ="safe").load(workspace.configuration)},
        "enforce_parameter_schema": True,
        "work_pool": {"name": "sandbox"},
    }
    prepare = {
        "entrypoint": "flows/prepare_cluster.py:prepare_cluster",
        "description": "Prepares the walkthrough's cluster on the local Azure.",
        "concurrency_limit": {"limit": 1, "collision_strategy": "ENQUEUE"},
    }
    sweep = {
        "entrypoint": "flows/sweep_access.py:sweep_access",
        "description": "Ends temporary access to the local Azure's vault.",
    }
    return {"name": "pratique", "deployments": [usual | prepare, usual | sweep]}


if __name__ == "__main__":
    main()
