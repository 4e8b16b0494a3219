"""The content of a registry."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from sandbox.services.oci.catalogue import WALKTHROUGH
from sandbox.services.oci.errors import (
    BlobUnknown,
    BlobUploadInvalid,
    BlobUploadUnknown,
    DigestInvalid,
    Locked,
    ManifestBlobUnknown,
    ManifestInvalid,
    ManifestUnknown,
    NameInvalid,
    NameUnknown,
    TagInvalid,
)
from sandbox.services.oci.images import BuiltImage, build
from sandbox.services.oci.manifests import (
    DOCKER_LIST,
    IN_TOTO,
    OCI_EMPTY,
    OCI_INDEX,
    OCI_MANIFEST,
    Manifest,
    encoded,
    sha256,
)
from sandbox.services.oci.store import RegistryStore
from sandbox.services.oci.uploads import Uploads

REPOSITORY = "library/busybox"
IMAGE = build(WALKTHROUGH[3])


class Watch:
    """A clock that a test sets."""

    def __init__(self) -> None:
        self.time = datetime(2026, 11, 23, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.time

    def later(self) -> datetime:
        self.time += timedelta(minutes=1)
        return self.time


@pytest.fixture
def watch() -> Watch:
    return Watch()


@pytest.fixture
def store(watch: Watch) -> RegistryStore:
    """A registry that holds one image."""
    store = RegistryStore({}, watch)
    push(store, REPOSITORY, "1.37.0", IMAGE)
    return store


def push(store: RegistryStore, repository: str, tag: str, image: BuiltImage) -> None:
    for digest, content in image.blobs.items():
        store.put_blob(repository, content, digest)
    for manifest in image.manifests:
        store.put_manifest(repository, manifest.digest, manifest)
    store.put_manifest(repository, tag, image.index)


def referrer(store: RegistryStore, subject: Manifest, artifact_type: str = IN_TOTO, text: str = "{}") -> Manifest:
    """Attach an artifact the way Defender does."""
    empty, layer = b"{}", text.encode()
    for content in (empty, layer):
        store.put_blob(REPOSITORY, content)
    body = {
        "schemaVersion": 2,
        "mediaType": OCI_MANIFEST,
        "artifactType": artifact_type,
        "config": {"mediaType": OCI_EMPTY, "digest": sha256(empty), "size": len(empty)},
        "layers": [{"mediaType": IN_TOTO, "digest": sha256(layer), "size": len(layer)}],
        "subject": {"mediaType": subject.media_type, "digest": subject.digest, "size": subject.size},
        "annotations": {"scanner": "MDVM"},
    }
    manifest = Manifest.parse(encoded(body), OCI_MANIFEST)
    store.put_manifest(REPOSITORY, manifest.digest, manifest)
    return manifest


def test_content_comes_back_byte_for_byte(store: RegistryStore) -> None:
    """By tag and by digest, with the media type it was put with."""
    by_tag = store.manifest(REPOSITORY, "1.37.0").manifest
    assert by_tag.content == IMAGE.index.content
    assert store.manifest(REPOSITORY, by_tag.digest).manifest == by_tag
    for digest, content in IMAGE.blobs.items():
        assert store.blob(REPOSITORY, digest) == content


def test_a_wrong_digest_is_refused(store: RegistryStore) -> None:
    """Neither a blob nor a manifest is stored under a digest that is not its own."""
    wrong = sha256(b"other")
    with pytest.raises(DigestInvalid):
        store.put_blob(REPOSITORY, b"content", wrong)
    with pytest.raises(DigestInvalid):
        store.put_manifest(REPOSITORY, wrong, IMAGE.index)
    with pytest.raises(DigestInvalid):
        store.blob(REPOSITORY, "sha256:short")


def test_a_manifest_needs_what_it_lists(store: RegistryStore) -> None:
    """Blobs and children must be in the same repository; another one does not help."""
    with pytest.raises(ManifestBlobUnknown):
        store.put_manifest("other", "1", IMAGE.index)
    with pytest.raises(ManifestBlobUnknown):
        store.put_manifest("other", "1", IMAGE.platforms["linux/amd64"])


def test_a_blob_is_seen_only_where_it_was_put_or_mounted(store: RegistryStore) -> None:
    """Repositories share bytes, not visibility."""
    digest = next(iter(IMAGE.blobs))
    store.put_blob("other", b"something")
    with pytest.raises(BlobUnknown):
        store.blob("other", digest)
    assert store.mount_blob("other", digest, REPOSITORY)
    assert store.blob("other", digest) == IMAGE.blobs[digest]
    assert not store.mount_blob("other", sha256(b"nowhere"), REPOSITORY)


def test_unknown_names_have_their_own_errors(store: RegistryStore) -> None:
    """A missing repository, tag and digest are told apart."""
    with pytest.raises(NameUnknown):
        store.manifest("nothing", "1")
    with pytest.raises(ManifestUnknown):
        store.manifest(REPOSITORY, "2")
    with pytest.raises(ManifestUnknown):
        store.manifest(REPOSITORY, sha256(b"nothing"))


@pytest.mark.parametrize("name", ["Upper", "a//b", "-a", "a/", "a b", "a" * 256])
def test_names_follow_the_grammar(store: RegistryStore, name: str) -> None:
    """The distribution spec's grammar for repository names holds."""
    with pytest.raises(NameInvalid):
        store.put_blob(name, b"content")


