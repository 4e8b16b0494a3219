"""Secrets are masked in whatever form and place a service, a program or a library repeats them."""

from __future__ import annotations

import base64
import json
import logging
import string
from collections.abc import Callable, Iterator
from urllib.parse import quote

import httpx
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from pratique.masking import MASK, mask_logs, masked, shortened
from pratique.oci.faults import LONGEST, response_error

SECRET = "Zq8kV3mW5tXy7RbN"
#: Secrets of no known form, with what URLs and JSON escape, and with what base64 pads.
SECRETS = st.text(string.ascii_letters + string.digits + '-._~+/=%:"\\é', min_size=12, max_size=40).map(
    lambda text: f"Zq8k{text}"
)
PLACES: dict[str, str] = {
    "password of a URL": "fatal: could not read from 'https://me:{}@git.contoso.com/x.git'",
    "token of a URL": "fatal: unable to access 'https://{}@git.contoso.com/x/': 403",
    "token after a user": "remote: https://x-access-token:{}@git.contoso.com/x",
    "password for SSH": "ssh://git:{}@git.contoso.com/x",
    "password for git over SSH": "git+ssh://git:{}@git.contoso.com/x",
    "password with a slash": "https://me:a/{}@git.contoso.com/x",
    "password without a scheme": "cannot pull me:{}@registry.contoso.com/app:1",
    "password in an escaped URL": "https%3A%2F%2Fme%3A{}%40git.contoso.com%2Fx",
    "password in a URL in JSON": r"https:\/\/me:{}@git.contoso.com\/x",
    "password in the query of a URL": "https://login.contoso.com/?next=https://me:{}@git.contoso.com/",
    "SAS of a blob": "redirected to https://a.blob.contoso.com/c?se=2026-01-01&sp=r&sig={}&sv=2024",
    "SAS in JSON": r"https://a.blob.contoso.com/c?se=2026\u0026sig={}",
    "SAS in an escaped URL": "https%3A%2F%2Fa.blob.contoso.com%2Fc%3Fse%3D2026%26sig%3D{}",
    "AWS": "https://b.s3.contoso.com/k?X-Amz-Algorithm=A&X-Amz-Signature={}",
    "AWS session": "https://b.s3.contoso.com/k?X-Amz-Security-Token={}&X-Amz-Date=1",
    "Google": "https://s.contoso.com/k?X-Goog-Expires=1&X-Goog-Signature={}",
    "CDN": "https://cdn.contoso.com/k?Expires=1&Signature={}&Key-Pair-Id=K",
    "fragment": "https://app.contoso.com/cb#access_token={}&state=1",
    "private_token": "https://git.contoso.com/api?private_token={}",
    "form": "grant_type=refresh_token&service=r&refresh_token={}",
    "JSON": '{{"error": "invalid", "refresh_token": "{}"}}',
    "JSON without spaces": '{{"access_token":"{}","expires_in":3}}',
    "JSON within JSON": r'{{"body":"{{\"client_secret\":\"{}\"}}"}}',
    "Python": "{{'password': '{}', 'username': 'me'}}",
    "header": "Authorization: Bearer {}",
    "header in lower case": "> authorization: token {}",
    "basic authentication": "Authorization: Basic {}",
    "challenge": 'Bearer realm="https://me:{}@r.contoso.com/token",service="r"',
    "connection string": "DefaultEndpointsProtocol=https;AccountName=a;AccountKey={};EndpointSuffix=x",
    "service bus": "Endpoint=sb://x/;SharedAccessKeyName=n;SharedAccessKey={}",
    "private key": "-----BEGIN RSA PRIVATE KEY-----\n{}\n-----END RSA PRIVATE KEY-----",
    "private key that is cut": "-----BEGIN PRIVATE KEY-----\nMIIE\n{}",
    "private key in JSON": r'"-----BEGIN EC PRIVATE KEY-----\n{}\n-----END EC PRIVATE KEY-----\n"',
    "token of a known form": "eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJ4In0.{}",
    "token of GitHub": "ghp_1234{}",
    "token of GitLab": "glpat-{}",
}


