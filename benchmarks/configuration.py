"""The configuration of a cluster for a benchmark, as a file."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ruamel.yaml import YAML

from tests.flows.world import make_config


def write_config(folder: Path, releases: Sequence[Sequence[str]], **gate: float) -> Path:
    """Write a configuration, and everything that it names.

    :param folder: home of the local Azure; receives all files
    :param releases: the images of each release
    :param gate: values of the gate's fields
    """
    document = make_config(folder, folder, releases).model_dump(mode="json", exclude_none=True)
    document["gate"] |= gate
    path = folder / "bootstrap.yaml"
    YAML().dump(document, path)
    return path
