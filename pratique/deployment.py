"""Where a run starts: in the checkout from which its own environment was installed, wherever that is.

Prefect's own way is to note the folder from which somebody deploys, and to start every run there. That folder exists
on one machine. ``deployments/prefect.yaml`` therefore names :func:`enter` as the pull step of all deployments: the
machine that executes a run looks for the flows at its own place, and paths in configurations are relative to that.
"""

from __future__ import annotations

from pathlib import Path

#: The folder that holds ``flows/`` and ``deployments/``.
CHECKOUT = Path(__file__).parents[1]


def enter() -> dict[str, str]:
    """Called by Prefect before it loads the flow; it changes into ``directory``."""
    return {"directory": str(CHECKOUT)}
