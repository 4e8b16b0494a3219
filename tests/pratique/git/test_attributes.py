"""A commit changes the edited values and no other byte, whatever attributes and configuration say."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from pratique.change import Change
from pratique.git.checkout import Repository, checkout
from pratique.git.publish import Edit, publish
from tests.isolated_git import git_environment
from tests.pratique.repositories import AUTHOR, git

POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:" + b"a" * 64 + b"\nsize 12\n"

# Files as somebody has committed them; a conversion would change each of them, whatever the others are taken for.
FILES = {
    "cluster/values.yaml": b"# $Id: of an older version $\r\nimage: old\r\nother: \xc3\xa9\n",
    "cluster/crlf.yaml": b"a: 1\r\nb: 2\r\n",
    "cluster/mixed.yaml": b"a: 1\r\nb: 2\nc: $Id: 1 $",
    "cluster/wide.yaml": "a: \u00e9\r\n".encode("utf-16"),
    "cluster/latin.yaml": b"a: \xe9\r\n\x00",
    "cluster/pointer.yaml": POINTER,
    "cluster/sub/values.yaml": b"image: old\r\n$Id$\r\n",
    "top.yaml": b"image: old\r\n",
}
ATTRIBUTES = {
    "text": "* text\n",
    "text=auto": "* text=auto\n",
    "text with eol=lf": "* text eol=lf\n",
    "text with eol=crlf": "*.yaml text eol=crlf\n",
    "only eol": "*.yaml eol=crlf\n",
    "the older crlf": "* crlf\n",
    "the older crlf=input": "* crlf=input\n",
    "ident": "* ident\n",
    "a filter": "*.yaml filter=lfs diff=lfs merge=lfs -text\n",
    "an encoding": "* text working-tree-encoding=UTF-16LE-BOM\n",
    "another encoding": "* text working-tree-encoding=ISO-8859-1 eol=crlf\n",
    "a macro": "[attr]windows text eol=crlf ident working-tree-encoding=UTF-16\n* windows\n",
    "macros named as attributes": "[attr]text ident\n[attr]ident text eol=crlf\n* text\n* ident\n",
    "binary, then text": "* binary\n*.yaml text eol=lf\n",
}


def put(remote: Path, files: dict[str, bytes], branch: str = "main") -> None:
    """Put a commit with exactly these bytes on a branch, past every conversion."""
    stream = [b"commit refs/heads/%b\ncommitter S <s@contoso.com> 1700000000 +0000\ndata 4\nfile\n" % branch.encode()]
    stream += [b"M 644 inline %b\ndata %d\n%b\n" % (name.encode(), len(data), data) for name, data in files.items()]
    command = ["git", "fast-import", "--quiet", "--force"]
    subprocess.run(command, cwd=remote, env=git_environment(), input=b"".join(stream), check=True)


def blobs(remote: Path, revision: str = "main") -> dict[str, bytes]:
    """Every file of a commit, byte for byte."""
    names = git("ls-tree", "-r", "--name-only", revision, cwd=remote).splitlines()
    return {name: blob(remote, f"{revision}:{name}") for name in names}


def blob(remote: Path, name: str) -> bytes:
    command = ["git", "cat-file", "blob", name]
    return subprocess.run(command, cwd=remote, env=git_environment(), check=True, capture_output=True).stdout


def replace(name: str, old: bytes = b"old", new: bytes = b"new") -> Edit:
    """An edit that replaces a value in a file, in place."""

    def edit(root: Path) -> list[Change]:
        before = (root / name).read_bytes()
        (root / name).write_bytes(before.replace(old, new))
        return [Change(name, "image", old.decode(), new.decode())] if old in before else []

    return edit


def of(remote: Path, folder: str = ".") -> Repository:
    return Repository(remote=remote.as_uri(), branch="main", folder=folder)


@pytest.fixture
def hostile_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A user whose git converts line endings everywhere, and ignores new manifests."""
    home = tmp_path / "home"
    (home / ".config" / "git").mkdir(parents=True)
    (home / ".gitconfig").write_text("[core]\nautocrlf = true\neol = crlf\nsafecrlf = true\n")
    (home / ".config" / "git" / "attributes").write_text("* text=auto ident working-tree-encoding=UTF-16\n")
    (home / ".config" / "git" / "ignore").write_text("*.json\n")
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.delenv("XDG_CONFIG_HOME", raising=False)


@pytest.mark.usefixtures("hostile_home")
@pytest.mark.parametrize(
    ("place", "folder"),
    [(".gitattributes", "."), ("cluster/.gitattributes", "cluster"), ("cluster/sub/.gitattributes", "cluster")],
)
@pytest.mark.parametrize("attributes", ATTRIBUTES.values(), ids=list(ATTRIBUTES))
async def test_only_the_edited_bytes_change(remote: Path, attributes: str, place: str, folder: str) -> None:
    """Two commits each change one value; every other byte of every file stays. A second run makes no commit."""
    before = FILES | {place: attributes.encode()}
    put(remote, before)
    edits = [("one", replace("cluster/values.yaml")), ("two", replace("cluster/sub/values.yaml"))]
    published = await publish(of(remote, folder), edits, author=AUTHOR)
    one = before | {"cluster/values.yaml": before["cluster/values.yaml"].replace(b"old", b"new")}
    two = one | {"cluster/sub/values.yaml": one["cluster/sub/values.yaml"].replace(b"old", b"new")}
    assert [blobs(remote, commit.sha) for commit in published.commits] == [one, two]
    assert (await publish(of(remote, folder), edits, author=AUTHOR)).unchanged


