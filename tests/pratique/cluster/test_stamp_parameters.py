from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ruamel.yaml import YAML

from pratique.azure.registries import Registry
from pratique.azure.vault import Vault
from pratique.cluster.infrastructure import Infrastructure
from pratique.cluster.stamp_parameters import SCHEMA, StampEdit, StampParameters, allowed_images, stamp_parameters
from pratique.config import Bootstrap
from pratique.errors import ManifestRejected
from pratique.images import ImageReference
from pratique.manifests.images import point_images
from pratique.manifests.kustomize import Renderer, UsedImage
from tests.pratique.manifests.test_manifests import CATALOGUE, SAMPLE, sample

__all__ = ["sample"]

EXAMPLE = Path(__file__).parents[3] / "examples" / "bootstrap.yaml"
REGISTRY = "acraks123.azurecr.io"
DIGEST = "sha256:" + "a" * 64
NETWORK = "/subscriptions/s/resourceGroups/g/providers/Microsoft.Network/virtualNetworks/vnet-spoke"


def infrastructure() -> Infrastructure:
    registry = Registry(
        id="/subscriptions/s/acr",
        name="acraks123",
        login_server=REGISTRY,
        location="eastus2",
        public_access=False,
    )
    return Infrastructure(
        quarantine=registry,
        registry=registry,
        vault=Vault("kv-aks-123", "/subscriptions/s/kv"),
        ingress_client_id="client",
        tenant_id="tenant",
        outcome="unchanged",
        seconds=1,
    )


def config(**stamp: Any) -> Bootstrap:
    document = YAML(typ="safe").load(EXAMPLE)
    return Bootstrap.model_validate(document | {"cluster_stamp": stamp})


def stamp(**changes: Any) -> StampParameters:
    return stamp_parameters(config(**changes), infrastructure(), NETWORK)


def allows(expression: str, image: str) -> bool:
    """As Gatekeeper does: a search, in which $ is the very end."""
    return re.search(expression.removesuffix("$") + r"\Z", image) is not None


def test_what_was_made_is_handed_on() -> None:
    """The file is one that ARM takes, and names network, registry, vault, identity, repository and the expression."""
    document = stamp().document
    assert (document["$schema"], document["contentVersion"]) == (SCHEMA, "1.0.0.0")
    assert {name: parameter["value"] for name, parameter in document["parameters"].items()} == {
        "targetVnetResourceId": NETWORK,
        "containerRegistryName": "acraks123",
        "keyVaultName": "kv-aks-123",
        "ingressClientid": "client",
        "allowedContainerImagesRegex": stamp().allowed_images,
        "gitOpsBootstrappingRepoHttpsUrl": "https://github.com/contoso/aks-regulated-gitops.git",
        "gitOpsBootstrappingRepoBranch": "main",
    }


def test_parameters_are_the_templates_own() -> None:
    """A template with other parameters gets them under its names, and none that it does not have."""
    made = stamp(
        network_parameter="vnet",
        registry_parameter=None,
        vault_parameter="",
        identity_parameter=None,
        repository_parameter=None,
        branch_parameter=None,
        allowed_images_parameter=None,
        parameters={"clusterAdminEntraGroupObjectId": "g", "zones": [1, 2]},
    )
    assert dict(made.parameters) == {"clusterAdminEntraGroupObjectId": "g", "zones": [1, 2], "vnet": NETWORK}
    assert allows(made.allowed_images, f"{REGISTRY}/live/a:1")


def test_the_manifests_of_the_sample_may_run(sample: Path) -> None:
    """Once pointed, every image of the sample passes, whether all of live/ is allowed or the catalogue only."""
    point_images(sample, ".", REGISTRY, CATALOGUE)
    used = Renderer(sample).images(sample)
    assert len(used) >= len(CATALOGUE)
    for allow in ("live", "catalogue"):
        assert stamp(allow=allow).denied(used) == []
    before = Renderer(SAMPLE).images(SAMPLE)
    assert stamp().denied(before) == before
    assert used[0].image in stamp(allowed_registries=["mcr.microsoft.com"]).markdown(
        [*used, UsedImage("f", "x/" + used[0].image)]
    )


component = st.from_regex(r"[a-z0-9]+(?:[._-][a-z0-9]+){0,2}", fullmatch=True)
paths = st.lists(component, min_size=1, max_size=3).map("/".join)
whiches = st.sampled_from(["", ":1", ":v1.2-rc.1_x", f"@{DIGEST}", f":1@{DIGEST}"])
hosts = st.sampled_from(["acraks123.azurecr.io", "acr.azurecr.us", "registry.contoso.com:5000", "a-b.azurecr.cn"])


@settings(max_examples=40, deadline=None)
@given(registry=hosts, repositories=st.lists(paths, min_size=1, max_size=5, unique=True), which=whiches, data=st.data())
def test_exactly_the_allowed_images_pass(
    registry: str, repositories: list[str], which: str, data: st.DataObject
) -> None:
    """Whatever the names: all of live/ passes or just the catalogue, and nothing that merely looks like it."""
    every, some = allowed_images(registry, None, ()), allowed_images(registry, repositories, ())
    repository = data.draw(st.sampled_from(repositories))
    image = f"{registry}/live/{repository}{which}"
    ImageReference.parse(f"{registry}/live/{repository}:1")
    assert allows(every, image)
    assert allows(some, image)
    other = data.draw(paths)
    assert allows(every, f"{registry}/live/{other}{which}")
    assert allows(some, f"{registry}/live/{other}{which}") == (other in repositories)
    for near in (
        f"{registry}.evil.example/live/{repository}{which}",
        f"evil.example/{image}",
        f"evil-{image}",
        image.replace(".", "x", 1),
        f"{registry}/quarantine/{repository}{which}",
        f"{registry}/quarantine/live/{repository}{which}",
        f"{registry}/live/../quarantine/{repository}{which}",
        f"{registry}/live{repository}{which}",
        f"{registry}/live/",
        f"{image}\n",
        f"{image} ",
        f"{image}\nevil.example/x",
        f" {image}",
        image.upper(),
        f"{registry}/live/{repository}@sha256:short",
    ):
        assert not allows(every, near), near
        assert not allows(some, near), near


