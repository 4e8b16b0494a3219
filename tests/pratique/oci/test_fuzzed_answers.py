"""Whatever registries and token endpoints answer, the client returns what was asked for or raises one of our errors."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Mapping
from datetime import datetime
from typing import Any

import httpx
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from pratique.errors import PratiqueError, Unavailable, UnreadableAnswer
from pratique.evidence.findings_artifact import IN_TOTO, fetch_findings
from pratique.evidence.signature_artifacts import fetch_signatures
from pratique.http_errors import connection_faults, retry_after
from pratique.images import ImageReference
from pratique.oci import acr, referrers
from pratique.oci.auth import Authenticator, Login
from pratique.oci.client import OciClient
from pratique.oci.media_types import OCI_CONFIG, OCI_INDEX, OCI_MANIFEST
from tests.pratique.evidence.parsers.mutations import DIGEST, encoded
from tests.pratique.oci.in_memory import client_of, registry_client

HOST = "acraks.azurecr.io"
TAGGED = ImageReference(HOST, "live/a", "1")
PINNED = TAGGED.at(DIGEST)
MOST_REQUESTS = 40  # after so many the registry answers plainly, so that lists have an end

CALLS: Mapping[str, Callable[[OciClient], Awaitable[Any]]] = {
    "ping": lambda client: client.ping(HOST),
    "resolve a tag": lambda client: client.resolve(TAGGED),
    "resolve a digest": lambda client: client.resolve(PINNED),
    "head": lambda client: client.head(TAGGED),
    "referrers": lambda client: referrers.list_referrers(client, PINNED),
    "blob": lambda client: client.blob(TAGGED, DIGEST),
    "arrival": lambda client: acr.arrival(client, PINNED),
    "readable": lambda client: acr.readable(client, PINNED),
    "repositories": lambda client: acr.repositories(client, HOST, "live/"),
    "manifests": lambda client: acr.manifests(client, HOST, "live/a"),
    "listed by the API": lambda client: referrers.listed_by_api(client, PINNED),
    "listed by tag": lambda client: referrers.listed_by_tag(client, PINNED),
    "login": lambda client: client.docker_login(HOST),
    "findings": lambda client: fetch_findings(client, PINNED),
    "signatures": lambda client: fetch_signatures(client, PINNED),
}

LAYER = {"mediaType": IN_TOTO, "digest": DIGEST, "size": 3}
ENTRY = {"mediaType": OCI_MANIFEST, "digest": DIGEST, "size": 1, "artifactType": IN_TOTO}
STORED = {"digest": DIGEST, "tags": ["1"], "createdTime": "2026-01-01T00:00:00Z", "mediaType": OCI_MANIFEST}
DOCUMENTS: list[dict[str, Any]] = [
    {"config": {"mediaType": OCI_CONFIG, "digest": DIGEST}, "layers": [LAYER], "subject": {"digest": DIGEST}},
    {"manifests": [{**ENTRY, "platform": {"os": "linux", "architecture": "amd64"}, "annotations": {"a": "b"}}]},
    {"repositories": ["live/a"]},
    {"manifests": [{**STORED, "references": [{"digest": DIGEST}], "changeableAttributes": {"readEnabled": True}}]},
    {"manifest": STORED},
    {"access_token": "a.eyJleHAiOjF9.c", "refresh_token": "a.eyJleHAiOjF9.c", "expires_in": 300},
    {"errors": [{"code": "DENIED", "message": "no"}]},
    {"os": "linux", "architecture": "amd64"},
]
DEEP = b'{"a":' * 50_000
SPECIAL = [
    *(DEEP, b"[" * 100_000, b"null", b"", b"\xff", b'{"token": "a\\nb"}', b'{"token": "\xc3\xa9"}'),
    b'{"token": "a", "expires_in": 1e999}',
    b'{"token": "a", "expires_in": %s}' % (b"9" * 400),
    b'{"token": "a.W1tb.c", "access_token": "a.bnVsbA.c", "refresh_token": "a.eyJleHAiOjFlOTk5fQ.c"}',
    b'{"manifests": [{"mediaType": "a", "digest": "b", "size": 1e999}]}',
    b'{"errors": [{"code": "\\ud800", "message": "\\u001b[2J"}]}',
    b'{"manifest": {"createdTime": "0001-01-01T00:00:00+23:00"}}',
]
bodies = st.sampled_from(DOCUMENTS).flatmap(encoded) | st.sampled_from(
    [*SPECIAL, *(json.dumps(document).encode() for document in DOCUMENTS)]
)
#: Any bytes that a header can hold.
values = st.binary(max_size=30).filter(lambda value: not {*value} & {*b"\r\n\0"})
LINKS = [
    b"/v2/x?n=1",
    b"https://[",
    b"//",
    b"https://x:99999/",
    b"\x01",
    b"http://\xff/",
    b"?last=%00",
    b"",
    b"a" * 70000,
]
REALMS = [b"auth.example/t", b"[", b"\xff/", b"a:b:c/", b"auth.example/\x01", b""]
CHALLENGES = [b"Basic realm=x", b"Negotiate", b"Bearer bearer basic  basic ", b"Basic", b""]
WAITS = [b"inf", b"nan", b"-1", b"1e400", b"Mon, 01 Jan 2026 00:00:00 +99999999999999", b"\xb2", b"9" * 5000, b"3"]
headers = st.fixed_dictionaries(
    {},
    optional={
        "Content-Type": st.sampled_from([OCI_MANIFEST.encode(), OCI_INDEX.encode()]) | values,
        "Link": (st.sampled_from(LINKS) | values).map(lambda url: b"<" + url + b'>; rel="next"') | values,
        "WWW-Authenticate": st.sampled_from(CHALLENGES)
        | (st.sampled_from(REALMS) | values).map(lambda url: b'Bearer realm="https://' + url + b'",service="s"')
        | values,
        "Docker-Content-Digest": st.just(DIGEST.encode()) | values,
        "Retry-After": st.sampled_from(WAITS) | values,
        "retry-after-ms": st.sampled_from(WAITS) | values,
        "Location": st.sampled_from([b"https://[", b"/x", b"", b"http://a\xff"]) | values,
        "Content-Encoding": st.sampled_from([b"gzip", b"deflate", b"x"]),
    },
)
Answer = tuple[int, dict[str, bytes], bytes]
statuses = st.sampled_from([200] * 6 + [401] * 4 + [204, 301, 307, 400, 403, 404, 408, 418, 429, 500, 503])
answers = st.lists(st.tuples(statuses, headers, bodies), min_size=1, max_size=4)


class Registry:
    """Gives the answers in turn.

    :ivar asked: number of requests
    """

    def __init__(self, *answers: Answer) -> None:
        self._answers = answers
        self.asked = 0

    def __call__(self, request: httpx.Request) -> httpx.Response:
        status, named, body = self._answers[self.asked % len(self._answers)]
        self.asked += 1
        if self.asked > MOST_REQUESTS:
            return httpx.Response(404)
        return httpx.Response(status, headers=[(name.encode(), value) for name, value in named.items()], content=body)


CHALLENGE: Answer = (401, {"WWW-Authenticate": b'Bearer realm="https://auth.example/t"'}, b"")


@settings(max_examples=150, deadline=None)
@given(st.sampled_from(sorted(CALLS)), answers, st.sampled_from(["", "login", "entra"]))
@example("ping", [(429, {"retry-after-ms": b"\xb2"}, b"")], "")
@example("ping", [(500, {}, DEEP)], "")
@example("ping", [(403, {}, b'{"errors": [{"code": "\\ud800", "message": "\\u001b[2J"}]}')], "")
@example("ping", [CHALLENGE, (200, {}, b'{"token": "\xc3\xa9"}')], "")
@example("ping", [CHALLENGE, (200, {}, b'{"token": "a", "expires_in": %s}' % (b"9" * 400))], "")
@example("ping", [CHALLENGE, (200, {}, DEEP)], "login")
@example("arrival", [(401, {"WWW-Authenticate": b'Bearer realm="https://",service="s"'}, b"")], "")
@example("referrers", [(200, {"Link": b'<https://[>; rel="next"'}, b'{"manifests": []}')], "")
@example("referrers", [(200, {}, b'{"manifests": [{"mediaType": "a", "digest": "b", "size": 1e999}]}')], "")
@example("arrival", [(200, {}, b'{"manifest": {"createdTime": "0001-01-01T00:00:00+23:00"}}')], "")
async def test_every_answer(name: str, given_answers: list[Answer], identity: str) -> None:
    """A broken answer raises one of our errors, in printable text, and costs a bounded number of requests."""
    played = Registry(*given_answers)
    async with client_of(played) as http:
        login = Login("u", "p") if identity == "login" else None
        client = registry_client(http, login, HOST, entra="e" * (identity == "entra"))
        text = ""
        try:
            await CALLS[name](client)
        except PratiqueError as error:
            text = str(error)
    assert text.isprintable()
    assert played.asked <= 2 * MOST_REQUESTS


@settings(max_examples=50, deadline=None)
@given(bodies, headers)
async def test_nothing_resolves_to_other_bytes(body: bytes, named: dict[str, bytes]) -> None:
    """What the client returns for a digest has that digest: no answer of another content is accepted."""
    async with client_of(Registry((200, {**named, "Content-Type": OCI_MANIFEST.encode()}, body))) as http:
        client = registry_client(http)
        for read in (client.resolve(PINNED), client.manifest(PINNED), client.blob(TAGGED, DIGEST)):
            with pytest.raises(PratiqueError):
                await read


@pytest.mark.parametrize("status", [200, 401, 500])
@pytest.mark.parametrize("entra", ["", "e"])
async def test_the_answer_of_a_token_endpoint_is_bounded(status: int, entra: str) -> None:
    """More than its limit is not read, whatever comes with it."""
    read = 0

    class Endless(httpx.AsyncByteStream):
        async def __aiter__(self) -> Any:
            nonlocal read
            for _ in range(1000):
                read += 1
                yield b" " * 100_000

    def answer(request: httpx.Request) -> httpx.Response:
        if request.url.path == "/v2/":
            return httpx.Response(401, headers={"WWW-Authenticate": 'Bearer realm="https://auth.example/t"'})
        return httpx.Response(status, stream=Endless())

    async with client_of(answer) as http:
        with pytest.raises(UnreadableAnswer, match="larger"):
            await registry_client(http, entra=entra).ping(HOST)
    assert read < 20


@pytest.mark.parametrize("field", ["digest", "references"])
@pytest.mark.parametrize("name", ["../../other/_manifests/x", "sha256:0f", "", 7, None, DIGEST.upper(), f"{DIGEST}\n"])
async def test_stored_manifests_have_digests(field: str, name: Any) -> None:
    """A list of manifests that names something else raises an error: it would become part of a later request's URL."""
    entry = {**STORED, field: name if field == "digest" else [{"digest": name}]}
    body = json.dumps({"manifests": [entry]}).encode()
    async with client_of(Registry((200, {}, body))) as http:
        with pytest.raises(UnreadableAnswer):
            await acr.manifests(registry_client(http), HOST, "live/a")


