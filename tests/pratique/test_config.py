"""The configuration file: what users write, and the errors they get."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from pratique.config import Bootstrap, load, parse
from pratique.errors import ConfigurationError
from pratique.gate.exceptions.lookup import Exceptions

EXAMPLE = Path(__file__).parents[2] / "examples" / "bootstrap.yaml"
WHEN_WRITTEN = datetime(2026, 11, 23, 12, tzinfo=UTC)


def document() -> dict[str, Any]:
    loaded: dict[str, Any] = YAML(typ="safe").load(EXAMPLE)
    return loaded


def test_the_example_is_valid_and_has_the_walkthroughs_images() -> None:
    """The example is valid, has all seven images, and accepts none of them unassessed."""
    config = load(EXAMPLE)
    assert len(config.catalogue.images) == 7
    (exceptions,) = config.gate.exceptions
    accepted = Exceptions.load([EXAMPLE.parents[1] / exceptions], [], policy=config.gate.policy, now=WHEN_WRITTEN)
    assert accepted.acceptances == ()


def edit_gate(**changes: Any) -> Callable[[dict[str, Any]], None]:
    return lambda d: d["gate"].update(changes)


def edit_policy(**changes: Any) -> Callable[[dict[str, Any]], None]:
    return lambda d: d["gate"]["policy"].update(changes)


def edit_manifests(**changes: Any) -> Callable[[dict[str, Any]], None]:
    return lambda d: d["manifests"].update(changes)


def add(**image: Any) -> Callable[[dict[str, Any]], None]:
    return lambda d: d["catalogue"]["releases"][0]["images"].append(image)


def add_versions(*tags: str, **image: Any) -> Callable[[dict[str, Any]], None]:
    return lambda d: d["catalogue"]["releases"][0]["images"].extend(
        {"source": f"quay.io/x/y:{tag}", **image} for tag in tags
    )


WRONG: list[tuple[str, Callable[[dict[str, Any]], None], str]] = [
    (
        "untagged image",
        lambda d: d["catalogue"]["releases"][0]["images"][0].update(source="docker.io/x"),
        "images.0.source",
    ),
    (
        "official image without library/",
        lambda d: d["catalogue"]["releases"][0]["images"][0].update(source="docker.io/nats:2.10"),
        "write docker.io/library/nats:2.10",
    ),
    (
        "reference with a prefix",
        lambda d: d["catalogue"]["releases"][0]["images"][0].update(source="oci://ghcr.io/a/b:1"),
        "It begins with oci://",
    ),
    (
        "account at a URL",
        lambda d: d["catalogue"].update(
            credentials=[{"registry": "https://docker.io/v2/", "username": "u", "password": "env:P"}]
        ),
        "only the registry's host",
    ),
    ("unknown field", lambda d: d["gate"].update(patients=3), "gate.patients"),
    ("negative limit", edit_policy(limits={"critical": -1}), "gate.policy.limits.critical"),
    ("no limit at all", edit_policy(limits={"critical": None, "high": None}), "at least one severity"),
    (
        "higher limit for a worse severity",
        edit_policy(limits={"critical": 5, "high": 0}),
        "a higher limit than a milder severity",
    ),
    ("empty policy", edit_gate(policy={}), "the policy is empty"),
    ("no policy", edit_gate(policy=None), "the policy is empty"),
    ("allow all unverified", edit_policy(unverified="allow"), "accept single images in the exceptions file"),
    ("allow all not applicable", edit_policy(not_applicable="allow"), "accept single images"),
    ("no source of proof", edit_policy(sufficient_sources=[], required_sources=[]), "nothing could prove a scan"),
    ("impossible age of evidence", edit_policy(minimum_age=120, maximum_age=2), "could ever have the right age"),
    ("unknown source", edit_policy(required_sources=["trivy"]), "trivy is not a source of this gate"),
    (
        "table that is not queried",
        edit_policy(sufficient_sources=["sub-assessments"]),
        "sub-assessments is not a source",
    ),
    (
        "scanner named like a Defender source",
        edit_gate(scanners=[{"name": "recommendations", "format": "trivy", "command": ["trivy", "image", "{image}"]}]),
        "a unique name",
    ),
    (
        "scanner without an image",
        edit_gate(scanners=[{"name": "trivy", "format": "trivy", "command": ["trivy", "image"]}]),
        "{image}",
    ),
    (
        "scanner with a filter",
        edit_gate(
            scanners=[
                {"name": "trivy", "format": "trivy", "command": ["trivy", "image", "--severity=HIGH", "{image}"]},
            ]
        ),
        "--severity HIGH is not allowed: it leaves findings out",
    ),
    (
        "duplicate name",
        edit_gate(attestations=[{"name": "contoso", "trust_store": ["a.pem"]}] * 2),
        "a unique name: contoso",
    ),
    ("attestations without a root", edit_gate(attestations=[{"name": "contoso", "trust_store": []}]), "trust_store"),
    ("identity without a place", edit_gate(trusted_identities=["x509.subject: O=contoso,C=US"]), "ST is missing"),
    ("identity beside everybody", edit_gate(trusted_identities=["*", "x509.subject: O=a,ST=b,C=US"]), "remove it"),
    ("pull request without a token", edit_manifests(deliver="pull-request", token=None), "needs a token"),
    (
        "SSH key for HTTPS",
        edit_manifests(ssh={"key": "env:KEY", "host_keys": ["h ssh-ed25519 A"]}),
        "not an SSH remote",
    ),
    ("no pinned host", edit_manifests(remote="git@h:x", ssh={"key": "env:KEY", "host_keys": []}), "ssh.host_keys"),
    ("no host key", edit_manifests(remote="git@h:x", ssh={"key": "env:KEY", "host_keys": ["h"]}), "ssh.host_keys.0"),
    ("no platform", edit_gate(platforms=[]), "gate.platforms"),
    ("bad platform", edit_gate(platforms=["linux"]), "gate.platforms.0"),
    ("secret in place of its location", lambda d: d["manifests"].update(token="ghp_abcdef"), "manifests.token"),
    (
        "credentials in the remote",
        lambda d: d["manifests"].update(remote="https://me:pw@git.test/x.git"),
        "credentials",
    ),
    ("missing section", lambda d: d.pop("network"), "network"),
    ("two sources of one repository", add(source="quay.io/library/busybox:2"), "live/library/busybox: set the target"),
    (
        "two sources of one tag",
        add(source="quay.io/library/busybox:1.37.0"),
        "docker.io/library/busybox:1.37.0 and quay.io/library/busybox:1.37.0 would share live/library/busybox:1.37.0: "
        "remove one of them, or set its target",
    ),
    (
        "two digests of one tag",
        add(source=f"docker.io/library/busybox:1.37.0@sha256:{'a' * 64}"),
        "would share live/library/busybox:1.37.0: remove one of them, or set its target",
    ),
    (
        "a target that another source has",
        add(source="quay.io/x/y:2", target="library/busybox"),
        "quay.io/x/y:2 come from different repositories and would share live/library/busybox: set the target",
    ),
    (
        "one image at two targets",
        add(source="index.docker.io/library/busybox:1.37.0", target="other"),
        "are the same image",
    ),
    ("a target that is no repository", add(source="quay.io/x/y:2", target="Mirrors/y"), "images.7.target"),
    ("a target with a tag", add(source="quay.io/x/y:2", target="mirrors/y:2"), "images.7.target"),
    ("a target below live/", add(source="quay.io/x/y:2", target="live/y"), "without live/"),
    ("a target of the drill", add(source="quay.io/x/y:2", target="quarantine-drill/y"), "The drill deletes"),
    ("a long target", add(source="quay.io/x/y:2", target="a" * 201), "images.7.target"),
    ("manifests elsewhere", add(source="quay.io/x/y:2", manifests=["../apps"]), "relative to manifests.folder"),
    ("manifests by an absolute path", add(source="quay.io/x/y:2", manifests=["/apps"]), "relative to manifests.folder"),
    (
        "manifests of two versions",
        add_versions("1", "2", manifests=["apps"]),
        "both name the manifests apps",
    ),
    ("an unknown reaction", lambda d: d["scanning"].update(reactions=["panic"]), "scanning.reactions.0"),
    ("no time to fix", lambda d: d["scanning"].update(sla={"high": 0}), "scanning.sla.high"),
    (
        "records on the manifests' branch",
        lambda d: d.update(registries={"records": {"branch": "main"}}),
        "registries.records.branch",
    ),
    (
        "a token for records without a repository",
        lambda d: d.update(registries={"records": {"token": "env:T"}}),
        "set a remote",
    ),
]


@pytest.mark.parametrize(("change", "named"), [row[1:] for row in WRONG], ids=[row[0] for row in WRONG])
def test_wrong_input_names_the_field(change: Callable[[dict[str, Any]], None], named: str, tmp_path: Path) -> None:
    """One error names the field and what is allowed there."""
    wrong = document()
    change(wrong)
    path = tmp_path / "wrong.yaml"
    YAML().dump(wrong, path)
    with pytest.raises(ConfigurationError) as caught:
        load(path)
    assert named in str(caught.value)


def test_several_versions_and_targets() -> None:
    """Several versions of one repository; two sources with one path, by a target."""
    wanted = document()
    for image in (
        {"source": "ghcr.io/kubereboot/kured:1.15.0", "manifests": ["apps/web/", "apps/*/eu"]},
        {"source": "registry.hub.docker.com/library/busybox:1.36.1"},
        {"source": "quay.io/library/busybox:1.37.0", "target": "quay/busybox"},
        {"source": "quay.io/x/y:1", "target": "x/y"},
    ):
        add(**image)(wanted)
    catalogue = Bootstrap.model_validate(wanted).catalogue
    assert catalogue.several == {"kubereboot/kured", "library/busybox"}
    assert [image.location.short for image in catalogue.images[-4:]] == [
        "kubereboot/kured:1.15.0",
        "library/busybox:1.36.1",
        "quay/busybox:1.37.0",
        "x/y:1",
    ]
    assert catalogue.images[-4].manifests == ("apps/web", "apps/*/eu")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "- a",
        "gate: [",
        "\x00",
        "network: &a {b: *a}",
        "cloud: !!int ''",
        "cloud: 0x" + "f" * 5000,
        '"\\ud800"',
        "\ud800",
    ],
)
def test_invalid_text_is_refused(text: str) -> None:
    """Any invalid text raises a ConfigurationError, never another exception."""
    with pytest.raises(ConfigurationError):
        parse(text)


def test_a_missing_file_is_explained(tmp_path: Path) -> None:
    """The error names the example to start from."""
    with pytest.raises(ConfigurationError, match=r"examples/bootstrap\.yaml"):
        load(tmp_path / "none.yaml")


def test_prefect_can_show_the_configuration_as_a_form() -> None:
    """Every field has a JSON schema, and what the form sends is accepted again."""
    assert Bootstrap.model_json_schema()["properties"].keys() >= {"network", "cluster", "catalogue", "gate"}
    config = load(EXAMPLE)
    assert Bootstrap.model_validate(config.model_dump(mode="json")) == config


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("token: env:GITOPS_TOKEN", "token: s3cr3t"),
        ("pem: file:", "pem: s3cr3t:"),
        ("remote: https://", "remote: https://user:s3cr3t@"),
    ],
)
def test_misplaced_secret_is_not_repeated(old: str, new: str) -> None:
    """A secret in place of its location is refused; the error names the field and does not repeat the value."""
    text = EXAMPLE.read_text()
    assert old in text
    with pytest.raises(ConfigurationError) as refused:
        parse(text.replace(old, new))
    assert new.split(":")[0] in refused.value.observed
    assert "s3cr3t" not in str(refused.value)
