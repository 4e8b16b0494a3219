"""The contenders: each prepares the cluster of a scene, and says what that took."""

from __future__ import annotations

import base64
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks.comparison.deployed import PrefectCost, run_deployed
from benchmarks.comparison.process_tree import Usage, run
from benchmarks.comparison.scene import Scene
from pratique.images import ImageReference
from sandbox.scenario import Scenario
from tests.flows.world import PROJECT, git
from tests.isolated_git import git_environment

AZ = PROJECT / ".venv-az" / "bin"


@dataclass(frozen=True, kw_only=True)
class Finished:
    """A run that has ended.

    :ivar seconds: from the command to its end
    :ivar error: the end of its output, if it failed; empty otherwise
    :ivar prefect: of a deployed run
    """

    seconds: float
    usage: Usage
    error: str = ""
    prefect: PrefectCost | None = None


Contender = Callable[[Scene], Finished]


def command(scene: Scene) -> Finished:
    """``pratique prepare``, with its own temporary server, on a machine where it ran before."""
    words = [sys.executable, "-m", "pratique", "prepare", str(scene.config)]
    own = {"PREFECT_HOME": str(scene.folder / "prefect"), "PREFECT_SERVER_ANALYTICS_ENABLED": "false"}
    # Every run but the first finds the database that an earlier one made.
    made = [sys.executable, "-m", "prefect", "server", "database", "upgrade", "-y"]
    subprocess.run(made, env={**os.environ, **own}, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return _timed(scene, words, own, PROJECT, lambda line: "pratique prepare" in line)


def deployed(scene: Scene) -> Finished:
    """The deployment's run on a Prefect server, by a worker of the pool that ``pratique deploy`` makes."""
    seconds, usage, cost, error = run_deployed(scene)
    return Finished(seconds=seconds, usage=usage, error=error, prefect=cost)


def serial(scene: Scene) -> Finished:
    """The walkthrough's ``az`` commands, one after another."""
    return _walkthrough(scene, 1)


def parallel(scene: Scene) -> Finished:
    """The same, with eight imports at once."""
    return _walkthrough(scene, 8)


def bare(scene: Scene) -> Finished:
    """An asyncio script on the same SDKs, without Prefect and without checks."""
    words = [sys.executable, "-m", "benchmarks.comparison.bare", str(scene.gitops), str(scene.pem), str(scene.interval)]
    shell = ["bash", "-c", 'exec "$@" < "$0"', str(_listed(scene)), *words]
    return _timed(scene, shell, _identities(scene), PROJECT, lambda line: "comparison.bare" in line)


CONTENDERS: Mapping[str, Contender] = {
    "command": command,
    "deployed": deployed,
    "az": serial,
    "az, 8 at once": parallel,
    "bare script": bare,
}


def _walkthrough(scene: Scene, at_once: int) -> Finished:
    with _signed_in(scene) as environment:
        words = ["bash", str(Path(__file__).with_name("walkthrough.sh")), str(at_once), str(scene.interval)]
        return _timed(scene, words, environment, scene.folder, lambda line: f"{AZ}/" in line)


@contextmanager
def _signed_in(scene: Scene) -> Iterator[dict[str, str]]:
    """The folder and the variables of somebody who followed the earlier pages; signing in is not measured."""
    _listed(scene)
    shutil.copy(PROJECT / "infra" / "pre-cluster-stamp.json", scene.folder)
    shutil.copy(scene.pem, scene.folder / "ingress.pem")
    git("clone", "--quiet", str(scene.gitops), str(scene.folder / "clone"), folder=scene.folder)
    own = _identities(scene) | {
        "PATH": f"{AZ}:{os.environ['PATH']}",
        "PYTHON": sys.executable,
        "PYTHONPATH": str(PROJECT),
        "AZURE_CONFIG_DIR": str(scene.folder / "az"),
        "AZURE_CORE_COLLECT_TELEMETRY": "no",
        "CERTIFICATE_BASE64": base64.b64encode(_public(scene.pem).encode()).decode(),
    }
    told = {**_environment(), **scene.sandbox.variables, **own}
    login = [str(AZ / "az"), "login", "--service-principal", "--tenant", told["AZURE_TENANT_ID"]]
    secret = ["--username", told["AZURE_CLIENT_ID"], "--password", told["AZURE_CLIENT_SECRET"]]
    subprocess.run([*login, *secret], env=told, check=True, stdout=subprocess.DEVNULL)
    yield own


def _timed(
    scene: Scene, words: list[str], own: Mapping[str, str], folder: Path, is_flow: Callable[[str], bool]
) -> Finished:
    log, started = scene.folder / "run.log", time.monotonic()
    code, usage = run(words, {**_environment(), **scene.sandbox.variables, **own}, log, folder, is_flow)
    error = f"ended with {code}: {log.read_text()[-2000:]}" if code else ""
    return Finished(seconds=time.monotonic() - started, usage=usage, error=error)


def _environment() -> dict[str, str]:
    """This process's, with an author for commits."""
    who = {"NAME": "Operator", "EMAIL": "operator@contoso.example"}
    roles = ("AUTHOR", "COMMITTER")
    return git_environment() | {f"GIT_{role}_{field}": value for role in roles for field, value in who.items()}


def _identities(scene: Scene) -> dict[str, str]:
    return {"PRINCIPAL_OBJECT_ID": Scenario().identity.object_id, "PYTHONPATH": str(PROJECT)}


def _listed(scene: Scene) -> Path:
    """A file with each image's source and its path below ``quarantine/`` and ``live/``."""
    path = scene.folder / "images.txt"
    references = [ImageReference.parse(source) for source in scene.sources]
    lines = [f"{reference} {reference.repository}:{reference.tag}" for reference in references]
    path.write_text("\n".join(lines) + "\n")
    return path


def _public(pem: Path) -> str:
    end = "-----END CERTIFICATE-----"
    return f"{pem.read_text().partition(end)[0]}{end}\n"
