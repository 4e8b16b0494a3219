"""The files of ``deployments/`` that ``pratique deploy`` puts on a Prefect server.

They are read from the checkout that this package was installed from. A wheel does not hold them.
"""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path

from pratique.deployment import CHECKOUT
from pratique.errors import ConfigurationError

#: Relative to the checkout, as are the entrypoints in it.
PREFECT_FILE = Path("deployments/prefect.yaml")
AUTOMATIONS = CHECKOUT / "deployments" / "automations"
TEMPLATES = CHECKOUT / "deployments" / "work-pools"
#: The work pool and one of the flows that ``PREFECT_FILE`` names.
POOL = "pratique"
FLOW = "prepare_cluster"


class PoolType(StrEnum):
    """Where a work pool's runs are executed."""

    PROCESS = "process"
    DOCKER = "docker"
    KUBERNETES = "kubernetes"
    AZURE_CONTAINER_INSTANCE = "azure-container-instance"

    @property
    def template(self) -> Path:
        """The base job template for a new pool of this type."""
        return TEMPLATES / f"{self}.json"


def require_files(checkout: Path = CHECKOUT) -> None:
    """Fail unless the files are there.

    :raises ConfigurationError: names the first missing one
    """
    for path in (PREFECT_FILE, AUTOMATIONS.relative_to(CHECKOUT), TEMPLATES.relative_to(CHECKOUT)):
        if not (checkout / path).exists():
            raise ConfigurationError(
                "find the files to deploy",
                str(checkout / path),
                "It does not exist: pratique is not installed from a checkout of its repository.",
                "Run `make install` in a checkout, and deploy with its .venv/bin/pratique.",
            )
