"""Two commits or none, whatever others push at the same time."""

from __future__ import annotations

import asyncio
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from pratique.change import Change
from pratique.errors import ConfigurationError, Conflict, GitRejected, ManifestRejected, NotFound, TransientError
from pratique.git import publish as gitops
from pratique.git.checkout import CommitAuthor, PushResult, Repository, checkout
from pratique.git.publish import Edit, publish
from pratique.images import LiveImage
from pratique.manifests.images import point_images
from pratique.manifests.secret_provider import point_vault
from tests.isolated_git import git_environment
from tests.pratique.repositories import AUTHOR, content, git, hook, lines, somebody_pushes, subjects, there, write

SAMPLE = Path(__file__).parents[3] / "examples" / "cluster-manifests"
VAULT = {
    "vault_name": "kv-aks-123",
    "tenant_id": "72f988bf-0000-4000-8000-2d7cd011db47",
    "client_id": "11111111-2222-4333-8444-555555555555",
    "certificate_name": "ingress-internal-aks-ingress-contoso-com-tls",
}


async def test_each_edit_is_a_commit_and_all_are_pushed(remote: Path) -> None:
    """Two edits make two commits by the given author on top of the branch, each with its changes."""
    publication = await publish(
        there(remote),
        [("Use live images.", write("a.txt", "1\n")), ("Use the vault.", write("b.txt", "2\n"))],
        author=AUTHOR,
    )
    assert subjects(remote) == ["Use the vault.", "Use live images.", "first"]
    assert [commit.message for commit in publication.commits] == ["Use live images.", "Use the vault."]
    assert publication.commits[0].changes == (Change("a.txt", "text", None, "1\n"),)
    assert publication.head == publication.commits[-1].sha == git("rev-parse", "main", cwd=remote)
    assert git("log", "-1", "--format=%an <%ae> %cn <%ce>", "main", cwd=remote) == (
        "Pratique <pratique@contoso.com> Pratique <pratique@contoso.com>"
    )
    assert not publication.unchanged


async def test_a_second_run_commits_nothing(remote: Path) -> None:
    """Once the edits are pushed, a second run commits and pushes nothing: a hook that would refuse is not called."""
    edits = [("one", write("a.txt", "1\n")), ("two", write("b.txt", "2\n"))]
    first = await publish(there(remote), edits, author=AUTHOR)
    hook(remote, "exit 1")
    second = await publish(there(remote), edits, author=AUTHOR)
    assert second.unchanged
    assert second.head == first.head == git("rev-parse", "main", cwd=remote)


@pytest.mark.parametrize("changes", ["1\n", "0\n"], ids=["something to push", "nothing to push"])
async def test_what_is_looked_at_right_before_the_push(remote: Path, changes: str) -> None:
    """The look comes after the edits, once for each attempt; what it raises stops the push."""
    seen: list[list[str]] = []

    async def refuses() -> None:
        seen.append(subjects(remote))
        if len(seen) == 1 and changes == "1\n":
            somebody_pushes(remote, "b.txt")
        elif len(seen) == 2 or changes == "0\n":
            raise NotFound("look", "live/", "It is not there.", "Run again.")

    with pytest.raises(NotFound):
        await publish(there(remote), [("one", write("value.txt", changes))], author=AUTHOR, before_push=refuses)
    assert seen == ([["first"], ["write b.txt", "first"]] if changes == "1\n" else [["first"]])
    assert "one" not in subjects(remote)


async def test_a_run_continues_where_another_ended(remote: Path) -> None:
    """With the first edit already in the branch only the second is committed."""
    edits = [("one", write("a.txt", "1\n")), ("two", write("b.txt", "2\n"))]
    await publish(there(remote), edits[:1], author=AUTHOR)
    publication = await publish(there(remote), edits, author=AUTHOR)
    assert [commit.message for commit in publication.commits] == ["two"]
    assert subjects(remote) == ["two", "one", "first"]


async def test_the_walkthroughs_two_commits(remote: Path, tmp_path: Path) -> None:
    """Images and vault of the sample repository make two commits; a second run makes none."""
    clone = tmp_path / "sample"
    git("clone", "--quiet", str(remote), str(clone), cwd=tmp_path)
    shutil.copytree(SAMPLE, clone / "cluster-manifests")
    git("add", ".", cwd=clone)
    git("commit", "--quiet", "-m", "sample", cwd=clone)
    git("push", "--quiet", "origin", "main", cwd=clone)
    entries = re.findall(r"/live/(\S+)", "".join(path.read_text() for path in SAMPLE.glob("*/kustomization.yaml")))
    images = {repository: LiveImage("v1", "sha256:" + "a" * 64) for repository in entries}
    edits: list[tuple[str, Edit]] = [
        ("images", lambda root: point_images(root, "cluster-manifests", "acraks123.azurecr.io", images)),
        ("vault", lambda root: point_vault(root, "cluster-manifests/ingress-nginx/akv-tls-provider.yaml", **VAULT)),
    ]
    first = await publish(there(remote), edits, author=AUTHOR)
    assert [len(commit.changes) for commit in first.commits] == [3 * len(images), 3]
    assert (await publish(there(remote), edits, author=AUTHOR)).unchanged
    assert subjects(remote) == ["vault", "images", "sample", "first"]