def test_tags_follow_the_grammar(store: RegistryStore) -> None:
    """A tag has at most 128 characters of the allowed ones."""
    for tag in ("-first", "a" * 129, "a/b"):
        with pytest.raises(TagInvalid):
            store.put_manifest(REPOSITORY, tag, IMAGE.index)


def test_a_moved_tag_keeps_its_creation_time(store: RegistryStore, watch: Watch) -> None:
    """A tag remembers when it was made and when it last moved; the manifest it left stays."""
    made, moved = watch.time, watch.later()
    child = IMAGE.platforms["linux/amd64"]
    store.put_manifest(REPOSITORY, "1.37.0", child)
    tag = store.repository(REPOSITORY).tags["1.37.0"]
    assert (tag.digest, tag.created, tag.updated) == (child.digest, made, moved)
    assert store.manifest(REPOSITORY, IMAGE.index.digest).created == made


def test_tags_are_listed_in_lexical_order(store: RegistryStore) -> None:
    """Whatever the order they were pushed in; hidden ones are left out."""
    for tag in ("b", "a", "c"):
        store.put_manifest(REPOSITORY, tag, IMAGE.index)
    store.set_attributes(store.repository(REPOSITORY).tags["c"], list_enabled=False)
    assert store.tags(REPOSITORY) == ["1.37.0", "a", "b"]


def test_referrers_are_found_by_subject_and_type(store: RegistryStore) -> None:
    """They are listed with their artifact type and annotations, and vanish when they are deleted."""
    findings = referrer(store, IMAGE.index)
    other = referrer(store, IMAGE.index, "application/vnd.example", "[]")
    everything = store.referrers(REPOSITORY, IMAGE.index.digest)
    assert [found["digest"] for found in everything] == [findings.digest, other.digest]
    assert store.referrers(REPOSITORY, IMAGE.index.digest, IN_TOTO) == [
        {
            "mediaType": OCI_MANIFEST,
            "digest": findings.digest,
            "size": findings.size,
            "artifactType": IN_TOTO,
            "annotations": {"scanner": "MDVM"},
        }
    ]
    store.delete_manifest(REPOSITORY, findings.digest)
    assert store.referrers(REPOSITORY, IMAGE.index.digest, IN_TOTO) == []
    assert store.referrers("nothing", IMAGE.index.digest) == []


def test_closure_has_children_first_and_no_referrers(store: RegistryStore) -> None:
    """What an import copies: everything listed, each once, the index last."""
    referrer(store, IMAGE.index)
    digests = [manifest.digest for manifest in store.closure(REPOSITORY, IMAGE.index.digest)]
    assert digests == [*(manifest.digest for manifest in IMAGE.manifests), IMAGE.index.digest]


def test_deleting_a_manifest_takes_its_tags(store: RegistryStore) -> None:
    """A tag alone can go and leave the manifest; an emptied repository is no longer there."""
    store.put_manifest(REPOSITORY, "latest", IMAGE.index)
    store.delete_tag(REPOSITORY, "latest")
    assert store.tags(REPOSITORY) == ["1.37.0"]
    store.delete_manifest(REPOSITORY, IMAGE.index.digest)
    assert store.tags(REPOSITORY) == []
    for manifest in IMAGE.manifests:
        store.delete_manifest(REPOSITORY, manifest.digest)
    assert store.repositories() == []


