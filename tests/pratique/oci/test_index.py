"""What a runtime could run from an index is found, whatever its entries claim, or the index is refused."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pratique.errors import NotFound, Unavailable
from pratique.images import ImageReference, ResolvedImage, digest_of
from pratique.oci.documents import Ambiguous, NoImages
from pratique.oci.index import MOST_BYTES, MOST_ENTRIES, MOST_LEVELS, Content, ImageContents, read_image
from pratique.oci.media_types import DOCKER_LIST, DOCKER_MANIFEST, OCI_CONFIG, OCI_INDEX, OCI_MANIFEST
from pratique.platforms import required_manifests

AMD64, ARM64, I386 = ({"os": "linux", "architecture": name} for name in ("amd64", "arm64", "386"))
UNKNOWN = {"os": "unknown", "architecture": "unknown"}
ATTESTATION = {"vnd.docker.reference.type": "attestation-manifest"}
Entry = Mapping[str, Any]


@dataclass
class Repository:
    """Manifests and configurations by digest, without the network."""

    manifests: dict[str, Content] = field(default_factory=dict)
    configs: dict[str, bytes] = field(default_factory=dict)
    reads: list[str] = field(default_factory=list)

    async def manifest(self, digest: str) -> Content:
        self.reads.append(digest)
        if digest not in self.manifests:
            raise NotFound("read the manifest", digest, "404", "")
        return self.manifests[digest]

    async def config(self, digest: str) -> bytes:
        if digest not in self.configs:
            raise NotFound("read the blob", digest, "404", "")
        return self.configs[digest]

    def image(self, config: Any, media_type: str = OCI_MANIFEST) -> Entry:
        """Add an image with this configuration: a value, or bytes."""
        content = config if isinstance(config, bytes) else json.dumps(config).encode()
        digest = digest_of(content)
        self.configs[digest] = content
        return self.add({"config": {"mediaType": OCI_CONFIG, "digest": digest}, "layers": []}, media_type)

    def index(self, *entries: Any, **more: Any) -> Entry:
        return self.add({"schemaVersion": 2, "manifests": entries, **more}, OCI_INDEX)

    def add(self, document: Any, media_type: str) -> Entry:
        content = document if isinstance(document, bytes) else json.dumps(document).encode()
        digest = digest_of(content)
        self.manifests[digest] = Content(media_type, content)
        return {"mediaType": media_type, "digest": digest, "size": len(content)}

    async def read(self, top: Entry, *platforms: str) -> ImageContents:
        return await read_image(self, top["digest"], self.manifests[top["digest"]], platforms)


def of(entry: Entry, platform: Mapping[str, Any], **more: Any) -> Entry:
    return {**entry, "platform": platform, **more}


def listed(number: int, platform: Mapping[str, Any], media_type: str = OCI_MANIFEST, **more: Any) -> Entry:
    """An entry whose manifest is not read."""
    return {"mediaType": media_type, "digest": f"sha256:{number:064x}", "size": 1, "platform": platform, **more}


def required(contents: ImageContents, *platforms: str) -> list[str]:
    image = ResolvedImage(ImageReference("docker.io", "a/b", "1"), "sha256:0", contents.platforms)
    return [manifest.digest for manifest in required_manifests(image, platforms)[0]]


async def test_stated_platforms_are_believed() -> None:
    """Entries that state a platform which nobody needs cost no request. Only unknown/unknown makes an attestation,
    whatever the annotations and media types say."""
    repository = Repository()
    entries = [
        listed(1, AMD64, DOCKER_MANIFEST),
        listed(2, {"os": "linux", "architecture": "x86_64"}, annotations=ATTESTATION),
        listed(3, AMD64, "application/x"),
        listed(4, UNKNOWN),
        listed(5, {"os": "linux", "architecture": "arm", "variant": "v7"}),
    ]
    contents = await repository.read(repository.index(*entries))
    assert [manifest.platform for manifest in contents.platforms] == [*["linux/amd64"] * 3, "linux/arm/v7"]
    assert required(contents, "linux/amd64") == [entry["digest"] for entry in entries[:3]]
    assert contents.digests == tuple(entry["digest"] for entry in entries)
    assert (contents.others, repository.reads) == (1, [])


async def test_nested_indexes_are_followed() -> None:
    """Their manifests need verdicts like those of the index itself, and everything in them is below it."""
    repository = Repository()
    inner = repository.index(listed(1, AMD64), listed(2, UNKNOWN))
    middle = repository.index(of(inner, {"os": "linux", "architecture": "x86-64"}))
    contents = await repository.read(repository.index(middle, listed(3, ARM64)))
    assert required(contents, "linux/amd64") == [listed(1, AMD64)["digest"]]
    assert contents.digests == (middle["digest"], inner["digest"], *(f"sha256:{n:064x}" for n in (1, 2, 3)))
    assert contents.others == 1


async def test_a_platform_of_the_configuration() -> None:
    """An entry without a platform has its configuration's. One that names none is never run."""
    repository = Repository()
    image, artifact = repository.image({"os": "Linux", "architecture": "x86_64"}), repository.image({})
    contents = await repository.read(repository.index(of(artifact, None or {}), artifact, {**image, "platform": None}))
    assert [(one.platform, one.digest) for one in contents.platforms] == [("linux/amd64", image["digest"])]
    assert contents.others == 1


