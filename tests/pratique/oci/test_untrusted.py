"""Malicious and failing registries, served over TLS on loopback."""

from __future__ import annotations

import hashlib
import json
import ssl
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from aiohttp import web
from cryptography.hazmat.primitives.asymmetric import ec

from pratique import errors
from pratique.evidence.findings_artifact import IN_TOTO, SignedStatement, fetch_findings
from pratique.evidence.signature_artifacts import Unusable
from pratique.images import ImageReference
from pratique.oci import acr
from pratique.oci.auth import Authenticator, Login
from pratique.oci.challenges import Challenge
from pratique.oci.client import OciClient
from pratique.oci.media_types import OCI_CONFIG, OCI_INDEX, OCI_MANIFEST
from pratique.oci.pushing import SmallImage, push
from pratique.oci.referrers import MOST_PAGES, Referrers, list_referrers
from pratique.oci.transport import LARGEST_MANIFEST
from tests.sandbox.certificates import certificate_pem, key_pem, self_signed

Answer = Callable[[web.Request], web.Response]


def digest_of(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


def manifest(document: Any, media_type: str = OCI_MANIFEST, **headers: str) -> Answer:
    content = json.dumps(document).encode()
    return lambda _: web.Response(body=content, headers={"Content-Type": media_type, **headers})


class Registry:
    """Responds by path; any other path gives 404.

    :ivar requests: method, path with query, and authorization of each request
    """

    def __init__(self) -> None:
        self.answers: dict[str, Answer] = {}
        self.requests: list[tuple[str, str, str | None]] = []
        self.host = ""

    async def answer(self, request: web.Request) -> web.Response:
        self.requests.append((request.method, request.path_qs, request.headers.get("Authorization")))
        found = self.answers.get(request.path_qs) or self.answers.get(request.path)
        return found(request) if found else web.json_response({"errors": [{"code": "NAME_UNKNOWN"}]}, status=404)

    def reference(self, version: str = ":1") -> ImageReference:
        return ImageReference.parse(f"{self.host}/a/b{version}")


@pytest.fixture
async def registry(tmp_path: Path) -> AsyncIterator[tuple[Registry, httpx.AsyncClient]]:
    key = ec.generate_private_key(ec.SECP256R1())
    pem = tmp_path / "server.pem"
    pem.write_text(certificate_pem(self_signed(key, "localhost")) + key_pem(key))
    server, client = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH), ssl.create_default_context(cafile=str(pem))
    server.load_cert_chain(pem)
    app, played = web.Application(), Registry()
    app.router.add_route("*", "/{path:.*}", played.answer)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "localhost", 0, ssl_context=server).start()
    played.host = f"localhost:{runner.addresses[0][1]}"
    async with httpx.AsyncClient(verify=client, trust_env=False) as http:
        yield played, http
    await runner.cleanup()


Played = tuple[Registry, httpx.AsyncClient]


async def test_bytes_that_do_not_match_the_digest_header(registry: Played) -> None:
    """A body that does not match the registry's own digest header raises DigestMismatch."""
    played, http = registry
    played.answers["/v2/a/b/manifests/1"] = manifest({}, **{"Docker-Content-Digest": "sha256:" + "0" * 64})
    with pytest.raises(errors.DigestMismatch):
        await OciClient(http, Authenticator(http)).resolve(played.reference())


