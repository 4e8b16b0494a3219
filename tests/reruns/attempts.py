"""A cluster whose preparation fails once, and what each attempt of it did, as Prefect and the local Azure tell."""

from __future__ import annotations

import re
import subprocess
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sandbox.scenario import Timings
from tests.flows.world import git, make_config
from tests.installation import TERMINAL, LocalAzure, Server, until
from tests.processes import SCRIPTS
from tests.reruns.machines import Machine, hand_over

DEPLOYMENT = "prepare_cluster/by-hand"
IMAGES = (
    "ghcr.io/kubereboot/kured:1.14.0",
    "docker.io/falcosecurity/falco-no-driver:0.39.2",
    "registry.k8s.io/ingress-nginx/controller:v1.11.3",
)
#: Access that counts at once; the rest as fast as the speed makes it.
TIMINGS = Timings(deployment=20, import_image=3, scan=3, artifact=1, graph=0.5, role_assignment=0, firewall_rule=0)
#: The second of the promotions: the imports into quarantine come before them.
ONE_PROMOTION = {"kind": "status", "status": 403, "code": "Forbidden", "method": "POST", "path": "*/importImage"}
#: What may change something, by the path of its request.
_CHANGES = {
    "deployment": ("PUT", r"/providers/Microsoft\.Resources/deployments/[^/]+$"),
    "image": ("POST", r"/importImage$"),
    "certificate": ("POST", r"/certificates/[^/]+/import$"),
    "access": ("PATCH", r"/providers/Microsoft\.KeyVault/vaults/[^/]+$"),
}


@dataclass(frozen=True)
class Attempt:
    """One attempt of a run.

    :ivar states: how often the runs of each task ended in which state, by the first word of their names
    :ivar requests: the local Azure's log of it
    :ivar log: its lines
    """

    state: str
    states: dict[str, dict[str, int]]
    requests: list[dict[str, Any]]
    log: list[str]

    @property
    def changes(self) -> dict[str, int]:
        """How many requests of each kind that changes something."""
        return {name: sum(_is(entry, *kind) for entry in self.requests) for name, kind in _CHANGES.items()}

    def asked(self, host: str = "") -> int:
        """How many requests went to hosts that end so."""
        return sum(entry["host"].endswith(host) for entry in self.requests)

    def row(self) -> dict[str, Any]:
        """Its figures for the table."""
        ended = Counter[str]()
        for states in self.states.values():
            ended.update(states)
        blobs = self.asked(".blob.core.windows.net")
        return {"state": self.state, **ended, "requests": self.asked() - blobs, "blobs": blobs, **self.changes}


