"""Fields of a configuration that a text names, or shows in YAML, are fields of it."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from tests.docs.settings import unknown_keys, unknown_paths
from tests.docs.texts import Text, everything

#: What looks like a field and is none.
OTHERS: Mapping[str, str] = {
    "gate.limits": "the changelog says where it went",
    "gate.acceptances": "the changelog says where it went",
}


def test_fields_exist() -> None:
    """Dotted paths in pages, docstrings and comments, and the YAML that they show; each exception is still needed."""
    lies = [(text.at(at), name) for text in everything() for at, name in [*unknown_paths(text), *unknown_keys(text)]]
    wrong = [f"{at}: {name}" for at, name in lies if name not in OTHERS]
    assert not wrong, "\n".join(wrong)
    assert {name for _, name in lies} >= OTHERS.keys()


@pytest.mark.parametrize(
    ("text", "lies"),
    [
        ("`gate.policy.maximum_age`, `config.gate.policy`, `gate.report: full`, `cluster.parameters.anything`", []),
        ("`gate.policy.maximum_aeg`", ["gate.policy.maximum_aeg"]),
        ("`gate.interval.seconds`", ["gate.interval.seconds"]),
        ("`config.manifests.record_branch`", ["manifests.record_branch"]),
        ("`catalogue.releases.images`, `catalogue.releases.digest`", ["catalogue.releases.digest"]),
        ("`timings.scan`, `timings.sacn`", ["timings.sacn"]),
        ("`gate.md`, `certificate.pem`, `nothing.of_ours`", []),
    ],
)
def test_a_path_of_no_field_is_noticed(text: str, lies: list[str]) -> None:
    """At any depth, in lists as well; the user's own keys and file names are no fields."""
    assert [name for _, name in unknown_paths(Text("page.md", 1, text, "page"))] == lies


@pytest.mark.parametrize(
    ("text", "lies"),
    [
        ("```yaml\ngate:\n  policy: { limits: { high: 0 } }\n```\n", []),
        ("```yaml\ngate:\n  policy: { limits: { hihg: 0 } }\n```\n", ["gate.policy.limits.hihg"]),
        ("```yaml\ngate: {}\nmanifest: {}\n```\n", ["manifest"]),
        ("```yaml\ngate:\n  scanners:\n    - nmae: x\n```\n", ["gate.scanners.nmae"]),
        ("Or:\n\n    certificate:\n      name: x\n      subjcet: y\n", ["certificate.subjcet"]),
        ("```yaml\nscans:\n  library/busybox: { outcome: never, dleay: 1 }\n```\n", ["scans.library/busybox.dleay"]),
        ("```yaml\ntype: event\nexpect: []\n```\n", []),
    ],
)
def test_a_key_of_no_field_is_noticed(text: str, lies: list[str]) -> None:
    """At any depth of blocks that begin like a configuration of ours."""
    assert [name for _, name in unknown_keys(Text("page.md", 1, text, "page"))] == lies
