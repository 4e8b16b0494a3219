"""What the tests of Defender share: images that arrive, scans that end, and what there is to see afterwards."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import datetime
from typing import TYPE_CHECKING, Any

import cbor2
from azure.identity.aio import DefaultAzureCredential
from azure.mgmt.containerregistry.aio import ContainerRegistryManagementClient
from azure.mgmt.containerregistry.models import ImportImageParameters, ImportSource
from azure.mgmt.resourcegraph.aio import ResourceGraphClient
from azure.mgmt.resourcegraph.models import QueryRequest, QueryRequestOptions
from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.hashes import SHA384

from sandbox.scenario import Finding, Scan
from sandbox.services.oci.manifests import IN_TOTO
from sandbox.tenant import CLUSTER_GROUP
from tests.sandbox.registries import content
from tests.waiting import until_met

if TYPE_CHECKING:
    from tests.conftest import RunningSandbox

NAME = "acraksdefender"
FALCO = "falcosecurity/falcoctl"
REPOSITORY = f"quarantine/{FALCO}"
SIGNATURE = "application/vnd.cncf.notary.signature"
#: Who signs Defender's findings artifacts.
DEFENDER = "x509.subject: CN=Defender for Containers findings (local only),O=Azure sandbox,ST=Washington,C=US"
OPENSSL = (
    Finding(cve="CVE-2026-1001", severity="Critical", package="libssl3", version="3.3.2-r1", fixed_version="3.3.3-r0"),
    Finding(cve="CVE-2026-1002", severity="Unknown", package="libssl3", version="3.3.2-r1", fixed_version="3.3.3-r0"),
    Finding(cve="CVE-2026-2001", severity="Low", package="zlib", version="1.3.1-r1"),
)
UNHEALTHY = Scan(outcome="unhealthy", findings=OPENSSL)
ALL_ROWS = "securityresources | project id, name, type, properties | order by id asc"


@asynccontextmanager
async def importer(sandbox: RunningSandbox) -> AsyncIterator[ContainerRegistryManagementClient]:
    async with (
        DefaultAzureCredential() as credential,
        ContainerRegistryManagementClient(credential, sandbox.azure.subscription_id) as client,
    ):
        yield client


async def bring(
    sandbox: RunningSandbox, repository: str = FALCO, tag: str = "0.10.1", prefix: str = "quarantine/"
) -> str:
    """Import an image from Docker Hub; its index digest."""
    target = f"{prefix}{repository}"
    async with importer(sandbox) as client:
        source = ImportSource(registry_uri="docker.io", source_image=f"{repository}:{tag}")
        parameters = ImportImageParameters(source=source, target_tags=[f"{target}:{tag}"], mode="Force")
        await (await client.registries.begin_import_image(CLUSTER_GROUP, NAME, parameters)).result()
    return content(sandbox, NAME).manifest(target, tag).manifest.digest


async def scans_end(sandbox: RunningSandbox) -> list[str]:
    """Wait for the scans that run; what each scan was about, oldest first."""

    async def wait() -> list[str]:
        scans = [operation for operation in sandbox.azure.operations.all() if operation.kind == "scan"]
        await asyncio.gather(*(scan.task for scan in scans if scan.task is not None))
        assert {scan.status for scan in scans} <= {"Succeeded"}
        return [scan.subject for scan in scans]

    return await asyncio.to_thread(sandbox.run, wait())


async def until(sandbox: RunningSandbox, condition: Callable[[], bool]) -> None:
    """Let the sandbox go on until something is so."""

    async def met() -> bool:
        return condition()

    await asyncio.to_thread(sandbox.run, until_met(met))


async def brought(sandbox: RunningSandbox) -> list[str]:
    """Import the image and wait for its scans; digests of its platforms."""
    index = await bring(sandbox)
    await scans_end(sandbox)
    return platforms(sandbox, index)


def platforms(sandbox: RunningSandbox, index: str, repository: str = REPOSITORY) -> list[str]:
    """Digests of the images in an index, attestations left out."""
    entries = content(sandbox, NAME).manifest(repository, index).manifest.body["manifests"]
    return [entry["digest"] for entry in entries if entry["platform"]["os"] != "unknown"]


def artifacts(sandbox: RunningSandbox, digest: str, repository: str = REPOSITORY) -> list[dict[str, Any]]:
    """Descriptors of the findings artifacts beside an image, oldest first."""
    return content(sandbox, NAME).referrers(repository, digest, IN_TOTO)


def layer(sandbox: RunningSandbox, artifact: str, repository: str = REPOSITORY) -> bytes:
    """The first layer of a referrer."""
    store = content(sandbox, NAME)
    return store.blob(repository, store.manifest(repository, artifact).manifest.layers[0].digest)


def results(sandbox: RunningSandbox, artifact: dict[str, Any], repository: str = REPOSITORY) -> dict[str, Any]:
    """What a findings artifact says: severities by CVE."""
    statement = json.loads(layer(sandbox, artifact["digest"], repository))
    found = statement["predicate"]["scanner"]["result"]
    return {entry["id"]: entry["severity"][0]["score"] if entry["severity"] else None for entry in found}


async def ask(sandbox: RunningSandbox, query: str = ALL_ROWS) -> list[dict[str, Any]]:
    """Rows of Resource Graph."""
    async with DefaultAzureCredential() as credential, ResourceGraphClient(credential) as client:
        options = QueryRequestOptions(result_format="objectArray", top=1000)
        request = QueryRequest(query=query, subscriptions=[sandbox.azure.subscription_id], options=options)
        rows: Any = (await client.resources(request)).data
    return list(rows)


def signed_under(root: x509.Certificate, sandbox: RunningSandbox, artifact: dict[str, Any]) -> bool:
    """Whether an artifact's one signature is about it and leads to a root; errors are for what is no signature."""
    (signature,) = content(sandbox, NAME).referrers(REPOSITORY, artifact["digest"])
    assert signature["artifactType"] == SIGNATURE
    (entry,) = content(sandbox, NAME).manifest(REPOSITORY, signature["digest"]).manifest.body["layers"]
    opened = {"application/jose+json": from_jws, "application/cose": from_cose}[entry["mediaType"]]
    chain, signed, payload, value = opened(layer(sandbox, signature["digest"]))
    leaf = x509.load_der_x509_certificate(chain[0])
    thumbprints = json.loads(signature["annotations"]["io.cncf.notary.x509chain.thumbprint#S256"])
    assert thumbprints == [hashlib.sha256(der).hexdigest() for der in chain]
    key = leaf.public_key()
    assert isinstance(key, rsa.RSAPublicKey)
    key.verify(value, signed, padding.PSS(padding.MGF1(SHA384()), 48), SHA384())
    target = json.loads(payload)["targetArtifact"]
    assert target == {key: artifact[key] for key in ("mediaType", "digest", "size")}
    authority = x509.load_der_x509_certificate(chain[1])
    leaf.verify_directly_issued_by(authority)
    assert authority.issuer == root.subject
    try:
        authority.verify_directly_issued_by(root)
    except InvalidSignature:
        return False
    return True


