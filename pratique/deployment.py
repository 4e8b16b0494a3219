"""The pull step of all deployments: starts a run in the checkout from which its environment was installed.

By default, Prefect stores the folder from which a flow is deployed and starts every run there, but that folder exists
on one machine only. ``deployments/prefect.yaml`` therefore names :func:`enter` as the pull step of all deployments.
The machine that executes a run finds the flows in its own checkout, and paths in configurations are relative to it.
"""

from __future__ import annotations

from pathlib import Path

#: The folder that holds ``flows/`` and ``deployments/``.
CHECKOUT = Path(__file__).parents[1]


def enter() -> dict[str, str]:
    """Return the directory of this checkout. Prefect calls this before it loads the flow, and changes into it."""
    return {"directory": str(CHECKOUT)}
