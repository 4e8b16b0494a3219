"""Blob Storage's errors: XML, with the code in a header too, since the response to a HEAD has no body.

Source: REST API, Azure Storage, "Status and error codes" and "Blob service error codes".
"""

from __future__ import annotations

from typing import Any
from xml.sax.saxutils import escape

from starlette.responses import Response

from sandbox.core.errors import HttpFault

#: The newest version that the sandbox knows; responses repeat the requested version.
VERSION = "2026-04-06"


def blob_fault(
    status: int, code: str, message: str, headers: dict[str, str] | None = None, **details: str
) -> HttpFault:
    """An error response.

    :param details: more elements of the body, such as ``AuthenticationErrorDetail``
    """
    return HttpFault(status, {**blob_envelope(status, code, message), **details}, headers)


def blob_envelope(status: int, code: str, message: str) -> dict[str, Any]:
    """The elements of an ``Error`` document."""
    return {"Code": code, "Message": message}


def xml_refusal(body: dict[str, Any], status: int, headers: dict[str, str]) -> Response:
    """An error response with these elements; 304 has no body (RFC 9110, section 15.4.5)."""
    headers = {**headers, "x-ms-error-code": str(body["Code"])}
    if status == 304:
        return Response(status_code=status, headers=headers)
    return xml_answer(f"<Error>{elements(body)}</Error>", status, headers)


def xml_answer(document: str, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    """An XML response, with the declaration that Storage puts first."""
    text = f'<?xml version="1.0" encoding="utf-8"?>{document}'
    return Response(text, status, headers, media_type="application/xml")


def elements(fields: dict[str, Any]) -> str:
    """Named strings as XML elements."""
    return "".join(f"<{name}>{escape(str(value))}</{name}>" for name, value in fields.items())
