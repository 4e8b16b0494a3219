"""A cluster that is prepared while somebody interrupts it: its configuration, its run, and what came of both."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sandbox.scenario import Scenario, Timings
from tests.flows.world import KURED, access_in, git, make_config
from tests.installation import TERMINAL, LocalAzure, Server, Worker, until
from tests.processes import PATIENCE_SECONDS

DEPLOYMENT = "prepare_cluster/by-hand"
#: Azure's durations are divided by it. Access that is to stay pending stays so for minutes, until time jumps.
SPEED = 10.0
PENDING = 3000.0
QUICK = Timings(
    deployment=20,
    import_image=3,
    scan=3,
    artifact=1,
    graph=0.5,
    log_ingestion=1,
    poll=2,
    role_assignment=0,
    firewall_rule=0,
)
_PRINCIPAL = Scenario().identity.object_id


@dataclass(frozen=True)
class Site:
    """Where runs are executed."""

    server: Server
    azure: LocalAzure
    worker: Worker


@dataclass
class Cluster:
    """One cluster in a tenant that knows nothing yet.

    :ivar config: the parameter of its runs
    :ivar measured: seconds by what was waited for
    """

    site: Site
    folder: Path
    config: dict[str, Any] = field(default_factory=dict)
    measured: dict[str, float | str] = field(default_factory=dict)

    @classmethod
    def make(cls, site: Site, folder: Path, scenario: dict[str, Any], gate: dict[str, Any]) -> Cluster:
        """Reset Azure, and write everything that the configuration names.

        :param scenario: what differs from the quick one: scans, timings
        :param gate: what differs in the configuration's gate
        """
        timings = QUICK.model_copy(update=scenario.get("timings", {})).model_dump()
        site.azure.control("PUT", "/scenario", {"scans": {}, **scenario, "timings": timings})
        config = make_config(folder, site.azure.home, ((KURED,),)).model_dump(mode="json", exclude_none=True)
        config["gate"].update(gate)
        return cls(site, folder, config)

    def start(self) -> str:
        """Start the deployment that people start; gives the run's id."""
        return self.site.server.run(DEPLOYMENT, {"config": self.config})

    def hold(self, **fault: Any) -> Callable[[], bool]:
        """Let a request hang; gives what tells whether one does."""
        made = self.site.azure.control("POST", "/faults", fault)["id"]

        def caught() -> bool:
            standing = self.site.azure.control("GET", "/faults")["faults"]
            return any(one["id"] == made and one["caught"] for one in standing)

        return caught

    @property
    def access(self) -> list[str]:
        """Every trace of access to the vault."""
        return access_in(self.site.azure.control("GET", "/state"), _PRINCIPAL)

    @property
    def gitops(self) -> Path:
        return self.folder / "gitops.git"

    def until_ended(self, run: str) -> dict[str, Any]:
        """Wait for the run and for the end of all access, and measure both from now on."""
        began = time.monotonic()
        gone: float | None = None
        give_up = began + PATIENCE_SECONDS
        while True:
            ended = self.site.server.read(run)
            # What is gone now was gone when the state was read, or since.
            if gone is None and not self.access:
                gone = time.monotonic() - began
            final = ended["state_type"] in TERMINAL
            if final and "state" not in self.measured:
                self.measured |= {"state": ended["state_name"], "seconds to state": time.monotonic() - began}
            if final and gone is not None:
                self.measured["seconds to no access"] = gone
                return ended
            assert time.monotonic() < give_up, (self.access, self.site.server.story(run))
            time.sleep(0.3)

    def until_swept(self, run: str) -> dict[str, Any]:
        """The sweep that the automation starts after the run, when it has ended."""
        server = self.site.server
        sweeps: list[dict[str, Any]] = []

        def swept() -> bool:
            sweeps[:] = [one for one in server.runs("sweep_access") if one["parameters"]["config"] == self.config]
            return bool(sweeps)

        until(swept, lambda: f"no sweep after {server.story(run)}")
        return server.until_ended(sweeps[0]["id"])

    def converges(self, release: Callable[[Cluster], None]) -> None:
        """Another run of the same deployment completes, and everything is as the configuration says.

        :param release: what has to happen while it runs
        """
        began = time.monotonic()
        self.site.azure.control("DELETE", "/faults")
        run = self.start()
        release(self)
        ended = self.site.server.until_ended(run)
        self.measured["seconds of the next run"] = time.monotonic() - began
        assert ended["state_type"] == "COMPLETED", self.site.server.story(run)
        self.is_prepared()

    def is_prepared(self) -> None:
        """The image is live, the certificate in the vault, the manifests published, and nobody let in."""
        state = self.site.azure.control("GET", "/state")
        (repositories,) = state["registries"].values()
        (vault,) = state["vaults"].values()
        (certificate,) = vault["certificates"].values()
        assert [name for name in repositories if name.startswith("live/")] == ["live/kubereboot/kured"]
        assert certificate["versions"] == 1
        assert len(git("log", "--format=%s", "main", folder=self.gitops).splitlines()) == 3
        assert self.access == []

    def process(self, run: str) -> int:
        """Id of the process that executes a run."""
        return int(self.site.server.read(run)["infrastructure_pid"])

    def kill(self, run: str) -> None:
        """Kill -9 the process that executes a run."""
        os.kill(self.process(run), signal.SIGKILL)


def alive(process: int) -> bool:
    """Whether a process executes anything: one that nobody waits for stays as a zombie."""
    try:
        return "\nState:\tZ" not in Path(f"/proc/{process}/status").read_text()
    except OSError:
        return False