@settings(max_examples=40, deadline=None)
@given(host=hosts, path=paths, more=paths, which=whiches)
def test_other_registries_stay_within_their_part(host: str, path: str, more: str, which: str) -> None:
    """An allowed registry brings everything in it; a part of one brings itself and what lies below, not beside."""
    whole, part = (allowed_images(REGISTRY, None, [other]) for other in (host, f"{host}/{path}"))
    for image in (f"{host}/{path}{which}", f"{host}/{path}/{more}{which}"):
        assert allows(whole, image)
        assert allows(part, image)
    assert allows(part, f"{host}/{path}x{which}") is (host == REGISTRY and f"{path}x".startswith("live/"))
    assert not allows(part, f"{host}x/{path}{which}")
    assert not allows(part, f"x{host}/{path}{which}")
    assert not allows(whole, host)


@settings(max_examples=40, deadline=None)
@given(registry=hosts, repositories=st.none() | st.lists(paths, min_size=1), others=st.lists(hosts | paths))
def test_the_expression_is_one_of_re2(registry: str, repositories: list[str] | None, others: list[str]) -> None:
    """Anchored at both ends, and of nothing but what RE2 and Python read alike: no look-around, no back reference."""
    expression = allowed_images(registry, repositories, others)
    assert expression.startswith("^(?:")
    assert expression.endswith("$")
    rest = re.sub(r"\\\.|\(\?:|\[[A-Za-z0-9._/-]+\][*{]?|\{64\}|[A-Za-z0-9_:/@-]|[|)?]", "", expression[1:-1])
    assert set(rest) <= {"6", "4", "}"}


def test_the_file_is_written_once(tmp_path: Path) -> None:
    """The edit makes the file, keeps what others add to it and how they format it, and changes only what changed."""
    edit = StampEdit("cluster-manifests/next.json", stamp())
    path = tmp_path / edit.file
    assert {change.field for change in edit(tmp_path)} == {f"parameters.{name}" for name in stamp().parameters}
    assert json.loads(path.read_text()) == stamp().document
    assert edit(tmp_path) == []
    document = json.loads(path.read_text())
    document["parameters"]["location"] = {"value": "eastus2"}
    path.write_text(text := json.dumps(document))
    assert edit(tmp_path) == []
    assert path.read_text() == text
    (change,) = StampEdit(edit.file, stamp(allow="catalogue"))(tmp_path)
    assert (change.file, change.field) == (edit.file, "parameters.allowedContainerImagesRegex")
    assert (change.before, change.after) == (stamp().allowed_images, stamp(allow="catalogue").allowed_images)
    assert json.loads(path.read_text())["parameters"]["location"] == {"value": "eastus2"}


@pytest.mark.parametrize("how", [{"indent": 4}, {"separators": (",", ":")}, {"indent": "\t", "ensure_ascii": True}])
def test_only_the_values_of_an_existing_file_change(tmp_path: Path, how: dict[str, Any]) -> None:
    """Indentation, line endings and escapes of other values stay when a later run changes a value."""
    edit = StampEdit("next.json", stamp())
    document = stamp().document
    document["parameters"] |= {"location": {"value": "é"}, **{name: {"value": "old"} for name in stamp().parameters}}
    before = json.dumps(document, **how).replace("\n", "\r\n")
    (tmp_path / edit.file).write_bytes(before.encode())
    assert len(edit(tmp_path)) == len(stamp().parameters)
    after = (tmp_path / edit.file).read_bytes().decode()
    expected = before
    for value in stamp().parameters.values():
        expected = expected.replace('"old"', json.dumps(value), 1)
    assert after == expected


@pytest.mark.parametrize(
    ("file", "text", "said"),
    [
        ("next.json", "{", "Correct or remove"),
        ("next.json", "[]", "not an ARM parameter file"),
        ("next.json", '{"parameters": 1}', "not an ARM parameter file"),
        ("../next.json", "{}", "leads out"),
    ],
)
def test_what_is_not_a_parameter_file_is_left(tmp_path: Path, file: str, text: str, said: str) -> None:
    """Such a file ends the edit with its name, untouched."""
    root = tmp_path / "root"
    root.mkdir()
    (root / file).write_text(text)
    with pytest.raises(ManifestRejected, match=said):
        StampEdit(file, stamp())(root)
    assert (root / file).read_text() == text


def test_it_is_committed_only_where_that_is_wanted() -> None:
    """By default the file is an artifact; asked for, it lies beside the manifests."""
    assert StampEdit.from_config(config(), stamp()) is None
    wanted = StampEdit.from_config(config(commit=True, path="next/a.json"), stamp())
    assert wanted is not None
    assert wanted.file == "cluster-manifests/next/a.json"
