"""The Notary Project's own command, notation, and the product agree on which signatures count."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import subprocess
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Literal

import httpx
import pytest
from cryptography.hazmat.primitives import serialization

from pratique.azure.registries import oci_client
from pratique.azure.session import AzureSession
from pratique.errors import SignatureRejected
from pratique.evidence.findings_artifact import SignedStatement, fetch_findings
from pratique.evidence.signatures.trust import TrustStore
from pratique.evidence.verifier import SignatureVerifier
from pratique.images import ImageReference
from pratique.oci.client import OciClient
from sandbox.scenario import Scan, Scenario
from sandbox.services.defender.certificates import signing_identity
from sandbox.services.defender.findings_artifact import attach_statement, put_blob, put_referrer
from sandbox.services.defender.notation import Signer
from sandbox.services.oci.manifests import Manifest
from tests.conftest import RunningSandbox, StartSandbox
from tests.sandbox.defending import DEFENDER, FALCO, NAME, REPOSITORY, brought
from tests.sandbox.registries import add_registry, content

HOST = f"{NAME}.azurecr.io"
TOOLS = Path(__file__).parents[2] / ".tools"
OTHER_TEAM = "x509.subject: CN=Another team's products (local only),O=Azure sandbox,ST=Washington,C=US"
STRANGER = "x509.subject: O=Somebody else,ST=Washington,C=US"
_SECONDS = 600

Form = Literal["jws", "cose"]


@dataclass(frozen=True)
class Policy:
    """Whom a verifier trusts.

    :ivar identities: notation's ``trustedIdentities``
    :ivar timestamps: whether timestamp authorities are trusted
    """

    identities: tuple[str, ...] = (DEFENDER,)
    timestamps: bool = True


@dataclass
class Notation:
    """The command, with a configuration of its own.

    :ivar folder: of the configuration
    """

    folder: Path
    environment: dict[str, str] = field(default_factory=lambda: dict(os.environ))

    def __post_init__(self) -> None:
        self.environment |= {
            "XDG_CONFIG_HOME": str(self.folder),
            "NOTATION_USERNAME": os.environ["AZURE_CLIENT_ID"],
            "NOTATION_PASSWORD": os.environ["AZURE_CLIENT_SECRET"],
            "PATH": f"{TOOLS}:{os.environ['PATH']}",
        }

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        program = shutil.which("notation", path=self.environment["PATH"])
        if program is None:
            pytest.fail("notation is missing: run 'make tools'")
        return subprocess.run(
            [program, *arguments], env=self.environment, capture_output=True, text=True, timeout=_SECONDS, check=False
        )

    def write(self, name: str, contents: str) -> Path:
        path = self.folder / "notation" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(contents)
        return path

    def trust(self, policy: Policy, ca: Path, tsa: Path) -> None:
        stores = ["ca:oracle", *(["tsa:oracle"] if policy.timestamps else [])]
        self.write("truststore/x509/ca/oracle/root.pem", ca.read_text())
        self.write("truststore/x509/tsa/oracle/root.pem", tsa.read_text())
        document = {
            "version": "1.0",
            "trustPolicies": [
                {
                    "name": "oracle",
                    "registryScopes": ["*"],
                    "signatureVerification": {"level": "strict", "verifyTimestamp": "afterCertExpiry"},
                    "trustStores": stores,
                    "trustedIdentities": list(policy.identities),
                }
            ],
        }
        self.write("trustpolicy.json", json.dumps(document))

    def accepts(self, artifact: str) -> bool:
        """Whether it accepts a signature of an artifact; other errors fail the test."""
        ended = self.run("verify", f"{HOST}/{REPOSITORY}@{artifact}")
        said = ended.stdout + ended.stderr
        assert (
            ended.returncode == 0 or "signature verification failed" in said or "no signature is associated" in said
        ), said
        return ended.returncode == 0


@dataclass
class Place:
    """An image in the sandbox's registry, with one findings artifact."""

    sandbox: RunningSandbox
    image: str
    artifact: Manifest

    @property
    def home(self) -> Path:
        return self.sandbox.azure.home.directory

    def sign(self, signer: Signer, form: Form, at: datetime, *, old_form: bool = False) -> Manifest:
        async def attach() -> Manifest:
            store = content(self.sandbox, NAME)
            return signer.attach_signature(store, REPOSITORY, self.artifact, at, form, old_form=old_form)

        return self.sandbox.run(attach())

    def tamper(self, signature: Manifest, change: Callable[[bytes], bytes]) -> None:
        """Replace a signature by a changed one."""

        async def replace() -> None:
            store = content(self.sandbox, NAME)
            layer = signature.layers[0]
            changed = change(store.blob(REPOSITORY, layer.digest))
            body = signature.body | {"layers": [put_blob(store, REPOSITORY, layer.media_type, changed)]}
            store.delete_manifest(REPOSITORY, signature.digest)
            put_referrer(store, REPOSITORY, body)

        self.sandbox.run(replace())

    async def verdict(self, policy: Policy, ca: Path, tsa: Path) -> str:
        """Empty when the product accepts a signature of the artifact, or else why not."""
        trust = TrustStore.load([ca], policy.identities, timestamp_authorities=[tsa] if policy.timestamps else [])
        async with registry() as client:
            found = await fetch_findings(client, ImageReference(HOST, REPOSITORY, digest=self.image))
            (statement,) = (item for item in found if isinstance(item, SignedStatement))
            verifier = SignatureVerifier(client.transport.http)
            reason = "It has no readable signature."
            for envelope in statement.signatures:
                try:
                    await verifier.verify(envelope, statement.artifact, trust, datetime.now(UTC))
                except SignatureRejected as error:
                    reason = error.observed
                else:
                    return ""
        return reason


