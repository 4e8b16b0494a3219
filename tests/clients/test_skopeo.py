"""skopeo: the token flow that docker uses, and bytes that stay what they are on their way in and out."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path

import httpx
import pytest

from tests.clients.commands import refused, run
from tests.clients.conftest import Cluster

KURED = "ghcr.io/kubereboot/kured:1.14.0"
BUSYBOX = "docker.io/library/busybox:1.37.0"


@pytest.fixture
def login(cluster: Cluster, tmp_path: Path) -> str:
    """The file in which ``skopeo login`` leaves the pipeline's credentials for the registry."""
    file = str(tmp_path / "auth.json")
    user, secret = os.environ["AZURE_CLIENT_ID"], os.environ["AZURE_CLIENT_SECRET"]
    said = run("skopeo", "login", "--authfile", file, "-u", user, "--password-stdin", cluster.login_server, sent=secret)
    assert "Login Succeeded!" in said
    return file


def raw(image: str, *options: str) -> str:
    return run("skopeo", "inspect", "--raw", *options, f"docker://{image}")


def digest(manifest: str) -> str:
    return f"sha256:{hashlib.sha256(manifest.encode()).hexdigest()}"


def test_public_images_are_inspected_and_listed() -> None:
    """An index is resolved to this platform; the digest is that of the index's bytes; the tag is in the list."""
    seen = json.loads(run("skopeo", "--override-os", "linux", "inspect", f"docker://{KURED}"))
    assert (seen["Name"], seen["Os"]) == ("ghcr.io/kubereboot/kured", "linux")
    assert seen["Digest"] == digest(raw(KURED))
    listed = json.loads(run("skopeo", "list-tags", "docker://registry.k8s.io/ingress-nginx/controller"))
    assert listed["Tags"] == ["v1.11.3"]


def test_all_platforms_are_copied_in_and_out(cluster: Cluster, login: str, tmp_path: Path) -> None:
    """An index goes from Docker Hub to the registry, to a folder and back: the same digest all the way."""
    into, back = (f"{cluster.login_server}/quarantine/skopeo/{name}:1.37.0" for name in ("busybox", "busybox-again"))
    layout, copy = f"oci:{tmp_path / 'layout'}:busybox", ("skopeo", "copy", "--all", "--authfile", login)
    run(*copy, f"docker://{BUSYBOX}", f"docker://{into}")
    run(*copy, f"docker://{into}", layout)
    run(*copy, layout, f"docker://{back}")
    upstream = raw(BUSYBOX)
    assert raw(into, "--authfile", login) == raw(back, "--authfile", login) == upstream
    kept = json.loads((tmp_path / "layout" / "index.json").read_text())["manifests"]
    assert [entry["digest"] for entry in kept] == [digest(upstream)]
    for entry in json.loads(upstream)["manifests"]:
        assert (tmp_path / "layout" / "blobs" / entry["digest"].replace(":", "/")).stat().st_size == entry["size"]


def test_one_platform_is_copied_then_deleted(cluster: Cluster, login: str, tmp_path: Path) -> None:
    """Without --all one platform's manifest arrives, as the index names it; a deleted one leaves the list of tags."""
    repository, listed = f"{cluster.login_server}/quarantine/skopeo/kured", json.loads(raw(KURED))["manifests"]
    for architecture in ("amd64", "arm64"):
        folder = f"dir:{tmp_path / architecture}"
        run("skopeo", "--override-arch", architecture, "--override-os", "linux", "copy", f"docker://{KURED}", folder)
        run("skopeo", "copy", "--dest-authfile", login, folder, f"docker://{repository}:{architecture}")
        named = [entry["digest"] for entry in listed if entry["platform"]["architecture"] == architecture]
        assert digest(raw(f"{repository}:{architecture}", "--authfile", login)) in named
    run("skopeo", "delete", "--authfile", login, f"docker://{repository}:amd64")
    left = json.loads(run("skopeo", "list-tags", "--authfile", login, f"docker://{repository}"))
    assert left["Tags"] == ["arm64"]


def test_a_locked_tag_is_neither_overwritten_nor_deleted(cluster: Cluster, login: str) -> None:
    """skopeo's user reads the registry's own words, and the image is what it was; another tag may be written."""
    repository = "live/skopeo/locked"
    image = f"docker://{cluster.login_server}/{repository}"
    copy = ("skopeo", "copy", "--all", "--dest-authfile", login)
    run(*copy, f"docker://{KURED}", f"{image}:1")
    before = raw(f"{cluster.login_server}/{repository}:1", "--authfile", login)
    account = (os.environ["AZURE_CLIENT_ID"], os.environ["AZURE_CLIENT_SECRET"])
    attributes = f"https://{cluster.login_server}/acr/v1/{repository}"
    for path, flags in (
        ("_tags/1", ["writeEnabled", "deleteEnabled"]),
        (f"_manifests/{digest(before)}", ["deleteEnabled"]),
    ):
        httpx.patch(f"{attributes}/{path}", json=dict.fromkeys(flags, False), auth=account).raise_for_status()
    said = refused(*copy, f"docker://{BUSYBOX}", f"{image}:1")
    assert "operation is disallowed on this registry, repository or image" in said
    assert "disallowed" in refused("skopeo", "delete", "--authfile", login, f"{image}:1")
    assert raw(f"{cluster.login_server}/{repository}:1", "--authfile", login) == before
    run(*copy, f"docker://{BUSYBOX}", f"{image}:2")


def test_who_does_not_log_in_is_refused(cluster: Cluster) -> None:
    """The registry asks for authentication in ACR's words."""
    said = refused("skopeo", "inspect", f"docker://{cluster.login_server}/live/library/busybox:1.37.0")
    assert "authentication required, visit https://aka.ms/acr/authorization" in said


def test_a_host_that_is_not_supported_is_refused() -> None:
    """Nothing leaves the machine, and the client's user reads why."""
    said = refused("skopeo", "inspect", "docker://registry.example.com/some/image:1")
    assert "The sandbox does not support registry.example.com:443" in said
