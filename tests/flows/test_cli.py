"""Commands on a local Azure: what they print, and their exit codes. tests/pratique/cli has what needs no Azure."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from typer.testing import CliRunner

from pratique.cli.app import app
from pratique.config import Image
from pratique.lease import TAG_PREFIX, Lease, lease_id
from sandbox.core.locks import Lock
from sandbox.scenario import DefenderPlan, Finding, Identity, Scan, Scenario
from sandbox.services.keyvault.vaults import VAULT_TYPE
from sandbox.services.oci.manifests import IN_TOTO
from sandbox.tenant import CLUSTER_GROUP, group_id
from tests.flows.conftest import PROMPT, MakeWorld
from tests.flows.world import KURED, PROJECT, World, git
from tests.pratique.certificate.issuing import issue
from tests.waiting import HANGS

FINDING = Finding(cve="CVE-2025-1974", severity="Critical", package="openssl", version="3.1.4-r5")


def _prepare(cluster: World, prefect: Path, *options: str) -> tuple[int, str, str]:
    """Exit code, output and errors of ``pratique prepare``."""
    process = cluster.start(prefect, *options)
    output, errors = process.communicate(timeout=HANGS)
    return process.returncode, output, errors


def _check(cluster: World) -> tuple[int, str]:
    outcome = CliRunner().invoke(app, ["check", cluster.written()])
    return outcome.exit_code, outcome.output


def test_prepare(world: MakeWorld, prefect: Path, tmp_path: Path) -> None:
    """Exit code 0: everything is prepared, shown in full, and written to a file for programs."""
    cluster = world()
    code, output, errors = _prepare(cluster, prefect, "--output", str(tmp_path / "result.json"))
    assert code == 0, errors
    (digest,) = cluster.live.values()
    assert digest in output
    assert cluster.live == cluster.upstream()
    result = json.loads((tmp_path / "result.json").read_text())
    assert [image["digest"] for image in result["images"]] == [digest]
    assert [message for _, message in reversed(result["commits"])] == cluster.commits


def test_prepare_blocked(world: MakeWorld, prefect: Path) -> None:
    """Exit code 3: the gate blocks the release. The last line says why, and there is no traceback."""
    scans = {"kubereboot/kured": Scan(outcome="unhealthy", findings=(FINDING,))}
    cluster = world(scenario=Scenario(scans=scans, timings=PROMPT))
    code, _, errors = _prepare(cluster, prefect)
    assert code == 3
    last = errors.splitlines()[-1]
    assert last.startswith("pratique: GateBlocked: ")
    for part in (KURED, "CVE-2025-1974 (Critical)", "openssl 3.1.4-r5", "Next: "):
        assert part in last
    assert "Traceback" not in errors


def test_prepare_failed(world: MakeWorld) -> None:
    """Exit code 1: something else went wrong, reported in one line."""
    cluster = world()
    cluster.pem.unlink()
    failed = CliRunner().invoke(app, ["prepare", cluster.written()])
    assert failed.exit_code == 1
    assert failed.stderr.splitlines()[-1].startswith("pratique: NotFound: Could not read the secret (file:")


def test_prepare_interrupted(world: MakeWorld, prefect: Path) -> None:
    """Exit code 130 after Ctrl-C: the run cleans up behind itself, and no traceback is printed."""
    cluster = world()
    cluster.sandbox.azure.faults.add(kind="operation-hangs", operation="import")
    process = cluster.start(prefect)
    asyncio.run(cluster.until(lambda: any(one.kind == "import" for one in cluster.sandbox.azure.operations.all())))
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=HANGS)
    assert process.returncode == 130, errors
    assert errors.splitlines()[-1] == "pratique: Interrupted."
    assert "Traceback" not in errors
    assert cluster.access == []


def test_prepare_with_more_than_prefect_takes(world: MakeWorld, prefect: Path) -> None:
    """Exit code 2: the last line has the limit and what to do, and nothing repeats the configuration."""
    cluster = world()
    images = [Image(source=f"ghcr.io/acme/{'x' * 200}-{number}:1") for number in range(2600)]
    release = cluster.config.catalogue.releases[0].model_copy(update={"images": images})
    catalogue = cluster.config.catalogue.model_copy(update={"releases": (release,)})
    large = replace(cluster, config=cluster.config.model_copy(update={"catalogue": catalogue}))
    code, _, errors = _prepare(large, prefect)
    assert code == 2
    last = errors.splitlines()[-1]
    assert last.startswith("pratique: ConfigurationError: Could not run the flow (Prefect server http://127.0.0.1:")
    assert "less than 524,288 bytes" in last
    assert len(errors) < 5000
    assert "Traceback" not in errors


def test_check(world: MakeWorld) -> None:
    """A cluster that can be prepared passes every check, and the checks change nothing."""
    cluster = world()
    code, output = _check(cluster)
    assert code == 0, output
    assert all(line.startswith("pass ") for line in output.splitlines())
    (digest,) = cluster.upstream().values()
    assert digest in output
    assert [one for one in cluster.state()["operations"] if one["kind"] != "what-if"] == []


def test_check_warns(world: MakeWorld) -> None:
    """What a person should look at is a warning with its next step, and no failure."""
    cluster = world()
    cluster.pem.write_bytes(issue(start=datetime.now(UTC) - timedelta(days=1), names=()).pem)
    cluster.pem.chmod(0o644)
    git("init", "--quiet", folder=cluster.pem.parent)
    git("add", cluster.pem.name, folder=cluster.pem.parent)
    code, output = _check(cluster)
    assert code == 0, output
    warnings = [line for line in output.splitlines() if not line.startswith("pass ")]
    source = f"warn secret file: {cluster.pem} (certificate.pem): "
    assert [line.partition("0644")[0].partition("Git tracks")[0].partition(" has no")[0] for line in warnings] == [
        f"warn certificate: file:{cluster.pem}: The certificate",
        f"{source}Its mode is ",
        f"     next: chmod 600 {cluster.pem}",
        source,
        f"     next: git rm --cached {cluster.pem}; add it to .gitignore, and replace the secret: the history still "
        "contains it.",
    ]


def test_sweep(world: MakeWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every record is printed with its outcome. When one cannot be revoked: exit code 1, and the commands for it."""
    monkeypatch.setattr("pratique.access.revoke.PAUSES", (0.0,) * 5)
    cluster = world()
    config = cluster.written()
    assert CliRunner().invoke(app, ["sweep", config]).output == "0 found, 0 revoked, 0 kept\n"
    asyncio.run(cluster.prepare())
    now = datetime.now(UTC).replace(microsecond=0)
    lives = {"dead": timedelta(minutes=-1), "alive": timedelta(minutes=30)}
    dead, alive = (
        Lease(id=lease_id(owner, cluster.vault_id), owner=owner, expires=now + life) for owner, life in lives.items()
    )
    tags = {lease.tag_name: lease.tag_value for lease in (dead, alive)} | {f"{TAG_PREFIX}0": "nonsense"}
    azure = cluster.sandbox.azure
    vault = azure.resources.named(VAULT_TYPE, cluster.vault_name)
    assert vault is not None

    async def tag() -> None:
        azure.resources.put({**vault, "tags": tags})

    cluster.sandbox.run(tag())
    # In a process of its own, which finds no Prefect server.
    environment = os.environ | {"PREFECT_API_URL": "http://127.0.0.1:9/api"}
    command = [sys.executable, "-m", "pratique", "sweep", config]
    output = subprocess.run(command, cwd=PROJECT, env=environment, check=True, capture_output=True, text=True).stdout
    ignored = f"ignored {TAG_PREFIX}0: it is damaged"
    assert output.splitlines() == [f"revoked {dead}", f"kept    {alive}", ignored, "2 found, 1 revoked, 1 kept"]
    cluster.sandbox.azure.faults.add(kind="status", status=409, code="ScopeLocked", method="PATCH", times=None)
    failed = CliRunner().invoke(app, ["sweep", config, "--all"])
    assert failed.exit_code == 1
    assert f"--remove tags.{alive.tag_name}" in failed.stderr.splitlines()[-1]
    cluster.sandbox.azure.faults.clear()
    everything = CliRunner().invoke(app, ["sweep", config, "--all"])
    assert everything.exit_code == 0
    assert everything.output.splitlines() == [f"revoked {alive}", ignored, "1 found, 1 revoked, 0 kept"]
    assert cluster.access == [f"tag {TAG_PREFIX}0"]


