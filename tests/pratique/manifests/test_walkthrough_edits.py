"""The walkthrough's own ``sed`` commands, run by the real one, against the edits of manifests."""

from __future__ import annotations

import re
import shutil
import subprocess
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pratique.images import LiveImage
from pratique.manifests.images import Pin, point_images
from pratique.manifests.secret_provider import point_vault

SAMPLE = Path(__file__).parents[3] / "examples" / "cluster-manifests"
REGISTRY = "acraks123.azurecr.io"
PROVIDER = "ingress-nginx/akv-tls-provider.yaml"
VALUES = {
    "ACR_NAME": "acraks123",
    "KEYVAULT_NAME": "kv-aks-123",
    "TENANTID_AZURERBAC": "72f988bf-0000-4000-8000-2d7cd011db47",
    "INGRESS_CONTROLLER_WORKLOAD_IDENTITY_CLIENT_ID_BU0001A0005_01": "11111111-2222-4333-8444-555555555555",
}
CERTIFICATE = "ingress-internal-aks-ingress-contoso-com-tls"
DIGEST = "sha256:" + "ab" * 32
RELEASED = {
    "falcosecurity/falco-no-driver": LiveImage("0.39.2", DIGEST),
    "falcosecurity/falco-driver-loader": LiveImage("0.39.2", DIGEST),
    "falcosecurity/falcoctl": LiveImage("0.10.1", DIGEST),
    "library/busybox": LiveImage("1.37.0", DIGEST),
    "kubereboot/kured": LiveImage("1.14.0", DIGEST),
    "ingress-nginx/controller": LiveImage("v1.11.3", DIGEST),
    "ingress-nginx/kube-webhook-certgen": LiveImage("v1.4.4", DIGEST),
}
# As the walkthrough has them, to be run in the folder of the manifests.
SED_IMAGES = 'sed -i "s/REPLACE_ME_WITH_YOUR_ACRNAME/${ACR_NAME}/g" */kustomization.yaml'
SED_VAULT = (
    'sed -i -e "s/KEYVAULT_NAME/${KEYVAULT_NAME}/" -e "s/KEYVAULT_TENANT/${TENANTID_AZURERBAC}/" '
    '-e "s/INGRESS_CONTROLLER_WORKLOAD_IDENTITY_CLIENT_ID_BU0001A0005_01/'
    '${INGRESS_CONTROLLER_WORKLOAD_IDENTITY_CLIENT_ID_BU0001A0005_01}/" ingress-nginx/akv-tls-provider.yaml'
)
# What pinning adds; none of it is in the files that these tests begin with.
PINNED = re.compile(rb'(?:\r?\n *|, )(?:digest: "?sha256:[a-f0-9]{64}|newTag: "?own-[0-9])"?')

pytestmark = pytest.mark.skipif(not shutil.which("sed"), reason="needs sed")


def walk_through(folder: Path, *commands: str) -> None:
    for command in commands:
        subprocess.run(["sh", "-c", command], cwd=folder, check=True, env=VALUES | {"PATH": "/usr/bin:/bin"})


def files(root: Path) -> dict[str, bytes]:
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in root.rglob("*") if path.is_file()}


def edit_vault(root: Path) -> None:
    _, vault, tenant, client = VALUES.values()
    point_vault(root, PROVIDER, vault_name=vault, tenant_id=tenant, client_id=client, certificate_name=CERTIFICATE)


def test_the_sample_gets_the_bytes_of_sed(tmp_path: Path) -> None:
    """Pinned by tag, the first run leaves the sample repository as the walkthrough does, to the byte."""
    ours, theirs = (Path(shutil.copytree(SAMPLE, tmp_path / name)) for name in ("ours", "theirs"))
    walk_through(theirs, SED_IMAGES, SED_VAULT)
    point_images(ours, ".", REGISTRY, RELEASED, pin="tag")
    edit_vault(ours)
    assert files(ours) == files(theirs)
    assert files(ours) != files(SAMPLE)


