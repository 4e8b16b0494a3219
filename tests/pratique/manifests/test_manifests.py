from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ruamel.yaml import YAML

from pratique.change import Change
from pratique.errors import ConfigurationError, ManifestRejected
from pratique.images import LiveImage
from pratique.manifests.images import Pin, point_images
from pratique.manifests.secret_provider import point_vault
from pratique.manifests.yaml_editor import Path as YamlPath
from pratique.manifests.yaml_editor import YamlText

SAMPLE = Path(__file__).parents[3] / "examples" / "cluster-manifests"
REGISTRY = "acraks123.azurecr.io"
PROVIDER = "ingress-nginx/akv-tls-provider.yaml"
PLACEHOLDER = "REPLACE_ME_WITH_YOUR_ACRNAME.azurecr.io"
VAULT = {
    "vault_name": "kv-aks-123",
    "tenant_id": "72f988bf-0000-4000-8000-2d7cd011db47",
    "client_id": "11111111-2222-4333-8444-555555555555",
    "certificate_name": "ingress-internal-aks-ingress-contoso-com-tls",
}


def digest(character: str = "a") -> str:
    return "sha256:" + character * 64


CATALOGUE = {
    "falcosecurity/falco-no-driver": LiveImage("0.39.2", digest("1")),
    "falcosecurity/falco-driver-loader": LiveImage("0.39.2", digest("2")),
    "falcosecurity/falcoctl": LiveImage("0.10.1", digest("3")),
    "library/busybox": LiveImage("1.37.0", digest("4")),
    "kubereboot/kured": LiveImage("1.14.0", digest("5")),
    "ingress-nginx/controller": LiveImage("v1.11.3", digest("6")),
    "ingress-nginx/kube-webhook-certgen": LiveImage("v1.4.4", digest("7")),
}


@pytest.fixture
def sample(tmp_path: Path) -> Path:
    """A copy of the sample repository, as it would be checked out."""
    return Path(shutil.copytree(SAMPLE, tmp_path / "repository"))


def files(root: Path) -> dict[str, bytes]:
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in root.rglob("*") if path.is_file()}


def kustomization(root: Path, text: str) -> Path:
    path = root / "app" / "kustomization.yaml"
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(text.encode())
    return path


def test_the_sample_is_fully_pointed(sample: Path) -> None:
    """After both edits no manifest holds a placeholder, and only the files that had one differ."""
    before = files(sample)
    point_images(sample, ".", REGISTRY, CATALOGUE)
    point_vault(sample, PROVIDER, **VAULT)
    after = files(sample)
    left = re.compile(rb"REPLACE_ME|KEYVAULT_|_CLIENT_ID_BU")
    assert not [name for name, data in after.items() if left.search(data) and name != "README.md"]
    assert {name for name in after if after[name] != before[name]} == {
        "falco/kustomization.yaml",
        "file-integrity/kustomization.yaml",
        "kured/kustomization.yaml",
        "ingress-nginx/kustomization.yaml",
        PROVIDER,
    }


def test_only_lines_that_hold_values_differ(sample: Path) -> None:
    """In a pointed kustomization every line is the old one, or one of a value's."""
    old = (sample / "falco/kustomization.yaml").read_text().splitlines()
    point_images(sample, ".", REGISTRY, CATALOGUE)
    new = (sample / "falco/kustomization.yaml").read_text().splitlines()
    kept = [line for line in new if "digest:" not in line]
    assert kept == [line.replace(PLACEHOLDER, REGISTRY) for line in old]
    assert new.count(f"    digest: {digest('3')}") == 1


def test_the_rest_of_the_catalogue_stays(sample: Path) -> None:
    """When only some of the released images are told of, the entries of the others are left as they are."""
    point_images(sample, ".", REGISTRY, CATALOGUE)
    before = files(sample)
    name, image = next((name, image) for name, image in CATALOGUE.items() if "kured" in name)
    changes = point_images(sample, ".", REGISTRY, {name: LiveImage("9.9.9", image.digest)})
    after = files(sample)
    assert [change.after for change in changes] == ["9.9.9"]
    assert [path for path in after if after[path] != before[path]] == ["kured/kustomization.yaml"]