async def test_bytes_that_do_not_match_the_requested_digest(registry: Played) -> None:
    """A manifest or blob that does not match the requested digest raises DigestMismatch."""
    played, http = registry
    wanted = "sha256:" + "1" * 64
    played.answers[f"/v2/a/b/manifests/{wanted}"] = manifest({})
    played.answers[f"/v2/a/b/blobs/{wanted}"] = lambda _: web.Response(body=b"other")
    client = OciClient(http, Authenticator(http))
    with pytest.raises(errors.DigestMismatch):
        await client.resolve(played.reference(f"@{wanted}"))
    with pytest.raises(errors.DigestMismatch):
        await client.blob(played.reference(), wanted)


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        (manifest({}, "text/html"), "a web page"),
        (lambda _: web.Response(body=b"\n<!DOCTYPE HTML><title>Sign in</title>", content_type="x/y"), "a web page"),
        (manifest({"mediaType": OCI_INDEX}), OCI_MANIFEST),
        (manifest([]), "JSON object"),
        (manifest({"manifests": []}, OCI_INDEX), "nothing that can be run"),
        (manifest({"config": {"mediaType": "application/vnd.cncf.helm.config.v1+json"}}), "helm"),
        (lambda _: web.Response(body=b" " * (LARGEST_MANIFEST + 1), content_type="x/y"), "larger"),
    ],
    ids=["html", "html without a type", "two types", "a list", "empty index", "helm chart", "too large"],
)
async def test_not_an_image(registry: Played, answer: Answer, says: str) -> None:
    """Anything but an image raises an error that says what it is."""
    played, http = registry
    played.answers["/v2/a/b/manifests/1"] = answer
    with pytest.raises(errors.UnreadableAnswer) as refused:
        await OciClient(http, Authenticator(http)).resolve(played.reference())
    assert says in refused.value.observed


async def test_the_platform_of_a_single_manifest(registry: Played) -> None:
    """The platform comes from the configuration, whose digest is verified, in its usual spelling."""
    played, http = registry
    config = b'{"os": "linux", "architecture": "arm64", "variant": "v8"}'
    played.answers["/v2/a/b/manifests/1"] = manifest({"config": {"mediaType": OCI_CONFIG, "digest": digest_of(config)}})
    played.answers[f"/v2/a/b/blobs/{digest_of(config)}"] = lambda _: web.Response(body=config)
    resolved = await OciClient(http, Authenticator(http)).resolve(played.reference())
    assert [(p.platform, p.digest) for p in resolved.platforms] == [("linux/arm64", resolved.digest)]


@pytest.mark.parametrize(
    ("status", "code", "expected"),
    [
        (401, "UNAUTHORIZED", errors.AuthenticationFailed),
        (403, "DENIED", errors.PermissionDenied),
        (404, "MANIFEST_UNKNOWN", errors.NotFound),
        (418, "TEAPOT", errors.OperationFailed),
        (429, "TOOMANYREQUESTS", errors.Throttled),
        (500, "UNKNOWN", errors.Unavailable),
        (502, "UNKNOWN", errors.Unavailable),
    ],
)
async def test_error_responses(registry: Played, status: int, code: str, expected: type[errors.PratiqueError]) -> None:
    """The status decides the error, which contains the registry's own code and message."""
    played, http = registry
    body = {"errors": [{"code": code, "message": "so be it"}]}
    headers = {"Retry-After": "9"} if status == 429 else {}
    if status == 401:
        headers = {"WWW-Authenticate": "Negotiate"}
    played.answers["/v2/a/b/manifests/1"] = lambda _: web.json_response(body, status=status, headers=headers)
    with pytest.raises(expected) as refused:
        await OciClient(http, Authenticator(http)).resolve(played.reference())
    if status != 401:
        assert f"{status} {code}: so be it" in refused.value.observed
    if isinstance(refused.value, errors.Throttled):
        assert refused.value.retry_after == 9


async def test_failed_connection() -> None:
    """A failed connection raises Unavailable, which is transient."""
    async with httpx.AsyncClient(trust_env=False) as http:
        with pytest.raises(errors.Unavailable):
            await OciClient(http, Authenticator(http)).head(ImageReference.parse("localhost:1/a/b:1"))


def referrer(number: int, artifact_type: str = "x/y") -> dict[str, Any]:
    return {"mediaType": OCI_MANIFEST, "digest": f"sha256:{number:064}", "size": 1, "artifactType": artifact_type}