def test_pins_are_all_that_is_added(tmp_path: Path) -> None:
    """Pinned by both, the sample is what the walkthrough leaves and a line with the digest for each image."""
    ours, theirs = (Path(shutil.copytree(SAMPLE, tmp_path / name)) for name in ("ours", "theirs"))
    walk_through(theirs, SED_IMAGES, SED_VAULT)
    point_images(ours, ".", REGISTRY, RELEASED)
    edit_vault(ours)
    assert {name: PINNED.sub(b"", data) for name, data in files(ours).items()} == files(theirs)
    assert sum(len(PINNED.findall(data)) for data in files(ours).values()) == len(RELEASED)


blanks = st.sampled_from(["", " ", "\t", " \t "])
comments = st.sampled_from(
    ["", " # ok", "\t# tab", "  # é 日本 🚀", " # REPLACE_ME_WITH_YOUR_ACRNAME, REPLACE_ME_WITH_YOUR_ACRNAME"]
)
between = st.sampled_from(
    ["", "\n", "# REPLACE_ME_WITH_YOUR_ACRNAME.azurecr.io\n", "#\tKEYVAULT_NAME KEYVAULT_NAME\n", "\t\n"]
)
documents = st.sampled_from(
    [
        "# only a comment, of REPLACE_ME_WITH_YOUR_ACRNAME\n",
        "commonLabels: &labels {team: 'é', \"a\tb\": c}\ncommonAnnotations: *labels\n",
        "configMapGenerator:\n- name: x\n  literals:\n  - |\n    u=REPLACE_ME_WITH_YOUR_ACRNAME.azurecr.io\n\n    b\n",
        "namespace: x\n",
        "",
    ]
)
ends = st.sampled_from(["\n", "\r\n"])


@st.composite
def entries(draw: st.DrawFn, number: int, anchors: list[str]) -> tuple[str, str, LiveImage]:
    """An entry of ``images:``, its repository, and the image that was released: it has the tag of the manifest."""
    repository = f"team/image-{number}"
    own = draw(st.integers(0, 3)) == 0
    tag = f"own-{number}" if own else draw(st.sampled_from(["v1.2", "1.10", "2024-01-01", "latest"]))
    quote = draw(st.sampled_from(["", "'", '"']))
    new = f"newName: {quote}REPLACE_ME_WITH_YOUR_ACRNAME.azurecr.io/live/{repository}{quote}"
    name = f"name: docker.io/{repository}"
    written = draw(st.sampled_from(["{}", "'{}'", '"{}"', "&{anchor} {}", "*{anchor}"]))
    if "*" in written and not (anchors and not own):
        written = "{}"
    if "*" in written:
        anchor, tag = anchors[0].split()
    else:
        anchor = f"tag{number}"
    if "&" in written and not own:
        anchors.append(f"{anchor} {tag}")
    lines = [name, new] + ([] if own else [f"newTag: {written.format(tag, anchor=anchor)}"])
    if draw(st.booleans()) and "*" not in written:
        return f"- {{{', '.join(lines)}}}{draw(comments)}\n", repository, LiveImage(tag, DIGEST)
    lines = [f"{line}{draw(blanks)}{draw(comments)}" for line in draw(st.permutations(lines))]
    return "- " + "\n  ".join(lines) + "\n" + draw(between), repository, LiveImage(tag, DIGEST)


@st.composite
def kustomizations(draw: st.DrawFn) -> tuple[bytes, dict[str, LiveImage]]:
    anchors: list[str] = []
    found = [draw(entries(number, anchors)) for number in range(draw(st.integers(0, 4)))]
    body = "images:\n" + "".join(text for text, _, _ in found) if found else ""
    text = draw(between) + draw(documents) + draw(between) + body
    if draw(st.booleans()):
        text = f"{draw(documents)}---\n{text}"
    if draw(st.booleans()):
        text += "---\n" + draw(documents)
    return finished(draw, text), {repository: image for _, repository, image in found}


