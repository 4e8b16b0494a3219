"""Kill -9 of the process of a run whose worker lives."""

from __future__ import annotations

import pytest

from tests.interruptions.conftest import MakeCluster
from tests.interruptions.steps import STEPS


@pytest.mark.parametrize("name", ["deploying", "importing the certificate", "revoking the role", "promoting"])
def test_kill(name: str, cluster: MakeCluster) -> None:
    """The worker notices, and its hook takes the access back; the next run completes."""
    step = STEPS[name]
    made = cluster(step)
    run = step.begin(made)
    assert made.access or not step.access
    made.kill(run)
    ended = made.until_ended(run)
    assert ended["state_name"] == "Crashed", made.site.server.story(run)
    assert made.until_swept(run)["state_type"] == "COMPLETED"
    assert made.access == []
    made.converges(step.release)