@pytest.mark.skipif(not shutil.which("kubectl"), reason="needs kubectl")
@pytest.mark.parametrize("folder", ["falco", "file-integrity", "kured", "ingress-nginx"])
def test_kustomize_renders_live_images_by_tag_and_digest(sample: Path, folder: str) -> None:
    """Every container of the sample ends up at name:tag@digest below live/."""
    point_images(sample, ".", REGISTRY, CATALOGUE)
    point_vault(sample, PROVIDER, **VAULT)
    rendered = subprocess.run(
        ["kubectl", "kustomize", str(sample / folder)], check=True, capture_output=True, text=True
    ).stdout
    used = set(re.findall(r"image: (\S+)", rendered))
    released = {f"{REGISTRY}/live/{name}:{image.tag}@{image.digest}" for name, image in CATALOGUE.items()}
    assert used
    assert used <= released


@pytest.mark.skipif(not shutil.which("kubectl"), reason="needs kubectl")
@pytest.mark.parametrize(
    ("pin", "suffix"), [("tag", ":1.14.0"), ("digest", f"@{digest('5')}"), ("both", f":1.14.0@{digest('5')}")]
)
@pytest.mark.parametrize("before", ["tag", "digest", "both", None])
def test_a_pin_takes_the_place_of_another(sample: Path, before: Pin | None, pin: Pin, suffix: str) -> None:
    """Whatever named an image before, kustomize renders it as configured now: nothing older is left to win."""
    if before:
        point_images(sample, ".", REGISTRY, {"kubereboot/kured": LiveImage("0.9", digest("0"))}, pin=before)
    point_images(sample, ".", REGISTRY, CATALOGUE, pin=pin)
    assert point_images(sample, ".", REGISTRY, CATALOGUE, pin=pin) == []
    command = ["kubectl", "kustomize", str(sample / "kured")]
    rendered = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    assert f"image: {REGISTRY}/live/kubereboot/kured{suffix}\n" in rendered


def test_a_tag_of_the_manifests_own_needs_no_other(tmp_path: Path) -> None:
    """Pinned by tag, an entry gets a newTag when the manifests say another tag or a digest, and not before."""
    text = f"resources: [d.yaml]\nimages:\n- name: docker.io/a\n  newName: {PLACEHOLDER}/live/a\n"
    path = kustomization(tmp_path, text)
    pod = "kind: Pod\nspec: {{containers: [{{image: 'docker.io/a{}'}}, {{image: 'docker.io/b:7'}}]}}\n"
    (path.parent / "d.yaml").write_text(pod.format(":v1"))
    point_images(tmp_path, ".", REGISTRY, {"a": LiveImage("v1", digest())}, pin="tag")
    assert path.read_text() == text.replace(PLACEHOLDER, REGISTRY)
    for image, tag in ((":v1", "v2"), ("", "latest"), (f":v1@{digest()}", "v1")):
        path.write_text(text)
        (path.parent / "d.yaml").write_text(pod.format(image))
        point_images(tmp_path, ".", REGISTRY, {"a": LiveImage(tag, digest())}, pin="tag")
        assert path.read_text() == text.replace(PLACEHOLDER, REGISTRY) + f"  newTag: {tag}\n"


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("images:\n- newTag: v1 # c\n  name: OLD/live/a\n", "images:\n- name: OLD/live/a\nNEW"),
        ("images:\n- name: OLD/live/a\n  newTag: v1 # c", "images:\n- name: OLD/live/aNEW"),
        ("images:\r\n- name: OLD/live/a\r\n  newTag: v1\r\n", "images:\r\n- name: OLD/live/a\r\nNEW"),
        ("images: [{newTag: v1, name: OLD/live/a}]\n", "images: [{name: OLD/live/aNEW}]\n"),
        ("images: [{name: OLD/live/a, newTag: v1}]\n", "images: [{name: OLD/live/aNEW}]\n"),
    ],
    ids=["first", "last without line end", "CRLF", "flow, first", "flow, last"],
)
def test_a_value_goes_with_its_line(before: str, after: str) -> None:
    """What is removed takes its line and its comment along, and nothing else."""
    text = YamlText("k.yaml", before.replace("OLD", REGISTRY))
    edited = text.edited({(0, "images", 0, "newTag"): None})
    assert edited.text == after.replace("OLD", REGISTRY).replace("NEW", "")
    assert edited.edited({(0, "images", 0, "newTag"): None}) is edited


def test_what_cannot_be_removed_alone_is_refused() -> None:
    """A comment between a removed first value and the next would be lost: the file is left to a person."""
    text = YamlText("k.yaml", "images:\n- newTag: v1\n  # of whom?\n  name: a\n")
    with pytest.raises(ManifestRejected, match="a comment follows"):
        text.edited({(0, "images", 0, "newTag"): None})