@dataclass
class Cluster:
    """A tenant that knows nothing yet, and the configuration of a cluster in it."""

    server: Server
    azure: LocalAzure
    folder: Path
    config: dict[str, Any]
    _attempts: int = 0
    _seen: int = 0
    _lines: int = 0

    @classmethod
    def make(cls, server: Server, azure: LocalAzure, folder: Path, scenario: dict[str, Any]) -> Cluster:
        """Reset Azure, and write everything that the configuration names, for whoever runs it to read."""
        timings = TIMINGS.model_dump()
        azure.control("PUT", "/scenario", {"scans": {}, "timings": timings, **scenario})
        folder.mkdir()
        config = make_config(folder, azure.home, (IMAGES,)).model_dump(mode="json", exclude_none=True)
        # As people write it: below the folder in which the run starts.
        config["cluster"]["template"] = "infra/pre-cluster-stamp.json"
        config["gate"]["deadline"] = 30
        (folder / "ingress.pem").chmod(0o644)
        return cls(server, azure, folder, config)

    def start(self, deployment: str = DEPLOYMENT, **parameters: Any) -> tuple[str, Attempt]:
        """Press Run, and wait for the end; gives the run's id."""
        self._attempts = self._lines = 0
        run = self.server.run(deployment, {"config": self.config, **parameters})
        return run, self._ended(run)

    def go_on_at(self, machine: Machine) -> None:
        """Let the rest happen there: git trusts a repository of its own user only, and the last step alone uses it."""
        if machine.user is not None:
            hand_over(self.folder / "gitops.git", machine.user)

    def fails_at_one_promotion(self) -> tuple[str, Attempt]:
        """The first attempt: everything is done but one promotion, and what waits for it."""
        self.azure.control("POST", "/faults", {**ONE_PROMOTION, "nth": len(IMAGES) + 2})
        run, attempt = self.start()
        assert attempt.state == "Failed", attempt
        assert attempt.states["promote"].get("Failed") == 1, attempt.states
        assert attempt.changes == {"deployment": 1, "image": 6, "certificate": 1, "access": 2}
        self.azure.control("DELETE", "/faults")
        return run, attempt

    def retry(self, run: str) -> Attempt:
        """Press Retry, which sends this."""
        state = {"type": "SCHEDULED", "name": "AwaitingRetry", "message": "Retry from the UI"}
        self.server.post(f"/flow_runs/{run}/set_state", {"state": state, "force": True})
        return self._ended(run)

    def retry_by_command(self, run: str, machine: Machine) -> Attempt:
        """``prefect flow-run retry``"""
        command = [str(SCRIPTS / "prefect"), "flow-run", "retry", run]
        done = subprocess.run(command, env={**machine.environment}, check=False, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr
        return self._ended(run)

    def elapsed(self) -> float:
        """Seconds of Azure's time."""
        return float(self.azure.control("GET", "/clock")["elapsed"])

    def is_prepared(self) -> None:
        """What has to be there at the end is there, once."""
        state = self.azure.control("GET", "/state")
        (repositories,), (vault,) = state["registries"].values(), state["vaults"].values()
        (certificate,) = vault["certificates"].values()
        assert sum(name.startswith("live/") for name in repositories) == len(IMAGES)
        assert certificate["versions"] == 1
        assert (vault["ipRules"], [tag for tag in vault["tags"] if "lease" in tag]) == ([], [])
        place = self.folder / "gitops.git"
        assert len(git("-c", f"safe.directory={place}", "log", "--format=%s", "main", folder=place).splitlines()) == 3

    def _ended(self, run: str) -> Attempt:
        self._attempts += 1
        until(lambda: self.server.read(run)["run_count"] == self._attempts, lambda: self.server.story(run))
        ended = self.server.until_ended(run)["state"]
        until(lambda: self._all_is_told(run, ended["type"]), lambda: self.server.story(run))
        states: dict[str, Counter[str]] = {}
        for task in self._tasks(run):
            states.setdefault(task["name"].split()[0], Counter())[task["state_name"]] += 1
        log, requests = self._log(run), [one for one in self.azure.requests() if one["number"] > self._seen]
        self._lines += len(log)
        self._seen = max((one["number"] for one in requests), default=self._seen)
        told = {name: dict(counted) for name, counted in states.items()}
        return Attempt(ended["name"], told, requests, [line["message"] for line in log])

    def _all_is_told(self, run: str, ended: str) -> bool:
        """Hooks, log lines and task runs come after the state of the run. Its own last line comes last of all lines."""
        log = self._log(run)
        last = [line["task_run_id"] for line in log if line["message"].startswith("Finished in state")]
        if None not in last:
            return False
        if ended == "FAILED" and not any("end_leases_of_run' finished" in line["message"] for line in log):
            return False
        final = [task for task in self._tasks(run) if task["state_type"] in TERMINAL]
        return len(final) == len(last) - 1

    def _tasks(self, run: str) -> list[dict[str, Any]]:
        asked = {"flow_runs": {"id": {"any_": [run]}}, "limit": 200}
        found = self.server.post("/task_runs/filter", asked)
        return [task for task in found if task["flow_run_run_count"] == self._attempts]

    def _log(self, run: str) -> list[dict[str, Any]]:
        """The lines of this attempt."""
        asked = {"logs": {"flow_run_id": {"any_": [run]}}, "sort": "TIMESTAMP_ASC", "limit": 200}
        found: list[dict[str, Any]] = []
        while page := self.server.post("/logs/filter", {**asked, "offset": self._lines + len(found)}):
            found += page
        return found


def _is(entry: dict[str, Any], method: str, path: str) -> bool:
    return entry["method"] == method and re.search(path, entry["path"], re.IGNORECASE) is not None