def test_a_locked_tag_neither_moves_nor_goes(store: RegistryStore) -> None:
    """writeEnabled false protects a tag, and through it the manifest; the same digest may be put again."""
    store.set_attributes(store.repository(REPOSITORY).tags["1.37.0"], write_enabled=False)
    store.put_manifest(REPOSITORY, "1.37.0", IMAGE.index)
    with pytest.raises(Locked):
        store.put_manifest(REPOSITORY, "1.37.0", IMAGE.platforms["linux/amd64"])
    with pytest.raises(Locked):
        store.delete_tag(REPOSITORY, "1.37.0")
    with pytest.raises(Locked):
        store.delete_manifest(REPOSITORY, IMAGE.index.digest)
    with pytest.raises(Locked):
        store.delete_repository(REPOSITORY)


def test_a_manifest_that_must_not_be_read_is_not(store: RegistryStore) -> None:
    """readEnabled false blocks pulls by tag and by digest."""
    store.set_attributes(store.manifest(REPOSITORY, "1.37.0"), read_enabled=False)
    for reference in ("1.37.0", IMAGE.index.digest):
        with pytest.raises(Locked):
            store.manifest(REPOSITORY, reference)


def test_an_upload_takes_chunks_in_order(store: RegistryStore) -> None:
    """A gap is refused, a wrong digest leaves the session open, and a finished session is gone."""
    uploads = Uploads(store)
    upload = uploads.begin(REPOSITORY)
    assert uploads.append(REPOSITORY, upload, b"abc", 0) == 3
    with pytest.raises(BlobUploadInvalid):
        uploads.append(REPOSITORY, upload, b"gap", 5)
    assert uploads.append(REPOSITORY, upload, b"def", 3) == 6
    with pytest.raises(DigestInvalid):
        uploads.finish(REPOSITORY, upload, sha256(b"else"))
    assert uploads.finish(REPOSITORY, upload, sha256(b"abcdef")) == sha256(b"abcdef")
    with pytest.raises(BlobUploadUnknown):
        uploads.append(REPOSITORY, upload, b"more")


def test_an_upload_belongs_to_its_repository(store: RegistryStore) -> None:
    """Nobody continues an upload through another repository."""
    uploads = Uploads(store)
    upload = uploads.begin(REPOSITORY)
    with pytest.raises(BlobUploadUnknown):
        uploads.append("other", upload, b"abc")
    uploads.cancel(REPOSITORY, upload)
    with pytest.raises(BlobUploadUnknown):
        uploads.finish(REPOSITORY, upload, sha256(b""))


def test_platforms_are_read_from_configs(store: RegistryStore) -> None:
    """An image has the platform of its config; an index has none."""
    assert store.platform(REPOSITORY, IMAGE.platforms["linux/arm64"]) == ("linux", "arm64")
    assert store.platform(REPOSITORY, IMAGE.index) == (None, None)


@pytest.mark.parametrize(
    ("content", "media_type"),
    [
        (b"not json", OCI_MANIFEST),
        (b"[]", OCI_MANIFEST),
        (b'{"schemaVersion":1}', OCI_MANIFEST),
        (b'{"schemaVersion":2}', OCI_MANIFEST),
        (b'{"schemaVersion":2}', OCI_INDEX),
        (b'{"schemaVersion":2,"config":{"mediaType":"x","digest":"sha256:1","size":1},"layers":[]}', OCI_MANIFEST),
        (IMAGE.index.content, DOCKER_LIST),
        (IMAGE.index.content, "application/json"),
        (b'{"schemaVersion":2,"manifests":[],"annotations":{"a":"' + b"x" * 4_200_000 + b'"}}', OCI_INDEX),
    ],
)
def test_what_is_not_a_manifest_is_refused(content: bytes, media_type: str) -> None:
    """Malformed JSON, missing parts, contradicting media types and more than 4 MiB."""
    with pytest.raises(ManifestInvalid):
        Manifest.parse(content, media_type)