async def test_a_race_is_run_again_from_the_new_head(remote: Path) -> None:
    """Somebody pushes between clone and push: the edit is applied again on top of theirs, and both stay."""
    calls: list[Path] = []

    async def edit(root: Path) -> list[Change]:
        calls.append(root)
        if len(calls) == 1:
            somebody_pushes(remote, "theirs.txt")
        return write("a.txt", "1\n")(root)

    publication = await publish(there(remote), [("one", edit)], author=AUTHOR)
    assert len(calls) == 2
    assert len(publication.commits) == 1
    assert subjects(remote) == ["one", "write theirs.txt", "first"]


async def test_a_race_lost_each_time_is_transient(remote: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """After the last attempt the error is retryable, and the branch has the other commits."""
    monkeypatch.setattr(gitops, "_PAUSE", 0.0)
    monkeypatch.setattr(gitops, "ATTEMPTS", 3)
    calls: list[Path] = []

    def edit(root: Path) -> list[Change]:
        calls.append(root)
        somebody_pushes(remote, f"theirs-{len(calls)}.txt")
        return write("a.txt", "1\n")(root)

    with pytest.raises(TransientError, match="each of 3 attempts"):
        await publish(there(remote), [("one", edit)], author=AUTHOR)
    assert len(calls) == 3
    assert "one" not in subjects(remote)


TEN = {f"image{number}": "1" for number in range(10)}


@pytest.fixture
def ten(remote: Path) -> Path:
    """The repository with a file of ten values, all 0."""
    somebody_pushes(remote, "cluster/values.txt", "".join(f"{key}: 0\n" for key in TEN))
    return remote


async def test_ten_at_once_with_different_edits(ten: Path) -> None:
    """Ten runs edit one file and push at the same moment: each lands as one commit, and no edit is lost."""
    at = Repository(remote=ten.as_uri(), branch="main", folder="cluster")

    async def run(key: str) -> None:
        published = await publish(at, [(key, lines("cluster/values.txt", **{key: "1"}))], author=AUTHOR)
        assert [commit.message for commit in published.commits] == [key]

    await asyncio.gather(*map(run, TEN))
    assert content(ten, "cluster/values.txt").splitlines() == [f"{key}: 1" for key in TEN]
    assert sorted(subjects(ten)[:-2]) == sorted(TEN)


async def test_ten_at_once_with_the_same_edits(ten: Path) -> None:
    """One run makes both commits; the others find nothing to change, and make no commit, not even an empty one."""
    edits = [("images", lines("cluster/values.txt", **TEN)), ("vault", write("cluster/vault.txt", "kv\n"))]
    at = Repository(remote=ten.as_uri(), branch="main", folder="cluster")
    # As in real runs: without different trailers, commits of the same second would be identical.
    trailers = [{"Pratique-Run": key} for key in TEN]
    results = await asyncio.gather(*(publish(at, edits, author=AUTHOR, trailers=trailer) for trailer in trailers))
    assert sorted(len(published.commits) for published in results) == [0] * 9 + [2]
    assert subjects(ten)[:-2] == ["vault", "images"]


def meanwhile(remote: Path, text: str, edit: Edit) -> Edit:
    """An edit during whose first call somebody pushes another text for the file of values."""
    called: list[Path] = []

    def edited(root: Path) -> list[Change]:
        if not called:
            somebody_pushes(remote, "cluster/values.txt", text)
        called.append(root)
        changes = edit(root)
        assert isinstance(changes, list)
        return changes

    return edited


async def test_a_value_that_somebody_set_meanwhile_is_a_conflict(ten: Path) -> None:
    """The error names file, key and their value, and theirs stays. The next run overwrites it."""
    edit = lines("cluster/values.txt", image3="1")
    theirs = content(ten, "cluster/values.txt").replace("image3: 0", "image3: 7") + "\n"
    with pytest.raises(Conflict, match=r"cluster/values.txt: image3\): Somebody set it to '7' .* set it to '1'"):
        await publish(there(ten), [("one", meanwhile(ten, theirs, edit))], author=AUTHOR)
    assert "image3: 7" in content(ten, "cluster/values.txt")
    assert len((await publish(there(ten), [("one", edit)], author=AUTHOR)).commits) == 1
    assert "image3: 1" in content(ten, "cluster/values.txt")


async def test_a_correct_value_that_somebody_changed_meanwhile_is_a_conflict(ten: Path) -> None:
    """The run found the wanted value first, so the change is newer: a newer release is not reverted silently."""
    edit = lines("cluster/values.txt", image1="0", image3="1")
    theirs = content(ten, "cluster/values.txt").replace("image1: 0", "image1: 7") + "\n"
    with pytest.raises(Conflict, match=r"values.txt: image1\): Somebody set it to '7'"):
        await publish(there(ten), [("one", meanwhile(ten, theirs, edit))], author=AUTHOR)


async def test_the_same_value_from_somebody_else_is_no_conflict(ten: Path) -> None:
    """If somebody sets the wanted value first, there is nothing left to commit."""
    edit = lines("cluster/values.txt", image3="1")
    theirs = content(ten, "cluster/values.txt").replace("image3: 0", "image3: 1") + "\n"
    published = await publish(there(ten), [("one", meanwhile(ten, theirs, edit))], author=AUTHOR)
    assert published.unchanged
    assert published.head == git("rev-parse", "main", cwd=ten)


async def test_trailers_name_the_run_and_the_policy(remote: Path) -> None:
    """git recognises both trailers."""
    trailers = {"Pratique-Run": "4c7d", "Pratique-Policy": f"sha256:{'a' * 64}"}
    await publish(there(remote), [("Use live images.", write("a.txt", "1\n"))], author=AUTHOR, trailers=trailers)
    found = git("log", "-1", "--format=%(trailers:only,unfold)", "main", cwd=remote).splitlines()
    assert dict(line.split(": ") for line in found if line) == trailers
    assert subjects(remote)[0] == "Use live images."


@pytest.mark.parametrize(
    ("key", "value"), [("Pratique Run", "1"), ("Pratique-Run", " "), ("Run", "1\nSigned-off-by: x")]
)
async def test_invalid_trailers_are_refused(remote: Path, key: str, value: str) -> None:
    """Invalid keys and empty values are refused, and values of several lines, which could add further trailers."""
    with pytest.raises(ConfigurationError, match="not a valid trailer"):
        await publish(there(remote), [("one", write("a.txt", "1\n"))], author=AUTHOR, trailers={key: value})


def fast_import(remote: Path, files: dict[str, str]) -> None:
    """Put a commit with these files on main."""
    stream = ["commit refs/heads/main\ncommitter Somebody <somebody@contoso.com> 1700000000 +0000\ndata 4\nhuge\n"]
    stream += ["from refs/heads/main^0\ndeleteall\n"]
    stream += [f"M 644 inline {name}\ndata {len(text)}\n{text}\n" for name, text in files.items()]
    command = ["git", "fast-import", "--quiet"]
    subprocess.run(command, cwd=remote, env=git_environment(), input="".join(stream), check=True, text=True)


@pytest.mark.parametrize("filters", ["true", "false"])
async def test_only_the_manifests_of_a_huge_repository_are_fetched(remote: Path, filters: str) -> None:
    """None of 10,000 other files is checked out, and none is fetched if the server supports partial clones; the commit
    contains the changed manifest and a new file beside it, and nothing else."""
    git("config", "uploadpack.allowFilter", filters, cwd=remote)
    files = {f"apps/team{number % 100}/{number}.yaml": f"key: {number}\n" for number in range(10_000)}
    fast_import(remote, files | {"value.txt": "0\n", "cluster/values.txt": "image: 0\n"})
    roots: list[int] = []

    def edit(root: Path) -> list[Change]:
        roots.append(sum(path.is_file() for path in root.rglob("*") if ".git" not in path.parts))
        objects = git("count-objects", "-v", cwd=root)
        assert ("in-pack: 1" in objects and int(objects.split("in-pack: ")[1].split()[0]) > 9_000) is (
            filters == "false"
        )
        return [*write("cluster/new.txt", "1\n")(root), *lines("cluster/values.txt", image="1")(root)]

    await publish(Repository(remote=remote.as_uri(), branch="main", folder="cluster"), [("one", edit)], author=AUTHOR)
    assert roots == [2], "value.txt beside the folder, and the manifest"
    assert git("show", "--format=", "--name-only", "main", cwd=remote).split() == [
        "cluster/new.txt",
        "cluster/values.txt",
    ]
    assert len(git("ls-tree", "-r", "--name-only", "main", cwd=remote).split()) == 10_003


async def test_a_race_inside_the_server_counts_as_moved(remote: Path) -> None:
    """If the branch moves while the server's hook runs, the push lost a race and was not refused."""
    somebody_pushes(remote, "theirs.txt")
    theirs = git("rev-parse", "main", cwd=remote)
    git("update-ref", "refs/heads/main", "main~1", cwd=remote)
    # Outside git's quarantine for incoming objects, in which refs must not be updated.
    hook(remote, f"env -u GIT_QUARANTINE_PATH git update-ref refs/heads/main {theirs}")
    async with checkout(there(remote)) as tree:
        write("a.txt", "1\n")(tree.root)
        assert await tree.commit("one", AUTHOR, ["a.txt"])
        assert await tree.push() is PushResult.MOVED
    assert git("rev-parse", "main", cwd=remote) == theirs


async def test_a_refusal_is_permanent_and_quotes_the_server(remote: Path) -> None:
    """If a pre-receive hook refuses, the error contains its message, and the edit is not retried."""
    hook(remote, "echo 'policy: ticket not found' >&2; exit 1")
    calls: list[Path] = []

    def edit(root: Path) -> list[Change]:
        calls.append(root)
        return write("a.txt", "1\n")(root)

    with pytest.raises(GitRejected, match=r"policy: ticket not found .*pre-receive hook declined"):
        await publish(there(remote), [("one", edit)], author=AUTHOR)
    assert len(calls) == 1
    assert subjects(remote) == ["first"]


async def test_a_failing_edit_pushes_nothing(remote: Path) -> None:
    """If the second edit raises, the error is raised, the first commit is not pushed, and the clone is deleted."""
    roots: list[Path] = []

    def edit(root: Path) -> list[Change]:
        roots.append(root)
        raise ManifestRejected("edit", "file", "No.", "Fix it.")

    with pytest.raises(ManifestRejected):
        await publish(there(remote), [("one", write("a.txt", "1\n")), ("two", edit)], author=AUTHOR)
    assert subjects(remote) == ["first"]
    assert not roots[0].exists()


async def test_a_missing_repository_or_branch_is_not_found(remote: Path, tmp_path: Path) -> None:
    """A missing branch, a missing repository, and a tag in place of a branch are not found."""
    git("tag", "v1", "main", cwd=remote)
    for url, branch in ((remote.as_uri(), "trunk"), ((tmp_path / "no.git").as_uri(), "main"), (remote.as_uri(), "v1")):
        with pytest.raises(NotFound):
            await publish(Repository(remote=url, branch=branch), [], author=AUTHOR)


async def test_other_configuration_has_no_effect(remote: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither a user's settings and hooks nor the variables of a surrounding repository have an effect."""
    home = tmp_path / "home"
    (home / "hooks").mkdir(parents=True)
    (home / "hooks" / "pre-commit").write_text("#!/bin/sh\nexit 1\n")
    (home / "hooks" / "pre-commit").chmod(0o755)
    (home / ".gitconfig").write_text(f"[core]\nhooksPath = {home}/hooks\n[user]\nname = Me\n[commit]\ngpgSign = true\n")
    for name, value in {"HOME": str(home), "GIT_DIR": "/nonexistent", "GIT_AUTHOR_DATE": "nonsense"}.items():
        monkeypatch.setenv(name, value)
    publication = await publish(there(remote), [("one", write("a.txt", "1\n"))], author=AUTHOR)
    monkeypatch.delenv("GIT_DIR")
    assert publication.head == git("rev-parse", "main", cwd=remote)


async def test_links_of_the_repository_are_not_followed(remote: Path, tmp_path: Path) -> None:
    """A link is checked out as a file that contains its target, and stays a link in the branch."""
    clone = tmp_path / "linker"
    git("clone", "--quiet", str(remote), str(clone), cwd=tmp_path)
    (clone / "link").symlink_to("/etc/hostname")
    git("add", ".", cwd=clone)
    git("commit", "--quiet", "-m", "link", cwd=clone)
    git("push", "--quiet", "origin", "main", cwd=clone)
    async with checkout(there(remote)) as tree:
        assert not (tree.root / "link").is_symlink()
        with pytest.raises(ManifestRejected, match=r"link.*symbolic link"):
            await tree.commit("nothing", AUTHOR, ["link"])
        write("a.txt", "1\n")(tree.root)
        await tree.commit("one", AUTHOR, ["a.txt"])
        await tree.push()
    assert git("ls-tree", "main", "link", cwd=remote).startswith("120000")


@pytest.mark.parametrize(("name", "email"), [("", "a@b"), ("A", "nobody"), ("A <x>", "a@b"), ("A\nB", "a@b")])
def test_an_author_needs_name_and_address(name: str, email: str) -> None:
    """Names and addresses that git would refuse or change are refused first."""
    with pytest.raises(ConfigurationError):
        CommitAuthor(name, email)