@pytest.mark.parametrize(
    "config",
    [
        b"",
        b"[]",
        b"\xff",
        {"os": 7, "architecture": "amd64"},
        {"os": "linux", "OS": "windows", "architecture": "amd64"},
        b'{"os": "windows", "architecture": "amd64", "os": "linux"}',
        {"o\u017f": "linux", "os": "windows", "architecture": "amd64"},
        {"os": "l\u0130nux", "architecture": "amd64"},
    ],
    ids=str,
)
async def test_an_unknown_platform_needs_a_verdict(config: Any) -> None:
    """An entry whose platform cannot be found out could be run on every node."""
    repository = Repository()
    image = repository.image(config)
    contents = await repository.read(repository.index(listed(1, AMD64), image))
    assert image["digest"] in required(contents, "linux/amd64")
    assert image["digest"] in required(contents, "linux/s390x")


@pytest.mark.parametrize("entry", ["application/vnd.oci.artifact.manifest.v1+json", "", OCI_INDEX.upper()])
async def test_an_entry_of_another_type_needs_a_verdict(entry: str) -> None:
    """An entry without a platform and of no known type is not skipped."""
    repository = Repository()
    contents = await repository.read(
        repository.index(listed(1, AMD64), {"mediaType": entry, "digest": "sha256:" + "e" * 64})
    )
    assert "sha256:" + "e" * 64 in required(contents, "linux/amd64")


@pytest.mark.parametrize(
    ("entries", "falls_back"),
    [
        ([listed(1, I386)], True),
        ([listed(1, I386), listed(2, AMD64)], False),
        ([listed(1, I386), listed(2, {**AMD64, "variant": "v3"})], True),
        ([listed(1, I386), listed(2, {**AMD64, "os.version": "7"})], True),
        ([listed(1, I386), listed(2, {**AMD64, "os.features": ["x"]})], True),
        ([listed(1, I386), listed(2, {"architecture": "amd64"})], True),
        ([listed(1, I386), listed(2, ARM64)], True),
    ],
)
async def test_a_node_falls_back(entries: Sequence[Entry], falls_back: bool) -> None:
    """A 386 image needs a verdict for amd64 unless the index surely has an image for each such node."""
    repository = Repository()
    contents = await repository.read(repository.index(*entries))
    assert (entries[0]["digest"] in required(contents, "linux/amd64")) is falls_back
    assert entries[0]["digest"] not in required(contents, "windows/amd64")


async def test_a_node_falls_back_before_it_looks_into_configurations() -> None:
    """containerd prefers a 386 entry to an entry without a platform, although that one is for amd64."""
    repository = Repository()
    image, inner = repository.image(AMD64), repository.index(listed(2, AMD64))
    for other in (image, inner):
        contents = await repository.read(repository.index(other, listed(1, I386)))
        assert listed(1, I386)["digest"] in required(contents, "linux/amd64")
    nested = repository.index(of(repository.index(listed(1, I386)), AMD64), listed(2, ARM64))
    assert required(await repository.read(nested), "linux/amd64") == [listed(1, I386)["digest"]]


async def test_an_entry_for_any_system() -> None:
    """An entry without a system is for the node's own."""
    repository = Repository()
    contents = await repository.read(repository.index(listed(1, {"architecture": "amd64"})))
    for platform in ("linux/amd64", "windows/amd64"):
        assert required(contents, platform) == [f"sha256:{1:064x}"]