@pytest.mark.parametrize("attributes", ATTRIBUTES.values(), ids=list(ATTRIBUTES))
async def test_nothing_to_change_is_no_commit(remote: Path, attributes: str) -> None:
    """An edit that writes every file as it is makes no commit, even if it reports a change."""
    put(remote, FILES | {".gitattributes": attributes.encode()})

    def edit(root: Path) -> list[Change]:
        for name, data in FILES.items():
            assert (root / name).read_bytes() == data
            (root / name).write_bytes(data)
        return [Change(name, "image", "old", "new") for name in FILES]

    assert (await publish(of(remote), [("one", edit)], author=AUTHOR)).unchanged


@pytest.mark.parametrize("attributes", ["* text=auto eol=crlf ident\n", "* merge=union\n", "* -merge -diff\n"])
async def test_waiting_commits_are_reapplied_byte_for_byte(remote: Path, attributes: str) -> None:
    """Neither conversions nor merge drivers of the repository change what waits on the working branch."""
    rows = b"a: old\r\n" + b"x: $Id: 1 $\r\n" * 9 + b"b: old\r\n"
    put(remote, {"values.yaml": rows, ".gitattributes": attributes.encode()})

    async def run(edit: Edit, name: str) -> None:
        trailers = {"Pratique-Run": name}
        await publish(of(remote), [(name, edit)], author=AUTHOR, trailers=trailers, working_branch="waiting")

    await run(replace("values.yaml", b"a: old", b"a: new"), "one")
    put(remote, {"values.yaml": rows.replace(b"a: old", b"a: their"), ".gitattributes": attributes.encode()})
    await run(replace("values.yaml", b"b: old", b"b: new"), "two")
    expected = rows.replace(b"a: old", b"a: their").replace(b"b: old", b"b: new")
    assert blobs(remote, "waiting")["values.yaml"] == expected


@pytest.mark.usefixtures("hostile_home")
async def test_new_files(remote: Path) -> None:
    """An edit's new file is committed as it is, also if the repository and the user ignore it; other new files are
    not."""
    put(remote, {".gitignore": b"*.json\n", ".gitattributes": b"* text eol=lf\n"})

    def edit(root: Path) -> list[Change]:
        (root / "new").mkdir()
        for name in ("a.json", "b.json", "c.txt"):
            (root / "new" / name).write_bytes(b"{}\r\n")
        return [Change("./new/a.json", "text", None, "{}")]

    await publish(of(remote), [("one", edit)], author=AUTHOR)
    assert set(blobs(remote)) == {".gitignore", ".gitattributes", "new/a.json"}
    assert blobs(remote)["new/a.json"] == b"{}\r\n"


async def test_modes_stay(remote: Path) -> None:
    """An executable file stays executable, and names that look like pathspecs are names."""
    put(remote, {":(glob)*.yaml": b"image: old\n", "a,b.yaml": b"image: old\n", "c.yaml": b"image: old\n"})
    git("update-ref", "refs/heads/main", executable(remote, "a,b.yaml"), cwd=remote)
    names = (":(glob)*.yaml", "a,b.yaml")
    await publish(of(remote), [(name, replace(name)) for name in names], author=AUTHOR)
    listed = git("ls-tree", "main", cwd=remote)
    assert "100755 blob" in next(line for line in listed.splitlines() if line.endswith("a,b.yaml"))
    assert set(blobs(remote).values()) == {b"image: new\n", b"image: old\n"}
    assert blobs(remote)["c.yaml"] == b"image: old\n"


def executable(remote: Path, name: str) -> str:
    """A commit on main in which a file is executable."""
    clone = remote.parent / "executable"
    git("clone", "--quiet", str(remote), str(clone), cwd=remote.parent)
    git("update-index", "--chmod=+x", name, cwd=clone)
    git("commit", "--quiet", "--message", "executable", cwd=clone)
    git("push", "--quiet", "origin", "HEAD:executable", cwd=clone)
    return git("rev-parse", "HEAD", cwd=clone)


async def test_a_lost_race_fetches_byte_for_byte(remote: Path) -> None:
    """What somebody pushes meanwhile is read and kept as it is."""
    files = {"values.yaml": b"image: old\r\n", ".gitattributes": b"* text ident eol=lf\n"}
    put(remote, files)
    async with checkout(of(remote)) as tree:
        put(remote, files | {"values.yaml": b"image: their $Id: 1 $\r\n"})
        await tree.reset()
        replace("values.yaml", b"their", b"new")(tree.root)
        assert await tree.commit("one", AUTHOR, ["values.yaml"])
        await tree.push()
    assert blobs(remote)["values.yaml"] == b"image: new $Id: 1 $\r\n"
