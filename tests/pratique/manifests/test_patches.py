"""Images after patches and entries of images:, as kustomize itself renders them. kubectl's kustomize says the same."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from pratique.manifests.kustomize import Renderer
from pratique.manifests.resources import images
from tests.pratique.manifests.patch_cases import CASES, CONTAINERS, HEAD, Case, pod_spec, workload

DIGEST = "sha256:" + "a" * 64


def write(root: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    return root


def rendered(root: Path, folder: str = ".") -> tuple[set[str], list[str]]:
    renderer = Renderer(root)
    return {used.image for used in renderer.images(root / folder)}, renderer.unread


def rendered_by_kustomize(folder: Path) -> str | None:
    """The manifests that kustomize itself renders; ``None`` when it refuses."""
    done = subprocess.run(["kubectl", "kustomize", str(folder)], check=False, capture_output=True, text=True)
    return done.stdout if done.returncode == 0 else None


def kustomize(folder: Path) -> set[str] | None:
    """The images that kustomize itself renders; ``None`` when it refuses."""
    text = rendered_by_kustomize(folder)
    return None if text is None else set(re.findall(r"(?:image|reference): (\S+)", text))


needs_kubectl = pytest.mark.skipif(not shutil.which("kubectl"), reason="needs kubectl")


@pytest.mark.parametrize("case", CASES.values(), ids=list(CASES))
def test_a_patch_does_what_it_does_in_kustomize(case: Case, tmp_path: Path) -> None:
    """The images are exactly those that kustomize renders; what it refuses, or only it knows, is reported."""
    used, unread = rendered(write(tmp_path, case.files()))
    if case.images is not None and case.known:
        assert (used, unread) == (case.images, [])
    else:
        assert unread
        assert used >= (case.images or set())


@needs_kubectl
def test_kustomize_renders_the_same(tmp_path: Path) -> None:
    """What the cases expect is what the real kustomize renders: all of them at once, each in a namespace of its own."""
    cases = {f"case{number}": case for number, case in enumerate(CASES.values()) if case.images is not None}
    for name, case in cases.items():
        files = case.files()
        write(tmp_path / name, files | {"kustomization.yaml": f"{files['kustomization.yaml']}namespace: {name}\n"})
    write(tmp_path, {"kustomization.yaml": f"resources: [{', '.join(cases)}]\n"})
    found: dict[str, set[str]] = {name: set() for name in cases}
    for resource in YAML(typ="safe").load_all(rendered_by_kustomize(tmp_path)):
        found[resource["metadata"]["namespace"]] |= {*images(resource)}
    assert found == {name: case.images for name, case in cases.items()}


@needs_kubectl
@pytest.mark.parametrize("name", [name for name, case in CASES.items() if case.images is None])
def test_kustomize_refuses_the_same(name: str, tmp_path: Path) -> None:
    """What the cases expect to be refused, the real kustomize refuses."""
    assert kustomize(write(tmp_path, CASES[name].files())) is None


INLINE = {
    "patches": "patches:\n- target: {kind: Deployment}\n  patch: |-\n    - {op: remove, path: /spec/template/spec/"
    "containers/0}\n",
    "patches, as JSON": 'patches:\n- target: {name: web}\n  patch: \'[{"op": "remove", "path": '
    '"/spec/template/spec/containers/0"}]\'\n',
    "patchesJson6902": "patchesJson6902:\n- target: {version: v1, group: apps, kind: Deployment, name: web}\n"
    "  patch: |-\n    - {op: remove, path: /spec/template/spec/containers/0}\n",
    "patchesStrategicMerge": "patchesStrategicMerge:\n- |-\n  "
    + HEAD.replace("\n", "\n  ")
    + "spec: {template: {spec: {containers: [{name: c0, $patch: delete}]}}}\n",
    "patchesStrategicMerge, as JSON": 'patchesStrategicMerge:\n- \'{"apiVersion": "apps/v1", "kind": "Deployment", '
    '"metadata": {"name": "web"}, "spec": {"template": {"spec": {"containers": [{"name": "c0", "$patch": "delete"}]}}}}'
    "'\n",
}


@pytest.mark.parametrize("patch", INLINE.values(), ids=list(INLINE))
def test_inline_patches_of_every_field(patch: str, tmp_path: Path) -> None:
    """Each field that can hold an inline patch is read, in YAML and in JSON."""
    files = {"kustomization.yaml": f"resources: [base.yaml]\n{patch}", "base.yaml": workload("a:1", "b:1")}
    assert rendered(write(tmp_path, files)) == ({"b:1"}, [])
    if shutil.which("kubectl"):
        assert kustomize(tmp_path) == {"b:1"}


def test_patches_one_after_the_other(tmp_path: Path) -> None:
    """A merged container comes first, which is where the next patch finds it. A patch for a target changes no version
    of a resource, so that the last one still selects it."""
    first = pod_spec("containers: [{name: n, image: 'n:1'}, {name: m, image: 'm:1'}]")
    files = {
        "kustomization.yaml": "resources: [web.yaml, old.yaml]\npatches:\n- {path: a.yaml, target: {name: web}}\n"
        "- {path: a.yaml, target: {group: extensions}}\n- {path: b.yaml, target: {kind: Deployment}}\n"
        "- {path: c.yaml, target: {group: extensions}}\n",
        "a.yaml": first,
        "b.yaml": f"- {{op: remove, path: {CONTAINERS}/0}}\n",
        "c.yaml": f"- {{op: replace, path: {CONTAINERS}/0/image, value: 'c:1'}}\n",
        "web.yaml": workload("a:1"),
        "old.yaml": workload("b:1", name="old", api="extensions/v1beta1"),
    }
    assert rendered(write(tmp_path, files)) == ({"m:1", "a:1", "c:1"}, [])
    if shutil.which("kubectl"):
        assert kustomize(tmp_path) == {"m:1", "a:1", "c:1"}


def test_a_patch_that_is_not_followed_is_not_patched(tmp_path: Path) -> None:
    """Its images count, even if a later patch would delete them from the resource."""
    files = {
        "kustomization.yaml": "resources: [web.yaml]\npatches: [{path: a.yaml}, {path: b.yaml}]\n",
        "a.yaml": pod_spec("containers: [{name: c0, $patch: replace, image: 'n:1'}]"),
        "b.yaml": pod_spec("containers: null"),
        "web.yaml": workload("a:1"),
    }
    used, unread = rendered(write(tmp_path, files))
    assert used == {"n:1"}
    assert unread


NAMED = {
    "base/kustomization.yaml": "resources: [web.yaml, tool.yaml]\nnamePrefix: p-\nnamespace: team\n"
    "labels: [{pairs: {app: web}}]\ncommonLabels: {tier: front}\n",
    "base/web.yaml": workload("a:1", "b:1"),
    "base/tool.yaml": workload("t:1", name="tool").replace(
        "{name: tool}", "{name: tool, annotations: {config.kubernetes.io/local-config: 'true'}}"
    ),
}


@pytest.mark.parametrize(
    ("patch", "images"),
    [
        ("patches: [{path: p.yaml}]", {"n:1", "b:1"}),
        ("patches: [{path: p.yaml, target: {name: p-web}}]", {"n:1", "b:1"}),
        ("patches: [{path: p.yaml, target: {name: web, namespace: team}}]", {"n:1", "b:1"}),
        ("patches: [{path: p.yaml, target: {labelSelector: 'tier=front,app notin (x)'}}]", {"n:1", "b:1"}),
        ("patches: [{path: p.yaml, target: {labelSelector: 'tier=back'}}]", {"a:1", "b:1"}),
    ],
)
def test_patches_find_resources_by_former_and_current_names(patch: str, images: set[str], tmp_path: Path) -> None:
    """Names, namespaces and labels that a base sets select its resources, and so do the original names. A resource for
    local tools is not deployed."""
    overlay = {
        "top/kustomization.yaml": f"resources: [../base]\n{patch}\n",
        "top/p.yaml": pod_spec("containers: [{name: c0, image: 'n:1'}]"),
    }
    assert rendered(write(tmp_path, NAMED | overlay), "top") == (images, [])
    if shutil.which("kubectl"):
        assert kustomize(tmp_path / "top") == images


def test_a_component_patches_the_resources_of_its_kustomization(tmp_path: Path) -> None:
    """Patches and images: of a component apply to what is there before it, and the overlay's come after."""
    files = {
        "part/kustomization.yaml": "apiVersion: kustomize.config.k8s.io/v1alpha1\nkind: Component\n"
        "patches: [{path: p.yaml}]\nimages: [{name: b, newTag: '2'}]\n",
        "part/p.yaml": pod_spec("containers: [{name: c1, image: 'b:1'}]"),
        "top/kustomization.yaml": "resources: [web.yaml]\ncomponents: [../part]\nimages: [{name: b, newName: m}]\n",
        "top/web.yaml": workload("a:1"),
    }
    assert rendered(write(tmp_path, files), "top") == ({"a:1", "m:2"}, [])
    if shutil.which("kubectl"):
        assert kustomize(tmp_path / "top") == {"a:1", "m:2"}