@pytest.mark.parametrize("text", PLACES.values(), ids=PLACES)
def test_places(text: str) -> None:
    """A secret that nobody knows is masked wherever its place shows that it is one, and once is enough."""
    shown = masked(f"It said: {text.format(SECRET)}.")
    assert SECRET not in shown
    assert MASK in shown
    assert shown.startswith("It said: ")
    assert masked(shown) == shown


@pytest.mark.parametrize("kind", ["PRIVATE KEY", "RSA PRIVATE KEY", "EC PRIVATE KEY", "OPENSSH PRIVATE KEY"])
def test_private_keys_in_base64(kind: str) -> None:
    """A private key is masked as base64 of its PEM; a certificate, which is public, is not."""
    pem = f"-----BEGIN {kind}-----\n{SECRET}\n-----END {kind}-----\n"
    assert masked(f"value {base64.b64encode(pem.encode()).decode()} end") == f"value {MASK} end"
    public = base64.b64encode(pem.replace(kind, "CERTIFICATE").encode()).decode()
    assert masked(public) == public


FORMS: dict[str, Callable[[str], str]] = {
    "as it is": str,
    "in a URL": lambda secret: quote(secret, safe=""),
    "twice in a URL": lambda secret: quote(quote(secret, safe=""), safe=""),
    "in JSON": lambda secret: json.dumps({"said": secret}),
    "in UTF-8 JSON": lambda secret: json.dumps([secret], ensure_ascii=False),
    "in JSON in JSON": lambda secret: json.dumps(json.dumps(secret)),
    "in Python": lambda secret: repr([secret]),
    "base64": lambda secret: base64.b64encode(secret.encode()).decode(),
    "base64 for URLs": lambda secret: base64.urlsafe_b64encode(secret.encode()).decode().rstrip("="),
}


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
@given(secret=SECRETS)
@example(secret='Zq8k"/\\+=: %é')
def test_known_secrets(form: Callable[[str], str], secret: str) -> None:
    """A secret that is known is masked in every encoding, amid other text."""
    written = form(secret)
    shown = masked(f"hello,{written},world", [secret])
    assert MASK in shown
    for known in (secret, quote(secret, safe=""), base64.b64encode(secret.encode()).decode().rstrip("=")):
        assert known not in shown


@given(secret=SECRETS, user=st.text(string.ascii_lowercase, max_size=9))
def test_basic_authentication(secret: str, user: str) -> None:
    """A known password is masked within base64 of ``user:password``, whatever the length of the user's name."""
    data = f"{user}:{secret}:x".encode()
    encoded = base64.b64encode(data).decode()
    shown = masked(f"sent {encoded}", [secret])
    assert MASK in shown
    assert max(map(len, shown.split(MASK))) < len("sent ") + len(user) * 4 // 3 + 9


@pytest.mark.parametrize(
    "text",
    [
        "ssh://git@git.contoso.com/x",
        "git@git.contoso.com:x/y.git",
        "docker.io/library/busybox:1.37.0@sha256:" + "0" * 64,
        "oci://r.contoso.com/a/b:1@sha256:" + "0" * 64,
        "https://git.contoso.com:8443/x?ref=main#readme",
        'Bearer realm="https://r.contoso.com/oauth2/token",service="r",scope="repository:x:pull",error="invalid_token"',
        "Check manifests.token: it is not of the form file:PATH.",
        "token=env:GITOPS_TOKEN password=file:/run/secrets/p",
        '"password": "prefect-secret:ingress"',
        "pkg:npm/%40angular/core@1.2.3 and someone@contoso.com",
        "AuthorizationFailed: no authorization to perform action 'Microsoft.Authorization/roleAssignments/write'",
        "x509.subject: CN=a,O=b,ST=c,C=US",
    ],
)
def test_other_text_stays(text: str) -> None:
    """Text without a secret is left as it is: references, digests, user names for SSH, locations of secrets."""
    assert masked(text) == text


