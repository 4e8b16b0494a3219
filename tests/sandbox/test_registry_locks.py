"""Locks of tags and manifests: what they refuse and how, and the forms of what Azure does not document."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any, Protocol

import httpx
import pytest
from azure.core.exceptions import HttpResponseError
from azure.mgmt.containerregistry.models import ImportSource

from sandbox.registry_forms import RegistryLocks
from sandbox.scenario import Scenario
from sandbox.services.oci.manifests import OCI_MANIFEST, encoded, sha256
from tests.conftest import RunningSandbox, StartSandbox
from tests.sandbox.callers import jump
from tests.sandbox.registries import MANIFESTS, acr_token, add_identity, add_registry, content
from tests.sandbox.test_acr import FROM_GITHUB, HOST, KURED, NAME, management, run_import
from tests.waiting import until

REPOSITORY = "live/kubereboot/kured"
TAG, DIGEST = "1.14.0", KURED.index.digest
V2, V1 = f"https://{HOST}/v2/{REPOSITORY}", f"https://{HOST}/acr/v1/{REPOSITORY}"
LOCKED = {"writeEnabled": False, "deleteEnabled": False}
OTHER = ImportSource(registry_uri="docker.io", source_image="library/busybox:1.37.0")


class Start(Protocol):
    def __call__(self, locks: RegistryLocks | None = None) -> tuple[RunningSandbox, httpx.AsyncClient]: ...


@pytest.fixture
async def start(start_sandbox: StartSandbox) -> AsyncIterator[Start]:
    """Starts a sandbox, and then makes a client of it."""
    clients: list[httpx.AsyncClient] = []

    def starting(locks: RegistryLocks | None = None) -> tuple[RunningSandbox, httpx.AsyncClient]:
        sandbox = start_sandbox(Scenario(registry_locks=locks or RegistryLocks()))
        clients.append(httpx.AsyncClient())
        return sandbox, clients[-1]

    yield starting
    for client in clients:
        await client.aclose()


async def imported(sandbox: RunningSandbox) -> None:
    add_registry(sandbox, NAME)
    async with management(sandbox) as client:
        await run_import(client, FROM_GITHUB, f"{REPOSITORY}:{TAG}")


async def signed_in(sandbox: RunningSandbox, http: httpx.AsyncClient, *roles: str) -> None:
    identity = add_identity(sandbox, *roles, registry=NAME)
    scope = f"repository:{REPOSITORY}:pull,push,delete,metadata_read,metadata_write"
    http.headers.update(await acr_token(http, HOST, identity, scope))


async def push_other(http: httpx.AsyncClient) -> httpx.Response:
    """Push another manifest onto the tag."""
    digest = sha256(b"{}")
    empty = {"mediaType": "application/vnd.oci.empty.v1+json", "digest": digest, "size": 2}
    manifest = encoded({"schemaVersion": 2, "mediaType": OCI_MANIFEST, "config": empty, "layers": [empty]})
    uploaded = await http.post(f"{V2}/blobs/uploads/", params={"digest": digest}, content=b"{}")
    assert uploaded.status_code == 201
    return await http.put(f"{V2}/manifests/{TAG}", content=manifest, headers={"Content-Type": OCI_MANIFEST})


def answered(response: httpx.Response) -> tuple[int, str, str]:
    (error,) = response.json()["errors"]
    return response.status_code, error["code"], error["message"].partition(". ")[0]


async def test_what_locks_refuse(start: Start) -> None:
    """In the words that users of Azure have published. A locked tag is not pushed over and not deleted; a locked
    manifest is not deleted, by its digest or with its repository. The same manifest may get another tag."""
    sandbox, http = start()
    await imported(sandbox)
    await signed_in(sandbox, http, "Contributor")
    disallowed = (
        405,
        "REGISTRY_DISALLOWED_OPERATION",
        "The operation is disallowed on this registry, repository or image",
    )
    assert (await http.patch(f"{V1}/_tags/{TAG}", json=LOCKED)).status_code == 200
    assert answered(await push_other(http)) == disallowed
    assert answered(await http.delete(f"{V1}/_tags/{TAG}")) == disallowed
    assert (await http.patch(f"{V1}/_tags/{TAG}", json=dict.fromkeys(LOCKED, True))).status_code == 200
    assert (await http.patch(f"{V1}/_manifests/{DIGEST}", json={"deleteEnabled": False})).status_code == 200
    assert answered(await http.delete(f"{V2}/manifests/{DIGEST}")) == disallowed
    assert answered(await http.delete(V1)) == disallowed
    index = await http.get(f"{V2}/manifests/{TAG}", headers=MANIFESTS)
    kind = {"Content-Type": index.headers["Content-Type"]}
    assert (await http.put(f"{V2}/manifests/again", content=index.content, headers=kind)).status_code == 201
    assert (await push_other(http)).status_code == 201  # the tag has no lock of its own any more
    assert content(sandbox, NAME).repository(REPOSITORY).tags[TAG].digest != DIGEST


@pytest.mark.parametrize(
    ("form", "moves", "says"),
    [("move", True, ""), ("fail", False, "InvalidParameters"), ("conflict", False, "Conflict")],
)
async def test_a_forced_import_onto_a_locked_tag(start: Start, form: Any, moves: bool, says: str) -> None:
    """Moves the tag and leaves the lock, as was seen; or is refused, as an operation or at once. Without force, the tag
    exists."""
    sandbox, http = start(RegistryLocks(forced_imports=form))
    await imported(sandbox)
    await signed_in(sandbox, http, "Contributor")
    await http.patch(f"{V1}/_tags/{TAG}", json=LOCKED)
    async with management(sandbox) as client:
        with pytest.raises(HttpResponseError, match="already exists in target registry"):
            await run_import(client, OTHER, f"{REPOSITORY}:{TAG}")
        if moves:
            await run_import(client, OTHER, f"{REPOSITORY}:{TAG}", mode="Force")
        else:
            with pytest.raises(HttpResponseError, match="operation is disallowed") as refused:
                await run_import(client, OTHER, f"{REPOSITORY}:{TAG}", mode="Force")
            assert refused.value.error is not None
            assert refused.value.error.code == says
        await run_import(client, OTHER, f"{REPOSITORY}:new", mode="Force")
    tag = content(sandbox, NAME).repository(REPOSITORY).tags[TAG]
    assert (tag.digest != DIGEST, tag.attributes.write_enabled) == (moves, False)


@pytest.mark.parametrize(("right", "role"), [("metadata", "Contributor"), ("push", "AcrPush")])
async def test_who_may_lock(start: Start, right: Any, role: str) -> None:
    """With registry permissions it takes an action of its own, or, in the other form, that of a push."""
    sandbox, http = start(RegistryLocks(right=right))
    await imported(sandbox)
    await signed_in(sandbox, http, "AcrPush")
    allowed = right == "push"
    assert (await http.patch(f"{V1}/_tags/{TAG}", json=LOCKED)).status_code == (200 if allowed else 401)
    await signed_in(sandbox, http, role)
    assert (await http.patch(f"{V1}/_tags/{TAG}", json=LOCKED)).status_code == 200


async def test_a_replica_undoes_a_lock(start: Start) -> None:
    """Once for each tag and manifest, some time after it was set; set again, it stays."""
    sandbox, http = start(RegistryLocks(undone_after=30))
    await imported(sandbox)
    await signed_in(sandbox, http, "Contributor")
    tag = content(sandbox, NAME).repository(REPOSITORY).tags[TAG]
    await http.patch(f"{V1}/_tags/{TAG}", json=LOCKED)
    jump(sandbox, 60)
    await until(lambda: tag.attributes.write_enabled)
    await http.patch(f"{V1}/_tags/{TAG}", json=LOCKED)
    jump(sandbox, 60)
    assert not tag.attributes.write_enabled