@asynccontextmanager
async def registry() -> AsyncIterator[OciClient]:
    async with AzureSession.open() as session, httpx.AsyncClient() as http:
        yield oci_client(session, http, {})


@pytest.fixture
async def place(start_sandbox: StartSandbox) -> Place:
    sandbox = start_sandbox(Scenario(scans={FALCO: Scan(outcome="never")}))
    add_registry(sandbox, NAME)
    image = (await brought(sandbox))[0]

    async def attach() -> Manifest:
        store = content(sandbox, NAME)
        manifest = store.manifest(REPOSITORY, image).manifest
        return attach_statement(store, REPOSITORY, manifest, b"{}", datetime.now(UTC))

    return Place(sandbox, image, sandbox.run(attach()))


@pytest.fixture
def notation(tmp_path: Path, place: Place) -> Notation:
    return Notation(tmp_path / "config")


VARIANTS: dict[str, tuple[dict[str, Any], Policy, bool]] = {
    "signer": ({}, Policy(), True),
    "all attributes": ({}, Policy((DEFENDER.replace("ST=", "L=Redmond,ST="),)), True),
    "attributes in another order": ({}, Policy(("x509.subject: C=US, O=Azure sandbox, S=Washington",)), True),
    "everybody": ({"team": "other-team"}, Policy(("*",)), True),
    "one of two": ({"team": "other-team"}, Policy((DEFENDER, OTHER_TEAM)), True),
    "stranger": ({}, Policy((STRANGER,)), False),
    "other team": ({"team": "other-team"}, Policy(), False),
    "other place": ({}, Policy((DEFENDER.replace("Washington", "washington"),)), False),
    "forged root": ({"owner": "forged"}, Policy(), False),
    "without a timestamp": ({"timestamps": False}, Policy(), True),
    "timestamp of an unknown authority": ({}, Policy(timestamps=False), True),
    "expired": ({"expired": True}, Policy(), True),
    "expired without a timestamp": ({"expired": True, "timestamps": False}, Policy(), False),
    "expired with a timestamp of an unknown authority": ({"expired": True}, Policy(timestamps=False), False),
}


@pytest.mark.parametrize("form", ["jws", "cose"])
@pytest.mark.parametrize("variant", VARIANTS)
async def test_signatures_of_the_sandbox(place: Place, notation: Notation, variant: str, form: Form) -> None:
    """What the sandbox signs, notation and the product accept or refuse alike."""
    options, policy, accepted = VARIANTS[variant]
    at = datetime.now(UTC) - timedelta(hours=2 if options.get("expired") else 0)
    place.sign(Signer(place.sandbox.azure.home, **options), form, at)
    ca, tsa = place.home / "defender-root.pem", place.home / "defender-tsa-root.pem"
    await asyncio.to_thread(notation.trust, policy, ca, tsa)
    ours = await place.verdict(policy, ca, tsa)
    theirs = await asyncio.to_thread(notation.accepts, place.artifact.digest)
    assert (ours == "", theirs) == (accepted, accepted), ours


@pytest.mark.parametrize("form", ["jws", "cose"])
async def test_tampered_signatures(place: Place, notation: Notation, form: Form) -> None:
    """Neither accepts a signature of which a byte of the payload or of the signature was changed."""
    ca, tsa = place.home / "defender-root.pem", place.home / "defender-tsa-root.pem"
    notation.trust(Policy(), ca, tsa)

    def last_byte(envelope: bytes) -> bytes:
        if form == "cose":
            return envelope[:-1] + bytes([envelope[-1] ^ 1])
        parts = json.loads(envelope)
        parts["signature"] = ("A" if parts["signature"][0] != "A" else "B") + parts["signature"][1:]
        return json.dumps(parts).encode()

    place.tamper(place.sign(Signer(place.sandbox.azure.home), form, datetime.now(UTC)), last_byte)
    assert "does not match its key" in await place.verdict(Policy(), ca, tsa)
    assert not await asyncio.to_thread(notation.accepts, place.artifact.digest)
    place.sign(Signer(place.sandbox.azure.home), form, datetime.now(UTC))
    assert await place.verdict(Policy(), ca, tsa) == ""
    assert await asyncio.to_thread(notation.accepts, place.artifact.digest)


