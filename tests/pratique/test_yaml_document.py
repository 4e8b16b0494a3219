"""YAML that people write: read in bounded time and memory, or refused."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from pratique.config import load, parse
from pratique.errors import ConfigurationError, ManifestRejected
from pratique.gate.exceptions.lookup import Exceptions
from pratique.gate.policy import Policy
from pratique.manifests.kustomize import Renderer
from pratique.manifests.yaml_editor import YamlText
from pratique.yaml_document import DEEPEST, LARGEST, MOST_VALUES, InvalidYaml, load_yaml
from tests.pratique.gate.kit import HIGH, NGINX, NOW

#: CPU seconds within which any text is read or refused, on a slow machine; a bomb would take hours.
PATIENCE = 60


def aliases(levels: int, width: int = 9) -> str:
    """Each level has the one below it many times."""
    lines = ["a0: &a0 [x, x]", *(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * width)}]" for n in range(1, levels))]
    return "\n".join(lines)


def merges(levels: int, width: int = 2) -> str:
    """Each mapping merges the one above it many times."""
    lines = [
        "a0: &a0 {k0: v}",
        *(f"a{n}: &a{n} {{<<: [{', '.join([f'*a{n - 1}'] * width)}], k{n}: v}}" for n in range(1, levels)),
    ]
    return "\n".join(lines)


def chain(levels: int) -> str:
    """Each level has the one below it once: deep, not large."""
    return "\n".join(["a0: &a0 [x]", *(f"a{n}: &a{n} [*a{n - 1}]" for n in range(1, levels))])


BOMBS = {
    "aliases": aliases(40),
    "merges": merges(40),
    "wide merges": merges(4, 100),
    "a chain of aliases": chain(5000),
    "an alias in itself": "a: &a [*a, *a]",
    "a merge of itself": "a: &a {<<: *a}",
    "nested lists": "[" * 100_000,
    "nested mappings": "{a: " * 100_000,
    "nested blocks": "- " * 100_000,
    "nested keys": "? " * 100_000,
    "an endless integer": "a: 0x" + "f" * 500_000,
    "an endless decimal": "a: " + "9" * 500_000,
    "too many bytes": "#" * (LARGEST + 1),
    "a code point that does not exist": 'a: "\\UFFFFFFFF"',
    "half of a surrogate pair": 'a: "\\ud800"',
    "no integer": "a: !!int ''",
    "no time": "a: 2027-02-30",
    "a Python object": "a: !!python/object/apply:os.system [ls]",
    "two documents": "a: 1\n---\nb: 1",
    "a key twice": "a: 1\na: 2",
}
bombs = pytest.mark.parametrize("text", BOMBS.values(), ids=BOMBS.keys())


def within_patience(read: Callable[[], object]) -> None:
    """Read, and take no more time than a person would wait."""
    began = time.process_time()
    try:
        read()
    finally:
        assert time.process_time() - began < PATIENCE


@bombs
def test_a_bomb_is_refused(text: str) -> None:
    """Whatever would expand, or could not be written down again, is not read."""
    with pytest.raises(InvalidYaml) as refused:
        within_patience(lambda: load_yaml(text.encode()))
    assert len(str(refused.value)) < 2000


@bombs
def test_a_bomb_in_a_configuration_is_an_error_of_ours(text: str, tmp_path: Path) -> None:
    """The configuration's file and the exceptions file name what is wrong, and nothing else is raised."""
    path = tmp_path / "file.yaml"
    path.write_text(text)
    for read in (lambda: load(path), lambda: Exceptions.load([path], [], policy=Policy(), now=NOW)):
        with pytest.raises(ConfigurationError) as refused:
            within_patience(read)
        assert len(str(refused.value)) < 5000


@bombs
def test_a_bomb_in_a_manifest_is_refused_or_reported(text: str, tmp_path: Path) -> None:
    """A kustomization that cannot be read is reported; an edit of it is refused."""
    path = tmp_path / "kustomization.yaml"
    path.write_text(f"images: []\n{text}")

    def edit() -> None:
        with suppress(ManifestRejected):
            assert YamlText("f", path.read_text()).documents

    within_patience(edit)
    within_patience(lambda: Renderer(tmp_path).images(tmp_path))
    (tmp_path / "kustomization.yaml").rename(tmp_path / "manifest.yaml")
    within_patience(lambda: Renderer(tmp_path).images(tmp_path))