@pytest.mark.parametrize(
    ("entry", "images"),
    [
        ("{name: 'a:1', newTag: '2'}", {"a:2", "b:1", "a"}),
        ("{name: 'a:2', newTag: '2'}", {"a:1", "b:1", "a", f"a:1@{DIGEST}"}),
        (f"{{name: 'a:1@{DIGEST}', newName: x}}", {"a:1", "b:1", "a", f"x:1@{DIGEST}"}),
        (f"{{name: a, digest: '{DIGEST}'}}", {f"a@{DIGEST}", "b:1"}),
        ("{name: ., newTag: '2'}", {"a:2", "b:2"}),
        ("{name: a, newName: 'x:9'}", {"x:9:1", "x:9", "b:1", f"x:9:1@{DIGEST}"}),
    ],
)
def test_names_in_images(entry: str, images: set[str], tmp_path: Path) -> None:
    """A name may carry a tag and a digest, and then means images that have them; a dot stands for any character."""
    files = {
        "kustomization.yaml": f"resources: [web.yaml]\nimages: [{entry}]\n",
        "web.yaml": workload("a:1", "b:1", "a", f"a:1@{DIGEST}"),
    }
    assert rendered(write(tmp_path, files)) == (images, [])
    if shutil.which("kubectl"):
        assert kustomize(tmp_path) == images


