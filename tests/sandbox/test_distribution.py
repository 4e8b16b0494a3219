"""The distribution API over real sockets: public registries read, a login server of Azure written to."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import TYPE_CHECKING
from urllib.parse import quote

import httpx
import pytest

from sandbox.scenario import Credentials, PublicImage, Scenario
from sandbox.services.oci.catalogue import WALKTHROUGH
from sandbox.services.oci.images import build
from sandbox.services.oci.manifests import IN_TOTO, OCI_EMPTY, OCI_INDEX, OCI_MANIFEST, encoded, sha256
from tests.sandbox.registries import MANIFESTS, acr_token, add_identity, add_registry, hub_token

if TYPE_CHECKING:
    from tests.conftest import RunningSandbox, StartSandbox

HUB = "https://registry-1.docker.io"
K8S = "https://registry.k8s.io"
BUSYBOX = build(next(spec for spec in WALKTHROUGH if spec.repository == "library/busybox"))
CONTROLLER = build(next(spec for spec in WALKTHROUGH if spec.repository == "ingress-nginx/controller"))


@pytest.fixture
async def http() -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient() as client:
        yield client


# Public registries


async def test_docker_hub_names_its_token_service(sandbox: RunningSandbox, http: httpx.AsyncClient) -> None:
    """Without a token there is a 401 that tells where to get one, for what."""
    answer = await http.get(f"{HUB}/v2/library/busybox/manifests/1.37.0", headers=MANIFESTS)
    assert answer.status_code == 401
    assert answer.json()["errors"][0]["code"] == "UNAUTHORIZED"
    assert answer.headers["WWW-Authenticate"] == (
        'Bearer realm="https://auth.docker.io/token",service="registry.docker.io",'
        'scope="repository:library/busybox:pull"'
    )


async def test_an_anonymous_token_reads_a_whole_image(sandbox: RunningSandbox, http: httpx.AsyncClient) -> None:
    """Index, manifests and blobs come back with the digests under which they were asked for."""
    headers = MANIFESTS | await hub_token(http, "library/busybox")
    index = await http.get(f"{HUB}/v2/library/busybox/manifests/1.37.0", headers=headers)
    assert index.headers["Docker-Content-Digest"] == sha256(index.content) == BUSYBOX.index.digest
    assert index.headers["Content-Type"] == OCI_INDEX
    for entry in index.json()["manifests"]:
        manifest = await http.get(f"{HUB}/v2/library/busybox/manifests/{entry['digest']}", headers=headers)
        assert sha256(manifest.content) == entry["digest"]
        for blob in (manifest.json()["config"], *manifest.json()["layers"]):
            answer = await http.get(f"{HUB}/v2/library/busybox/blobs/{blob['digest']}", headers=headers)
            assert sha256(answer.content) == blob["digest"]


async def test_head_has_the_headers_without_the_body(sandbox: RunningSandbox, http: httpx.AsyncClient) -> None:
    """HEAD is how a client resolves a tag without pulling."""
    answer = await http.head(f"{K8S}/v2/ingress-nginx/controller/manifests/v1.11.3", headers=MANIFESTS)
    assert (answer.status_code, answer.content) == (200, b"")
    assert answer.headers["Docker-Content-Digest"] == CONTROLLER.index.digest
    assert int(answer.headers["Content-Length"]) == CONTROLLER.index.size


async def test_pulls_count_but_looks_do_not(start_sandbox: StartSandbox, http: httpx.AsyncClient) -> None:
    """Docker Hub counts GET of manifests only, says how many are left, and refuses when none is."""
    start_sandbox(Scenario(docker_hub_pull_limit=2))
    async with httpx.AsyncClient() as client:
        url = f"{HUB}/v2/library/busybox/manifests/1.37.0"
        headers = MANIFESTS | await hub_token(client, "library/busybox")
        left = [
            (await client.request(method, url, headers=headers)).headers["ratelimit-remaining"].partition(";")[0]
            for method in ("HEAD", "GET", "HEAD", "GET")
        ]
        assert left == ["2", "1", "1", "0"]
        refused = await client.get(url, headers=headers)
        assert (refused.status_code, refused.json()["errors"][0]["code"]) == (429, "TOOMANYREQUESTS")


async def test_a_token_opens_only_what_it_names(sandbox: RunningSandbox, http: httpx.AsyncClient) -> None:
    """A token for one repository does not read another, and a forged one reads nothing."""
    headers = MANIFESTS | await hub_token(http, "library/busybox")
    other = await http.get(f"{HUB}/v2/falcosecurity/falcoctl/manifests/0.10.1", headers=headers)
    assert (other.status_code, 'error="insufficient_scope"' in other.headers["WWW-Authenticate"]) == (401, True)
    head, body, signature = headers["Authorization"].split(".")
    forged = {**headers, "Authorization": f"{head}.{body}.{signature[::-1]}"}
    answer = await http.get(f"{HUB}/v2/library/busybox/manifests/1.37.0", headers=forged)
    assert (answer.status_code, 'error="invalid_token"' in answer.headers["WWW-Authenticate"]) == (401, True)


async def test_a_private_repository_opens_to_its_login(start_sandbox: StartSandbox) -> None:
    """Anonymous clients get a token that reads nothing, a wrong password gets none, the right one reads."""
    login = Credentials(username="acme", password="swordfish")
    image = PublicImage(reference="docker.io/acme/agent:1", packages={"agent": "1"})
    start_sandbox(Scenario(images=(image,), private_repositories={"docker.io/acme/agent": login}))
    async with httpx.AsyncClient() as http:
        url = f"{HUB}/v2/acme/agent/manifests/1"
        anonymous = await http.get(url, headers=MANIFESTS | await hub_token(http, "acme/agent"))
        assert anonymous.status_code == 401
        with pytest.raises(httpx.HTTPStatusError, match="401"):
            await hub_token(http, "acme/agent", ("acme", "wrong"))
        allowed = await hub_token(http, "acme/agent", ("acme", "swordfish"))
        assert (await http.get(url, headers=MANIFESTS | allowed)).status_code == 200


async def test_ghcr_gives_tokens_for_what_exists(sandbox: RunningSandbox, http: httpx.AsyncClient) -> None:
    """A token for a public image; for anything else the token itself is denied."""
    scope = {"service": "ghcr.io", "scope": "repository:kubereboot/kured:pull"}
    token = (await http.get("https://ghcr.io/token", params=scope)).json()["token"]
    headers = MANIFESTS | {"Authorization": f"Bearer {token}"}
    assert (await http.get("https://ghcr.io/v2/kubereboot/kured/manifests/1.14.0", headers=headers)).status_code == 200
    denied = await http.get("https://ghcr.io/token", params=scope | {"scope": "repository:acme/nothing:pull"})
    assert (denied.status_code, denied.json()["errors"][0]["code"]) == (403, "DENIED")


async def test_the_kubernetes_registry_wants_no_token(sandbox: RunningSandbox, http: httpx.AsyncClient) -> None:
    """It answers everybody, and tells what is missing."""
    assert (await http.get(f"{K8S}/v2/")).status_code == 200
    repository = f"{K8S}/v2/ingress-nginx/controller"
    assert (await http.get(f"{repository}/tags/list")).json()["tags"] == ["v1.11.3"]
    for path, code in (("manifests/nothing", "MANIFEST_UNKNOWN"), (f"blobs/{sha256(b'x')}", "BLOB_UNKNOWN")):
        answer = await http.get(f"{repository}/{path}", headers=MANIFESTS)
        assert (answer.status_code, answer.json()["errors"][0]["code"]) == (404, code)
    assert (await http.get(f"{K8S}/v2/nothing/tags/list")).json()["errors"][0]["code"] == "NAME_UNKNOWN"


async def test_a_type_that_is_not_accepted_is_not_found(sandbox: RunningSandbox, http: httpx.AsyncClient) -> None:
    """A client that does not list index types does not get an index."""
    url = f"{K8S}/v2/ingress-nginx/controller/manifests/v1.11.3"
    answer = await http.get(url, headers={"Accept": OCI_MANIFEST})
    assert (answer.status_code, answer.json()["errors"][0]["code"]) == (404, "MANIFEST_UNKNOWN")


async def test_accepted_types_may_come_in_several_headers(sandbox: RunningSandbox, http: httpx.AsyncClient) -> None:
    """As skopeo sends them."""
    url = f"{K8S}/v2/ingress-nginx/controller/manifests/v1.11.3"
    answer = await http.get(url, headers=[("Accept", OCI_INDEX), ("Accept", OCI_MANIFEST)])
    assert answer.headers["Docker-Content-Digest"] == CONTROLLER.index.digest


@pytest.mark.parametrize(
    ("asked", "status", "part"),
    [
        ("bytes=0-9", 206, slice(0, 10)),
        ("bytes=10-", 206, slice(10, None)),
        ("bytes=-5", 206, slice(-5, None)),
        ("bytes=0-99999999", 206, slice(0, None)),
        ("bytes=99999999-", 416, slice(0, 0)),
        ("lines=1-2", 200, slice(0, None)),
    ],
)
async def test_blobs_are_served_in_ranges(
    sandbox: RunningSandbox, http: httpx.AsyncClient, asked: str, status: int, part: slice
) -> None:
    """As importing registries need it; a unit that is not known is ignored."""
    digest, content = next(iter(CONTROLLER.blobs.items()))
    answer = await http.get(f"{K8S}/v2/ingress-nginx/controller/blobs/{digest}", headers={"Range": asked})
    assert (answer.status_code, answer.content) == (status, content[part])


async def test_docker_io_is_not_a_registry(sandbox: RunningSandbox, http: httpx.AsyncClient) -> None:
    """The name in image references belongs to a web site that sends browsers elsewhere."""
    answer = await http.get("https://docker.io/v2/")
    assert (answer.status_code, answer.headers["Location"]) == (301, "https://www.docker.com/")


async def test_public_registries_take_no_pushes(sandbox: RunningSandbox, http: httpx.AsyncClient) -> None:
    """Writing upstream is not supported, and the answer says so."""
    answer = await http.post(f"{K8S}/v2/acme/tool/blobs/uploads/")
    assert (answer.status_code, answer.json()["errors"][0]["code"]) == (501, "UNSUPPORTED")


# Writing, on a login server


HOST = "acrpush.azurecr.io"
BASE = f"https://{HOST}/v2/team/tool"


@pytest.fixture
async def pusher(sandbox: RunningSandbox, http: httpx.AsyncClient) -> httpx.AsyncClient:
    """A client that may push to and pull from ``team/tool`` and ``team/base``."""
    add_registry(sandbox, "acrpush", publicNetworkAccess="Disabled")
    identity = add_identity(sandbox, "AcrPush", "Contributor", registry="acrpush")
    scope = "repository:team/tool:pull,push,delete repository:team/base:pull,push registry:catalog:*"
    http.headers.update(await acr_token(http, HOST, identity, scope))
    return http


async def test_a_blob_is_uploaded_at_once(pusher: httpx.AsyncClient) -> None:
    """POST with a digest and the content; a wrong digest is refused."""
    done = await pusher.post(f"{BASE}/blobs/uploads/", params={"digest": sha256(b"blob")}, content=b"blob")
    assert (done.status_code, done.headers["Docker-Content-Digest"]) == (201, sha256(b"blob"))
    assert (await pusher.get(f"https://{HOST}{done.headers['Location']}")).content == b"blob"
    wrong = await pusher.post(f"{BASE}/blobs/uploads/", params={"digest": sha256(b"blob")}, content=b"other")
    assert (wrong.status_code, wrong.json()["errors"][0]["code"]) == (400, "DIGEST_INVALID")


async def test_a_blob_is_uploaded_in_chunks(pusher: httpx.AsyncClient) -> None:
    """POST, PATCH in order, PUT; a chunk out of order is 416 and the session says how far it is."""
    started = await pusher.post(f"{BASE}/blobs/uploads/")
    url = f"https://{HOST}{started.headers['Location']}"
    first = await pusher.patch(url, content=b"abc", headers={"Content-Range": "0-2"})
    assert (first.status_code, first.headers["Range"]) == (202, "0-2")
    assert (await pusher.patch(url, content=b"xyz", headers={"Content-Range": "7-9"})).status_code == 416
    status = await pusher.get(url)
    assert (status.status_code, status.headers["Range"]) == (204, "0-2")
    done = await pusher.put(url, params={"digest": sha256(b"abcdef")}, content=b"def")
    assert done.status_code == 201
    assert (await pusher.get(url)).json()["errors"][0]["code"] == "BLOB_UPLOAD_UNKNOWN"


async def test_a_blob_is_mounted_from_another_repository(pusher: httpx.AsyncClient) -> None:
    """201 when the source holds it; otherwise an ordinary upload begins."""
    digest = sha256(b"shared")
    base = f"https://{HOST}/v2/team/base/blobs/uploads/"
    await pusher.post(base, params={"digest": digest}, content=b"shared")
    mounted = await pusher.post(f"{BASE}/blobs/uploads/", params={"mount": digest, "from": "team/base"})
    assert mounted.status_code == 201
    other = await pusher.post(f"{BASE}/blobs/uploads/", params={"mount": sha256(b"no"), "from": "team/base"})
    assert other.status_code == 202


async def test_a_pushed_image_is_complete_or_refused(pusher: httpx.AsyncClient) -> None:
    """A manifest before its blobs is refused; afterwards the tag, the list and the catalogue have it."""
    manifest = BUSYBOX.platforms["linux/amd64"]
    early = await _put(pusher, "v1", manifest.content, OCI_MANIFEST)
    assert (early.status_code, early.json()["errors"][0]["code"]) == (404, "MANIFEST_BLOB_UNKNOWN")
    for blob in manifest.blobs:
        content = BUSYBOX.blobs[blob.digest]
        await pusher.post(f"{BASE}/blobs/uploads/", params={"digest": blob.digest}, content=content)
    done = await _put(pusher, "v1", manifest.content, OCI_MANIFEST)
    assert (done.status_code, done.headers["Docker-Content-Digest"]) == (201, manifest.digest)
    assert (await pusher.get(f"{BASE}/tags/list")).json() == {"name": "team/tool", "tags": ["v1"]}
    assert (await pusher.get(f"https://{HOST}/v2/_catalog")).json() == {"repositories": ["team/tool"]}


async def test_tags_are_paged_by_links(pusher: httpx.AsyncClient) -> None:
    """Following ``Link`` visits every tag once, in order."""
    await _put_artifact(pusher, tags=["a", "b", "c", "d", "e"])
    url, seen = f"{BASE}/tags/list?n=2", list[str]()
    while url:
        page = await pusher.get(url)
        seen += page.json()["tags"]
        url = f"https://{HOST}{page.links['next']['url']}" if "next" in page.links else ""
    assert seen == ["a", "b", "c", "d", "e"]


async def test_referrers_are_filtered_and_paged(pusher: httpx.AsyncClient) -> None:
    """Pushed artifacts with a subject are listed by type, page by page; a digest without any has an empty list."""
    subject = await _put_artifact(pusher, tags=["v1"])
    found = {await _put_artifact(pusher, subject=subject, text=f'"{number}"') for number in range(3)}
    await _put_artifact(pusher, subject=subject, artifact_type="application/vnd.example")
    url, seen = f"{BASE}/referrers/{subject}?artifactType={quote(IN_TOTO, safe='')}&n=2", list[str]()
    while url:
        page = await pusher.get(url)
        assert page.headers["OCI-Filters-Applied"] == "artifactType"
        assert page.headers["Content-Type"] == OCI_INDEX
        seen += [entry["digest"] for entry in page.json()["manifests"]]
        url = f"https://{HOST}{page.links['next']['url']}" if "next" in page.links else ""
    assert (len(seen), set(seen)) == (3, found)
    assert len((await pusher.get(f"{BASE}/referrers/{subject}")).json()["manifests"]) == 4
    assert (await pusher.get(f"{BASE}/referrers/{sha256(b'none')}")).json()["manifests"] == []


async def test_a_manifest_is_deleted_by_digest_a_tag_by_name(pusher: httpx.AsyncClient) -> None:
    """Deleting a tag leaves the manifest, deleting the manifest leaves nothing."""
    digest = await _put_artifact(pusher, tags=["v1", "v2"])
    assert (await pusher.delete(f"{BASE}/manifests/v1")).status_code == 202
    assert (await pusher.get(f"{BASE}/tags/list")).json()["tags"] == ["v2"]
    assert (await pusher.delete(f"{BASE}/manifests/{digest}")).status_code == 202
    assert (await pusher.get(f"{BASE}/manifests/{digest}", headers=MANIFESTS)).status_code == 404


async def _put(client: httpx.AsyncClient, reference: str, content: bytes, media_type: str) -> httpx.Response:
    return await client.put(f"{BASE}/manifests/{reference}", content=content, headers={"Content-Type": media_type})


async def _put_artifact(
    client: httpx.AsyncClient,
    *,
    tags: list[str] | None = None,
    subject: str | None = None,
    artifact_type: str = IN_TOTO,
    text: str = "{}",
) -> str:
    """Push a small artifact and return its digest."""
    layer = text.encode()
    for content in (b"{}", layer):
        await client.post(f"{BASE}/blobs/uploads/", params={"digest": sha256(content)}, content=content)
    body: dict[str, object] = {
        "schemaVersion": 2,
        "mediaType": OCI_MANIFEST,
        "artifactType": artifact_type,
        "config": {"mediaType": OCI_EMPTY, "digest": sha256(b"{}"), "size": 2},
        "layers": [{"mediaType": IN_TOTO, "digest": sha256(layer), "size": len(layer)}],
    }
    if subject is not None:
        body["subject"] = {"mediaType": OCI_MANIFEST, "digest": subject, "size": 1}
    manifest = encoded(body)
    for reference in tags or [sha256(manifest)]:
        answer = await _put(client, reference, manifest, OCI_MANIFEST)
        assert (answer.status_code, answer.headers.get("OCI-Subject")) == (201, subject)
    return sha256(manifest)
