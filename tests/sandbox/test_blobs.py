"""Blob Storage with its official client: containers, block blobs, conditions, and who may enter."""

from __future__ import annotations

import base64
import os
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import httpx
import pytest
from azure.core import MatchConditions
from azure.core.exceptions import (
    ClientAuthenticationError,
    HttpResponseError,
    ResourceExistsError,
    ResourceModifiedError,
    ResourceNotFoundError,
)
from azure.identity import ClientSecretCredential
from azure.storage.blob import BlobServiceClient, ContainerClient, ContentSettings

from sandbox.scenario import Scenario, StorageAccount
from sandbox.services.entra.state import Entra
from tests.conftest import RunningSandbox, StartSandbox

KEY = base64.b64encode(os.urandom(64)).decode()
SIGNED = StorageAccount(name="stsigned", containers=("results",), key=KEY, roles=())
RECORDS = StorageAccount(name="strecords", containers=("results",))
READ_ONLY = StorageAccount(name="streadonly", containers=("results",), roles=("Storage Blob Data Reader",))
SCENARIO = Scenario(storage_accounts=(SIGNED, RECORDS, READ_ONLY))
BLOB = "https://strecords.blob.core.windows.net/results/a"


@pytest.fixture
def sandbox(start_sandbox: StartSandbox) -> RunningSandbox:
    return start_sandbox(SCENARIO)


@pytest.fixture
def credential(sandbox: RunningSandbox) -> Iterator[ClientSecretCredential]:
    identity, secret = sandbox.azure.scenario.identity, sandbox.azure.home.client_secret
    with ClientSecretCredential(identity.tenant_id, identity.client_id, secret) as made:
        yield made


def service(account: StorageAccount, credential: ClientSecretCredential | str) -> BlobServiceClient:
    return BlobServiceClient(f"https://{account.name}.blob.core.windows.net", credential, retry_total=0)


def code_of(refused: pytest.ExceptionInfo[HttpResponseError]) -> str:
    """Storage's code for it, which the client adds to its error."""
    code = vars(refused.value)["error_code"]
    return str(getattr(code, "value", code))


@pytest.fixture(params=["entra", "shared-key"])
def results(request: pytest.FixtureRequest, credential: ClientSecretCredential) -> Iterator[ContainerClient]:
    """The container, entered in either way."""
    made = service(SIGNED, KEY) if request.param == "shared-key" else service(RECORDS, credential)
    with made:
        yield made.get_container_client("results")


def test_a_blob_comes_back(results: ContainerClient) -> None:
    """With content, type, metadata, dates; a second one replaces it only when that was asked for."""
    blob = results.get_blob_client("folder//a b+ü.json")
    put = blob.upload_blob(
        b'{"a": 1}', metadata={"made_by": "test", "made-by": "it"}, content_settings=ContentSettings("application/json")
    )
    assert blob.download_blob().readall() == b'{"a": 1}'
    found = blob.get_blob_properties()
    assert (found.size, found.etag, found.blob_type) == (8, put["etag"], "BlockBlob")
    assert found.metadata == {"made_by": "test", "made-by": "it"}
    assert found.content_settings.content_type == "application/json"
    with pytest.raises(ResourceExistsError) as refused:
        blob.upload_blob(b"else")
    assert code_of(refused) == "BlobAlreadyExists"
    again = blob.upload_blob(b"else", overwrite=True)
    replaced = blob.get_blob_properties()
    assert again["etag"] != put["etag"]
    assert (replaced.creation_time, replaced.metadata) == (found.creation_time, {})
    assert blob.download_blob().readall() == b"else"


def test_empty_and_in_parts(results: ContainerClient) -> None:
    """A range is what was asked for; an empty blob has none; a whole one is put together from its parts."""
    content = os.urandom(3000)
    results.upload_blob("whole", content)
    results.upload_blob("empty", b"")
    assert results.download_blob("empty").readall() == b""
    assert results.download_blob("whole", offset=100, length=50).readall() == content[100:150]
    with ContainerClient(
        f"https://{results.account_name}.blob.core.windows.net",
        "results",
        results.credential,
        max_single_get_size=1000,
        max_chunk_get_size=700,
    ) as in_parts:
        assert in_parts.download_blob("whole").readall() == content
    with pytest.raises(HttpResponseError) as refused:
        results.download_blob("whole", offset=3000, length=1)
    assert refused.value.status_code == 416


