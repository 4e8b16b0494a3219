"""The worker is lost, with its runs or without."""

from __future__ import annotations

import signal

import pytest

from tests.flows.world import OPENED
from tests.installation import until
from tests.interruptions.cluster import alive
from tests.interruptions.conftest import MakeCluster
from tests.interruptions.steps import STEPS, open_door


@pytest.mark.parametrize("how", ["killed with its run", "stopped"])
def test_heartbeats_stop(how: str, cluster: MakeCluster) -> None:
    """Nobody is left to run a hook; an automation notices, another one sweeps on the next worker."""
    step = STEPS["importing the certificate"]
    made = cluster(step)
    run = step.begin(made)
    process = made.process(run)
    if how == "stopped":
        made.site.worker.stop(signal.SIGTERM)
    else:
        made.site.worker.stop(signal.SIGKILL)
        made.kill(run)
    until(lambda: not alive(process))
    assert made.site.server.read(run)["state_type"] == "RUNNING"
    assert len(made.access) == OPENED
    made.site.worker.start()
    ended = made.until_ended(run)
    assert ended["state_name"] == "Crashed", made.site.server.story(run)
    assert made.until_swept(run)["state_name"] == "Access revoked"
    made.converges(step.release)


def test_worker_is_killed(cluster: MakeCluster) -> None:
    """Its run goes on without it, and completes."""
    made = cluster(STEPS["publishing the manifests"])
    run = STEPS["publishing the manifests"].begin(made)
    process = made.process(run)
    made.site.worker.stop(signal.SIGKILL)
    assert alive(process)
    open_door(made)
    ended = made.until_ended(run)
    assert ended["state_type"] == "COMPLETED", made.site.server.story(run)
    made.is_prepared()