@pytest.mark.parametrize("text", PLACES.values(), ids=PLACES)
@given(before=st.integers(0, 80), longest=st.integers(1, 120))
def test_cut(text: str, before: int, longest: int) -> None:
    """However a text is shortened, the part that stays holds no part of the secret."""
    shown = shortened("x" * before + " " + text.format(SECRET), longest)
    assert len(shown) <= longest
    assert not any(SECRET[at : at + 4] in shown for at in range(len(SECRET) - 3))


@pytest.mark.parametrize(
    "unit", ["://", "a:b@", "https://a:", "%3A%2F%2F", 'token\\"', '"token":"', "sig=", "eyJ-", "?#"]
)
def test_hostile_text(unit: str) -> None:
    """Any text is masked in bounded time: this one would take minutes if time grew with the square of its length."""
    masked(unit * (60_000 // len(unit)))


def _answers() -> Iterator[tuple[str, httpx.Request, str]]:
    form = {"grant_type": "refresh_token", "refresh_token": SECRET, "service": "r"}
    token = httpx.Request("POST", "https://r.contoso.com/oauth2/token", data=form)
    encoded = base64.b64encode(f"me:{SECRET}".encode()).decode()
    basic = httpx.Request("GET", "https://r.contoso.com/token", headers={"Authorization": f"Basic {encoded}"})
    bearer = httpx.Request("GET", "https://r.contoso.com/v2/", headers={"Authorization": f"Bearer {SECRET}"})
    for name, request in (("form", token), ("basic", basic), ("bearer", bearer)):
        yield name, request, f"we got {SECRET}"
        yield name, request, f"we got {request.headers.get('Authorization')} {request.content.decode()}"
        yield name, request, "x" * (LONGEST - 12) + SECRET


@pytest.mark.parametrize("status", [400, 401, 403, 404, 429, 500])
def test_registries_repeat_what_they_got(status: int) -> None:
    """An error holds nothing of the credentials that a registry or a token endpoint repeats, however it does."""
    encoded = base64.b64encode(f"me:{SECRET}".encode()).decode()
    for _, request, said in _answers():
        bodies = (
            httpx.Response(status, json={"errors": [{"code": "DENIED", "message": said}]}, request=request),
            httpx.Response(status, json={"error": "invalid_grant", "error_description": said}, request=request),
            httpx.Response(status, text=said, headers={"Content-Type": "text/plain"}, request=request),
        )
        for response in bodies:
            shown = str(response_error(response, "get a token", "r.contoso.com"))
            assert SECRET[:6] not in shown
            assert encoded not in shown


@pytest.fixture
def masking() -> Iterator[None]:
    before = logging.getLogRecordFactory()
    mask_logs()
    mask_logs()
    yield
    logging.setLogRecordFactory(before)


@pytest.mark.usefixtures("masking")
@pytest.mark.parametrize("name", ["httpx", "azure.core.pipeline", "prefect.flow_runs", "somebody.else"])
def test_logs(name: str, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every logger's records are masked, in message, arguments and traceback; others stay as they are."""
    caplog.set_level(logging.DEBUG)
    url = f"https://a.blob.contoso.com/c?sig={SECRET}"
    logger = logging.getLogger(name)
    # A server that another test runs in this process configures logging, and so disables loggers that exist by then.
    monkeypatch.setattr(logger, "disabled", False)
    logger.info('HTTP Request: %s %s "%s"', "GET", url, "200 OK")
    logger.warning("plain %s", "text")
    try:
        raise ValueError(url)
    except ValueError:
        logger.exception("failed")
    assert SECRET not in caplog.text
    assert "a.blob.contoso.com" in caplog.text
    assert caplog.records[1].args == ("text",)


@pytest.mark.usefixtures("masking")
def test_logging_with_wrong_arguments(caplog: pytest.LogCaptureFixture) -> None:
    """A record whose arguments do not fit its message is left to the logger to report."""
    record = logging.getLogRecordFactory()("x", logging.INFO, "f", 1, "%d", ("no number",), None)
    assert record.args == ("no number",)
