"""One installation and one browser for all tests here; screenshots and figures go to ``artifacts/browser``."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from playwright.sync_api import Browser, expect, sync_playwright

from sandbox.scenario import Scenario, Timings
from tests.browser.ui import PATIENCE, Ui
from tests.flows.world import access_in, git, make_config
from tests.installation import ROOT, LocalAzure, Server, Worker, local_azure, prefect_server, until
from tests.processes import found

DEPLOYMENT = "prepare_cluster/by-hand"
FOLDER = ROOT / "artifacts" / "browser"
#: Azure's durations are divided by it: a run takes half a minute.
SPEED = 60.0
TIMINGS = Timings(deployment=180, scan=240, artifact=60, role_assignment=0, firewall_rule=0)
#: Besides, names of hosts lead nowhere.
_OPTIONS = [
    "--no-sandbox",
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-quic",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
]
#: What may change something, by the path of its request.
_CHANGES = {
    "deployment": ("PUT", r"/Microsoft\.Resources/deployments/[^/]+$"),
    "image": ("POST", r"/importImage$"),
    "certificate": ("POST", r"/certificates/[^/]+/import$"),
}
_MEASURED = pytest.StashKey[dict[str, float]]()


@dataclass(frozen=True)
class Site:
    """A Prefect server with its UI, everything deployed on it, a worker, and a local Azure."""

    server: Server
    azure: LocalAzure

    def changes(self) -> dict[str, int]:
        """How many requests of each kind that changes something Azure has had."""
        log = self.azure.requests()
        return {
            name: sum(
                entry["method"] == method and bool(re.search(path, entry["path"], re.IGNORECASE)) for entry in log
            )
            for name, (method, path) in _CHANGES.items()
        }

    @property
    def state(self) -> dict[str, Any]:
        return self.azure.control("GET", "/state")

    @property
    def access(self) -> list[str]:
        """Every trace of access to the vault."""
        return access_in(self.state, Scenario().identity.object_id)


@dataclass(frozen=True)
class Cluster:
    """A cluster that is to be prepared, whose configuration is the deployment's.

    :ivar config: what the form is filled with
    """

    site: Site
    folder: Path
    config: dict[str, Any]

    @property
    def runs(self) -> list[str]:
        """Ids of the runs for this cluster."""
        found = self.site.server.runs("prepare_cluster")
        mine = self.config["certificate"]["pem"]
        return [run["id"] for run in found if run["parameters"]["config"]["certificate"]["pem"] == mine]

    def started(self) -> str:
        """The id of its only run, once there is one."""
        until(lambda: bool(self.runs), lambda: "there is no run")
        (run,) = self.runs
        return run

    def tasks(self, run: str) -> list[dict[str, Any]]:
        """All task runs, with those of earlier attempts."""
        mine = {"flow_runs": {"id": {"any_": [run]}}, "limit": 200}
        tasks: list[dict[str, Any]] = self.site.server.post("/task_runs/filter", mine)
        return tasks

    @property
    def live(self) -> list[str]:
        """Repositories below ``live/``, without it."""
        (repositories,) = self.site.state["registries"].values()
        return sorted(name.removeprefix("live/") for name in repositories if name.startswith("live/"))

    @property
    def authors(self) -> list[str]:
        """Who made the commits since the sample."""
        return git("log", "--format=%an", "main", folder=self.folder / "gitops.git").splitlines()[:-1]


MakeCluster = Callable[..., Cluster]


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """The automation that sweeps after bad ends is off: what a run leaves open would be seen."""
    folder = tmp_path_factory.mktemp("site")
    (folder / "prefect").mkdir()
    ui = {"PREFECT_SERVER_UI_ENABLED": "true"}
    with prefect_server(folder / "prefect", **ui) as server, local_azure(folder, SPEED) as azure:
        server.deploy()
        (sweeping,) = [one for one in server.post("/automations/filter", {}) if "sweep access" in one["name"]]
        _patch(server, f"/automations/{sweeping['id']}", {"enabled": False})
        results = {"PREFECT_RESULTS_LOCAL_STORAGE_PATH": str(folder / "results")}
        worker = Worker(folder / "worker.log", server.environment | azure.environment | results)
        worker.start()
        yield Site(server, azure)
        worker.stop()


@pytest.fixture
def cluster(site: Site, tmp_path: Path) -> MakeCluster:
    """Makes one in a tenant that knows nothing yet; the default is the example's, with seven images."""

    def make(releases: Any = None, gate: dict[str, Any] | None = None, **timings: float) -> Cluster:
        azure = {"timings": TIMINGS.model_copy(update=timings).model_dump()}
        site.azure.control("PUT", "/scenario", azure)
        config = make_config(tmp_path, site.azure.home, releases).model_dump(mode="json", exclude_none=True)
        # Minutes at Azure's pace; a scan takes five seconds here.
        config["gate"] |= {"interval": 0.5, "deadline": 2, "patience": 0.02, **(gate or {})}
        deployment = site.server.get(f"/deployments/name/{DEPLOYMENT}")["id"]
        # What a person does once in the deployment's Edit.
        _patch(site.server, f"/deployments/{deployment}", {"parameters": {"config": config}})
        return Cluster(site, tmp_path, config)

    return make


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """Debian's Chromium; it reaches loopback only."""
    shutil.rmtree(FOLDER, ignore_errors=True)
    FOLDER.mkdir(parents=True)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=found("chromium", "chromium"), args=_OPTIONS)
        yield browser
        browser.close()


@pytest.fixture
def ui(browser: Browser, site: Site, request: pytest.FixtureRequest) -> Iterator[Ui]:
    """A new tab, of a person who was never here; its last look is kept."""
    expect.set_options(timeout=PATIENCE)
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    context.set_default_timeout(PATIENCE)
    ui = Ui(context.new_page(), site.server.url.removesuffix("/api"), FOLDER, request.node.name.removeprefix("test_"))
    yield ui
    ui.look("end")
    context.close()


@pytest.fixture
def measured(request: pytest.FixtureRequest) -> dict[str, float]:
    """Seconds by what was waited for; for the end of the test run."""
    return request.config.stash.setdefault(_MEASURED, {})


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Print the figures, and keep them as JSON."""
    measured = config.stash.get(_MEASURED, {})
    if measured:
        (FOLDER / "measured.json").write_text(json.dumps(measured, indent=1))
        for what, seconds in measured.items():
            terminalreporter.write_line(f"{what}: {seconds:.1f} s")


def _patch(server: Server, path: str, document: dict[str, Any]) -> None:
    """Repeated when SQLite is busy."""

    def answered() -> bool:
        answer = httpx.patch(f"{server.url}{path}", json=document, trust_env=False, timeout=600)
        busy = answer.status_code == httpx.codes.SERVICE_UNAVAILABLE
        return not busy and answer.raise_for_status().is_success

    until(answered)