def test_aliases_stay(tmp_path: Path) -> None:
    """Files may use anchors: values beside them are edited, one that is an alias is not, and bombs are refused."""
    text = f"images:\n- name: a\n  newName: {PLACEHOLDER}/live/a\n  newTag: &tag v1\n"
    text += f"- name: b\n  newName: {PLACEHOLDER}/live/b\n  newTag: *tag # the same\n"
    path = kustomization(tmp_path, text)
    images = {name: LiveImage("v1", digest(name)) for name in "ab"}
    point_images(tmp_path, ".", REGISTRY, images)
    pinned = text.replace(PLACEHOLDER, REGISTRY).replace("&tag v1\n", f"&tag v1\n  digest: {digest('a')}\n")
    assert path.read_text() == f"{pinned}  digest: {digest('b')}\n"
    with pytest.raises(ManifestRejected, match=r"app/kustomization\.yaml.*aliases"):
        point_images(tmp_path, ".", REGISTRY, images | {"b": LiveImage("v2", digest("b"))})
    nested = "a0: &a0 [x]\n" + "".join(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]\n" for n in range(1, 10))
    for bomb in ("a: &a [*a]", nested, "[" * 3000):
        with pytest.raises(ManifestRejected):
            _ = YamlText("k.yaml", bomb).documents


def test_pointing_twice_changes_nothing(sample: Path) -> None:
    """The second run reports no change and leaves every byte and time stamp."""
    point_images(sample, ".", REGISTRY, CATALOGUE)
    point_vault(sample, PROVIDER, **VAULT)
    before = {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in sample.rglob("*.yaml")}
    assert point_images(sample, ".", REGISTRY, CATALOGUE) == []
    assert point_vault(sample, PROVIDER, **VAULT) == []
    assert {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in sample.rglob("*.yaml")} == before


def test_a_second_cluster_replaces_the_first(sample: Path) -> None:
    """Values go by path: another registry, vault and release take the places of the first ones."""
    point_images(sample, ".", REGISTRY, CATALOGUE)
    point_vault(sample, PROVIDER, **VAULT)
    point_images(sample, ".", "acrother.azurecr.us", CATALOGUE | {"kubereboot/kured": LiveImage("1.15", digest("e"))})
    changes = point_vault(sample, PROVIDER, **(VAULT | {"vault_name": "kv-other", "certificate_name": "tls-2"}))
    text = (sample / "kured/kustomization.yaml").read_text()
    assert f'newName: acrother.azurecr.us/live/kubereboot/kured\n    newTag: "1.15"\n    digest: {digest("e")}' in text
    assert not [name for name, data in files(sample).items() if REGISTRY.encode() in data]
    assert [(change.field, change.before, change.after) for change in changes] == [
        ("spec.parameters.keyvaultName", "kv-aks-123", "kv-other"),
        ("spec.parameters.objects", VAULT["certificate_name"], "tls-2"),
        ("spec.secretObjects.0.data.0.objectName", VAULT["certificate_name"], "tls-2"),
        ("spec.secretObjects.0.data.1.objectName", VAULT["certificate_name"], "tls-2"),
    ]
    provider = YAML(typ="safe").load((sample / PROVIDER).read_text())["spec"]
    inner = YAML(typ="safe").load(provider["parameters"]["objects"])["array"]
    assert [YAML(typ="safe").load(item) for item in inner] == [{"objectName": "tls-2", "objectType": "secret"}]
    assert VAULT["certificate_name"] not in (sample / PROVIDER).read_text()


def test_changes_are_reported(tmp_path: Path) -> None:
    """Each changed field is told with its file, what it was and what it is."""
    kustomization(tmp_path, f"images:\n- name: a\n  newName: {PLACEHOLDER}/live/a\n  newTag: v1\n")
    images = {"a": LiveImage("v1", digest()), "z": LiveImage("v2", digest())}
    assert point_images(tmp_path, "app", REGISTRY, images) == [
        Change("app/kustomization.yaml", "images.a.newName", f"{PLACEHOLDER}/live/a", f"{REGISTRY}/live/a"),
        Change("app/kustomization.yaml", "images.a.digest", None, digest()),
    ]