async def test_referrers_come_in_pages(registry: Played) -> None:
    """All pages are read, and referrers of every type are listed."""
    played, http = registry
    subject = played.reference("@sha256:" + "a" * 64)
    path = f"/v2/a/b/referrers/{subject.digest}"
    link = {"Link": f'<{path}?page=2>; rel="next"'}
    played.answers[path] = manifest({"manifests": [referrer(1), referrer(2, "else")]}, OCI_INDEX, **link)
    played.answers[f"{path}?page=2"] = manifest({"manifests": [referrer(3)]}, OCI_INDEX)
    listed = await list_referrers(OciClient(http, Authenticator(http)), subject)
    assert [item.descriptor.digest for item in listed.found] == [referrer(number)["digest"] for number in (1, 2, 3)]


async def test_a_missing_page_is_no_end(registry: Played) -> None:
    """A later page that is not there raises an error: the rest of the list is unknown, also under a tag."""
    played, http = registry
    subject = played.reference("@sha256:" + "a" * 64)
    path = f"/v2/a/b/referrers/{subject.digest}"
    for listed in ([referrer(1)], []):
        link = {"Link": f'<{path}?page=2>; rel="next"'}
        played.answers[path] = manifest({"manifests": listed}, OCI_INDEX, **link)
        played.answers[f"{path}?page=2"] = lambda _: web.Response(status=404)
        with pytest.raises(errors.UnreadableAnswer, match="next page is missing"):
            await list_referrers(OciClient(http, Authenticator(http)), subject)


NEXT = {"Link": '</acr/v1/_catalog?n=100&last=x>; rel="next"'}


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ({}, None),
        ({"repositories": "live/a"}, None),
        ({"repositories": {"live/a": 1}}, None),
        ({"repositories": None}, {"repositories": ["live/a"]}),
        ({"repositories": ["live/a"]}, {}),
        ({"repositories": ["live/a"]}, {"repositories": None}),
        ({"repositories": ["live/a"]}, {"repositories": [1]}),
        ({"repositories": ["live/a"]}, "missing"),
    ],
    ids=str,
)
async def test_a_catalogue_is_read_whole_or_not_at_all(registry: Played, first: Any, second: Any) -> None:
    """A page without a list, or one that is missing in the middle, raises an error and is not an empty registry."""
    played, http = registry
    client = OciClient(http, Authenticator(http))
    more = NEXT if second is not None else {}
    played.answers["/acr/v1/_catalog?n=100"] = lambda _: web.json_response(first, headers=more)
    status = 404 if second == "missing" else 200
    played.answers["/acr/v1/_catalog?n=100&last=x"] = lambda _: web.json_response(second, status=status)
    with pytest.raises(errors.UnreadableAnswer):
        await acr.repositories(client, played.host, "live/")


@pytest.mark.parametrize("listed", [[], None])
async def test_an_empty_catalogue(registry: Played, listed: object) -> None:
    """A registry without repositories may write null for the whole list."""
    played, http = registry
    played.answers["/acr/v1/_catalog?n=100"] = lambda _: web.json_response({"repositories": listed})
    assert await acr.repositories(OciClient(http, Authenticator(http)), played.host, "live/") == []


async def test_manifests_are_read_whole_or_not_at_all(registry: Played) -> None:
    """A page of a repository's manifests that is missing is no deleted repository."""
    played, http = registry
    client = OciClient(http, Authenticator(http))
    path = "/acr/v1/live/a/_manifests"
    with pytest.raises(errors.NotFound):
        await acr.manifests(client, played.host, "live/a")
    link = {"Link": f'<{path}?n=100&last=x>; rel="next"'}
    played.answers[f"{path}?n=100"] = lambda _: web.json_response({"manifests": []}, headers=link)
    with pytest.raises(errors.UnreadableAnswer, match="middle"):
        await acr.manifests(client, played.host, "live/a")