ONE = json.dumps(listed(1, AMD64))
TWO = json.dumps(listed(2, AMD64))


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (f'{{"manifests": [{ONE}], "Manifests": [{TWO}]}}', "Manifests"),
        (f'{{"manifests": [{ONE}], "manifests": [{TWO}]}}', "twice"),
        (f'{{"manifest\u017f": [{TWO}], "manifests": [{ONE}]}}', "manifests"),
        (f'{{"MANIFESTS": [{ONE}]}}', "MANIFESTS"),
        (f'{{"manifests": [{ONE[:-1]}, "Digest": "sha256:{2:064x}"}}]}}', "Digest"),
        (f'{{"manifests": [{ONE[:-1]}, "digest": "sha256:{2:064x}"}}]}}', "twice"),
        (f'{{"manifests": [{ONE[:-1]}, "platform": null}}]}}', "twice"),
        (f'{{"manifests": [{ONE[:-1]}, "Platform": {{}}}}]}}', "Platform"),
        (
            json.dumps({"manifests": [listed(2, {"os": "linux", "OS": "x"})]}),
            "OS",
        ),
        (f'{{"manifests": [{ONE}], "config": {{}}}}', "config"),
        (f'{{"manifests": [{ONE}], "layers": null}}', "layers"),
        (f'{{"manifests": [{ONE}], "fsLayers": []}}', "fsLayers"),
        (f'{{"manifests": [{ONE}, null]}}', "descriptors"),
        (f'{{"manifests": {ONE}}}', "descriptors"),
        (f'{{"manifests": [{ONE}]}} {{}}', "JSON"),
        (f"[{ONE}]", "object"),
        ("[" * 100_000, "JSON"),
        (f'{{"manifests": [{ONE}], "x": NaN}}', "JSON"),
        (json.dumps({"manifests": [listed(1, AMD64)]}).encode("utf-16"), "JSON"),
        (json.dumps({"manifests": [{"digest": "sha512:" + "a" * 128}]}), "SHA-256"),
        (json.dumps({"manifests": [{"digest": "sha256:../x", "platform": UNKNOWN}]}), "SHA-256"),
        (json.dumps({"manifests": [{"digest": "sha256:" + "A" * 64}]}), "SHA-256"),
        (json.dumps({"manifests": [listed(1, {"os": "linux", "architecture": ["amd64"]})]}), "architecture"),
        (json.dumps({"manifests": [listed(1, {"os": "l\u0130nux", "architecture": "amd64"})]}), "platform"),
        (json.dumps({"manifests": [listed(1, {"os": "linux/amd64", "architecture": "v8"})]}), "platform"),
        (json.dumps({"manifests": [{**listed(1, AMD64), "platform": "linux/amd64"}]}), "platform"),
        (json.dumps({"manifests": [{**listed(1, AMD64), "mediaType": 7}]}), "mediaType"),
        (json.dumps({"manifests": [{**listed(1, AMD64), "mediaType": OCI_INDEX}]}), "does not have"),
    ],
    ids=lambda value: value[:90] if isinstance(value, str) else "",
)
async def test_what_readers_do_not_agree_on(content: str | bytes, says: str) -> None:
    """An index that could be read in more than one way is refused, with the reason."""
    repository = Repository()
    with pytest.raises(Ambiguous, match=says):
        await read_image(
            repository, "sha256:0", Content(OCI_INDEX, content if isinstance(content, bytes) else content.encode())
        )


async def test_keys_of_annotations_may_differ_in_case() -> None:
    """They mean nothing to a runtime."""
    repository = Repository()
    entry = listed(1, AMD64, annotations={"digest": "a", "Digest": "b", "OS": "c"})
    assert required(await repository.read(repository.index(entry)), "linux/amd64") == [entry["digest"]]


async def test_an_entry_of_another_type_than_the_registrys() -> None:
    """An index listed as a manifest, or a manifest as an index, is refused where it has to be read."""
    repository = Repository()
    image, index = repository.image(AMD64), repository.index(listed(1, AMD64))
    for entry in ({**image, "mediaType": OCI_INDEX}, {**index, "mediaType": OCI_MANIFEST}):
        with pytest.raises(Ambiguous, match="another type"):
            await repository.read(repository.index(entry, listed(2, AMD64)))
    both = repository.add({"config": {}, "layers": [], "manifests": []}, OCI_MANIFEST)
    with pytest.raises(Ambiguous, match="manifests"):
        await repository.read(repository.index(both))
    with pytest.raises(Ambiguous, match="manifests"):
        await repository.read(both)