def test_limits_are_where_they_are_said_to_be() -> None:
    """Aliases and merge keys work, up to the limits and including them."""
    assert load_yaml(b"a: &a {b: 1}\nc: {<<: *a, d: 2}") == {"a": {"b": 1}, "c": {"b": 1, "d": 2}}
    load_yaml(("[" * DEEPEST + "]" * DEEPEST).encode())
    with pytest.raises(InvalidYaml, match="nested"):
        load_yaml(("[" * (DEEPEST + 1) + "]" * (DEEPEST + 1)).encode())
    many = MOST_VALUES // 100
    load_yaml(f"a: &a [{'x, ' * 98}x]\nb: [{'*a, ' * (many - 3)}]".encode())
    with pytest.raises(InvalidYaml, match="values"):
        load_yaml(f"a: &a [{'x, ' * 98}x]\nb: [{'*a, ' * (many + 1)}]".encode())
    assert load_yaml(b"18446744073709551615") == 2**64 - 1


#: Pieces of YAML that parsers stumble over, beside those of our own files.
PIECES = st.sampled_from(
    [
        *(
            "a: ",
            "- ",
            "? ",
            ": ",
            "[",
            "]",
            "{",
            "}",
            ", ",
            "\n",
            "  ",
            "\t",
            "---\n",
            "...\n",
            "%YAML 1.1\n",
            "# c\n",
        ),
        *(
            "&a ",
            "*a ",
            "<<: ",
            "!!int ",
            "!!binary ",
            "!!set ",
            "!!omap ",
            "!x ",
            "!!float ",
            "!!timestamp ",
            "!!null ",
        ),
        *(
            "'",
            '"',
            "|\n",
            ">-\n",
            "1",
            "0x",
            "1e999",
            ".inf",
            ".nan",
            "2027-01-31",
            "true",
            "~",
            "\ufeff",
            "\x85",
            "\u2028",
        ),
        *(
            "exceptions: ",
            "acceptances: ",
            "image: ",
            "digest: ",
            "expires: ",
            "states: ",
            "gate: ",
            "policy: ",
            "network: ",
        ),
        *("vulnerability: CVE-1\n", "catalogue: ", "releases: ", "cluster: ", "parameters: ", "limits: ", "images: "),
    ]
)
TEXTS = st.lists(PIECES | st.text(max_size=5), max_size=25).map("".join)


@given(text=TEXTS)
def test_any_text_is_read_or_refused(text: str) -> None:
    """Each reader of what people write raises errors of ours only."""
    for read, refusals in (
        (lambda: load_yaml(text.encode("utf-8", "replace")), InvalidYaml),
        (lambda: parse(text), ConfigurationError),
        (lambda: YamlText("f", text).documents, ManifestRejected),
    ):
        try:
            read()
        except refusals:
            continue


@given(text=TEXTS)
def test_any_manifest_is_read_or_reported(text: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    """A folder of manifests is read whatever it holds: what cannot be followed is reported."""
    folder = tmp_path_factory.mktemp("manifests")
    (folder / "kustomization.yaml").write_text(text, encoding="utf-8", errors="replace")
    (folder / "base").mkdir()
    (folder / "base" / "image.yaml").write_text(f"image: a\n{text}", encoding="utf-8", errors="replace")
    for place in (folder, folder / "base"):
        Renderer(folder).images(place)


NAMES = (
    st.sampled_from(["\0", "x" * 5000, "x/" * 3000, "\ud800", "..", "../..", "loop", "https://[", "\x1b[2J"])
    | st.text()
)


@settings(max_examples=50, deadline=None)
@given(name=NAMES, key=st.sampled_from(["resources", "bases", "components", "patchesStrategicMerge"]))
@example(name="\0", key="resources")
@example(name="x" * 5000, key="components")
@example(name="loop", key="resources")
def test_any_name_of_a_resource_is_followed_or_reported(
    name: str, key: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """A name that no file can have is reported, in printable text."""
    folder = tmp_path_factory.mktemp("named")
    (folder / "loop").symlink_to("loop")
    (folder / "kustomization.yaml").write_text(json.dumps({key: [name, "absent.yaml"]}))
    renderer = Renderer(folder)
    assert renderer.images(folder) == []
    assert renderer.unread


@given(content=TEXTS.map(str.encode) | st.binary(max_size=100))
def test_any_exceptions_file_waives_nothing_that_it_does_not_name(
    content: bytes, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """A file is valid or an error of ours; one that names neither the finding nor the image lets nothing pass."""
    path = tmp_path_factory.mktemp("files") / "exceptions.yaml"
    path.write_bytes(content)
    try:
        loaded = Exceptions.load([path], [], policy=Policy(), now=NOW)
    except ConfigurationError:
        return
    assert loaded.waiver(HIGH, NGINX, NOW) is None
    assert loaded.acceptance(NGINX, "unverified", NOW) is None
