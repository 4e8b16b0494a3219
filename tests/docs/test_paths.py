"""Paths, links and pages that a text names are there."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath

import pytest

from tests.docs.paths import exists, missing
from tests.docs.texts import FENCED, ROOT, Text, files, pages, python_texts, source, trees

#: What looks like a path of the repository and is none.
OTHERS: Mapping[str, str] = {
    "pratique/live-…": "branches of the GitOps repository",
    "pratique/rg-bu0001a0008": "a branch of the GitOps repository",
    "docs/AAD-OAuth.md": "in Azure/acr",
    "layer.md": "in opencontainers/image-spec",
    "prefect/cli/_server_utils.py": "in PrefectHQ/prefect",
}
INDEX = "docs/README.md"
_LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
#: Files that name others in what they set, besides comments.
_NAMING = (".yaml", ".yml", ".toml", ".sh", "Makefile", "Dockerfile", ".ci/run")


def named() -> Iterator[Text]:
    """Everything that names paths: what documents, what sets, and what a program says to its users about pages."""
    yield from [*pages(), *python_texts()]
    yield from (Text(file, 1, source(file), "comment") for file in files() if file.endswith(_NAMING))
    for file, tree in trees().items():
        if not file.startswith("tests/"):
            constants = [node for node in ast.walk(tree) if isinstance(node, ast.Constant)]
            said = [(node.lineno, node.value) for node in constants if isinstance(node.value, str)]
            yield from (Text(file, line, text, "comment") for line, text in said if "docs/" in text)


def links(page: Text) -> Iterator[tuple[int, str]]:
    """Position and target of each link that leads to something in the repository."""
    for match in _LINK.finditer(page.text):
        if not re.match(r"[a-z]+:", match[1]):
            yield match.start(), match[1]


def target(page: Text, link: str) -> Path:
    path = link.partition("#")[0]
    return ROOT / PurePosixPath(page.file).parent / path if path else ROOT / page.file


def anchors(page: Path) -> set[str]:
    """The headings of a page, as links name them."""
    headings = re.findall(r"^#+ (.+)$", FENCED.sub("", page.read_text()), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def dead(page: Text) -> list[str]:
    """Links to what is not there, or to a heading that it does not have."""
    found = []
    for position, link in links(page):
        anchor = link.partition("#")[2]
        there = target(page, link)
        if not there.exists() or (anchor and anchor not in anchors(there)):
            found.append(f"{page.at(position)}: {link}")
    return found


def test_paths_exist() -> None:
    """Each path that a page, a docstring, a comment or a setting names is there; each exception is still needed."""
    absent = [(text.at(position), path) for text in named() for position, path in missing(text)]
    wrong = [f"{at}: {path}" for at, path in absent if path not in OTHERS]
    assert not wrong, "\n".join(wrong)
    assert {path for _, path in absent} >= OTHERS.keys()


def test_links_lead_somewhere() -> None:
    """Each relative link names a file or folder that is there, and a heading that it has."""
    lies = [lie for page in pages() for lie in dead(page)]
    assert not lies, "\n".join(lies)


def test_every_page_is_in_the_index() -> None:
    """The README links the index, and the index every page below docs/."""
    index = next(page for page in pages() if page.file == INDEX)
    readme = next(page for page in pages() if page.file == "README.md")
    assert INDEX in {link for _, link in links(readme)}
    linked = {target(index, link).resolve().relative_to(ROOT).as_posix() for _, link in links(index)}
    assert {page.file for page in pages() if page.file.startswith("docs/")} - {INDEX} <= linked


@pytest.mark.parametrize(
    ("text", "lies"),
    [
        ("See docs/gate.md, not docs/gaet.md.", ["docs/gaet.md"]),
        ("`tests/flows/` has no `tests/flow/`.", ["tests/flow/"]),
        ("[here](tests/docs/none.py)", ["tests/docs/none.py"]),
        ("    cp examples/bootstrap.yaml examples/none.yaml", ["examples/none.yaml"]),
        ("The errors are in `no_errors.py`, or test_paths.py.", ["no_errors.py"]),
        ("docs/decisions/0001-*.md and `docs/<name>.md`, but not `docs/<name>.rst`", ["docs/<name>.rst"]),
        ("https://example.org/docs/none.md and contoso/docs/none/", []),
    ],
)
def test_a_path_that_is_not_there_is_noticed(text: str, lies: list[str]) -> None:
    """In inline code, blocks and prose; with and without its folder; patterns have to match something."""
    assert [path for _, path in missing(Text("README.md", 1, text, "page"))] == lies


def test_a_path_beside_the_page_is_noticed() -> None:
    """What a page names may lie beside it; what another file names may not lie there."""
    text = "images/summary.png, images/none.png, ../README.md, ../NONE.md, decisions/"
    page = Text("docs/gate.md", 1, text, "page")
    assert [path for _, path in missing(page)] == ["images/none.png", "../NONE.md"]


def test_what_a_tree_lists_is_noticed() -> None:
    """Names in a tree are below the folder above them; explanations are no names."""
    lines = [
        "tests/      all",
        "  docs/     names",
        "    none.py  x     nil.py  y",
        "    paths.py texts.py …  z",
        "  no/",
        "no/",
    ]
    page = Text("README.md", 1, "\n".join(["```", *lines, "```", ""]), "page")
    found = {path for _, path in missing(page)}
    assert found == {"tests/docs/none.py", "tests/docs/nil.py", "tests/no/", "no/", "none.py", "nil.py"}


def test_a_dead_link_is_noticed() -> None:
    """A file that is not there, and a heading that is not there."""
    page = Text("docs/page.md", 1, "[a](gate.md) [b](gaet.md) [c](gate.md#the-policy) [d](gate.md#none)", "page")
    assert dead(page) == ["docs/page.md:1: gaet.md", "docs/page.md:1: gate.md#none"]
    assert exists("docs/gate.md")