async def test_nothing_that_can_be_run() -> None:
    """An index of attestations, or of nothing, is no image."""
    repository = Repository()
    for index in (repository.index(listed(1, UNKNOWN), repository.image({})), repository.index()):
        with pytest.raises(NoImages):
            await repository.read(index)


async def test_failures_of_the_registry_are_not_answers() -> None:
    """What can be read another time is not taken for unknown."""

    class Failing(Repository):
        async def config(self, digest: str) -> bytes:
            raise Unavailable("read the blob", digest, "503", "")

    repository = Failing()
    with pytest.raises(Unavailable):
        await repository.read(repository.index(repository.image(AMD64)))


# Manifests below an index


LAYERS = [
    {"mediaType": "application/vnd.oci.image.layer.v1.tar+gzip", "digest": f"sha256:{number:064x}", "size": 1}
    for number in (7, 8)
]
PLACES: Mapping[str, Callable[[Repository, Entry], Entry]] = {
    "alone": lambda _, image: image,
    "with a platform": lambda repository, image: repository.index(listed(2, ARM64), of(image, AMD64)),
    "without one": lambda repository, image: repository.index(listed(2, ARM64), image),
    "after another for the platform": lambda repository, image: repository.index(
        of(repository.image(AMD64), AMD64), of(image, AMD64)
    ),
    "for a variant": lambda repository, image: repository.index(of(image, {**AMD64, "variant": "v3"})),
    "to fall back to": lambda repository, image: repository.index(of(image, I386)),
    "for any system": lambda repository, image: repository.index(of(image, {"architecture": "amd64"})),
    "nested": lambda repository, image: repository.index(repository.index(of(image, AMD64))),
    "nested with a platform": lambda repository, image: repository.index(of(repository.index(image), AMD64)),
    "listed before as an artifact": lambda repository, image: repository.index(of(image, UNKNOWN), of(image, AMD64)),
}


def manifest_of(repository: Repository) -> dict[str, Any]:
    config = json.dumps(AMD64).encode()
    repository.configs[digest_of(config)] = config
    return {
        "schemaVersion": 2,
        "mediaType": OCI_MANIFEST,
        "config": {"mediaType": OCI_CONFIG, "digest": digest_of(config), "size": len(config)},
        "layers": LAYERS,
        "annotations": {"a": "b"},
    }


def with_key(value: Any, at: tuple[Any, ...], key: str, content: str, *, last: bool) -> str:
    """The JSON of a value with one more key in the object at a path, also where the object has that key."""
    if isinstance(value, dict):
        fields = [
            f"{json.dumps(name)}: {with_key(part, at[1:] if at[:1] == (name,) else ('',), key, content, last=last)}"
            for name, part in value.items()
        ]
        more = [f"{json.dumps(key)}: {content}"] if at == () else []
        return "{" + ", ".join([*fields, *more] if last else [*more, *fields]) + "}"
    if isinstance(value, list):
        parts = [
            with_key(part, at[1:] if at[:1] == (number,) else ("",), key, content, last=last)
            for number, part in enumerate(value)
        ]
        return "[" + ", ".join(parts) + "]"
    return json.dumps(value)


FIELDS: Mapping[tuple[Any, ...], Sequence[str]] = {
    (): ("schemaVersion", "mediaType", "config", "layers", "manifests"),
    ("config",): ("mediaType", "digest", "size"),
    ("layers", 0): ("mediaType", "digest", "size", "urls"),
    ("layers", 1): ("mediaType", "digest", "size"),
}


@st.composite
def ambiguities(draw: st.DrawFn) -> tuple[tuple[Any, ...], str, str, bool]:
    """Where in a manifest to add which key, with which value, and whether after the others."""
    at = draw(st.sampled_from(list(FIELDS)))
    field_name = draw(st.sampled_from(FIELDS[at]))
    spellings = [
        field_name.upper(),
        field_name.title(),
        field_name.replace("s", "\u017f"),
        field_name.swapcase(),
        field_name,
    ]
    absent = field_name in ("urls", "manifests")  # a new key in its own spelling is only one reading of "urls"
    key = draw(st.sampled_from([name for name in spellings if not absent or name != field_name]))
    value = draw(st.sampled_from(['"sha256:' + "9" * 64 + '"', "null", "[]", "{}", json.dumps(LAYERS[:1])]))
    return at, key, value, draw(st.booleans())


