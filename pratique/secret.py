"""Sources of secrets: ``file:PATH``, ``env:NAME`` or ``prefect-secret:BLOCK``.

A configuration refers to its secrets in this form and never contains them.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from pratique.errors import ConfigurationError, NotFound


class SecretKind(StrEnum):
    """The kind of source. The caller must read ``PREFECT`` sources itself: this library does not use Prefect."""

    FILE = "file"
    ENV = "env"
    PREFECT = "prefect-secret"


@dataclass(frozen=True)
class SecretSource:
    """A reference to a secret."""

    kind: SecretKind
    name: str

    @classmethod
    def parse(cls, text: str) -> SecretSource:
        """Parse the text form.

        :raises ConfigurationError: for any other text. The message omits it, because it may be the secret itself
        """
        kind, _, name = text.partition(":")
        if kind not in {*SecretKind} or not name:
            raise ConfigurationError(
                "find the secret",
                "secret source",
                "It is not of the form file:PATH, env:NAME or prefect-secret:BLOCK.",
                "Enter where the secret is stored; never write the secret itself into the configuration.",
            )
        return cls(SecretKind(kind), name)

    def __str__(self) -> str:
        return f"{self.kind}:{self.name}"

    def read(self) -> bytes:
        """Read the secret from a file or an environment variable.

        :raises NotFound: when there is no such file or variable
        :raises ConfigurationError: when the file cannot be read, or the source is a Prefect secret
        """
        attempted = "read the secret"
        try:
            if self.kind is SecretKind.FILE:
                return Path(self.name).read_bytes()
            if self.kind is SecretKind.ENV:
                return os.fsencode(os.environ[self.name])  # as bytes, which need not be text
        except FileNotFoundError:
            raise NotFound(attempted, str(self), "There is no such file.", "Correct the path.") from None
        except KeyError:
            raise NotFound(attempted, str(self), "The variable is not set.", "Set it where the flow runs.") from None
        except OSError as error:
            raise ConfigurationError(attempted, str(self), f"{error.strerror}.", "Make the file readable.") from None
        except ValueError:
            observed = "Its name has characters that no file or variable can have."
            raise ConfigurationError(attempted, ascii(str(self)), observed, "Correct the name.") from None
        raise ConfigurationError(
            attempted, str(self), "Only a flow run can read it.", "Use file:PATH or env:NAME here."
        )


def text_of(secret: bytes, source: str) -> str:
    """Decode a secret that is text, such as a password, without the final line break that editors and ``echo`` add.

    :param source: subject of an error
    :raises ConfigurationError: when it is not text. The message omits the bytes
    """
    try:
        return secret.decode().rstrip("\r\n")
    except UnicodeDecodeError:
        raise ConfigurationError(
            "read the secret",
            source,
            "It is not valid UTF-8.",
            "Check that it is the right secret, and store it as text.",
        ) from None