def from_jws(envelope: bytes) -> tuple[list[bytes], bytes, bytes, bytes]:
    """Certificates, signed bytes, payload and signature of a JWS."""
    parts = json.loads(envelope)
    signed = f"{parts['protected']}.{parts['payload']}".encode()
    chain = [base64.b64decode(text) for text in parts["header"]["x5c"]]
    return chain, signed, decoded(parts["payload"]), decoded(parts["signature"])


def from_cose(envelope: bytes) -> tuple[list[bytes], bytes, bytes, bytes]:
    """The same of a COSE_Sign1, whose Sig_structure is put together by hand."""
    message = cbor2.loads(envelope)
    assert message.tag == 18
    protected, unprotected, payload, signature = message.value
    header = cbor2.loads(protected)
    assert (header[1], header[3]) == (-38, "application/vnd.cncf.notary.payload.v1+json")
    assert header[2] == ["io.cncf.notary.signingScheme"]
    assert isinstance(header["io.cncf.notary.signingTime"], datetime)
    signed = b"\x84\x6aSignature1" + cbor2.dumps(protected) + b"\x40" + cbor2.dumps(payload)
    return unprotected[33], signed, payload, signature


def defender_root(sandbox: RunningSandbox) -> x509.Certificate:
    """What lies in the sandbox's home for whoever wants to trust Defender."""
    return x509.load_pem_x509_certificate((sandbox.azure.home.directory / "defender-root.pem").read_bytes())


def decoded(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
