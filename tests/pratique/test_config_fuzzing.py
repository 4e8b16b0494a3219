"""A configuration with one or two wrong values is valid, or refused with our error."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from hypothesis import example, given, settings
from hypothesis import strategies as st

from pratique.config import Bootstrap, parse
from pratique.errors import ConfigurationError
from pratique.yaml_document import load_yaml
from tests.pratique.evidence.parsers.mutations import JSON

EXAMPLE = parse(Path("examples/bootstrap.yaml").read_bytes()).model_dump(mode="json")
GIVEN = json.loads(json.dumps(load_yaml(Path("examples/bootstrap.yaml").read_bytes()), default=str))
ODD: list[Any] = [
    *(
        "",
        "a:b",
        "https://[",
        "https://[::1",
        "file:",
        "\0",
        "9" * 400,
        "../..",
        "http://\u2100",
        "2026-13-01",
        "(",
        "[[",
    ),
    *("ghcr.io/a/b:1@sha256:" + "0" * 64, "{image}", "$(x)", "%s", "\x1b[2J", "x" * 70_000, "ssh://a:b:c/", "git@:x"),
    *(1e308, -1, 0, 2**64 - 1, True, None, [], {}, [[]], {"a": 1}, [None], ["", ""]),
]


def places(value: Any) -> Iterator[tuple[Any, Any]]:
    if isinstance(value, dict | list):
        for key in list(value) if isinstance(value, dict) else range(len(value)):
            yield value, key
            yield from places(value[key])


@st.composite
def configurations(draw: st.DrawFn) -> Any:
    changed = copy.deepcopy(draw(st.sampled_from([EXAMPLE, GIVEN])))
    for _ in range(draw(st.integers(1, 2))):
        found = list(places(changed))
        parent, key = found[draw(st.integers(0, len(found) - 1))]
        parent[key] = copy.deepcopy(draw(st.sampled_from(ODD) | JSON))
    return changed


@settings(max_examples=60, deadline=None)
@given(configurations())
@example({**GIVEN, "cluster": {**GIVEN.get("cluster", {}), "\0": 1}})
def test_every_configuration(document: Any) -> None:
    """It is read whole, and reads the same again, or is refused in a message that can be shown."""
    try:
        read = parse(json.dumps(document))
    except ConfigurationError as error:
        shown = str(error)
    else:
        shown = read.model_dump_json()
        assert Bootstrap.model_validate_json(shown) == read
    shown.encode()
