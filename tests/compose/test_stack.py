"""docker-compose.yml on a real engine: what is closed, bounded and named.

``make compose-test`` runs it. Where images cannot be pulled, tests/compose/stand-ins/build.sh makes the bases first.
``COMPOSE`` names the command when it is not ``docker compose``.
"""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import httpx
import pytest

from tests.compose.stack import COMPOSE, ROOT, SERVICES, Stack, output

#: A version of three numbers, or of two for PostgreSQL; a name that moves is none.
PINNED = re.compile(r":\d+\.\d+(\.\d+)?(-[a-z]+)*(@sha256:[0-9a-f]{64})?$")


def test_only_the_ui_can_be_reached_and_only_from_here(stack: Stack) -> None:
    """One port on loopback, and the API behind it wants the password."""
    published = {service: stack.container(service)["NetworkSettings"]["Ports"] or {} for service in SERVICES}
    bound = [
        (service, binding) for service, ports in published.items() for one in ports.values() for binding in one or ()
    ]
    assert bound == [("server", {"HostIp": "127.0.0.1", "HostPort": stack.settings["PRATIQUE_PORT"]})]
    answer = httpx.post(f"{stack.api.base_url}flow_runs/count", json={}, trust_env=False)
    assert answer.status_code == httpx.codes.UNAUTHORIZED


def test_databases_and_local_azure_have_no_way_out(stack: Stack) -> None:
    """Nor has the worker of the local Azure; those have one that need it."""
    networks = {service: set(stack.container(service)["NetworkSettings"]["Networks"]) for service in SERVICES}
    leaving = {service for service, names in networks.items() if f"{stack.project}_outside" in names}
    assert leaving == {"server", "services", "worker"}
    assert output("docker", "network", "inspect", f"{stack.project}_inside", "--format", "{{.Internal}}") == "true\n"


@pytest.mark.parametrize("service", sorted(SERVICES - {"postgres"}))
def test_containers_are_confined(stack: Stack, service: str) -> None:
    """Not root, nothing to write to but what is mounted, no capability."""
    host = stack.container(service)["HostConfig"]
    assert stack.compose("exec", "-T", service, "id", "-u").strip() != "0"
    assert host["ReadonlyRootfs"]
    assert host["CapDrop"] == ["ALL"]


@pytest.mark.parametrize("service", sorted(SERVICES))
def test_containers_are_bounded_and_watched(stack: Stack, service: str) -> None:
    """Bounds on memory, processors, processes and logs, a health check, and a restart after a crash."""
    container = stack.container(service)
    host = container["HostConfig"]
    assert host["Memory"] > 0
    assert host["NanoCpus"] > 0
    assert host["PidsLimit"] > 0
    assert "no-new-privileges:true" in host["SecurityOpt"]
    assert host["RestartPolicy"]["Name"] == "unless-stopped"
    assert host["LogConfig"]["Config"].keys() == {"max-size", "max-file"}
    assert container["Config"]["Healthcheck"]["Test"][0] in {"CMD", "CMD-SHELL"}


@pytest.mark.parametrize("service", sorted(SERVICES))
def test_images_and_volumes_have_names(stack: Stack, service: str) -> None:
    """An image that is named by version, and no volume that the next `up` would not find again."""
    container = stack.container(service)
    assert PINNED.search(container["Config"]["Image"])
    volumes = [mount["Name"] for mount in container["Mounts"] if mount["Type"] == "volume"]
    assert all(name.startswith(f"{stack.project}_") for name in volumes)


def test_no_password_is_an_argument(stack: Stack) -> None:
    """Processes of the machine can read each other's arguments."""
    passwords = [stack.settings[name] for name in ("POSTGRES_PASSWORD", "REDIS_PASSWORD")]
    passwords.append(stack.settings["PREFECT_AUTH"].partition(":")[2])
    shown = "".join(output("docker", "top", stack.container(service)["Id"], "-eo", "pid,args") for service in SERVICES)
    assert "redis-server" in shown
    assert not [password for password in passwords if password in shown]


def test_results_can_lie_in_blob_storage(stack: Stack) -> None:
    """The block of prefect-azure is in the image."""
    code = (
        "from prefect_azure.blob_storage import AzureBlobStorageContainer as block; print(block.get_block_type_slug())"
    )
    assert stack.compose("exec", "-T", "worker", "python", "-c", code).strip() == "azure-blob-storage-container"


def test_commits_can_be_signed_and_go_by_ssh(stack: Stack) -> None:
    """What git calls for that is in the image."""
    for program in ("git", "ssh", "ssh-keygen"):
        assert stack.compose("exec", "-T", "worker", "which", program).strip() == f"/usr/bin/{program}"


def test_nothing_starts_without_passwords(tmp_path: Path) -> None:
    """There is no default; the message says how to get them."""
    (tmp_path / "env").touch()
    command = [*COMPOSE, "--env-file", str(tmp_path / "env"), "config"]
    refused = subprocess.run(command, cwd=ROOT, check=False, capture_output=True, text=True)
    assert refused.returncode != 0
    assert "deployments/compose/write-env.sh" in refused.stderr
