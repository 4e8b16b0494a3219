"""SDK errors, made by real answers over a socket, in our own words."""

from __future__ import annotations

import inspect
import json
from typing import Any

import aiohttp
import pytest
from azure.core import exceptions
from azure.identity import CredentialUnavailableError

from pratique import errors
from pratique.azure.faults import azure_faults, translate
from tests.pratique.azure.conftest import Answer


def _body(code: str, message: str = "No.", **more: Any) -> dict[str, Any]:
    return {"error": {"code": code, "message": message, **more}}


@pytest.mark.parametrize(
    ("status", "body", "expected"),
    [
        (200, _body("DeploymentFailed"), errors.OperationFailed),
        (400, _body("BadRequest"), errors.OperationFailed),
        (400, _body("InvalidTemplate"), errors.ConfigurationError),
        (401, _body("InvalidAuthenticationToken"), errors.AuthenticationFailed),
        (403, _body("AuthorizationFailed"), errors.PermissionDenied),
        (403, _body("Forbidden", innererror={"code": "ForbiddenByFirewall"}), errors.NetworkDenied),
        (403, _body("Forbidden", innererror={"code": "ForbiddenByRbac"}), errors.PermissionDenied),
        (404, _body("ResourceNotFound"), errors.NotFound),
        (408, _body("RequestTimeout"), errors.Unavailable),
        (409, _body("RoleAssignmentExists"), errors.Conflict),
        (412, _body("PreconditionFailed"), errors.Conflict),
        (429, _body("TooManyRequests"), errors.Throttled),
        (500, _body("InternalServerError"), errors.Unavailable),
        (501, _body("NotImplemented"), errors.OperationFailed),
        (503, "no envelope at all", errors.Unavailable),
    ],
)
async def test_the_meaning_of_an_answer(
    refusal: Answer, status: int, body: Any, expected: type[errors.PratiqueError]
) -> None:
    """Status and inner code decide together; the message, the code and the request's id are kept."""
    error = await refusal(status, body, {"x-ms-request-id": "req-7"})
    translated = translate(error, "do it", "the thing")
    assert type(translated) is expected
    assert (translated.attempted, translated.subject) == ("do it", "the thing")
    assert "(request req-7)" in translated.observed
    if isinstance(body, dict):
        inner = body["error"].get("innererror", body["error"])
        assert inner["code"] in translated.observed
        assert "No." in translated.observed


@pytest.mark.parametrize(
    ("headers", "seconds"), [({"Retry-After": "17"}, 17.0), ({"x-ms-retry-after-ms": "250"}, 0.25), ({}, None)]
)
async def test_a_throttled_answer_says_how_long(
    refusal: Answer, headers: dict[str, str], seconds: float | None
) -> None:
    """The wait is passed on, where there is one."""
    translated = translate(await refusal(429, _body("TooManyRequests"), headers), "do", "it")
    assert isinstance(translated, errors.Throttled)
    assert translated.retry_after == seconds


async def test_a_missing_permission_names_action_and_scope(refusal: Answer) -> None:
    """The remedy tells what to grant where, from Resource Manager's text and from Key Vault's."""
    arm = "The client 'x' does not have authorization to perform action 'A/b/write' over scope '/subscriptions/s' or …"
    vault = "Caller is not authorized.\r\nAction: 'A/b/write'\r\nResource: '/subscriptions/s'\r\n"
    for text in (arm, vault):
        translated = translate(await refusal(403, _body("AuthorizationFailed", text), {}), "do", "it")
        assert "a role with A/b/write on /subscriptions/s" in translated.remedy


