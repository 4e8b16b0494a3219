"""What the entries of ``images:`` make of images, held against kustomize's rule for one entry and one image."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from pratique.manifests.documents import NotFollowed
from pratique.manifests.image_names import Entries, Matched, split
from pratique.manifests.images import point_versions
from pratique.manifests.kustomize import Renderer, UsedImage
from pratique.manifests.versions import Version

#: What may follow the name of an entry: kustomize, ``api/internal/image/image.go``.
SUFFIX = r"(?::[a-zA-Z0-9_.{}-]*)?(?:@[a-zA-Z0-9]+(?:[.+_-][a-zA-Z0-9]+)*:[a-zA-Z0-9_.{}-]*)?"
names = st.sampled_from(["a.b/c", "a.b", "axb/c", "a.b/c:1", "a.b.c", "c", "a:5/c", "a.b/c@sha256:0", "", "a.*"])
images = st.builds(
    lambda name, tag, digest: f"{name}{tag}{digest}",
    st.sampled_from(["a.b/c", "a-b/c", "axb/c", "a\nb/c", "a.b", "c", "a:5/c", "a.b.c", "c.d", ""]),
    st.sampled_from(["", ":1", ":", ":1.0", ":1 0"]),
    st.sampled_from(["", "@sha256:0", "@sha256", "@a+b:0"]),
)
entries = st.fixed_dictionaries(
    {"name": names},
    optional={
        "newName": st.sampled_from(["c", "a.b/c", "axb"]),
        "newTag": st.just("2"),
        "digest": st.just("sha256:1"),
        "tagSuffix": st.just("-x"),
    },
)


def is_matched(image: str, name: str) -> bool:
    return re.fullmatch(f"{name}{SUFFIX}", image) is not None


def one_by_one(image: str, listed: Sequence[Mapping[str, str]]) -> str:
    for entry in listed:
        name = entry["name"]
        if name in ("", "a.*") or not is_matched(image, name) or "tagSuffix" in entry:
            continue
        tag, digest = entry.get("newTag", ""), entry.get("digest", "")
        new = f"{':' * bool(tag)}{tag}{'@' * bool(digest)}{digest}"
        own, suffix = split(image)
        image = entry.get("newName", own) + (new or suffix)
    return image


@given(st.lists(entries, max_size=6), images)
@example([{"name": "a.b/c", "newName": "c"}, {"name": "c", "newTag": "2"}], "axb/c:1")
def test_entries_rename_as_one_by_one(listed: list[dict[str, str]], image: str) -> None:
    """In their order, the names of later ones looked up in what earlier ones made; a dot stands for any character."""
    assert Entries(listed).renamed(image) == one_by_one(image, listed)


@given(st.lists(images, max_size=6), names)
def test_images_are_found_by_name(used: list[str], name: str) -> None:
    """Each once, in their order; a name that kustomize reads as a pattern is not followed."""
    if name in ("", "a.*"):
        with pytest.raises(NotFollowed):
            Matched(used).by(name)
    else:
        assert Matched(used).by(name) == [image for image in dict.fromkeys(used) if is_matched(image, name)]


def test_a_kustomization_is_rendered_once_for_its_entries(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not once for each, where their tags are those of the manifests."""
    size, rendered = 30, list[Path]()
    base_images = Renderer.base_images

    def counted(self: Renderer, kustomization: Path) -> list[UsedImage]:
        rendered.append(kustomization)
        return base_images(self, kustomization)

    monkeypatch.setattr(Renderer, "base_images", counted)
    (tmp_path / "pods.yaml").write_text(
        "".join(
            f"---\napiVersion: v1\nkind: Pod\nmetadata: {{name: a{number}}}\nspec: {{containers: [{{name: a, image: "
            f"'docker.io/a{number}:1'}}]}}\n"
            for number in range(size)
        )
    )
    listed = "".join(
        f"- {{name: docker.io/a{number}, newName: r.azurecr.io/live/a{number}}}\n" for number in range(size)
    )
    (tmp_path / "kustomization.yaml").write_text(f"resources: [pods.yaml]\nimages:\n{listed}")
    versions = {f"a{number}": (Version(tag="1", digest="sha256:" + "a" * 64),) for number in range(size)}
    assert point_versions(tmp_path, ".", "r.azurecr.io", versions, pin="tag") == []
    assert rendered == [tmp_path / "kustomization.yaml"]
