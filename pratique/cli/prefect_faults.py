"""Turns Prefect's own failures into errors of :mod:`pratique.errors`: they are no defect of this project.

Facts: Prefect 3.8.8 (``prefect.client.base``, ``prefect.client.orchestration``, ``prefect.server.api.server``).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import httpx
from prefect.exceptions import PrefectException
from prefect.settings import get_current_settings

from pratique.errors import (
    AuthenticationFailed,
    ConfigurationError,
    NotFound,
    OperationFailed,
    PermissionDenied,
    PratiqueError,
    Throttled,
    Unavailable,
)
from pratique.markdown import plain
from pratique.server_lifetime import server_is_temporary
from pratique.text import first_few

_TOO_LARGE = "parameters must be less than"
_SETTINGS = "Check PREFECT_API_URL, and that the server runs and can be reached from here."
_LOGIN = "Check PREFECT_API_AUTH_STRING, or PREFECT_API_KEY for Prefect Cloud."
_SHORTEN = (
    "Shorten the configuration: name files instead of pasting their contents, and leave out images that the cluster "
    "does not run. The server's limit is PREFECT_SERVER_API_MAX_PARAMETER_SIZE."
)
#: What Prefect raises as a RuntimeError or a ValueError, by a part of its text.
_BY_TEXT: tuple[tuple[str, type[PratiqueError], str], ...] = (
    ("Failed to reach API", Unavailable, _SETTINGS),
    ("No Prefect API URL provided", ConfigurationError, "Set PREFECT_API_URL to the API of your Prefect server."),
    (
        "Found incompatible versions",
        ConfigurationError,
        "Install the server's version of Prefect, or update the server.",
    ),
)


@contextmanager
def prefect_faults(attempted: str) -> Iterator[None]:
    """Turn what Prefect raises in the block into errors of :mod:`pratique.errors`. Everything else passes.

    :param attempted: what the block does, as a verb phrase
    :raises ConfigurationError: for a wrong setting, and for parameters that Prefect does not take
    :raises Unavailable: when the server does not answer
    """
    if (url := get_current_settings().api.url) is not None and not url.startswith(("http://", "https://")):
        remedy = "Write it as http://HOST:PORT/api or https://HOST/api."
        raise ConfigurationError(attempted, "PREFECT_API_URL", f"It is {url!r}.", remedy)
    try:
        yield
    except PratiqueError:
        raise
    except httpx.HTTPStatusError as error:
        kind, observed, remedy = _by_status(error.response)
        raise kind(attempted, _server(), observed, remedy) from None
    except (httpx.HTTPError, PrefectException) as error:
        kind = Unavailable if isinstance(error, httpx.TransportError) else OperationFailed
        raise kind(attempted, _server(), _line(error), _tls(error) or _SETTINGS) from None
    except (RuntimeError, ValueError) as error:
        known = next(((kind, step) for text, kind, step in _BY_TEXT if text in str(error)), None)
        if known is None:
            raise
        kind, step = known
        cause = f" {_line(error.__cause__)}" if error.__cause__ else ""
        raise kind(attempted, _server(), f"{_line(error)}{cause}", _tls(error.__cause__) or step) from None


def _server() -> str:
    url = get_current_settings().api.url
    return f"Prefect server {url}" if url and not server_is_temporary.get() else "temporary Prefect server"


def _by_status(response: httpx.Response) -> tuple[type[PratiqueError], str, str]:
    """Class, observation and next step for a response that refuses a request."""
    said = _messages(response)
    observed = f"{response.status_code} {response.reason_phrase}{f': {said}' if said else ''}".removesuffix(".") + "."
    match response.status_code:
        case 401:
            return AuthenticationFailed, observed, _LOGIN
        case 403:
            return PermissionDenied, observed, _LOGIN
        case 404 | 405:
            return NotFound, observed, f"{_SETTINGS} Its path is usually /api."
        case 413:
            return ConfigurationError, observed, _SHORTEN
        case 422 if _TOO_LARGE in said:
            return ConfigurationError, observed, _SHORTEN
        case 429:
            return Throttled, observed, "Wait, then run again."
        case status if status >= 500:
            return Unavailable, observed, "Run again; if it persists, look at the server's log."
        case _:
            return OperationFailed, observed, "Check that the server has this version of Prefect."


def _messages(response: httpx.Response) -> str:
    """What the server says, without the request's values that it repeats."""
    try:
        document = response.json()
    except ValueError:
        return ""
    detail = document.get("exception_detail", document.get("detail")) if isinstance(document, dict) else None
    listed = detail if isinstance(detail, list) else [{"msg": detail}]
    return plain(first_few([str(entry["msg"]) for entry in listed if isinstance(entry, dict) and entry.get("msg")]))


def _tls(error: BaseException | None) -> str | None:
    """The next step for a certificate that is not trusted."""
    if "CERTIFICATE_VERIFY_FAILED" not in str(error):
        return None
    return "Set PREFECT_API_SSL_CERT_FILE to the certificate authorities that this network trusts."


def _line(error: BaseException) -> str:
    return f"{(plain(str(error)) or type(error).__name__).removesuffix('.')}."
