"""The walkthrough by hand: the real az CLI runs its commands against the sandbox, which then shows what they did.

Run by ``make test-az``, not by ``make test``: az has a virtual environment of its own.
"""

from __future__ import annotations

import base64
import json
import os
import shutil
import ssl
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import rsa

from sandbox.scenario import Scenario
from tests.sandbox.certificates import certificate_pem, key_pem, self_signed

ROOT = Path(__file__).parents[2]
SCENARIO = ROOT / "examples" / "scenarios" / "operator.yaml"
SCRIPT = Path(__file__).with_name("walkthrough.sh")
TEMPLATE = ROOT / "infra" / "pre-cluster-stamp.json"
MANIFESTS = ROOT / "examples" / "cluster-manifests"
CERTIFICATE = "ingress-internal-aks-ingress-contoso-com-tls"
CERTIFICATES_OFFICER = "Key Vault Certificates Officer"
SPEED = 600  # The page waits for nothing: what takes Azure two minutes has to be done when az starts again.
IMAGES = {
    "falcosecurity/falco-no-driver": "0.39.2",
    "falcosecurity/falco-driver-loader": "0.39.2",
    "falcosecurity/falcoctl": "0.10.1",
    "library/busybox": "1.37.0",
    "kubereboot/kured": "1.14.0",
    "ingress-nginx/controller": "v1.11.3",
    "ingress-nginx/kube-webhook-certgen": "v1.4.4",
}


@dataclass(frozen=True)
class Shell:
    """A shell of somebody who followed the earlier pages, pointed at a sandbox.

    :ivar directory: a clone of the cluster's repository
    :ivar remote: that repository, bare
    :ivar thumbprint: of the certificate that is to be imported
    """

    directory: Path
    remote: Path
    variables: dict[str, str]
    thumbprint: str

    def run(self, *command: str | Path) -> str:
        """Standard output; a failure shows everything that was printed."""
        done = subprocess.run(command, cwd=self.directory, env=self.variables, capture_output=True, text=True)
        assert done.returncode == 0, f"{command[0]} ended with {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done.stdout

    def ask(self, *command: str) -> Any:
        """What an az command answers."""
        return json.loads(self.run("az", *command, "--output", "json"))

    def control(self, path: str) -> Any:
        """What the sandbox's control host answers."""
        trusted = ssl.create_default_context(cafile=self.variables["SSL_CERT_FILE"])
        with httpx.Client(proxy=self.variables["HTTPS_PROXY"], verify=trusted) as client:
            return client.get(f"https://sandbox.localhost{path}").raise_for_status().json()


@pytest.fixture
def variables(tmp_path: Path) -> Iterator[dict[str, str]]:
    """A sandbox in a process of its own; the variables are those of a shell that evaluated ``azure-sandbox env``."""
    own = {
        "PATH": f"{ROOT / '.venv-az' / 'bin'}:{ROOT / '.venv' / 'bin'}:{os.environ['PATH']}",
        "HOME": str(tmp_path),
        "AZURE_CONFIG_DIR": str(tmp_path / "azure"),
        # Telemetry would be refused like every unsupported host, but by a process that outlives az.
        "AZURE_CORE_COLLECT_TELEMETRY": "no",
        "GIT_CONFIG_GLOBAL": os.devnull,
        "GIT_CONFIG_NOSYSTEM": "1",
        **{
            f"GIT_{role}_{field}": "operator@contoso.example"
            for role in ("AUTHOR", "COMMITTER")
            for field in ("NAME", "EMAIL")
        },
    }
    home = str(tmp_path / "home")
    command = [
        "azure-sandbox",
        "serve",
        "--port",
        "0",
        "--speed",
        str(SPEED),
        "--home",
        home,
        "--scenario",
        str(SCENARIO),
    ]
    with subprocess.Popen(command, env=own, stdout=subprocess.PIPE, text=True) as sandbox:
        assert sandbox.stdout is not None
        assert "listens" in sandbox.stdout.readline()
        script = f'eval "$(azure-sandbox env --home {home})"; env -0'
        listed = subprocess.run(["bash", "-euc", script], env=own, capture_output=True, text=True, check=True).stdout
        yield dict(line.split("=", 1) for line in listed.split("\0") if line)
        sandbox.terminate()