async def test_pages_stay_on_their_host(registry: Played) -> None:
    """A next page on another host raises an error, so that the token is not sent there."""
    played, http = registry
    subject = played.reference("@sha256:" + "a" * 64)
    link = {"Link": '<https://elsewhere.example/>; rel="next"'}
    played.answers[f"/v2/a/b/referrers/{subject.digest}"] = manifest({"manifests": []}, OCI_INDEX, **link)
    with pytest.raises(errors.UnreadableAnswer, match=r"elsewhere\.example"):
        await list_referrers(OciClient(http, Authenticator(http)), subject)


async def test_referrers_under_a_tag(registry: Played) -> None:
    """The tag alone is read when a registry has no referrers API, but not when the API fails."""
    played, http = registry
    client = OciClient(http, Authenticator(http))
    subject = played.reference("@sha256:" + "a" * 64)
    tag = "/v2/a/b/manifests/sha256-" + "a" * 64
    assert await list_referrers(client, subject) == Referrers(())
    played.answers[tag] = manifest({"manifests": [referrer(1)]}, OCI_INDEX)
    assert len((await list_referrers(client, subject)).found) == 1
    played.answers[tag] = manifest({"manifests": 5}, OCI_INDEX)
    with pytest.raises(errors.UnreadableAnswer):
        await list_referrers(client, subject)
    played.answers[f"/v2/a/b/referrers/{subject.digest}"] = lambda _: web.Response(status=500)
    with pytest.raises(errors.Unavailable):
        await list_referrers(client, subject)


async def test_referrers_in_both_places(registry: Played) -> None:
    """What is under the tag is added; whatever else is there hides nothing that the API lists, and is no secret."""
    played, http = registry
    subject = played.reference("@sha256:" + "a" * 64)
    client = OciClient(http, Authenticator(http))
    played.answers[f"/v2/a/b/referrers/{subject.digest}"] = manifest({"manifests": [referrer(1)]}, OCI_INDEX)
    tag = "/v2/a/b/manifests/sha256-" + "a" * 64
    untyped = {name: value for name, value in referrer(2).items() if name != "artifactType"}
    played.answers[tag] = manifest({"manifests": [referrer(1), untyped]}, OCI_INDEX)
    listed = await list_referrers(client, subject)
    assert ([item.artifact_type for item in listed.found], listed.problem) == (["x/y", ""], "")
    for garbage in ({"manifests": [{"size": "x"}]}, {"manifests": 5}, {"manifests": ["x"]}):
        played.answers[tag] = manifest(garbage, OCI_INDEX)
        listed = await list_referrers(client, subject)
        assert len(listed.found) == 1
        assert listed.problem
    played.answers[tag] = lambda _: web.Response(body=b"no manifest")
    assert (await list_referrers(client, subject)).problem


async def test_referrers_without_end(registry: Played) -> None:
    """A list that links to itself, or that never ends, raises an error."""
    played, http = registry
    subject = played.reference("@sha256:" + "a" * 64)
    path = f"/v2/a/b/referrers/{subject.digest}"
    played.answers[path] = manifest({"manifests": []}, OCI_INDEX, Link=f'<{path}>; rel="next"')
    with pytest.raises(errors.UnreadableAnswer, match="pages"):
        await list_referrers(OciClient(http, Authenticator(http)), subject)
    assert len(played.requests) == MOST_PAGES


@pytest.mark.parametrize("annotations", [None, [], ["ab"], "ab", 7, {"a": 7, "b": "text"}], ids=str)
async def test_annotations_of_any_kind(registry: Played, annotations: Any) -> None:
    """Invalid annotations of one referrer leave the list readable."""
    played, http = registry
    subject = played.reference("@sha256:" + "a" * 64)
    entries = [{**referrer(1), "annotations": annotations}, referrer(2)]
    played.answers[f"/v2/a/b/referrers/{subject.digest}"] = manifest({"manifests": entries}, OCI_INDEX)
    first, _ = (await list_referrers(OciClient(http, Authenticator(http)), subject)).found
    assert first.annotations == ({"b": "text"} if isinstance(annotations, dict) else {})


