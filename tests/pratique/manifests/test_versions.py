"""Which version of an image a manifest gets, where the catalogue has several."""

from __future__ import annotations

from pathlib import Path
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ruamel.yaml import YAML

from pratique.errors import ConfigurationError
from pratique.manifests.images import point_versions, require_decided
from pratique.manifests.release_check import find_usage
from pratique.manifests.versions import Pins, Undecided, Version, choose, is_named

REGISTRY = "acraks123.azurecr.io"
LIVE = f"{REGISTRY}/live/kured"
OLD, NEW = "sha256:" + "1" * 64, "sha256:" + "2" * 64
SEVERAL = [Version(tag="1.14.0", digest=OLD), Version(tag="1.15.0", digest=NEW)]
LEGACY = [Version(tag="1.14.0", digest=OLD, manifests=("apps/legacy",)), Version(tag="1.15.0", digest=NEW)]


def entry(**fields: str) -> str:
    lines = "\n".join(f"    {key}: {value}" for key, value in fields.items())
    return f"images:\n  - name: kured\n    newName: {LIVE}\n{lines}\n"


def write(root: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


def pod(image: str) -> str:
    return (
        f"apiVersion: v1\nkind: Pod\nmetadata: {{name: a}}\nspec:\n  containers:\n    - {{name: a, image: '{image}'}}\n"
    )


def tag(root: Path, file: str) -> str:
    found: str = YAML(typ="safe").load((root / file).read_text())["images"][0]["newTag"]
    return found


def refusal(root: Path, versions: dict[str, list[Version]]) -> ConfigurationError:
    """The error of an edit, which leaves all files as they are; the check without digests agrees."""
    before = {path: path.read_bytes() for path in root.rglob("*") if path.is_file()}
    with pytest.raises(ConfigurationError) as refused:
        point_versions(root, ".", REGISTRY, versions)
    assert {path: path.read_bytes() for path in root.rglob("*") if path.is_file()} == before
    with pytest.raises(ConfigurationError):
        require_decided(
            root,
            ".",
            {name: [Version(tag=v.tag, manifests=v.manifests) for v in known] for name, known in versions.items()},
        )
    return refused.value


def test_a_version_that_names_its_manifests_is_for_these_and_the_other_for_the_rest(tmp_path: Path) -> None:
    """Whatever the entries had before; a second run changes nothing."""
    files = {f"apps/{name}/kustomization.yaml": entry(newTag="1.0") for name in ("legacy", "web")}
    root = write(tmp_path, files | {"apps/legacy/eu/kustomization.yaml": entry(newTag='"1.15.0"')})
    point_versions(root, ".", REGISTRY, {"kured": LEGACY})
    assert tag(root, "apps/legacy/kustomization.yaml") == "1.14.0"
    assert tag(root, "apps/legacy/eu/kustomization.yaml") == "1.14.0"
    assert tag(root, "apps/web/kustomization.yaml") == "1.15.0"
    assert point_versions(root, ".", REGISTRY, {"kured": LEGACY}) == []


def test_patterns_are_relative_to_the_folder_of_the_manifests(tmp_path: Path) -> None:
    """And not to the repository's root."""
    root = write(tmp_path, {"all/apps/legacy/kustomization.yaml": entry(), "all/web/kustomization.yaml": entry()})
    point_versions(root, "all", REGISTRY, {"kured": LEGACY})
    assert tag(root, "all/apps/legacy/kustomization.yaml") == "1.14.0"
    assert tag(root, "all/web/kustomization.yaml") == "1.15.0"


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"newTag": "1.14.0"}, "1.14.0"),
        ({"newTag": "1.15.0"}, "1.15.0"),
        ({"digest": NEW}, "1.15.0"),
        ({"newTag": "'1.15'", "digest": NEW}, "1.15.0"),
        ({"newTag": "1.14.0", "digest": "sha256:" + "9" * 64}, "1.14.0"),
    ],
    ids=["the old tag", "the new tag", "a digest", "a digest under another tag", "a tag with a digest unknown to us"],
)
def test_an_entry_keeps_the_version_that_it_has(tmp_path: Path, fields: dict[str, str], expected: str) -> None:
    """Where no version names the file, the entry's own tag or digest decides."""
    root = write(tmp_path, {"kustomization.yaml": entry(**fields)})
    point_versions(root, ".", REGISTRY, {"kured": SEVERAL})
    assert tag(root, "kustomization.yaml") == expected