@pytest.mark.parametrize(
    ("files", "reason"),
    [
        ({"kustomization.yaml": "resources: [web.yaml]\nimages: [{name: '(a|b)', newTag: '2'}]\n"}, "as a pattern"),
        ({"kustomization.yaml": "resources: [web.yaml]\nimages: [{name: '[', newTag: '2'}]\n"}, "as a pattern"),
        ({"kustomization.yaml": "resources: [web.yaml]\nimages: [{name: a, tagSuffix: -x}]\n"}, "tagSuffix"),
        ({"kustomization.yaml": "resources: [web.yaml]\nreplacements: [{path: r.yaml}]\n",
          "r.yaml": "targets: [{fieldPaths: [spec.template.spec.containers.0.image]}]\n"}, "replacements"),
        ({"kustomization.yaml": "resources: [web.yaml]\ntransformers: [t.yaml]\n"}, "transformers"),
        ({"kustomization.yaml": "resources: [web.yaml]\npatches: [{path: gone.yaml}]\n"}, "no patch gone.yaml"),
        ({"kustomization.yaml": "resources: [web.yaml]\npatches: [{path: 'https://x/p.yaml'}]\n"}, "no patch https"),
        ({"kustomization.yaml": "resources: [web.yaml, link.yaml]\n", "link.yaml": "../web.yaml"}, "symbolic link"),
        ({"kustomization.yaml": "resources: [web.yaml, link]\n", "link": "../base"}, "symbolic link"),
        ({"kustomization.yaml": "../base/kustomization.yaml"}, "symbolic link"),
        ({"kustomization.yaml": "resources: [web.yaml]\npatches: [{path: link.yaml}]\n", "link.yaml": "../p.yaml"},
         "symbolic link"),
        ({"pointer.yaml": f"version https://git-lfs.github.com/spec/v1\noid {DIGEST}\nsize 12\n"}, "Git LFS"),
        ({"bomb.yaml": "image: &a [x, x, x, x, x, x, x, x]\n"
          + "".join(f"{b}: &{b} [{', '.join([f'*{a}'] * 8)}]\n" for a, b in zip("abcdefg", "bcdefgh", strict=True))},
         "aliases"),
    ],
)  # fmt: skip
def test_what_cannot_be_followed_is_reported(files: dict[str, str], reason: str, tmp_path: Path) -> None:
    """Patterns, fields of other transformers, links, pointers and bombs are named, and the rest is still read."""
    used, unread = rendered(write(tmp_path, {"web.yaml": workload("a:1")} | files))
    assert any(reason in line for line in unread), unread
    assert used == {"a:1"} or files["kustomization.yaml"].startswith("../")


def test_patches_of_resources_that_cannot_be_read(tmp_path: Path) -> None:
    """If a base is on another host, the images of patches for it count as used."""
    files = {
        "kustomization.yaml": "resources: ['https://github.com/contoso/base?ref=v1']\npatches:\n- path: p.yaml\n"
        "- target: {kind: Deployment}\n  patch: |-\n    - {op: add, path: /spec/template/spec/containers/-, "
        "value: {name: m, image: 'm:1'}}\n",
        "p.yaml": pod_spec("containers: [{name: c0, image: 'n:1'}]"),
    }
    used, unread = rendered(write(tmp_path, files))
    assert used == {"n:1", "m:1"}
    assert len(unread) == 2


def test_the_file_of_an_image(tmp_path: Path) -> None:
    """An image that a patch brings is reported with the file of the patch, and renamed images keep their file."""
    files = {
        "kustomization.yaml": "resources: [web.yaml]\npatches: [{path: p.yaml}]\nimages: [{name: n, newTag: '2'}]\n",
        "web.yaml": workload("a:1"),
        "p.yaml": pod_spec("containers: [{name: n, image: 'n:1'}]"),
    }
    used = Renderer(write(tmp_path, files)).images(tmp_path)
    assert {(image.file, image.image) for image in used} == {("web.yaml", "a:1"), ("p.yaml", "n:2")}


def test_an_image_volume_under_images(tmp_path: Path) -> None:
    """Newer versions of kustomize rename it, older ones do not: the new name counts, and the doubt is reported."""
    files = {
        "kustomization.yaml": "resources: [web.yaml]\nimages: [{name: v, newTag: '2'}]\n",
        "web.yaml": workload("a:1", more=", volumes: [{name: v, image: {reference: 'v:1'}}]"),
    }
    used, unread = rendered(write(tmp_path, files))
    assert used == {"a:1", "v:2"}
    assert "v:1, which a pod mounts as a volume" in unread[0]
