"""Where a secret lies: ``file:PATH``, ``env:NAME`` or ``prefect-secret:BLOCK``.

A configuration names its secrets in this form and holds none.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from pratique.errors import ConfigurationError, NotFound


class SecretKind(StrEnum):
    """Which place it is. ``PREFECT`` is the caller's to read: this library knows nothing of Prefect."""

    FILE = "file"
    ENV = "env"
    PREFECT = "prefect-secret"


@dataclass(frozen=True)
class SecretSource:
    """The name of a secret."""

    kind: SecretKind
    name: str

    @classmethod
    def parse(cls, text: str) -> SecretSource:
        """Read the text form.

        :raises ConfigurationError: for any other form. The text is not repeated: it may be the secret itself
        """
        kind, _, name = text.partition(":")
        if kind not in {*SecretKind} or not name:
            raise ConfigurationError(
                "find the secret",
                "secret source",
                "It is not of the form file:PATH, env:NAME or prefect-secret:BLOCK.",
                "Name the place that holds the secret; never write the secret itself into the configuration.",
            )
        return cls(SecretKind(kind), name)

    def __str__(self) -> str:
        return f"{self.kind}:{self.name}"

    def read(self) -> bytes:
        """The secret itself, from a file or a variable.

        :raises NotFound: when there is no such file or variable
        :raises ConfigurationError: when the file cannot be read, or the place is Prefect's
        """
        attempted = "read the secret"
        try:
            if self.kind is SecretKind.FILE:
                return Path(self.name).read_bytes()
            if self.kind is SecretKind.ENV:
                return os.fsencode(os.environ[self.name])  # whatever bytes it holds
        except FileNotFoundError:
            raise NotFound(attempted, str(self), "There is no such file.", "Correct the path.") from None
        except KeyError:
            raise NotFound(attempted, str(self), "The variable is not set.", "Set it where the flow runs.") from None
        except OSError as error:
            raise ConfigurationError(attempted, str(self), f"{error.strerror}.", "Make the file readable.") from None
        raise ConfigurationError(
            attempted, str(self), "Only a flow run can read it.", "Use file:PATH or env:NAME here."
        )


def text_of(secret: bytes, source: str) -> str:
    """A secret that is a text, such as a password, without the line break that editors and ``echo`` end it with.

    :param source: what to call the secret in an error
    :raises ConfigurationError: when it is no text. The bytes are not repeated
    """
    try:
        return secret.decode().rstrip("\r\n")
    except UnicodeDecodeError:
        raise ConfigurationError(
            "read the secret", source, "It is no text in UTF-8.", "Check that it is the right secret, and store a text."
        ) from None