@pytest.fixture
def shell(tmp_path: Path, variables: dict[str, str]) -> Shell:
    """The repository, the template and the certificate are where the page expects them."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    certificate = self_signed(key)
    public = certificate_pem(certificate)
    variables |= {
        "INGRESS_CONTROLLER_CERTIFICATE_BASE64": base64.b64encode(public.encode()).decode(),
        "TENANTID_AZURERBAC": variables["AZURE_TENANT_ID"],
    }
    thumbprint = certificate.fingerprint(hashes.SHA1())  # noqa: S303  # what Azure calls a thumbprint
    shell = Shell(tmp_path / "clone", tmp_path / "remote.git", variables, thumbprint.hex())
    shutil.copytree(MANIFESTS, shell.directory / "cluster-manifests")
    for command in (
        ("init", "--quiet", "--bare", "--initial-branch=main", str(shell.remote)),
        ("init", "--quiet", "--initial-branch=main"),
        ("add", "."),
        ("commit", "--quiet", "--message", "The manifests"),
        ("remote", "add", "origin", str(shell.remote)),
        ("push", "--quiet", "--set-upstream", "origin", "main"),
    ):
        shell.run("git", *command)
    shutil.copy(TEMPLATE, shell.directory)
    (shell.directory / f"{CERTIFICATE}.pem").write_text(public + key_pem(key))
    return shell


def test_a_person_follows_the_walkthrough(shell: Shell) -> None:
    """Every command of the page succeeds for a user who signed in with a password, and has its effect."""
    user = Scenario.load(SCENARIO).users[0]
    shell.run("az", "login", "--username", user.name, "--password", user.password)
    shell.run("bash", SCRIPT)
    _check(shell, user.object_id)
    assert _refusals(shell) == {(401, f"{_only(shell.control('/state')['vaults'])}.vault.azure.net")}


def test_a_pipeline_follows_the_walkthrough(shell: Shell) -> None:
    """A service principal gets as far, but for ``az ad signed-in-user show``, which Graph refuses as documented."""
    told = shell.variables
    shell.run(
        *("az", "login", "--service-principal", "--tenant", told["AZURE_TENANT_ID"]),
        *("--username", told["AZURE_CLIENT_ID"], "--password", told["AZURE_CLIENT_SECRET"]),
    )
    told["PRINCIPAL_OBJECT_ID"] = Scenario().identity.object_id
    shell.run("bash", SCRIPT)
    _check(shell, told["PRINCIPAL_OBJECT_ID"])
    refusal = (shell.directory / "signed-in-user.txt").read_text()
    assert "/me request is only valid with delegated authentication flow." in refusal
    vault = _only(shell.control("/state")["vaults"])
    assert _refusals(shell) == {(401, f"{vault}.vault.azure.net"), (400, "graph.microsoft.com")}


def _check(shell: Shell, principal: str) -> None:
    state = shell.control("/state")
    _check_deployment(shell)
    _check_images(state)
    _check_vault(state, shell, principal)
    _check_repository(state, shell)


def _check_deployment(shell: Shell) -> None:
    group = ("--resource-group", "rg-bu0001a0005-centralus")
    properties = shell.ask("deployment", "group", "show", *group, "--name", "pre-cluster-stamp")["properties"]
    assert properties["provisioningState"] == "Succeeded"
    given = {name: parameter["value"] for name, parameter in properties["parameters"].items()}
    assert given["aksIngressControllerCertificate"] == shell.variables["INGRESS_CONTROLLER_CERTIFICATE_BASE64"]
    assert given["targetVnetResourceId"].endswith("/virtualNetworks/vnet-spoke-BU0001A0005-01")


def _check_images(state: dict[str, Any]) -> None:
    tags = state["registries"][_only(state["registries"])]
    quarantined = {image: tags[f"quarantine/{image}"][tag] for image, tag in IMAGES.items()}
    assert {image: tags[f"live/{image}"][tag] for image, tag in IMAGES.items()} == quarantined
    assert tags["live/library/busybox"]["SkippedQuarantine"] == quarantined["library/busybox"]
    assert len(tags) == 2 * len(IMAGES)


def _check_vault(state: dict[str, Any], shell: Shell, principal: str) -> None:
    name = _only(state["vaults"])
    opened = json.loads((shell.directory / "opened.json").read_text())
    assert [rule.removesuffix("/32") for rule in opened["vaults"][name]["ipRules"]] == ["203.0.113.10"]
    assert _officers(opened, name) == [principal]
    assert state["vaults"][name]["ipRules"] == []
    assert _officers(state, name) == []
    held = state["vaults"][name]["certificates"][CERTIFICATE]
    assert (held["thumbprint"].lower(), held["versions"]) == (shell.thumbprint, 1)


def _check_repository(state: dict[str, Any], shell: Shell) -> None:
    subjects = shell.run("git", "--git-dir", shell.remote, "log", "--format=%s", "main").splitlines()
    assert subjects == [
        "Update SecretProviderClass to reference my ingress controller certificate.",
        "Update bootstrap deployments to use images from my ACR instead of public container registries.",
        "The manifests",
    ]
    pushed = shell.run("git", "--git-dir", shell.remote, "archive", "main", "cluster-manifests/ingress-nginx")
    assert f"{_only(state['registries'])}.azurecr.io/live/ingress-nginx/controller" in pushed
    assert "REPLACE_ME_WITH_YOUR_ACRNAME" not in pushed
    assert f"keyvaultName: {_only(state['vaults'])}\n" in pushed
    assert f"tenantId: {shell.variables['AZURE_TENANT_ID']}\n" in pushed


def _officers(state: dict[str, Any], vault: str) -> list[str]:
    """Who holds the temporary role on the vault."""
    return [
        assignment["principalId"]
        for assignment in state["roleAssignments"]
        if assignment["role"] == CERTIFICATES_OFFICER
        and assignment["scope"].lower().endswith(f"/vaults/{vault.lower()}")
    ]


def _refusals(shell: Shell) -> set[tuple[int, str]]:
    """Status and host of every request that was not granted, the vault's first challenge among them.

    A new az asks an account of its makers for its list of commands, and does without.
    """
    requests = shell.control("/requests")["requests"]
    refused = {(request["status"], request["host"]) for request in requests if request["status"] >= 400}
    return refused - {(404, "azcliprod.blob.core.windows.net")}


def _only(names: dict[str, Any]) -> str:
    (name,) = names
    return name