@settings(max_examples=300)
@given(st.sampled_from(sorted(PLACES)), ambiguities())
async def test_a_manifest_that_readers_do_not_agree_on(
    place: str, added: tuple[tuple[Any, ...], str, str, bool]
) -> None:
    """It is refused wherever it stands, if a node of a required platform could choose it: a scanner may look at other
    layers than those that containerd unpacks."""
    at, key, value, last = added
    repository = Repository()
    manifest = manifest_of(repository)
    plain = repository.add(json.dumps(manifest).encode(), OCI_MANIFEST)
    top = PLACES[place](repository, plain)
    assert plain["digest"] in required(await repository.read(top, "linux/amd64"), "linux/amd64")
    odd = repository.add(with_key(manifest, at, key, value, last=last).encode(), OCI_MANIFEST)
    if odd != plain:
        with pytest.raises(Ambiguous):
            await repository.read(PLACES[place](repository, odd), "linux/amd64")


async def test_only_what_a_node_may_choose_is_read() -> None:
    """Each manifest once, since a public registry may count it as a pull; without platforms, all that can be run."""
    repository = Repository()
    images = [repository.image({**AMD64, "number": number}) for number in range(3)]
    artifact = repository.image({})
    top = repository.index(
        of(images[0], AMD64), of(images[0], AMD64), of(images[1], ARM64), of(images[2], I386), of(artifact, UNKNOWN)
    )
    for platforms, read in ((["linux/amd64"], images[:1]), (["linux/s390x"], []), (None, images)):
        repository.reads.clear()
        await read_image(repository, top["digest"], repository.manifests[top["digest"]], platforms)
        assert repository.reads == [image["digest"] for image in read]


async def test_a_manifest_that_the_registry_does_not_have() -> None:
    """A node could not run it, or would get it from elsewhere."""
    repository = Repository()
    top = repository.index(of(repository.image(ARM64), ARM64), listed(1, AMD64))
    assert (await repository.read(top, "linux/arm64")).platforms
    with pytest.raises(Ambiguous, match="does not have"):
        await repository.read(top, "linux/amd64")


# Bounds


async def test_too_deep() -> None:
    """Indexes are followed through a number of levels."""
    repository = Repository()
    top = repository.index(listed(1, AMD64))
    for _ in range(MOST_LEVELS - 1):
        top = repository.index(top)
    assert required(await repository.read(top), "linux/amd64") == [f"sha256:{1:064x}"]
    with pytest.raises(Ambiguous, match="levels"):
        await repository.read(repository.index(top))


async def test_too_many() -> None:
    """Entries are counted each time they are listed, so a few indexes that list one another often are refused soon."""
    repository = Repository()
    with pytest.raises(Ambiguous, match="entries"):
        await repository.read(repository.index(*(listed(number, AMD64) for number in range(MOST_ENTRIES + 1))))
    top = repository.index(listed(1, AMD64))
    for _ in range(MOST_LEVELS - 1):
        top = repository.index(*[top] * 30)
    with pytest.raises(Ambiguous, match="entries"):
        await repository.read(top)
    assert len(repository.reads) <= MOST_LEVELS


async def test_too_large() -> None:
    """So are bytes."""
    repository = Repository()
    padded = repository.add(json.dumps({"manifests": []}).encode() + b" " * (MOST_BYTES // 4), OCI_INDEX)
    with pytest.raises(Ambiguous, match="bytes"):
        await repository.read(repository.index(*[padded] * 5))


async def test_a_cycle() -> None:
    """A registry that returned an index as its own part would be refused."""
    repository = Repository()
    digest = "sha256:" + "c" * 64
    content = json.dumps({"manifests": [{"mediaType": DOCKER_LIST, "digest": digest}]}).encode()
    repository.manifests[digest] = Content(DOCKER_LIST, content)
    with pytest.raises(Ambiguous, match="contains itself"):
        await read_image(repository, "sha256:0", Content(OCI_INDEX, content))