def test_an_entry_without_a_tag_keeps_the_version_of_its_manifests(tmp_path: Path) -> None:
    """Each of two overlays applies to manifests of its own; a name with a tag selects among those of one."""
    files = {f"{name}/kustomization.yaml": "resources: [pod.yaml]\n" + entry() for name in ("a", "b")}
    files |= {"a/pod.yaml": pod("kured:1.14.0"), "b/pod.yaml": pod("kured:1.15.0")}
    both = "".join(f"  - name: kured:{version}\n    newName: {LIVE}\n" for version in ("1.14.0", "1.15.0"))
    files |= {"c/kustomization.yaml": f"resources: [old.yaml, new.yaml]\nimages:\n{both}"}
    files |= {"c/old.yaml": pod("kured:1.14.0"), "c/new.yaml": pod("kured:1.15.0").replace("name: a}", "name: b}")}
    root = write(tmp_path, files)
    point_versions(root, ".", REGISTRY, {"kured": SEVERAL})
    assert [tag(root, f"{name}/kustomization.yaml") for name in "ab"] == ["1.14.0", "1.15.0"]
    entries = YAML(typ="safe").load((root / "c/kustomization.yaml").read_text())["images"]
    assert [(found["name"], found["digest"]) for found in entries] == [("kured:1.14.0", OLD), ("kured:1.15.0", NEW)]


UNDECIDED = {
    "neither tag nor digest": {"kustomization.yaml": entry()},
    "a tag that the catalogue lacks": {"kustomization.yaml": entry(newTag="1.13.0")},
    "manifests with both tags": {
        "kustomization.yaml": "resources: [old.yaml, new.yaml]\n" + entry(),
        "old.yaml": pod("kured:1.14.0"),
        "new.yaml": pod("kured:1.15.0").replace("name: a}", "name: b}"),
    },
    "one image without a tag": {
        "kustomization.yaml": "resources: [old.yaml, new.yaml]\n" + entry(),
        "old.yaml": pod("kured:1.14.0"),
        "new.yaml": pod("kured").replace("name: a}", "name: b}"),
    },
    "manifests that cannot all be read": {
        "kustomization.yaml": "resources: [old.yaml, 'https://example.com/new.yaml']\n" + entry(),
        "old.yaml": pod("kured:1.14.0"),
    },
    "what a kustomization below has renamed": {
        "kustomization.yaml": f"resources: [base]\nimages:\n  - name: {LIVE}\n",
        "base/kustomization.yaml": "resources: [pod.yaml]\n" + entry(newTag="1.14.0"),
        "base/pod.yaml": pod("kured:1.0"),
    },
}


@pytest.mark.parametrize("files", UNDECIDED.values(), ids=UNDECIDED.keys())
def test_what_could_be_several_versions_is_refused(tmp_path: Path, files: dict[str, str]) -> None:
    """The error names file, entry and candidates, and nothing is written."""
    error = refusal(write(tmp_path, files), {"kured": SEVERAL})
    assert "kustomization.yaml: live/kured could be 1.14.0 or 1.15.0" in error.observed
    assert "manifests" in error.remedy


def test_a_tag_and_the_digest_of_another_version_are_refused(tmp_path: Path) -> None:
    """A node would pull the digest, and people would read the tag."""
    root = write(tmp_path, {"kustomization.yaml": entry(newTag="1.14.0", digest=NEW)})
    with pytest.raises(ConfigurationError, match=r"could be 1\.14\.0 or 1\.15\.0"):
        point_versions(root, ".", REGISTRY, {"kured": SEVERAL})


def test_two_versions_that_name_one_file_are_refused(tmp_path: Path) -> None:
    """Unless the entry has the tag of one of them."""
    versions = [
        Version(tag="1.14.0", digest=OLD, manifests=("apps/*",)),
        Version(tag="1.15.0", digest=NEW, manifests=("**/web",)),
    ]
    root = write(tmp_path, {"apps/web/kustomization.yaml": entry(newTag="1.0")})
    assert "apps/web/kustomization.yaml" in refusal(root, {"kured": versions}).observed
    write(tmp_path, {"apps/web/kustomization.yaml": entry(newTag="1.15.0")})
    point_versions(root, ".", REGISTRY, {"kured": versions})
    assert tag(root, "apps/web/kustomization.yaml") == "1.15.0"


def test_a_pattern_that_names_no_entry_is_refused(tmp_path: Path) -> None:
    """The entry that it means would get another version."""
    root = write(tmp_path, {"apps/legcay/kustomization.yaml": entry(newTag="1.14.0")})
    assert "apps/legacy (of live/kured:1.14.0)" in refusal(root, {"kured": LEGACY}).observed