@settings(max_examples=50, deadline=None)
@given(st.dictionaries(st.sampled_from(["Retry-After", "retry-after-ms", "x-ms-retry-after-ms"]), st.text() | values))
@example({"retry-after-ms": "²"})
@example({"Retry-After": "inf"})
@example({"Retry-After": "Mon, 01 Jan 2026 00:00:00 +99999999999999"})
def test_waits(asked: dict[str, Any]) -> None:
    """A service that asks for a wait gets a finite one, or none."""
    named = {name: value.decode("latin-1") if isinstance(value, bytes) else value for name, value in asked.items()}
    seconds = retry_after(httpx.Headers([(name.encode(), value.encode()) for name, value in named.items()]))
    assert seconds is None or 0 <= seconds < float("inf")


async def test_a_token_that_no_header_can_hold() -> None:
    """It is an unreadable answer, and not sent."""
    for token in ("é", "a\nb", "", " "):
        played = Registry(CHALLENGE, (200, {}, json.dumps({"token": token}).encode()))
        async with client_of(played) as http:
            with pytest.raises(UnreadableAnswer, match="no token"):
                await OciClient(http, Authenticator(http)).ping(HOST)
        assert played.asked == 2


async def test_times_at_the_edge() -> None:
    """A time of arrival that no calendar holds is unreadable; one that it holds is in UTC."""
    for text, readable in (("9999-12-31T23:59:59-01:00", False), ("9999-12-31T23:59:59Z", True)):
        async with client_of(Registry((200, {}, json.dumps({"manifest": {"createdTime": text}}).encode()))) as http:
            if readable:
                assert isinstance(await acr.arrival(registry_client(http), PINNED), datetime)
            else:
                with pytest.raises(UnreadableAnswer, match="createdTime"):
                    await acr.arrival(registry_client(http), PINNED)


def test_errors_of_a_connection_are_printable() -> None:
    """What a peer makes the client say has no control characters."""
    with pytest.raises(Unavailable) as error, connection_faults("read", "x"):
        raise httpx.RemoteProtocolError("illegal \x1b[2J line\n\ud800")
    assert str(error.value).isprintable()