@pytest.mark.parametrize("stamped", [True, False], ids=["timestamp", "no timestamp"])
@pytest.mark.parametrize("form", ["jws", "cose"])
async def test_signatures_of_notation(
    place: Place, notation: Notation, tsa_server: TimestampServer, form: Form, stamped: bool
) -> None:
    """What notation signs and has timestamped by OpenSSL, the product finds and accepts, for the right signer only."""
    identity = signing_identity(place.sandbox.azure.home, "defender", "defender")
    pem = serialization.Encoding.PEM
    key = notation.write(
        "key.pem",
        identity.key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()).decode(),
    )
    chain = notation.write("chain.pem", "".join(one.public_bytes(pem).decode() for one in identity.chain))
    keys = {"default": "k", "keys": [{"name": "k", "keyPath": str(key), "certPath": str(chain)}]}
    notation.write("signingkeys.json", json.dumps(keys))
    ca, tsa = place.home / "defender-root.pem", tsa_server.root
    options = ["--timestamp-url", tsa_server.url, "--timestamp-root-cert", str(tsa)] if stamped else []
    reference = f"{HOST}/{REPOSITORY}@{place.artifact.digest}"
    ended = await asyncio.to_thread(notation.run, "sign", "--signature-format", form, "--key", "k", *options, reference)
    assert ended.returncode == 0, ended.stderr
    for policy in (Policy(), Policy((STRANGER,)), Policy(timestamps=False)):
        notation.trust(policy, ca, tsa)
        ours = await place.verdict(policy, ca, tsa)
        assert (ours == "") is await asyncio.to_thread(notation.accepts, place.artifact.digest), ours
        assert (ours == "") is (STRANGER not in policy.identities)


@dataclass(frozen=True)
class TimestampServer:
    """OpenSSL's timestamp authority behind HTTP.

    :ivar root: PEM file of its root
    """

    url: str
    root: Path


@pytest.fixture(scope="module")
def tsa_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TimestampServer]:
    folder = tmp_path_factory.mktemp("tsa")
    _make_authority(folder)

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            query, reply = folder / "query.tsq", folder / "reply.tsr"
            query.write_bytes(self.rfile.read(int(self.headers["Content-Length"])))
            _openssl(folder, "ts", "-reply", "-config", "tsa.cnf", "-queryfile", query.name, "-out", reply.name)
            content = reply.read_bytes()
            self.send_response(200)
            self.send_header("Content-Type", "application/timestamp-reply")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, format: str, *arguments: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield TimestampServer(f"http://127.0.0.1:{server.server_address[1]}", folder / "root.pem")
    server.shutdown()
    thread.join()
    server.server_close()


def _make_authority(folder: Path) -> None:
    """A root, an authority below it, and the signer of timestamps."""
    usage = {
        "int": "basicConstraints=critical,CA:TRUE\nkeyUsage=critical,keyCertSign\n",
        "tsa": "keyUsage=critical,digitalSignature\nextendedKeyUsage=critical,timeStamping\n",
    }
    subject = ["-subj", "/C=US/O=Oracle/CN=TSA root"]
    extension = ["-addext", "keyUsage=critical,keyCertSign,cRLSign"]
    new_key = ["-newkey", "rsa:2048", "-nodes"]
    _openssl(folder, "req", "-x509", *new_key, "-keyout", "root.key", "-out", "root.pem", *subject, *extension)
    for name, issuer in (("int", "root"), ("tsa", "int")):
        (folder / f"{name}.ext").write_text(usage[name])
        request = ["-keyout", f"{name}.key", "-out", f"{name}.csr", "-subj", f"/C=US/O=Oracle/CN=TSA {name}"]
        _openssl(folder, "req", *new_key, *request)
        authority = ["-CA", f"{issuer}.pem", "-CAkey", f"{issuer}.key", "-CAcreateserial"]
        files = ["-in", f"{name}.csr", "-extfile", f"{name}.ext", "-out", f"{name}.pem"]
        _openssl(folder, "x509", "-req", *authority, *files)
    (folder / "serial").write_text("01\n")
    (folder / "certs.pem").write_text((folder / "int.pem").read_text() + (folder / "root.pem").read_text())
    (folder / "tsa.cnf").write_text(
        "[tsa]\ndefault_tsa=t\n[t]\nserial=./serial\ncrypto_device=builtin\nsigner_cert=./tsa.pem\n"
        "certs=./certs.pem\nsigner_key=./tsa.key\nsigner_digest=sha256\ndefault_policy=1.2.3.4.1\n"
        "digests=sha256,sha384,sha512\naccuracy=secs:1\ness_cert_id_chain=no\ness_cert_id_alg=sha256\n"
    )


def _openssl(folder: Path, *arguments: str) -> None:
    ended = subprocess.run(["openssl", *arguments], cwd=folder, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
