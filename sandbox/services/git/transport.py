"""Git's smart HTTP protocol, served by git's own CGI program behind the sandbox's TLS.

Facts: gitprotocol-http(5), git-http-backend(1). Each forge words its own errors.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import subprocess
from email.parser import BytesParser

from starlette.responses import PlainTextResponse, Response

from sandbox.core.routing import Call
from sandbox.services.git.state import Hosted, Repositories, environment

_SERVICES = ("info/refs", "git-upload-pack", "git-receive-pack")


def basic_password(call: Call) -> str | None:
    """The password of basic authentication; forges ignore the user name."""
    scheme, _, encoded = call.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "basic":
        return None
    try:
        return base64.b64decode(encoded, validate=True).decode().partition(":")[2]
    except (binascii.Error, UnicodeDecodeError):
        return None


async def serve(call: Call, url: str, service: str, challenge: str, words: tuple[str, str]) -> Response:
    """Serve a clone, fetch or push.

    :param url: the repository's address
    :param service: the end of the request's path
    :param challenge: realm of the 401
    :param words: error texts for an unknown token, and for a push that the token does not allow
    """
    repositories, token = call.azure.state(Repositories), basic_password(call)
    unknown, unwritable = words
    if repositories.right_anywhere(token) in (None, "expired"):
        message = unknown if token else ""
        return PlainTextResponse(message, 401, {"WWW-Authenticate": challenge})
    hosted = repositories.find(url)
    if hosted is None or hosted.right(token) is None:
        return PlainTextResponse("Repository not found.", 404)
    pushes = service == "git-receive-pack" or call.query.get("service") == "git-receive-pack"
    if pushes and not hosted.may_write(token):
        return PlainTextResponse(unwritable, 403)
    await hosted.refresh()  # before the branches change
    return await _backend(call, hosted, service)


async def _backend(call: Call, hosted: Hosted, service: str) -> Response:
    variables = {
        "GIT_PROJECT_ROOT": str(hosted.path.parent),
        "GIT_HTTP_EXPORT_ALL": "1",
        "PATH_INFO": f"/{hosted.path.name}/{service}",
        "REQUEST_METHOD": call.method,
        "QUERY_STRING": call.query_string,
        "CONTENT_TYPE": call.headers.get("content-type", ""),
        "CONTENT_LENGTH": str(len(call.body)),
        "HTTP_CONTENT_ENCODING": call.headers.get("content-encoding", ""),
        "GIT_PROTOCOL": call.headers.get("git-protocol", ""),
        "REMOTE_USER": "somebody",
        "REMOTE_ADDR": call.client.address,
    }
    process = await asyncio.create_subprocess_exec(
        "git",
        "http-backend",
        env=environment() | variables,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    output, _ = await process.communicate(call.body)
    head, _, body = output.partition(b"\r\n\r\n")
    headers = {name.title(): str(value) for name, value in BytesParser().parsebytes(head).items()}
    status = int(headers.pop("Status", "200").split()[0])
    return Response(body, status, headers)
