"""One cluster's world for the tests of flows: its configuration, its GitOps repository, and the local Azure's state."""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from ipaddress import IPv4Network
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from prefect.settings import PREFECT_API_URL
from ruamel.yaml import YAML

from flows.prepare_cluster import prepare_cluster
from pratique.azure.rule_marks import RANGES
from pratique.config import Bootstrap
from pratique.errors import PratiqueError
from pratique.images import ImageReference
from pratique.preflight.plan import Plan
from pratique.release.summary import Preparation
from sandbox.services.acr.state import Registries
from sandbox.services.keyvault.vaults import VAULT_TYPE
from sandbox.services.oci.catalogue import WALKTHROUGH
from sandbox.services.oci.images import build
from sandbox.services.oci.store import RegistryStore
from sandbox.services.public_registries.state import PublicRegistries
from tests.conftest import RunningSandbox
from tests.isolated_git import git_environment
from tests.sandbox.callers import jump
from tests.sandbox.certificates import certificate_pem, key_pem, self_signed
from tests.sandbox.defending import DEFENDER
from tests.waiting import HANGS, until

PROJECT = Path(__file__).parents[2]
SAMPLE = PROJECT / "examples" / "cluster-manifests"
PROVIDER = "ingress-nginx/akv-tls-provider.yaml"

FALCO = "docker.io/falcosecurity/falco-no-driver:0.39.2"
BUSYBOX = "docker.io/library/busybox:1.37.0"
KURED = "ghcr.io/kubereboot/kured:1.14.0"