ABOUT_A = {"mediaType": OCI_MANIFEST, "digest": "sha256:" + "a" * 64, "size": 1}
LAYER = {"mediaType": IN_TOTO, "digest": "sha256:" + "c" * 64, "size": 1}


@pytest.mark.parametrize(
    "document",
    [
        {"subject": ABOUT_A},
        {"subject": ABOUT_A, "layers": {"0": LAYER}},
        {"subject": ABOUT_A, "layers": [7]},
        {"subject": ABOUT_A, "layers": [{**LAYER, "size": "1"}]},
        {"subject": ABOUT_A, "layers": [{**LAYER, "size": -1}]},
        {"subject": ABOUT_A, "layers": [{**LAYER, "digest": "sha256:../../../c/d/blobs/x"}]},
    ],
    ids=str,
)
async def test_findings_artifacts_without_a_layer(registry: Played, document: Any) -> None:
    """An artifact without a layer that can be read has no statement, and says so; what is not there is unread."""
    played, http = registry
    subject = played.reference("@sha256:" + "a" * 64)
    content = {**document, "artifactType": IN_TOTO}
    digest = digest_of(json.dumps(content).encode())
    entries = [findings_entry(digest), findings_entry("sha256:../x"), findings_entry("sha256:" + "d" * 64)]
    played.answers[f"/v2/a/b/referrers/{subject.digest}"] = manifest({"manifests": entries}, OCI_INDEX)
    played.answers[f"/v2/a/b/manifests/{digest}"] = manifest(content)
    played.answers["/v2/a/b/manifests/sha256:" + "d" * 64] = manifest({})
    found = await fetch_findings(OciClient(http, Authenticator(http)), subject)
    (statement,) = (item for item in found if isinstance(item, SignedStatement))
    assert (statement.statement, statement.artifact.digest) == (b"", digest)
    assert "one layer" in statement.flaw
    unread = {item.digest: item.reason for item in found if isinstance(item, Unusable) and item.unread}
    assert len(unread) == 2
    assert "other than a SHA-256 digest" in unread["sha256:../x"]
    assert not any(".." in path for _, path, _ in played.requests)


@pytest.mark.parametrize("about", [{"subject": {**ABOUT_A, "digest": "sha256:" + "b" * 64}}, {}, {"subject": "a"}])
async def test_findings_artifacts_of_something_else(registry: Played, about: dict[str, Any]) -> None:
    """An artifact whose subject is not the image is read, and can prove nothing."""
    played, http = registry
    subject = played.reference("@sha256:" + "a" * 64)
    layer = {**LAYER, "digest": digest_of(b"{}"), "size": 2}
    content = {**about, "artifactType": IN_TOTO, "layers": [layer]}
    digest = digest_of(json.dumps(content).encode())
    played.answers[f"/v2/a/b/referrers/{subject.digest}"] = manifest({"manifests": [findings_entry(digest)]}, OCI_INDEX)
    played.answers[f"/v2/a/b/manifests/{digest}"] = manifest(content)
    played.answers[f"/v2/a/b/blobs/{layer['digest']}"] = lambda _: web.Response(body=b"{}")
    (found,) = await fetch_findings(OciClient(http, Authenticator(http)), subject)
    assert isinstance(found, SignedStatement)
    assert found.statement == b"{}"
    assert "subject is not the image" in found.flaw


async def test_malformed_list_of_findings_artifacts(registry: Played) -> None:
    """A list that cannot be read raises an error; it does not count as empty."""
    played, http = registry
    subject = played.reference("@sha256:" + "a" * 64)
    for manifests in (7, "x", {"a": 1}, [7], [{"artifactType": IN_TOTO}]):
        played.answers[f"/v2/a/b/referrers/{subject.digest}"] = manifest({"manifests": manifests}, OCI_INDEX)
        with pytest.raises(errors.UnreadableAnswer):
            await fetch_findings(OciClient(http, Authenticator(http)), subject)