async def test_the_innermost_causes_are_told(refusal: Answer) -> None:
    """ARM nests what went wrong, and wraps a provider's answer as JSON in a message."""
    wrapped = json.dumps({"error": {"code": "SkuNotAvailable", "message": "Premium is sold out."}})
    details = [
        {"code": "Conflict", "message": wrapped},
        {"code": "Outer", "message": "see below", "details": [{"code": "QuotaExceeded", "message": "0 left."}]},
    ]
    error = await refusal(200, _body("DeploymentFailed", "At least one operation failed.", details=details), {})
    assert (
        translate(error, "deploy", "it").observed
        == "DeploymentFailed: SkuNotAvailable: Premium is sold out.; QuotaExceeded: 0 left."
    )


async def test_a_long_message_is_shortened(refusal: Answer) -> None:
    """A page of HTML does not fill the log."""
    translated = translate(await refusal(400, _body("Bad", "x" * 10_000), {}), "do", "it")
    assert len(translated.observed) < 1000


async def test_the_callers_remedy_wins(refusal: Answer) -> None:
    """Whoever calls knows the next step better."""
    translated = translate(await refusal(404, _body("Gone"), {}), "do", "it", {errors.NotFound: "Make it."})
    assert translated.remedy == "Make it."


def _instances() -> list[Exception]:
    """One of each public exception class of the SDKs and of their transport."""
    response = type("Answer", (), {"reason": "?", "status_code": 200, "text": lambda _: "", "request": None})()
    made: list[Exception] = [CredentialUnavailableError("none"), TimeoutError(), ConnectionResetError()]
    kind: Any
    for _, kind in inspect.getmembers(exceptions, inspect.isclass):
        if not issubclass(kind, Exception) or kind.__module__ != exceptions.__name__:
            continue
        try:
            made.append(kind("it broke"))
        except (TypeError, AttributeError):
            made.append(kind(response=response))
    made += [aiohttp.ServerDisconnectedError(), aiohttp.ClientPayloadError("cut"), aiohttp.InvalidURL("x")]
    return made


@pytest.mark.parametrize("error", _instances(), ids=lambda error: type(error).__name__)
def test_no_error_of_the_sdks_gets_out(error: Exception) -> None:
    """Each public class becomes one of ours, with every part told and nothing of the SDK attached."""
    with pytest.raises(errors.PratiqueError) as caught, azure_faults("do it", "the thing"):
        raise error
    assert all(caught.value.args)
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (exceptions.ServiceRequestError("refused"), errors.Unavailable),
        (exceptions.ServiceResponseTimeoutError("late"), errors.Unavailable),
        (exceptions.IncompleteReadError("cut"), errors.Unavailable),
        (exceptions.DecodeError("not JSON"), errors.UnreadableAnswer),
        (json.JSONDecodeError("Expecting value", "<html>", 0), errors.UnreadableAnswer),
        (UnicodeDecodeError("utf-8", b"\xff", 0, 1, "invalid start byte"), errors.UnreadableAnswer),
        (exceptions.ResourceNotFoundError("gone"), errors.NotFound),
        (exceptions.ResourceExistsError("there"), errors.Conflict),
        (CredentialUnavailableError("none"), errors.AuthenticationFailed),
        (TimeoutError(), errors.Unavailable),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else "",
)
def test_errors_without_an_answer(error: Exception, expected: type[errors.PratiqueError]) -> None:
    """Without a status, the class decides."""
    assert type(translate(error, "do", "it")) is expected


@pytest.mark.parametrize("text", [b"<!DOCTYPE html>", b"", b'"\xff"'])
def test_an_answer_that_is_not_json(text: bytes) -> None:
    """Generated clients parse the body of a login page: their parser's error is ours, and does not carry the body."""
    with pytest.raises(errors.UnreadableAnswer) as caught, azure_faults("do", "it"):
        json.loads(text)
    assert "not JSON" in caught.value.observed
    assert caught.value.__suppress_context__


def test_our_own_errors_pass() -> None:
    """An error that is ours already is not wrapped again."""
    mine = errors.Conflict("do", "it", "There.", "Look.")
    with pytest.raises(errors.Conflict) as caught, azure_faults("do", "more"):
        raise mine
    assert caught.value is mine