@dataclass(frozen=True)
class World:
    """What a test of a flow works with.

    :ivar folder: holds the certificate's PEM and the bare GitOps repository
    """

    sandbox: RunningSandbox
    config: Bootstrap
    folder: Path

    @property
    def gitops(self) -> Path:
        return self.folder / "gitops.git"

    @property
    def pem(self) -> Path:
        return self.folder / "ingress.pem"

    def excepting(self, **lists: list[dict[str, Any]]) -> World:
        """The same world with these exceptions and acceptances."""
        return self.with_gate(exceptions=[write_exceptions(self.folder, **lists)])

    def with_gate(self, **changes: Any) -> World:
        """The same world under another gate policy."""
        document = self.config.model_dump(mode="json")
        document["gate"].update(changes)
        return replace(self, config=Bootstrap.model_validate(document))

    def with_certificate(self, **changes: Any) -> World:
        """The same world with another certificate, or one that lies elsewhere."""
        document = self.config.model_dump(mode="json")
        document["certificate"].update(changes)
        return replace(self, config=Bootstrap.model_validate(document))

    async def prepare(self) -> Preparation:
        """Run the flow."""
        told = await prepare_cluster(self.config)
        assert isinstance(told, Preparation)
        return told

    async def plan(self) -> Plan:
        """Run the flow for its plan only."""
        told = await prepare_cluster(self.config, plan_only=True)
        assert isinstance(told, Plan)
        return told

    async def fail(self) -> PratiqueError:
        """Run the flow, which must end with an error of ours."""
        with pytest.raises(PratiqueError) as failed:
            await prepare_cluster(self.config)
        return failed.value

    def start(self, prefect: Path, *options: str, command: str = "prepare") -> subprocess.Popen[str]:
        """Start ``pratique prepare`` or another command as a process of its own, against the tests' Prefect server.

        :param prefect: its home
        """
        environment = os.environ | {
            "PREFECT_API_URL": str(PREFECT_API_URL.value()),
            "PREFECT_HOME": str(prefect / "process"),
        }
        words = [sys.executable, "-m", "pratique", command, self.written(), *options]
        output = subprocess.PIPE
        return subprocess.Popen(words, cwd=PROJECT, env=environment, stdout=output, stderr=output, text=True)

    def written(self) -> str:
        """Path of the configuration as a file."""
        path = self.folder / "bootstrap.yaml"
        YAML().dump(self.config.model_dump(mode="json", exclude_none=True), path)
        return str(path)

    # What came of it

    def state(self) -> dict[str, Any]:
        return self.sandbox.control("GET", "/state")

    def requests(self, since: int = 0) -> list[dict[str, Any]]:
        """The local Azure's log of requests after number ``since``."""
        found: list[dict[str, Any]] = self.sandbox.control("GET", f"/requests?since={since}")["requests"]
        return [entry for entry in found if entry["service"] != "control"]

    def last_request(self) -> int:
        return max((int(entry["number"]) for entry in self.requests()), default=0)

    async def until(self, condition: Callable[[], bool]) -> None:
        """Look at the local Azure again and again until it is so."""
        await until(condition)

    async def jump(self, seconds: float) -> None:
        """Let Azure's time pass."""
        await asyncio.to_thread(jump, self.sandbox, seconds)

    def tags(self, prefix: str) -> dict[str, str]:
        """Digests in all registries by ``repository:tag`` without the prefix (``live/``, ``quarantine/``)."""
        return {
            f"{repository.removeprefix(prefix)}:{tag}": digest
            for repositories in self.state()["registries"].values()
            for repository, tags in repositories.items()
            if repository.startswith(prefix)
            for tag, digest in tags.items()
        }

    @property
    def live(self) -> dict[str, str]:
        return self.tags("live/")

    def upstream(self, *sources: str) -> dict[str, str]:
        """What public registries serve now, by ``repository:tag``."""
        found = {}
        for source in sources or tuple(image.source for image in self.config.catalogue.images):
            reference = ImageReference.parse(source)
            store = self.sandbox.azure.state(PublicRegistries).store(reference.registry)
            assert store is not None
            assert reference.tag is not None
            tag = store.repository(reference.repository).tags[reference.tag]
            found[f"{reference.repository}:{reference.tag}"] = tag.digest
        return found

    @property
    def registry(self) -> RegistryStore:
        """The content of the cluster's registry."""
        (name,) = self.state()["registries"]
        return self.sandbox.azure.state(Registries).store(name)

    @property
    def vault(self) -> dict[str, Any]:
        """Rules, tags and certificates of the cluster's vault."""
        (found,) = self.state()["vaults"].values()
        vault: dict[str, Any] = found
        return vault

    @property
    def vault_name(self) -> str:
        (name,) = self.state()["vaults"]
        return str(name)

    @property
    def vault_id(self) -> str:
        (found,) = [one["id"] for one in self.state()["resources"] if one["type"] == VAULT_TYPE]
        return str(found)

    @property
    def access(self) -> list[str]:
        """Every trace of access to the vault's data plane, temporary or not."""
        return access_in(self.state(), self.sandbox.azure.scenario.identity.object_id)

    @property
    def commits(self) -> list[str]:
        """Subjects of the commits since the sample, newest first."""
        return git("log", "--format=%s", "main", folder=self.gitops).splitlines()[:-1]

    @property
    def head(self) -> str:
        return git("rev-parse", "main", folder=self.gitops).strip()

    @property
    def manifests(self) -> str:
        """Every line of every manifest."""
        return git("grep", "-h", "", "main", "--", "*.yaml", folder=self.gitops)


def make_world(folder: Path, sandbox: RunningSandbox, releases: Sequence[Sequence[str]] | None) -> World:
    """A cluster on that local Azure, under :func:`make_config`'s configuration."""
    return World(sandbox, make_config(folder, sandbox.azure.home.directory, releases), folder)


def make_config(folder: Path, azure: Path, releases: Sequence[Sequence[str]] | None) -> Bootstrap:
    """A configuration like the example's, with everything that it names.

    :param azure: home of the local Azure
    :param releases: the images of each release; ``None`` for the example's seven, with the whole sample repository
    """
    document = YAML(typ="safe").load(PROJECT / "examples" / "bootstrap.yaml")
    document["cluster"]["template"] = str(PROJECT / document["cluster"]["template"])
    if releases is not None:
        document["catalogue"]["releases"] = [
            {"name": f"release-{number}", "images": [{"source": source} for source in sources]}
            for number, sources in enumerate(releases)
        ]
        document["gate"]["exceptions"] = []
    else:
        document["gate"]["exceptions"] = [str(write_exceptions(folder, acceptances=[acceptance(BUSYBOX)]))]
    document["gate"] |= {
        # Minutes at Azure's pace are fractions of a second here.
        "interval": 0.05,
        "deadline": HANGS / 60,
        "patience": 0.01,
        "trust_store": [str(azure / "defender-root.pem")],
        "trusted_identities": [DEFENDER],
    }
    document["certificate"]["pem"] = f"file:{folder / 'ingress.pem'}"
    document["manifests"] = {"remote": str(folder / "gitops.git")}
    write_certificate(folder / "ingress.pem")
    _gitops(folder, None if releases is None else [source for sources in releases for source in sources])
    return Bootstrap.model_validate(document)