def test_conditions(results: ContainerClient) -> None:
    """By ETag and by date, of reads and of writes."""
    blob = results.get_blob_client("a")
    first = blob.upload_blob(b"1")["etag"]
    same = {"etag": first, "match_condition": MatchConditions.IfNotModified}
    blob.upload_blob(b"2", overwrite=True, **same)
    with pytest.raises(ResourceModifiedError) as refused:
        blob.upload_blob(b"3", overwrite=True, **same)
    assert code_of(refused) == "ConditionNotMet"
    with pytest.raises(ResourceModifiedError):
        blob.delete_blob(**same)
    now = blob.get_blob_properties().etag
    with pytest.raises(HttpResponseError) as known:
        blob.download_blob(etag=now, match_condition=MatchConditions.IfModified)
    assert known.value.status_code == 304
    with pytest.raises(ResourceModifiedError):
        blob.download_blob(if_unmodified_since=datetime.now(UTC) - timedelta(days=1))
    with pytest.raises(HttpResponseError):
        blob.download_blob(if_modified_since=datetime.now(UTC) + timedelta(days=1))
    assert blob.download_blob().readall() == b"2"


def test_lists(results: ContainerClient) -> None:
    """By name, below a prefix, page by page."""
    for name in ("b/2", "a&<1>", "b/1", "b/3", "c"):
        results.upload_blob(name, name.encode(), metadata={"n": "1"})
    assert [blob.name for blob in results.list_blobs()] == ["a&<1>", "b/1", "b/2", "b/3", "c"]
    pages = results.list_blobs(name_starts_with="b/", results_per_page=2, include=["metadata"]).by_page()
    told = [[(blob.name, blob.size, blob.metadata) for blob in page] for page in pages]
    assert told == [[("b/1", 3, {"n": "1"}), ("b/2", 3, {"n": "1"})], [("b/3", 3, {"n": "1"})]]
    results.delete_blob("b/2")
    assert [blob.name for blob in results.list_blobs(name_starts_with="b/")] == ["b/1", "b/3"]
    with pytest.raises(ResourceNotFoundError) as missing:
        results.download_blob("b/2")
    assert code_of(missing) == "BlobNotFound"


def test_containers(credential: ClientSecretCredential) -> None:
    """Made once, found, and deleted with what they hold."""
    with service(RECORDS, credential) as made:
        container = made.create_container("runs-2026", metadata={"of": "tests"})
        assert container.get_container_properties().metadata == {"of": "tests"}
        with pytest.raises(ResourceExistsError) as refused:
            container.create_container()
        assert code_of(refused) == "ContainerAlreadyExists"
        with pytest.raises(HttpResponseError):
            made.create_container("Runs")
        container.upload_blob("a", b"a")
        container.delete_container()
        assert not container.exists()
        with pytest.raises(ResourceNotFoundError) as gone:
            container.upload_blob("a", b"a")
        assert code_of(gone) == "ContainerNotFound"


def test_a_damaged_body_is_refused(results: ContainerClient) -> None:
    """An MD5 that the client sends along is checked; one that fits is taken."""
    results.upload_blob("good", b"content", validate_content=True)
    headers = {"Content-MD5": base64.b64encode(b"0" * 16).decode()}
    with pytest.raises(HttpResponseError) as refused:
        results.upload_blob("bad", b"content", headers=headers)
    assert code_of(refused) == "Md5Mismatch"


