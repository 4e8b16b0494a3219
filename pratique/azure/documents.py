"""Reads any resource of Azure Resource Manager as JSON, where an SDK of its own is not worth it or drops fields."""

from __future__ import annotations

from typing import Any, cast

from pratique.azure.faults import azure_faults
from pratique.azure.session import AzureSession
from pratique.errors import UnreadableAnswer


async def read_document(session: AzureSession, attempted: str, path: str, version: str) -> dict[str, Any]:
    """Resource Manager's JSON answer to a GET.

    :param attempted: for errors, as a verb phrase
    :param path: of the resource or list, such as its resource id
    :param version: API version
    :raises NotFound: when there is no such resource
    """
    with azure_faults(attempted, path):
        # With "cls", the SDK's method returns the result of that function: the SDK's own model drops lists.
        body = await session.resources.resources.get_by_id(
            path, version, cls=lambda answer, *_: answer.http_response.json()
        )
    if not isinstance(body, dict):
        raise UnreadableAnswer(attempted, path, "The answer is not a JSON object.", "Run again.")
    return cast(dict[str, Any], body)
