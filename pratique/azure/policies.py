"""What Pratique changes in the requests that the SDKs send, and in how they take the answers.

Facts: azure-mgmt-core's policy that registers resource providers.
"""

from __future__ import annotations

from contextlib import suppress
from typing import Any

from azure.core.exceptions import HttpResponseError, ResponseNotReadError
from azure.core.pipeline import PipelineRequest, PipelineResponse
from azure.core.pipeline.policies import SansIOHTTPPolicy

from pratique.azure.faults import NotRegistered


class InGroup(SansIOHTTPPolicy[Any, Any]):
    """Sends to a resource group the requests that an SDK sends to the subscription, where more rights are needed.

    :param subscription: its ARM id
    :param group: name of the resource group
    """

    def __init__(self, subscription: str, group: str) -> None:
        self._subscription_path = f"{subscription}/providers/"
        self._group_path = f"{subscription}/resourceGroups/{group}/providers/"

    def on_request(self, request: PipelineRequest[Any]) -> None:
        request.http_request.url = request.http_request.url.replace(self._subscription_path, self._group_path, 1)


class NoRegistration(SansIOHTTPPolicy[Any, Any]):
    """Lets a resource provider that is not registered be an error.

    Otherwise the SDK registers it, which changes the subscription without a word, and waits for it without an end.

    :raises NotRegistered: for the answer that names such a provider
    """

    def on_response(self, request: PipelineRequest[Any], response: PipelineResponse[Any, Any]) -> None:
        answer = response.http_response
        if answer.status_code != 409:
            return
        with suppress(ResponseNotReadError, UnicodeError, LookupError):  # the SDK reads others later, and leaves them
            if "MissingSubscriptionRegistration" in answer.text():
                raise NotRegistered(HttpResponseError(response=answer))
