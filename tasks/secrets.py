"""Loads secrets when they are used. They are never a task's parameter or result."""

from __future__ import annotations

from prefect.blocks.system import Secret

from pratique.errors import NotFound
from pratique.secret import SecretKind, SecretSource, text_of


async def read_secret(text: str) -> bytes:
    """Read the secret at a location: ``file:PATH``, ``env:NAME`` or ``prefect-secret:BLOCK``.

    :raises NotFound: when it does not exist
    """
    source = SecretSource.parse(text)
    if source.kind is not SecretKind.PREFECT:
        return source.read()
    try:
        block: Secret[str] = await Secret.aload(source.name)
    except ValueError as error:
        remedy = f"Create the Secret block {source.name!r} in Prefect's UI."
        raise NotFound("load the secret", text, str(error), remedy) from None
    return str(block.get()).encode()


async def read_text_secret(text: str | None) -> str | None:
    """Read a password or a token; ``None`` when the configuration names none.

    :raises ConfigurationError: when the secret is invalid UTF-8
    """
    return None if text is None else text_of(await read_secret(text), text)