def test_a_version_that_this_run_has_not_released_changes_nothing(tmp_path: Path) -> None:
    """Its entries stay, and are not given another version in its place."""
    root = write(
        tmp_path,
        {
            "apps/legacy/kustomization.yaml": entry(newTag="1.13.0"),
            "web/kustomization.yaml": entry(newTag="1.13.0"),
        },
    )
    point_versions(root, ".", REGISTRY, {"kured": [Version(tag="1.14.0", manifests=("apps/legacy",)), SEVERAL[1]]})
    assert tag(root, "apps/legacy/kustomization.yaml") == "1.13.0"
    assert tag(root, "web/kustomization.yaml") == "1.15.0"


def test_a_digest_that_may_be_of_a_version_not_released_now_stays(tmp_path: Path) -> None:
    """With pin: digest nothing else says which version an entry has."""
    for fields in ({"digest": OLD}, {"digest": OLD, "newTag": "'1.14'"}):
        root = write(tmp_path, {"kustomization.yaml": entry(**fields)})
        assert point_versions(root, ".", REGISTRY, {"kured": [Version(tag="1.14.0"), SEVERAL[1]]}) == []
        require_decided(root, ".", {"kured": [Version(tag="1.14.0"), Version(tag="1.15.0")]})


def test_each_version_has_to_be_used(tmp_path: Path) -> None:
    """One that no manifest uses is told with its tag; with any of them an image is released."""
    root = write(tmp_path, {"a.yaml": pod(f"{LIVE}:1.14.0"), "b.yaml": pod(f"{LIVE}:1.13.0")})
    found = find_usage(root, ".", REGISTRY, {"kured": SEVERAL})
    assert found.unused == ("kured:1.15.0",)
    assert [used.image for used in found.unreleased] == [f"{LIVE}:1.13.0"]


@pytest.mark.parametrize(
    ("pattern", "file", "expected"),
    [
        ("apps/legacy", "apps/legacy/kustomization.yaml", True),
        ("apps/legacy", "apps/legacy/eu/kustomization.yaml", True),
        ("apps/legacy", "apps/legacy-2/kustomization.yaml", False),
        ("legacy", "apps/legacy/kustomization.yaml", False),
        ("**/legacy", "apps/legacy/kustomization.yaml", True),
        ("**/legacy", "legacy/kustomization.yaml", True),
        ("apps/*/eu", "apps/legacy/eu/kustomization.yaml", True),
        ("apps/*/eu", "apps/a/b/eu/kustomization.yaml", False),
        ("apps/**/eu", "apps/a/b/eu/kustomization.yaml", True),
        ("kustomization.yaml", "kustomization.yaml", True),
        ("kustomization.yaml", "apps/kustomization.yaml", False),
        ("app?", "apps/kustomization.yaml", True),
        ("**", "kustomization.yaml", True),
    ],
)
def test_patterns(pattern: str, file: str, expected: bool) -> None:
    """A pattern names a file, or a folder above it."""
    assert is_named(pattern, file) is expected


_TAGS = st.sampled_from(["1", "2", "3"])
_VERSIONS = st.lists(
    st.builds(
        lambda tag, digest, manifests: Version(tag=tag, digest=digest, manifests=manifests),
        _TAGS,
        st.sampled_from(["", OLD, NEW]),
        st.sampled_from([(), ("a",), ("b",), ("**",)]),
    ),
    unique_by=lambda version: version.tag,
    max_size=3,
)
_PINS = st.builds(Pins, st.frozensets(_TAGS, max_size=2), st.frozensets(st.sampled_from([OLD, NEW]), max_size=2))


@given(_VERSIONS, st.sampled_from(["a/k", "b/k", "c/k"]), _PINS, st.randoms())
def test_a_choice_is_the_only_candidate_or_the_one_that_the_entry_has(
    versions: list[Version], file: str, pins: Pins, random: Random
) -> None:
    """Never the first, the newest or the last: the order in the catalogue changes nothing."""
    chosen = choose(versions, file, pins)
    shuffled = random.sample(versions, len(versions))
    again = choose(shuffled, file, pins)
    if isinstance(chosen, Version):
        assert again == chosen
        named = [version for version in versions if version.names(file)]
        candidates = named or [version for version in versions if not version.manifests]
        assert chosen in candidates
        assert len(candidates) == 1 or pins.tags == {chosen.tag} or pins.digests == {chosen.digest}
    else:
        assert isinstance(again, Undecided) == isinstance(chosen, Undecided)