def finished(draw: st.DrawFn, text: str) -> bytes:
    """With line ends of one kind, perhaps none at the end, and perhaps a byte order mark."""
    text = text.replace("\n", draw(ends))
    if draw(st.booleans()):
        text = text.rstrip("\r\n")
    return draw(st.sampled_from([b"", b"\xef\xbb\xbf"])) + text.encode()


def manifest(images: dict[str, LiveImage]) -> str:
    containers = "".join(f"  - image: docker.io/{name}:{image.tag}\n" for name, image in images.items())
    return f"kind: Pod\nspec:\n  containers:\n{containers}"


@settings(max_examples=60, deadline=None)
@given(generated=kustomizations(), pin=st.sampled_from(["tag", "both"]))
def test_generated_kustomizations_get_the_bytes_of_sed(generated: tuple[bytes, dict[str, LiveImage]], pin: Pin) -> None:
    """Whatever a kustomization looks like: by tag it is what sed makes of it, by both that and the added pins; and the
    second run changes nothing."""
    text, images = generated
    with tempfile.TemporaryDirectory() as folder:
        ours, theirs = Path(folder, "ours"), Path(folder, "theirs")
        for root in (ours, theirs):
            (root / "app").mkdir(parents=True)
            (root / "app/kustomization.yaml").write_bytes(with_resource(text))
            (root / "app/pod.yaml").write_text(manifest(images))
        walk_through(theirs, SED_IMAGES)
        point_images(ours, ".", REGISTRY, images, pin=pin)
        edited, expected = ((root / "app/kustomization.yaml").read_bytes() for root in (ours, theirs))
        assert PINNED.sub(b"", edited) == expected
        assert len(PINNED.findall(edited)) >= (len(images) if pin == "both" else 0)
        assert pin == "both" or edited == expected
        assert point_images(ours, ".", REGISTRY, images, pin=pin) == []
        assert (ours / "app/kustomization.yaml").read_bytes() == edited


def with_resource(text: bytes) -> bytes:
    """The kustomization takes the pod in, in its first document."""
    mark = b"\xef\xbb\xbf" if text.startswith(b"\xef\xbb\xbf") else b""
    return mark + b"resources: [pod.yaml]" + (b"\r\n" if b"\r\n" in text else b"\n") + text.removeprefix(mark)


@st.composite
def providers(draw: st.DrawFn) -> bytes:
    """The sample's provider among other documents, with comments that hold placeholders too."""
    text = ""
    for line in (SAMPLE / PROVIDER).read_text().splitlines():
        commentable = line and "#" not in line and "object" not in line and not line.endswith("|")
        text += f"{line}{draw(comments) if commentable else ''}\n"
        text += draw(between) if line.startswith("  parameters") else ""
    text = text.replace("tenantId:", draw(st.sampled_from(["tenantId:", "tenantID:"])))
    text = text.replace(
        " KEYVAULT_NAME\n", draw(st.sampled_from([" KEYVAULT_NAME\n", " 'KEYVAULT_NAME' # KEYVAULT_NAME\n"]))
    )
    other = "kind: ConfigMap\ndata:\n  a: &a KEYVAULT_TENANT KEYVAULT_TENANT\n  b: *a\n"
    text = draw(st.sampled_from(["{}", "{other}---\n{}", "{}---\n{other}"])).format(text, other=other)
    return finished(draw, text)


@settings(max_examples=25, deadline=None)
@given(text=providers())
def test_generated_providers_get_the_bytes_of_sed(text: bytes) -> None:
    """Whatever surrounds it, the provider is what sed makes of it, and the second run changes nothing."""
    with tempfile.TemporaryDirectory() as folder:
        ours, theirs = Path(folder, "ours"), Path(folder, "theirs")
        for root in (ours, theirs):
            (root / PROVIDER).parent.mkdir(parents=True)
            (root / PROVIDER).write_bytes(text)
        walk_through(theirs, SED_VAULT)
        edit_vault(ours)
        assert (ours / PROVIDER).read_bytes() == (theirs / PROVIDER).read_bytes()
        edit_vault(ours)
        assert (ours / PROVIDER).read_bytes() == (theirs / PROVIDER).read_bytes()
