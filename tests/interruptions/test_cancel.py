"""Cancel, as both UIs do it, while a run is in the midst of each of its steps."""

from __future__ import annotations

import pytest

from tests.interruptions.conftest import MakeCluster
from tests.interruptions.steps import STEPS


@pytest.mark.parametrize("name", STEPS)
def test_cancel(name: str, cluster: MakeCluster) -> None:
    """The run becomes Cancelled with no access left; the sweep that follows finds none; the next run completes."""
    step = STEPS[name]
    made = cluster(step)
    run = step.begin(made)
    made.site.server.cancel(run)
    ended = made.until_ended(run)
    assert ended["state_name"] == "Cancelled", made.site.server.story(run)
    assert made.access == []
    sweep = made.until_swept(run)
    assert sweep["state_name"] == "Nothing to do", made.site.server.story(sweep["id"])
    made.converges(step.release)