def test_check_names_what_is_missing(world: MakeWorld) -> None:
    """Each obstacle is a line of its own with the next step: an action, Defender's plan, the certificate, a lock."""
    roles = ("Contributor", "Container Registry Data Importer and Data Reader")
    scenario = Scenario(identity=Identity(roles=roles), defender=DefenderPlan(tier="Free"), timings=PROMPT)
    cluster = world(scenario=scenario)
    cluster.pem.unlink()
    group = group_id(cluster.sandbox.azure, CLUSTER_GROUP)
    cluster.sandbox.azure.locks.put(Lock(scope=group, name="keep", level="CanNotDelete"))
    code, output = _check(cluster)
    assert code == 1
    lines = output.splitlines()
    failed = {line.split(":")[0]: (line, lines[number + 1]) for number, line in enumerate(lines) if "FAIL" in line}
    assert "Microsoft.Authorization/roleAssignments/write" in failed["FAIL permissions"][0]
    assert f"CanNotDelete lock keep on {group}" in failed["FAIL locks"][0]
    assert "no such file" in failed["FAIL certificate"][0]
    assert "off" in failed["FAIL Defender for Containers plan"][0]
    assert all(line.startswith("     next: ") and line.removeprefix("     next: ") for _, line in failed.values())
    assert f"pass {KURED}" in output


def test_rescan(world: MakeWorld, tmp_path: Path) -> None:
    """Exit code 0 and the record while no image is at risk; 3 once one is."""
    cluster = world()
    asyncio.run(cluster.prepare())
    asyncio.run(cluster.until(lambda: _scanned(cluster, "live/kubereboot/kured")))
    fine = CliRunner().invoke(app, ["rescan", cluster.written(), "--output", str(tmp_path / "record.json")])
    assert fine.exit_code == 0, fine.stderr
    assert "All is well: 1 images in live/: 1 Healthy" in fine.stdout
    assert json.loads((tmp_path / "record.json").read_text())["states"] == {"Healthy": 1}
    bad = Scan(outcome="unhealthy", findings=(FINDING,)).model_dump(mode="json")
    cluster.sandbox.control("PUT", "/scans/kubereboot/kured", json=bad)
    cluster.sandbox.control("POST", "/clock", json={"jump": 86_400})
    asyncio.run(cluster.until(lambda: _scanned(cluster, "live/kubereboot/kured", 2)))
    refused = CliRunner().invoke(app, ["rescan", cluster.written()])
    assert refused.exit_code == 3
    assert FINDING.cve in refused.stderr.splitlines()[-1]


def _scanned(cluster: World, place: str, times: int = 1) -> bool:
    entries = cluster.registry.manifest(place, "1.14.0").manifest.body["manifests"]
    images = [entry["digest"] for entry in entries if entry["platform"]["os"] != "unknown"]
    return all(len(cluster.registry.referrers(place, digest, IN_TOTO)) >= times for digest in images)
