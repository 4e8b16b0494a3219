from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pratique.manifests.kustomize import Renderer, UsedImage
from pratique.manifests.release_check import find_usage
from pratique.manifests.versions import Version

SAMPLE = Path(__file__).parents[3] / "examples" / "cluster-manifests"
REGISTRY = "acraks123.azurecr.io"
DIGEST = "sha256:" + "a" * 64
OTHER = "sha256:" + "b" * 64

needs_kubectl = pytest.mark.skipif(not shutil.which("kubectl"), reason="needs kubectl")


def kustomize(folder: Path) -> set[str]:
    """The images that kustomize itself renders."""
    command = ["kubectl", "kustomize", "--load-restrictor=LoadRestrictionsNone", str(folder)]
    rendered = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    return set(re.findall(r"image: (\S+)", rendered))


def write(root: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    return root


def pod(*images: str, name: str = "a") -> str:
    containers = "".join(f"  - {{name: c{number}, image: '{image}'}}\n" for number, image in enumerate(images))
    return f"apiVersion: v1\nkind: Pod\nmetadata: {{name: {name}}}\nspec:\n  containers:\n{containers}"


def images(root: Path, folder: str = ".") -> set[str]:
    return {used.image for used in Renderer(root).images(root / folder)}


@needs_kubectl
@pytest.mark.parametrize("folder", sorted(path.parent.name for path in SAMPLE.glob("*/kustomization.yaml")))
def test_the_sample_is_read_as_kustomize_does(folder: str) -> None:
    """Each kustomization of the sample brings the images that kustomize renders."""
    assert images(SAMPLE, folder) == kustomize(SAMPLE / folder)


names = st.sampled_from(["busybox", "docker.io/library/busybox", "r.io:5000/a/b", "registry.k8s.io/x"])
suffixes = st.sampled_from(["", ":1", ":v1.2", f"@{DIGEST}", f":1@{DIGEST}"])
fields = st.fixed_dictionaries(
    {"name": names},
    optional={"newName": names, "newTag": st.sampled_from(["2", "v3"]), "digest": st.just(OTHER)},
)


@needs_kubectl
@settings(max_examples=25, deadline=None)
@given(used=st.lists(st.tuples(names, suffixes), min_size=1, max_size=4), entries=st.lists(fields, max_size=3))
def test_entries_do_what_they_do_in_kustomize(
    used: list[tuple[str, str]], entries: list[dict[str, str]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Name, tag and digest, and entries after one another, render as with kustomize."""
    lines = "".join("- {" + ", ".join(f"{key}: '{value}'" for key, value in one.items()) + "}\n" for one in entries)
    root = write(
        tmp_path_factory.mktemp("entries"),
        {
            "pod.yaml": pod(*(name + suffix for name, suffix in used)),
            "kustomization.yaml": f"resources: [pod.yaml]\nimages:\n{lines}",
        },
    )
    assert images(root) == kustomize(root)


@needs_kubectl
def test_bases_components_and_patches_are_followed(tmp_path: Path) -> None:
    """An image comes through an overlay as kustomize takes it there: base, component, patches of every kind."""
    json_patch = "- {op: replace, path: /spec/containers/0/image, value: 'docker.io/e:1'}"
    root = write(
        tmp_path,
        {
            "base/kustomization.yaml": "resources: [pod.yaml, job.yaml]\nimages:\n- {name: docker.io/a, newTag: '2'}\n",
            "base/pod.yaml": pod("docker.io/a:1", "docker.io/b:1"),
            "base/job.yaml": "apiVersion: batch/v1\nkind: CronJob\nmetadata: {name: j}\nspec:\n  jobTemplate:\n"
            "    spec:\n      template:\n        spec:\n          initContainers: [{name: i, image: docker.io/i:1}]\n",
            "part/kustomization.yaml": "apiVersion: kustomize.config.k8s.io/v1alpha1\nkind: Component\n"
            "images:\n- {name: docker.io/b, newName: r.io/live/b}\n",
            "top/kustomization.yaml": "resources: [../base, more.yaml]\ncomponents: [../part]\npatches:\n"
            f"- path: patch.yaml\n- target: {{kind: Pod, name: more}}\n  patch: |-\n    {json_patch}\n"
            "images:\n- {name: docker.io/a, newTag: '3'}\n- {name: docker.io/d, newName: r.io/live/d}\n",
            "top/more.yaml": pod("docker.io/old:1", name="more"),
            "top/patch.yaml": "apiVersion: v1\nkind: Pod\nmetadata: {name: a}\nspec:\n  containers:\n"
            "  - {name: c2, image: 'docker.io/d:1'}\n",
        },
    )
    expected = {"docker.io/a:3", "r.io/live/b:1", "docker.io/i:1", "r.io/live/d:1", "docker.io/e:1"}
    assert images(root, "top") == expected == kustomize(root / "top")


def test_a_folder_without_a_kustomization_is_taken_whole(tmp_path: Path) -> None:
    """As Flux does: manifests that lie about count, and below a kustomization only what it names."""
    files = {
        "a.yaml": pod("a:1"),
        "b/c.yml": pod("c:1"),
        "b/notes.txt": pod("no:1"),
        "d/kustomization.yml": "resources: [e.yaml]\n",
        "d/e.yaml": pod("e:1"),
        "d/unnamed.yaml": pod("f:1"),
        ".hidden/g.yaml": pod("g:1"),
    }
    assert images(write(tmp_path, files)) == {"a:1", "c:1", "e:1"}


def test_what_cannot_be_followed_is_told(tmp_path: Path) -> None:
    """Charts, other hosts, loops, missing and broken files: each with its reason, and the rest is still read."""
    files = {
        "kustomization.yaml": "resources: [https://example.com/x.yaml, gone.yaml, broken.yaml, loop, ../out, a.yaml]\n"
        "helmCharts: [{name: x}]\ncomponents: [absent]\n",
        "broken.yaml": "image: [",
        "loop/kustomization.yaml": "resources: [../loop]\n",
        "a.yaml": pod("a:1"),
    }
    root = write(tmp_path / "root", files)
    write(tmp_path, {"out/x.yaml": pod("out:1")})
    renderer = Renderer(root)
    assert {used.image for used in renderer.images(root)} == {"a:1"}
    told = "\n".join(renderer.unread)
    for part in (
        "example.com",
        "gone.yaml: There is no",
        "broken.yaml: ",
        "loop/kustomization.yaml: It includes itself",
    ):
        assert part in told
    for part in ("helmCharts", "absent", "out: There is no such file in the repository"):
        assert part in told


RELEASED = {name: [Version(tag="1", digest=DIGEST)] for name in "abc"}


def test_images_and_manifests_that_do_not_fit_are_told(tmp_path: Path) -> None:
    """Released and unused; used and never released; released, but not with that tag or digest."""
    live = f"{REGISTRY}/live"
    fine = (f"{live}/a:1", f"{live}/a@{DIGEST}", f"{live}/a:0@{DIGEST}", f"{live}/b:1@{DIGEST}")
    wrong = ("docker.io/a:1", f"{live}/a:2", f"{live}/a:1@{OTHER}", f"{live}/a", f"{live}/z:1", f"{live}y/a:1")
    found = find_usage(write(tmp_path, {"app/pod.yaml": pod(*fine, *wrong)}), ".", REGISTRY, RELEASED)
    assert {used.image for used in found.images} == {*fine, *wrong}
    assert found.unused == ("c",)
    assert set(found.unreleased) == {UsedImage("app/pod.yaml", image) for image in wrong}
    lines = list(found.warnings())
    assert lines[0] == "No manifest uses live/c, which was released."
    assert f"app/pod.yaml uses {live}/z:1, which was not released." in lines
    assert len(lines) == 1 + len(wrong)


def test_a_part_of_the_catalogue_says_nothing_of_the_rest(tmp_path: Path) -> None:
    """When only some images were released now, others in live/ are taken for released before."""
    root = write(tmp_path, {"pod.yaml": pod(f"{REGISTRY}/live/z:1", "docker.io/y:1", f"{REGISTRY}/live/a:2")})
    found = find_usage(root, ".", REGISTRY, RELEASED | {"other": [Version(tag="1")]})
    assert [used.image for used in found.unreleased] == [f"{REGISTRY}/live/a:2", "docker.io/y:1"]


def test_fields_of_other_resources_are_no_images(tmp_path: Path) -> None:
    """Only containers run images: schemas, texts and settings that have such words bring none."""
    text = "kind: ConfigMap\ndata:\n  image: no:1\n  x: |\n    containers: [{image: no:2}]\n"
    text += "---\nkind: CustomResourceDefinition\nspec:\n  containers: {properties: {image: {type: string}}}\n"
    text += "---\nkind: X\nspec: &s\n  containers: [{image: yes:1}]\nother: *s\n"
    assert images(write(tmp_path, {"x.yaml": text})) == {"yes:1"}