def test_roles_decide(credential: ClientSecretCredential, sandbox: RunningSandbox) -> None:
    """A reader reads; who has no role on the account, not even as its Contributor, does neither."""
    with service(READ_ONLY, credential) as reading, service(SIGNED, credential) as closed:
        container = reading.get_container_client("results")
        assert list(container.list_blobs()) == []
        for attempt in (
            lambda: container.upload_blob("a", b"a"),
            lambda: reading.create_container("another"),
            lambda: closed.get_blob_client("results", "a").download_blob(),
        ):
            with pytest.raises(HttpResponseError) as refused:
                attempt()
            assert (refused.value.status_code, code_of(refused)) == (403, "AuthorizationPermissionMismatch")
    checked = {check["action"]: check for check in sandbox.control("GET", "/checks")["checks"]}
    write = checked["Microsoft.Storage/storageAccounts/blobServices/containers/blobs/write"]
    assert write["scope"].endswith("/storageAccounts/streadonly/blobServices/default/containers/results/blobs/a")


@pytest.mark.parametrize("key", [base64.b64encode(b"another").decode(), None], ids=["another-key", "no-key"])
def test_signatures_are_checked(sandbox: RunningSandbox, key: str | None) -> None:
    """Another key is refused, and any key where the account takes none."""
    account, code = (SIGNED, "AuthenticationFailed") if key else (RECORDS, "KeyBasedAuthenticationNotPermitted")
    with service(account, key or KEY) as entering, pytest.raises(HttpResponseError) as refused:
        entering.get_blob_client("results", "a").upload_blob(b"a")
    assert (refused.value.status_code, code_of(refused)) == (403, code)


def test_signatures_have_a_date(sandbox: RunningSandbox) -> None:
    """One that was made more than a quarter of an hour ago no longer counts."""
    sandbox.control("POST", "/clock", json={"jump": 1000})
    with service(SIGNED, KEY) as entering, pytest.raises(ClientAuthenticationError) as refused:
        entering.get_blob_client("results", "a").upload_blob(b"a")
    assert code_of(refused) == "AuthenticationFailed"


def test_strangers_are_challenged(sandbox: RunningSandbox) -> None:
    """Without a token, or with one for another audience, the answer says where to get the right one."""
    principal = next(iter(sandbox.azure.access.principals.values()))
    wrong = sandbox.azure.state(Entra).issue(principal, "https://vault.azure.net")
    with httpx.Client() as client:
        for headers in ({}, {"Authorization": f"Bearer {wrong}"}):
            refused = client.get(BLOB, headers=headers)
            assert refused.status_code == 401
            assert "resource_id=https://storage.azure.com" in refused.headers["WWW-Authenticate"]
            assert refused.headers["x-ms-error-code"] in ("NoAuthenticationInformation", "InvalidAuthenticationInfo")
        nowhere = client.get("https://stnobody.blob.core.windows.net/results/a")
        assert "would not resolve" in nowhere.text


def test_the_rest_is_refused(credential: ClientSecretCredential) -> None:
    """Unsupported operations get a 501 that says so, in Storage's XML."""
    with service(RECORDS, credential) as made:
        container = made.get_container_client("results")
        for attempt in (
            lambda: list(container.walk_blobs()),
            lambda: list(made.list_containers()),
            lambda: container.get_blob_client("a").create_append_blob(),
            lambda: container.get_blob_client("a").set_blob_metadata({"a": "1"}),
            lambda: container.get_blob_client("a").stage_block("AAAA", b"a"),
        ):
            with pytest.raises(HttpResponseError) as refused:
                attempt()
            assert (refused.value.status_code, code_of(refused)) == (501, "NotSupportedBySandbox")


def test_faults_speak_xml(credential: ClientSecretCredential, sandbox: RunningSandbox) -> None:
    """A status that was asked for has the envelope and the header of Storage."""
    sandbox.azure.faults.add(kind="status", status=503, code="ServerBusy", host="*.blob.core.windows.net")
    with service(RECORDS, credential) as made, pytest.raises(HttpResponseError) as refused:
        made.get_blob_client("results", "a").upload_blob(b"a")
    assert (refused.value.status_code, code_of(refused)) == (503, "ServerBusy")
