"""Only the manifests, and the files that they refer to, are checked out."""

from __future__ import annotations

from pathlib import Path

from pratique.git.checkout import Repository, checkout
from tests.pratique.repositories import git

FILES = {
    "clusters/one/kustomization.yaml": (
        'resources:\n- app\n- ../../base/network  # shared\npatches:\n- path: "../patches/p.yaml"\n'
    ),
    "clusters/one/app/kustomization.yaml": (
        "components: ['../../../components/a']\nresources: [deployment.yaml, ../../../..]\n"
    ),
    "clusters/one/app/deployment.yaml": "kind: Deployment\n",
    "clusters/two/kustomization.yaml": "resources: [../../unrelated]\n",
    "clusters/patches/p.yaml": "kind: Patch\n",
    "base/network/kustomization.yaml": "resources:\n  - ../common\n  - ../nowhere\n",
    "base/common/deep/x.yaml": "kind: X\n",
    "base/other/x.yaml": "kind: X\n",
    "components/a/Kustomization": "kind: Component\n",
    "unrelated/x.yaml": "kind: X\n",
    "top.yaml": "kind: Top\n",
}


async def test_checked_out_files(remote: Path) -> None:
    """The folder and its direct and indirect references are checked out; missing references are ignored."""
    clone = remote.parent / "seed"
    for name, text in FILES.items():
        (clone / name).parent.mkdir(parents=True, exist_ok=True)
        (clone / name).write_text(text)
    git("add", ".", cwd=clone)
    git("commit", "--quiet", "-m", "files", cwd=clone)
    git("push", "--quiet", "origin", "main", cwd=clone)
    async with checkout(Repository(remote=remote.as_uri(), branch="main", folder="clusters/one")) as tree:
        there = {path.relative_to(tree.root).as_posix() for path in tree.root.rglob("*") if path.is_file()}
    found = {path for path in there if not path.startswith(".git/")}
    assert found == {
        *(name for name in FILES if name.startswith("clusters/one/")),
        "clusters/patches/p.yaml",
        "base/network/kustomization.yaml",
        "base/common/deep/x.yaml",
        "components/a/Kustomization",
        "top.yaml",
        "value.txt",
    }