@pytest.mark.parametrize(
    ("entry", "edited"),
    [
        ("name: OLD/live/a:v1", "name: NEW/live/a:v1\n  newName: NEW/live/a"),
        (f"name: OLD/live/a:v1@{digest('0')}", f"name: NEW/live/a:v1@{digest('0')}\n  newName: NEW/live/a"),
        ("name: a:v1\n  newName: OLD/live/a:v1", "name: a:v1\n  newName: NEW/live/a"),
        (f"name: a\n  newName: OLD/live/a@{digest('0')}", "name: a\n  newName: NEW/live/a"),
    ],
)
def test_names_with_a_tag_are_pointed(tmp_path: Path, entry: str, edited: str) -> None:
    """A tag or digest in a name does not hide the repository; a new name gets neither, and the name stays."""
    path = kustomization(tmp_path, f"images:\n- {entry.replace('OLD', 'acrother.azurecr.io')}\n")
    images = {"a": LiveImage("v2", digest())}
    point_images(tmp_path, ".", REGISTRY, images)
    expected = edited.replace("name: NEW", "name: acrother.azurecr.io").replace("NEW", REGISTRY)
    assert path.read_text() == f"images:\n- {expected}\n  newTag: v2\n  digest: {digest()}\n"
    assert point_images(tmp_path, ".", REGISTRY, images) == []


@pytest.mark.parametrize(
    "text", ["../base/provider.yaml", f"version https://git-lfs.github.com/spec/v1\noid {digest()}\n"]
)
def test_a_link_or_pointer_in_place_of_the_provider(tmp_path: Path, text: str) -> None:
    """What is no manifest is named as such."""
    (tmp_path / "provider.yaml").write_text(text)
    with pytest.raises(ManifestRejected, match="symbolic link or a pointer"):
        point_vault(tmp_path, "provider.yaml", **VAULT)


def test_a_placeholder_in_a_comment_is_a_change(tmp_path: Path) -> None:
    """A file in which only a comment's placeholder is filled in is reported, as only reported files are committed."""
    path = kustomization(tmp_path, f"# from {PLACEHOLDER}\nresources: []\n")
    (change,) = point_images(tmp_path, "app", REGISTRY, {})
    assert (change.file, change.after) == ("app/kustomization.yaml", "acraks123")
    assert path.read_text() == f"# from {REGISTRY}\nresources: []\n"
    assert point_images(tmp_path, "app", REGISTRY, {}) == []


def test_an_image_that_was_not_released_stays(sample: Path) -> None:
    """An entry without a released image keeps its placeholder, so that nothing points where nothing is."""
    before = (sample / "falco/kustomization.yaml").read_text().splitlines()
    point_images(sample, ".", REGISTRY, {name: CATALOGUE[name] for name in CATALOGUE if "falcoctl" not in name})
    after = (sample / "falco/kustomization.yaml").read_text().splitlines()
    assert after[-2:] == before[-2:]
    assert PLACEHOLDER in after[-2]
    assert "\n".join(after).count(REGISTRY) == 2


def test_entries_of_other_places_are_left(tmp_path: Path) -> None:
    """Only what points at live/ of an Azure registry, or of the given one, is ours."""
    text = (
        "images:\n- name: x\n  newName: mcr.microsoft.com/live/x\n- name: y\n  newTag: v1\n"
        "- name: z\n  newName: acrother.azurecr.io/quarantine/z\n"
    )
    path = kustomization(tmp_path, text)
    assert point_images(tmp_path, "app", REGISTRY, {}) == []
    assert path.read_text() == text
    kustomization(tmp_path, "images:\n- name: x\n  newName: registry.contoso.com/live/x\n")
    assert len(point_images(tmp_path, "app", "registry.contoso.com", {"x": LiveImage("v1", digest())})) == 2


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (
            "images:\n  - {name: a, newName: OLD/live/a} # one line\n",
            'images:\n  - {name: a, newName: NEW/live/a, newTag: "v2", digest: "DIGEST"} # one line\n',
        ),
        (
            "images:\n- newTag: '1' # was\n  newName: \"OLD/live/a\"  # where\n  name: a\n\n# end\n",
            "images:\n- newTag: 'v2' # was\n  newName: \"NEW/live/a\"  # where\n  name: a\n  digest: DIGEST\n\n# end\n",
        ),
        (
            "images:\r\n- name: a\r\n  digest: # none yet\r\n  newTag:\r\n  newName: OLD/live/a",
            "images:\r\n- name: a\r\n  digest: DIGEST # none yet\r\n  newTag: v2\r\n  newName: NEW/live/a",
        ),
        (
            "images:\n- name: OLD/live/a\n",
            "images:\n- name: OLD/live/a\n  newName: NEW/live/a\n  newTag: v2\n  digest: DIGEST\n",
        ),
        ("# only a comment\n", "# only a comment\n"),
        ("resources: []\n", "resources: []\n"),
        ("", ""),
    ],
    ids=["flow", "quotes and comments", "CRLF and empty values", "name only", "comment", "no images", "empty"],
)
def test_style_is_kept(tmp_path: Path, before: str, after: str) -> None:
    """Quotes, comments, order, line ends and a missing last newline stay as they were."""
    path = kustomization(tmp_path, before.replace("OLD", PLACEHOLDER))
    point_images(tmp_path, ".", REGISTRY, {"a": LiveImage("v2", digest())})
    expected = after.replace("NEW", REGISTRY).replace("OLD", PLACEHOLDER).replace("DIGEST", digest())
    assert path.read_bytes().decode() == expected


