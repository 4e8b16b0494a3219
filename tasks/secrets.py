"""Secrets are loaded here, late, and never leave as a parameter or a result."""

from __future__ import annotations

from prefect.blocks.system import Secret

from pratique.errors import NotFound
from pratique.secret import SecretKind, SecretSource, text_of


async def read_secret(text: str) -> bytes:
    """The secret that a name stands for: ``file:PATH``, ``env:NAME`` or ``prefect-secret:BLOCK``.

    :raises NotFound: when there is none
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
    """The same for a password or a token; ``None`` when there is no such secret to read.

    :raises ConfigurationError: when it is no text
    """
    return None if text is None else text_of(await read_secret(text), text)
