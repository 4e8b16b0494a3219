"""Whether the configuration wants a seal at all."""

from __future__ import annotations

from pratique.config import Seal
from pratique.errors import ConfigurationError


def require_enabled(seal: Seal) -> Seal:
    """The settings of the seal.

    :raises ConfigurationError: when it is off
    """
    if seal.enabled:
        return seal
    raise ConfigurationError(
        "seal live/",
        "registries.seal",
        "It is off, so nothing is locked or unlocked.",
        "Set registries.seal.enabled to true, or switch the schedule of seal_live off. docs/seal.md says what to do "
        "first, and how to lift all locks.",
    )
