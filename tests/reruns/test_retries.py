"""What a retry does again, in each situation in which somebody presses Retry. ``make test-reruns`` runs it.

A preparation of three images fails at one promotion. Everything else of it is done: the deployment, three imports into
quarantine, two promotions, the certificate.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from prefect.settings import PREFECT_API_URL, temporary_settings
from prefect_azure import AzureBlobStorageCredentials
from prefect_azure.blob_storage import AzureBlobStorageContainer

from tests.installation import ROOT, Server, until
from tests.reruns.attempts import DEPLOYMENT, IMAGES, Attempt
from tests.reruns.conftest import MakeCluster, MakeMachine, Note
from tests.reruns.machines import Machine

BLOCK = "azure-blob-storage-container/pratique-results"
ACCOUNT = {"name": "stpratiqueresults", "containers": ["results"]}
#: What is true only now is asked again, whatever is remembered.
#: The promotion that had failed goes on record; the summary and the next step's parameters are shown.
_AGAIN = {name: {"Completed": 1} for name in ("check", "gate", "verdict", "record", "publish")}
_AGAIN["show"] = {"Completed": 2}
ONLY_WHAT_FAILED: dict[str, dict[str, int]] = {
    **_AGAIN,
    "read": {"Cached": 1},
    "deploy": {"Cached": 1},
    "resolve": {"Cached": 3},
    "quarantine": {"Cached": 3},
    "promote": {"Cached": 2, "Completed": 1},
    "store": {"Cached": 1},
}
FOUND_DONE: dict[str, dict[str, int]] = {
    **_AGAIN,
    "read": {"Completed": 1},
    "deploy": {"Nothing to do": 1},
    "resolve": {"Completed": 3},
    "quarantine": {"Nothing to do": 3},
    "promote": {"Nothing to do": 2, "Completed": 1},
    "open": {"Completed": 1},
    "import": {"Nothing to do": 1},
    "revoke": {"Access revoked": 1},
    "store": {"Nothing to do": 1},
}
#: Access to the vault is opened and taken back to see that the certificate is there.
LOOKED = {"deployment": 0, "image": 1, "certificate": 0, "access": 2}
REMEMBERED = LOOKED | {"access": 0}


def remembered_all(attempt: Attempt) -> None:
    """The retry did only what had failed."""
    assert (attempt.state, attempt.changes) == ("Completed", REMEMBERED)
    ended_so(attempt, ONLY_WHAT_FAILED)


def found_all_done(attempt: Attempt) -> None:
    """The retry looked at everything, and did only what had failed."""
    assert (attempt.state, attempt.changes) == ("Completed", LOOKED)
    ended_so(attempt, FOUND_DONE)


def ended_so(attempt: Attempt, states: dict[str, dict[str, int]]) -> None:
    """These tasks ended in these states, and there was no other that says anything but Completed."""
    assert {
        name: ended for name, ended in attempt.states.items() if {*ended} != {"Completed"} or name in states
    } == states


def user_of(machine: Machine) -> str:
    """For the table: whether it was another one."""
    return "same user" if machine.user is None else f"user {machine.user}"


@pytest.mark.parametrize("by", ["button", "command"])
def test_same_worker(by: str, cluster: MakeCluster, first: MakeMachine, note: Note, server: Server) -> None:
    """Only the promotion that failed, and what is true only now."""
    preparing, machine = cluster(), first()
    with machine.working(server):
        run, failed = preparing.fails_at_one_promotion()
        again = preparing.retry(run) if by == "button" else preparing.retry_by_command(run, machine)
    remembered_all(again)
    preparing.is_prepared()
    note("first attempt", failed)
    note(f"same worker, by {by}", again)


def test_another_machine_that_shares_a_folder(
    cluster: MakeCluster, first: MakeMachine, second: MakeMachine, folder: Path, note: Note, server: Server
) -> None:
    """The first one is gone: other folder, other home, other user; of all that was there it has the results alone."""
    results = folder / "results"
    results.mkdir()
    results.chmod(0o777)  # two users who share no group
    shared = {"PREFECT_RESULTS_LOCAL_STORAGE_PATH": str(results)}
    preparing, other = cluster(), second(**shared)
    with first(**shared).working(server):
        run, _ = preparing.fails_at_one_promotion()
    preparing.go_on_at(other)
    with other.working(server):
        again = preparing.retry_by_command(run, other)
    remembered_all(again)
    assert str(ROOT) not in json.dumps(server.get(f"/deployments/name/{DEPLOYMENT}"))
    preparing.is_prepared()
    note(f"another machine, {user_of(other)}, shared folder", again)


@pytest.fixture
def results_in_blobs(server: Server) -> dict[str, str]:
    """Blocks without a secret, as one makes them in the UI; gives the setting that names them."""
    with temporary_settings({PREFECT_API_URL: server.url}):
        credentials = AzureBlobStorageCredentials(account_url=f"https://{ACCOUNT['name']}.blob.core.windows.net")
        credentials.save("pratique-results", overwrite=True)
        container = AzureBlobStorageContainer(container_name="results", credentials=credentials)
        container.save("pratique-results", overwrite=True)
    return {"PREFECT_RESULTS_DEFAULT_STORAGE_BLOCK": BLOCK}


def test_another_machine_with_results_in_blobs(
    cluster: MakeCluster,
    first: MakeMachine,
    second: MakeMachine,
    results_in_blobs: dict[str, str],
    note: Note,
    server: Server,
) -> None:
    """They share no disk at all, and Prefect keeps no secret: each run enters the account with its own identity."""
    preparing, other = cluster(storage_accounts=[ACCOUNT]), second(**results_in_blobs)
    with first(**results_in_blobs).working(server):
        run, failed = preparing.fails_at_one_promotion()
    stored = [one for one in failed.requests if (one["service"], one["operation"]) == ("blobs", "put_blob")]
    assert {one["status"] for one in stored} == {201}
    preparing.go_on_at(other)
    with other.working(server):
        again = preparing.retry(run)
    remembered_all(again)
    assert {one["principal"] for one in again.requests if one["service"] == "blobs"} == {"sp-pratique-pipeline"}
    preparing.is_prepared()
    note(f"another machine, {user_of(other)}, results in blobs", again)


def test_results_that_cannot_be_kept(
    cluster: MakeCluster, first: MakeMachine, results_in_blobs: dict[str, str], note: Note, server: Server
) -> None:
    """A storage account that lets nobody in costs the memory, not the run; Prefect calls those steps RolledBack."""
    preparing = cluster(storage_accounts=[ACCOUNT | {"roles": []}])
    with first(**results_in_blobs).working(server):
        run, _ = preparing.fails_at_one_promotion()
        again = preparing.retry(run)
    assert (again.state, again.changes) == ("Completed", LOOKED)
    forgotten = {name for name, ended in again.states.items() if "RolledBack" in ended}
    assert forgotten == {"read", "deploy", "resolve", "quarantine", "promote", "store"}
    preparing.is_prepared()
    note("results that nobody may store", again)


def test_without_results(
    cluster: MakeCluster, first: MakeMachine, second: MakeMachine, folder: Path, note: Note, server: Server
) -> None:
    """An empty disk: finished steps are looked at and say that there was nothing to do; nothing is imported twice."""
    preparing, other = cluster(), second()
    with first().working(server):
        run, _ = preparing.fails_at_one_promotion()
    shutil.rmtree(folder / "first")
    preparing.go_on_at(other)
    with other.working(server):
        again = preparing.retry(run)
    found_all_done(again)
    assert sum(": already there" in line for line in again.log) == len(IMAGES) + 2
    assert any("Infrastructure unchanged" in line for line in again.log)
    assert any("is already in the vault" in line for line in again.log)
    preparing.is_prepared()
    note(f"another machine, {user_of(other)}, no results", again)


DAY = 86_400.0
UNHEALTHY = {
    "outcome": "unhealthy",
    "findings": [{"cve": "CVE-2026-1001", "severity": "Critical", "package": "openssl", "version": "3.1.4-r5"}],
}


class TestLater:
    """Days pass between the attempts: at this speed one is twelve seconds."""

    @pytest.fixture
    def speed(self) -> float:
        return 7200.0

    def test_stale_verdicts_are_not_trusted(
        self, cluster: MakeCluster, first: MakeMachine, note: Note, server: Server
    ) -> None:
        """What was healthy at the first attempt is not by now: the retry blocks, and promotes nothing more."""
        preparing = cluster()
        with first().working(server):
            run, failed = preparing.fails_at_one_promotion()
            assert failed.states["verdict"] == {"Completed": 1}
            preparing.azure.control("PUT", "/scans/kubereboot/kured", UNHEALTHY)
            scanned_again = preparing.elapsed() + 1.25 * DAY
            until(lambda: preparing.elapsed() > scanned_again)
            again = preparing.retry(run)
        assert again.state == "Blocked by gate"
        assert again.states["verdict"] == {"Blocked by gate": 1}
        assert again.states["quarantine"] == {"Cached": 3}
        assert "promote" not in again.states
        assert again.changes == {"deployment": 0, "image": 0, "certificate": 0, "access": 0}
        assert any("CVE-2026-1001" in line for line in again.log)
        note("days later, an image has become unhealthy", again)


def test_one_image(cluster: MakeCluster, first: MakeMachine, note: Note, server: Server) -> None:
    """``release_images`` with ``only``: its release is looked at, and nothing is done that was done."""
    preparing = cluster()
    with first().working(server):
        _, prepared = preparing.start()
        assert prepared.state == "Completed"
        _, again = preparing.start("release_images/weekly", only=[IMAGES[0]])
    assert (again.state, again.changes) == (
        "Nothing to do",
        {"deployment": 0, "image": 0, "certificate": 0, "access": 0},
    )
    done = {
        "find": {"Completed": 1},
        "resolve": {"Completed": 3},
        "quarantine": {"Nothing to do": 3},
        "gate": {"Completed": 1},
        "verdict": {"Completed": 1},
        "promote": {"Nothing to do": 3},
        "record": {"Nothing to do": 1},
        "publish": {"Nothing to do": 1},
        "show": {"Completed": 1},
    }
    ended_so(again, done)
    preparing.is_prepared()
    note("preparation", prepared)
    note("release_images with one image of three, all done", again)
