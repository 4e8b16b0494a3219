"""deployments/automations against Prefect's own schemas, client's and server's, and against what they speak of."""

from __future__ import annotations

import uuid
from typing import Any

import pytest
import yaml
from prefect.server.events.schemas.automations import AutomationCreate
from prefect.server.utilities.user_templates import validate_user_template

from pratique.cli.automations import TAG, Ids, build_automation, deployments_to_run, notifies, read_files
from pratique.cli.deployment_files import POOL, PREFECT_FILE
from tests.installation import ROOT
from tests.run_states import RESULTS, failures

DOCUMENTS = read_files()
DEPLOYED: list[dict[str, Any]] = yaml.safe_load((ROOT / PREFECT_FILE).read_text())["deployments"]
NAMES = {f"{one['entrypoint'].rpartition(':')[2]}/{one['name']}" for one in DEPLOYED}


IDS = Ids({name: uuid.uuid4() for name in NAMES}, uuid.uuid4())


@pytest.mark.parametrize("file", DOCUMENTS)
def test_prefect_takes_every_file(file: str) -> None:
    """Client and server accept it, and know every key that it has: others would be dropped in silence."""
    core = build_automation(DOCUMENTS[file], IDS)
    sent = core.model_dump(mode="json", exclude_unset=True)
    AutomationCreate.model_validate(sent)
    assert {*DOCUMENTS[file]} <= {*type(core).model_fields}
    assert {*DOCUMENTS[file]["trigger"]} <= {*type(core.trigger).model_fields}
    for written, action in zip(DOCUMENTS[file]["actions"], core.actions, strict=True):
        assert {*written} - {"deployment"} <= {*type(action).model_fields}
    assert core.tags == [TAG]


def test_names_are_unique() -> None:
    """An automation on a server is found again by its name."""
    names = [document["name"] for document in DOCUMENTS.values()]
    assert len({*names}) == len(names)


def test_what_they_run_is_deployed() -> None:
    """Each deployment that a file runs is one of prefect.yaml."""
    assert deployments_to_run(DOCUMENTS) <= NAMES


def test_runs_are_recognised() -> None:
    """Runs are told from others by a tag of the deployment, and by the pool."""
    assert all("pratique" in one["tags"] for one in DEPLOYED)
    assert {one["work_pool"]["name"] for one in DEPLOYED} == {POOL}


@pytest.mark.parametrize("file", ["crash-zombies.yaml", "cancel-unanswered.yaml"])
def test_every_end_of_a_run_is_the_end_of_its_heartbeats(file: str) -> None:
    """A run that has ended under any of our names is not taken for one whose process is gone."""
    expected = DOCUMENTS[file]["trigger"]["expect"]
    ends = RESULTS | failures()
    assert "Blocked by gate" in ends
    assert {f"prefect.flow-run.{name}" for name in ends} <= {*expected}


def test_notifications_need_a_block_and_nothing_else_does() -> None:
    """Files that only tell people are told by their names."""
    assert {file for file, document in DOCUMENTS.items() if notifies(document)} == {
        file for file in DOCUMENTS if file.startswith("notify-")
    }


def test_texts_are_templates_that_prefect_renders() -> None:
    """Neither a misspelt tag nor a construct that Prefect forbids."""
    for document in DOCUMENTS.values():
        for action in document["actions"]:
            for key in {"subject", "body"} & {*action}:
                validate_user_template(action[key])


def test_every_failure_is_told_of_once() -> None:
    """Whatever name a failed run has, exactly one file that notifies is about it; what stands for days is told of when
    it changes."""
    names = {"Failed", "TimedOut", *failures()} - {"Blocked by gate", "Live images at risk"}
    assert {*DOCUMENTS["notify-failed.yaml"]["trigger"]["match"]["prefect.state-name"]} == names