def findings_entry(digest: str) -> dict[str, Any]:
    """An entry for a findings artifact in a list of referrers."""
    annotations = {"in-toto.io/predicate-type": "https://in-toto.io/attestation/vulns/v0.2"}
    return {**referrer(1, IN_TOTO), "digest": digest, "annotations": annotations}


async def test_a_basic_challenge_is_answered_with_the_login(registry: Played) -> None:
    """The login is sent only after a challenge, and only to its own registry."""
    played, http = registry

    def guarded(request: web.Request) -> web.Response:
        if request.headers.get("Authorization") != "Basic cm9ib3Q6c2VzYW1l":
            return web.Response(status=401, headers={"WWW-Authenticate": 'Basic realm="r"'})
        return web.Response(headers={"Docker-Content-Digest": "sha256:" + "c" * 64})

    played.answers["/v2/a/b/manifests/1"] = guarded
    login = {played.host: Login("robot", "sesame")}
    assert await OciClient(http, Authenticator(http, logins=login)).head(played.reference()) == "sha256:" + "c" * 64
    assert played.requests[0][2] is None
    with pytest.raises(errors.AuthenticationFailed):
        await OciClient(http, Authenticator(http)).head(played.reference())


async def test_an_entra_token_goes_to_azures_registries_only(registry: Played) -> None:
    """A token endpoint elsewhere gets a request without the Entra ID token; one without TLS gets no request."""
    played, http = registry

    async def entra() -> str:
        raise AssertionError("requested although the registry is not one of Azure's")

    challenge = f'Bearer realm="https://{played.host}/token",service="s"'
    played.answers["/v2/a/b/manifests/1"] = lambda _: web.Response(status=401, headers={"WWW-Authenticate": challenge})
    played.answers["/token"] = lambda _: web.json_response({"token": "t"})
    with pytest.raises(errors.AuthenticationFailed):
        await OciClient(http, Authenticator(http, entra=entra)).head(played.reference())
    assert [request for request in played.requests if request[1].startswith("/token")] == [
        ("GET", "/token?service=s&scope=repository%3Aa%2Fb%3Apull", None)
    ]
    challenge = 'Bearer realm="http://plain.example/token",service="s"'
    with pytest.raises(errors.AuthenticationFailed, match="TLS"):
        await OciClient(http, Authenticator(http)).head(played.reference())


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ('Bearer realm="https://r/t",service="s",scope="a:b:c"', Challenge("bearer", "https://r/t", "s", "a:b:c")),
        ('bearer service="s", realm="https://r/t"', Challenge("bearer", "https://r/t", "s")),
        ('Basic realm="r", Bearer realm="https://r/t"', Challenge("bearer", "https://r/t")),
        ('Basic realm="r"', Challenge("basic", "r")),
        ("Negotiate", None),
        ("", None),
    ],
)
def test_challenges(header: str, expected: Challenge | None) -> None:
    """Bearer takes precedence over basic; other schemes are ignored."""
    assert Challenge.parse(header) == expected


@pytest.mark.parametrize(
    ("location", "digest", "error"),
    [
        ("https://elsewhere.example/upload", None, errors.UnreadableAnswer),
        ("/v2/a/b/blobs/uploads/1", "sha256:" + "0" * 64, errors.DigestMismatch),
    ],
)
async def test_a_push_to_a_malicious_registry(
    registry: tuple[Registry, httpx.AsyncClient], location: str, digest: str | None, error: type[Exception]
) -> None:
    """A blob is not sent to another host, and a digest other than the pushed one raises an error."""
    played, http = registry
    stored = {"Docker-Content-Digest": digest} if digest else {}
    played.answers = {
        "/v2/a/b/blobs/uploads/": lambda _: web.Response(status=202, headers={"Location": location}),
        "/v2/a/b/blobs/uploads/1": lambda _: web.Response(status=201),
        "/v2/a/b/manifests/1": lambda _: web.Response(status=201, headers=stored),
    }
    with pytest.raises(error):
        await push(OciClient(http, Authenticator(http)), played.reference(), SmallImage(b"{}", (b"x",)))