@pytest.mark.parametrize(
    "text",
    [
        "images: [",
        "images:\n- &a\n  name: x\n  newName: r.azurecr.io/live/a\n- *a\n",
        "images:\n- name: x\n  newName: >-\n    r.azurecr.io/live/a\n",
        "images:\n- name: x\n  name: y\n",
    ],
    ids=["broken", "alias", "folded", "key twice"],
)
def test_what_cannot_be_edited_safely_is_refused(tmp_path: Path, text: str) -> None:
    """Such a file ends the edit with its name, untouched."""
    path = kustomization(tmp_path, text)
    with pytest.raises(ManifestRejected, match=r"app/kustomization\.yaml"):
        point_images(tmp_path, ".", REGISTRY, {"a": LiveImage("v2", digest())})
    assert path.read_text() == text


def test_paths_stay_inside(tmp_path: Path) -> None:
    """Neither a configured path nor a link in the repository leads out of it, and a missing folder is told."""
    outside = kustomization(tmp_path, "images:\n- name: x\n  newName: r.azurecr.io/live/a\n")
    root = tmp_path / "root"
    (root / "b").mkdir(parents=True)
    images = {"a": LiveImage("v2", digest())}
    for folder in ("../app", str(outside.parent)):
        with pytest.raises(ManifestRejected, match="leads out"):
            point_images(root, folder, REGISTRY, images)
    with pytest.raises(ManifestRejected, match="no such folder"):
        point_images(root, "c", REGISTRY, images)
    (root / "b" / "kustomization.yaml").symlink_to(outside)
    with pytest.raises(ManifestRejected, match="leads out"):
        point_images(root, ".", REGISTRY, images)
    with pytest.raises(ManifestRejected):
        point_vault(root, "b/absent.yaml", **VAULT)


@pytest.mark.parametrize(
    "wrong",
    [
        {"vault_name": "kv\n    tenantId: x"},
        {"vault_name": "kv--a"},
        {"vault_name": "v" * 25},
        {"tenant_id": "contoso.com"},
        {"client_id": "11111111-2222-4333-8444-555555555555\n"},
        {"certificate_name": "a: b"},
    ],
)
def test_values_are_validated(sample: Path, wrong: dict[str, str]) -> None:
    """Nothing that is not a vault name, UUID or certificate name gets into the YAML."""
    before = files(sample)
    with pytest.raises(ConfigurationError):
        point_vault(sample, PROVIDER, **(VAULT | wrong))
    assert files(sample) == before


@pytest.mark.parametrize(
    ("registry", "repository", "image"),
    [
        ("acr\n#.azurecr.io", "a", LiveImage("v1", digest())),
        (REGISTRY, "a b", LiveImage("v1", digest())),
        (REGISTRY, "a", LiveImage("v1\n", digest())),
        (REGISTRY, "a", LiveImage("v1", "sha256:short")),
    ],
)
def test_images_are_validated(tmp_path: Path, registry: str, repository: str, image: LiveImage) -> None:
    """Registry, repository, tag and digest have to be what they are called."""
    with pytest.raises(ConfigurationError):
        point_images(tmp_path, ".", registry, {repository: image})


