"""The folder of one demo run: a configuration, a certificate and a GitOps repository."""

from __future__ import annotations

import os
import subprocess
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import NameOID
from ruamel.yaml import YAML

PROJECT = Path(__file__).parent.parent
EXAMPLE = PROJECT / "examples" / "bootstrap.yaml"
#: The local Azure's busybox, which always has the same bytes.
ACCEPTED = "docker.io/library/busybox:1.37.0@sha256:21a5b372fb28a45219cc65524bb7588101f45a9ca82c96e7a9fa03f3abf713d6"
SUBJECT = "*.aks-ingress.contoso.com"
#: Who signs Defender's findings artifacts in the sandbox.
SIGNER = "x509.subject: CN=Defender for Containers findings (local only),O=Azure sandbox,ST=Washington,C=US"


@dataclass(frozen=True)
class Workspace:
    """Paths of one run.

    :ivar speed: of the sandbox; the gate's wait times are divided by it
    """

    folder: Path
    speed: float

    @classmethod
    def create(cls, folder: Path, speed: float) -> Workspace:
        """Create the folder with a self-signed certificate and a bare GitOps repository."""
        workspace = cls(folder, speed)
        folder.mkdir(parents=True)
        workspace.certificate.touch(mode=0o600)
        workspace.certificate.write_bytes(_self_signed())
        _gitops(workspace.gitops, folder / "seed")
        return workspace

    @property
    def home(self) -> Path:
        """The sandbox's default home, so that ``azure-sandbox env`` needs no options while the demo is up."""
        return self.folder.parent / ".sandbox"

    @property
    def prefect(self) -> Path:
        return self.folder / "prefect"

    @property
    def gitops(self) -> Path:
        return self.folder / "gitops.git"

    @property
    def certificate(self) -> Path:
        return self.folder / "ingress-internal-aks-ingress-contoso-com-tls.pem"

    @property
    def configuration(self) -> Path:
        return self.folder / "bootstrap.yaml"

    @property
    def result(self) -> Path:
        return self.folder / "result.json"

    def write_configuration(self) -> None:
        """Write the example configuration with this run's paths and with wait times scaled to the sandbox's speed."""
        yaml = YAML()
        document = yaml.load(EXAMPLE)
        document["cluster"]["template"] = str(PROJECT / document["cluster"]["template"])
        document["certificate"]["pem"] = f"file:{self.certificate}"
        document["manifests"]["remote"] = str(self.gitops)
        del document["manifests"]["token"]
        gate = document["gate"]
        gate["exceptions"] = [str(self._write_exceptions())]
        gate["trust_store"] = [str(self.home / "defender-root.pem")]
        gate["tsa_trust_store"] = [str(self.home / "defender-tsa-root.pem")]
        gate["trusted_identities"] = [SIGNER]
        gate["interval"] = 30 / self.speed
        for wait in ("deadline", "patience"):
            gate[wait] = gate[wait] / self.speed
        yaml.dump(document, self.configuration)

    def _write_exceptions(self) -> Path:
        """Commit an exceptions file that accepts the image that Defender does not assess, for 180 days from now."""
        folder = self.folder / "gate"
        folder.mkdir()
        acceptance = {
            "image": ACCEPTED,
            "reason": "Defender for Containers does not assess images without a package manager.",
            "owner": "platform-team@contoso.com",
            "approver": "security-office@contoso.com",
            "expires": datetime.now(UTC).date() + timedelta(days=180),
        }
        YAML().dump({"acceptances": [acceptance]}, folder / "exceptions.yaml")
        git("init", "--quiet", folder=folder)
        git("add", "--all", folder=folder)
        git("commit", "--quiet", "--message", "Accept images that Defender does not assess", folder=folder)
        return folder / "exceptions.yaml"


def git(*arguments: str, folder: Path) -> str:
    """The output of a git command, run under the demo's identity, without anybody's settings, attributes and hooks."""
    settings = {
        "user.name": "Demo",
        "user.email": "demo@localhost",
        "init.defaultBranch": "main",
        "core.attributesFile": os.devnull,
        "core.excludesFile": os.devnull,
    }
    environment = {key: value for key, value in os.environ.items() if not key.startswith("GIT_")}
    environment |= {"GIT_ATTR_NOSYSTEM": "1", "GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1"}
    command = ["git", *(word for key, value in settings.items() for word in ("-c", f"{key}={value}")), *arguments]
    done = subprocess.run(command, cwd=folder, env=environment, check=True, capture_output=True, text=True)  # noqa: S603
    return done.stdout


def _gitops(bare: Path, seed: Path) -> None:
    """Create a bare repository with the sample manifests as its only commit."""
    bare.mkdir()
    git("init", "--quiet", "--bare", folder=bare)
    (seed / "cluster-manifests").parent.mkdir()
    _copy(PROJECT / "examples" / "cluster-manifests", seed / "cluster-manifests")
    git("init", "--quiet", folder=seed)
    git("add", "--all", folder=seed)
    git("commit", "--quiet", "--message", "Add the walkthrough's cluster manifests", folder=seed)
    git("push", "--quiet", str(bare), "HEAD:main", folder=seed)


def _copy(source: Path, target: Path) -> None:
    for path in sorted(source.rglob("*")):
        if path.is_file():
            copy = target / path.relative_to(source)
            copy.parent.mkdir(parents=True, exist_ok=True)
            copy.write_bytes(path.read_bytes())


def _self_signed() -> bytes:
    """The certificate that the walkthrough's earlier page creates with openssl: RSA 2048, 365 days, self-signed."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, SUBJECT)])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(minutes=5))
        .not_valid_after(now + timedelta(days=365))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(SUBJECT)]), critical=False)
        .sign(key, hashes.SHA256())
    )
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return certificate.public_bytes(serialization.Encoding.PEM) + private