#: Traces of temporary access: the role, the rule, the rule's mark, and the record.
OPENED = 4


def _kind(rule: str) -> str:
    return "mark" if IPv4Network(rule).subnet_of(RANGES[0]) else "rule"


def access_in(state: dict[str, Any], principal: str) -> list[str]:
    """Every trace of access to a vault's data plane that the local Azure's state shows.

    :param principal: object id of who may have a role
    """
    return sorted(
        [
            *(f"{_kind(rule)} {rule}" for vault in state["vaults"].values() for rule in vault["ipRules"]),
            *(f"tag {tag}" for vault in state["vaults"].values() for tag in vault["tags"] if "lease" in tag),
            *(
                f"role {held['role']}"
                for held in state["roleAssignments"]
                if held["principalId"] == principal and "/vaults/" in held["scope"]
            ),
        ]
    )


def acceptance(image: str, days: int = 30, **changes: Any) -> dict[str, Any]:
    """An entry of the exceptions file that lets an image pass unassessed for so many days more.

    :param image: one of the walkthrough's, as the local Azure has it
    """
    entry = {
        "image": f"{image}@{upstream_digest(image)}",
        "reason": "Not assessed by Defender.",
        "owner": "platform-team",
        "approver": "security-office",
        "expires": (datetime.now(UTC).date() + timedelta(days=days)).isoformat(),
    }
    return entry | changes


def upstream_digest(image: str) -> str:
    """The digest that the local Azure gives to one of the walkthrough's images: always the same."""
    (spec,) = [spec for spec in WALKTHROUGH if image == f"{spec.registry}/{spec.repository}:{spec.tag}"]
    return build(spec).index.digest


def write_exceptions(folder: Path, **lists: list[dict[str, Any]]) -> Path:
    """A file of exceptions and acceptances."""
    path = folder / "exceptions.yaml"
    YAML().dump(lists, path)
    return path


def write_certificate(path: Path, host: str = "*.aks-ingress.contoso.com") -> None:
    """A fresh self-signed certificate with its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    path.touch(mode=0o600)
    path.write_text(certificate_pem(self_signed(key, host)) + key_pem(key))


def git(*arguments: str, folder: Path) -> str:
    """The output of git, under an identity of its own."""
    identity = ("-c", "user.name=Test", "-c", "user.email=test@localhost", "-c", "init.defaultBranch=main")
    command, environment = ["git", *identity, *arguments], git_environment()
    return subprocess.run(command, cwd=folder, env=environment, check=True, capture_output=True, text=True).stdout


def _gitops(folder: Path, sources: Sequence[str] | None) -> None:
    """A bare repository with one commit: the sample, or as little of it as the images need."""
    seed = folder / "seed"
    manifests = seed / "cluster-manifests"
    if sources is None:
        shutil.copytree(SAMPLE, manifests)
    else:
        (manifests / PROVIDER).parent.mkdir(parents=True)
        shutil.copy(SAMPLE / PROVIDER, manifests / PROVIDER)
        images = []
        for source in sources:
            reference = ImageReference.parse(source)
            name = f"{reference.registry}/{reference.repository}"
            new = f"REPLACE_ME_WITH_YOUR_ACRNAME.azurecr.io/live/{reference.repository}"
            images.append({"name": name, "newName": new, "newTag": reference.tag})
        kustomization = {"apiVersion": "kustomize.config.k8s.io/v1beta1", "kind": "Kustomization", "images": images}
        YAML().dump(kustomization, manifests / "kustomization.yaml")
    git("init", "--quiet", folder=seed)
    git("add", "--all", folder=seed)
    git("commit", "--quiet", "--message", "Sample", folder=seed)
    git("clone", "--quiet", "--bare", str(seed), str(folder / "gitops.git"), folder=folder)