@pytest.mark.parametrize(
    ("pattern", "replacement", "said"),
    [
        (r"    tenantId: .*\n", "", "no spec.parameters.tenantId"),
        ("kind: SecretProviderClass", "kind: Secret", "0 resources of kind"),
        (r"(        - \|\n +objectName: )(.*)(\n.*\n)", r"\1\2\3\1other\3", "2 different objects"),
        (r"objects: \|\n(.*\n)+", "objects: ''\n", "lists no object"),
        (r"          objectName: .*\n", "", "names no object"),
    ],
)
def test_a_provider_that_lacks_what_is_edited_is_refused(
    sample: Path, pattern: str, replacement: str, said: str
) -> None:
    """The message tells what is missing or ambiguous, and the file stays as it was."""
    text, count = re.subn(pattern, replacement, (sample / PROVIDER).read_text())
    assert count
    (sample / PROVIDER).write_text(text)
    with pytest.raises(ManifestRejected, match=said):
        point_vault(sample, PROVIDER, **VAULT)
    assert (sample / PROVIDER).read_text() == text


def test_the_tenant_may_be_spelt_as_in_the_walkthrough(sample: Path) -> None:
    """The Azure provider reads tenantID as well, which is what the walkthrough's own repository has."""
    text = (sample / PROVIDER).read_text().replace("tenantId: ", "tenantID: ")
    (sample / PROVIDER).write_text(text)
    point_vault(sample, PROVIDER, **VAULT)
    assert f"    tenantID: {VAULT['tenant_id']}\n" in (sample / PROVIDER).read_text()


def test_the_provider_may_share_its_file(sample: Path) -> None:
    """Other documents of the file are left alone."""
    path = sample / PROVIDER
    other = "kind: ConfigMap\nspec:\n  parameters:\n    keyvaultName: mine\n---\n"
    path.write_text(other + path.read_text())
    point_vault(sample, PROVIDER, **VAULT)
    assert path.read_text().startswith(other)
    assert "    keyvaultName: kv-aks-123\n" in path.read_text()


names = st.from_regex(r"[a-z][a-z0-9]{0,5}(?:/[a-z][a-z0-9-]{0,5}[a-z0-9])?", fullmatch=True)
tags = st.from_regex(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,11}", fullmatch=True)
comments = st.sampled_from(["", "  # keep", " # 'quoted' \"text\": x"])
quotes = st.sampled_from(["", "'", '"'])


@st.composite
def entries(draw: st.DrawFn, name: str) -> str:
    """One entry of ``images:`` in one of the styles that people write."""
    mark, comment = draw(quotes), draw(comments)
    lines = [f"newName: {mark}{PLACEHOLDER}/live/{name}{mark}{comment}"]
    if draw(st.booleans()):
        lines.append(f"newTag: 'v0'{draw(comments)}")
    if draw(st.booleans()):
        lines.append(f"digest: {digest('0')}")
    lines = draw(st.permutations([f"name: docker.io/{name}", *lines]))
    return "- " + "\n  ".join(lines) + "\n" + draw(st.sampled_from(["", "\n", "# between\n"]))


@given(data=st.data(), repositories=st.lists(names, min_size=1, max_size=4, unique=True))
def test_an_edit_touches_only_its_entry(data: st.DataObject, repositories: list[str]) -> None:
    """Whatever the style and the tag: values read back as strings, other entries keep every byte, again is idle."""
    texts = [data.draw(entries(name)) for name in repositories]
    chosen = data.draw(st.integers(0, len(texts) - 1))
    tag = data.draw(tags)
    newline = data.draw(st.sampled_from(["\n", "\r\n"]))
    text = YamlText("k.yaml", ("# top\nimages:\n" + "".join(texts)).replace("\n", newline))
    values: dict[YamlPath, str] = {
        (0, "images", chosen, "newName"): f"{REGISTRY}/live/{repositories[chosen]}",
        (0, "images", chosen, "newTag"): tag,
        (0, "images", chosen, "digest"): digest("f"),
    }
    edited = text.edited(values)
    assert edited.edited(values) is edited
    head = ("# top\nimages:\n" + "".join(texts[:chosen])).replace("\n", newline)
    tail = "".join(texts[chosen + 1 :]).replace("\n", newline)
    assert edited.text.startswith(head)
    assert edited.text.endswith(tail)
    for version in ("1.1", "1.2"):
        reader = YAML(typ="safe", pure=True)
        reader.version = version
        entry = reader.load(edited.text)["images"][chosen]
        assert (entry["newTag"], entry["digest"]) == (tag, digest("f"))
    assert edited.text.count("#") == text.text.count("#")
