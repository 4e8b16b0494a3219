"""The environment in which tests run git: without the settings, attributes and hooks of whoever runs the tests."""

from __future__ import annotations

import os

_KEPT = ("GIT_EXEC_PATH", "GIT_SSL_CAINFO", "GIT_SSL_CAPATH")


def git_environment() -> dict[str, str]:
    """This process's environment, without what git reads from the user, the system and a surrounding repository."""
    return {key: value for key, value in os.environ.items() if key in _KEPT or not key.startswith("GIT_")} | {
        "GIT_ATTR_NOSYSTEM": "1",
        "GIT_CONFIG_GLOBAL": os.devnull,
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_TERMINAL_PROMPT": "0",
        "LC_ALL": "C",
        "XDG_CONFIG_HOME": os.devnull,  # otherwise the user's attributes and ignored files
    }
