"""The edits of one run, in order, each with its commit message. The first two messages are those of the walkthrough."""

from __future__ import annotations

from collections.abc import Iterable

from pratique.cluster.infrastructure import Infrastructure
from pratique.cluster.stamp_parameters import StampEdit
from pratique.config import Manifests
from pratique.config.catalogue import Catalogue
from pratique.git.publish import Edit
from pratique.images import ImportedImage
from pratique.manifests.images import ImagesEdit
from pratique.manifests.secret_provider import point_vault
from pratique.manifests.versions import Version, Versions

_IMAGES = "Update bootstrap deployments to use images from my ACR instead of public container registries."
_VAULT = "Update SecretProviderClass to reference my ingress controller certificate."
_STAMP = "Record the parameters for the cluster's deployment."


def images_edit(
    target: Manifests, catalogue: Catalogue, infrastructure: Infrastructure, promoted: Iterable[ImportedImage]
) -> ImagesEdit:
    """The edit that points the manifests at the promoted images."""
    return ImagesEdit(
        folder=target.folder,
        registry=infrastructure.registry.login_server,
        versions=catalogue_versions(catalogue, promoted),
        pin=target.pin,
    )


def catalogue_versions(catalogue: Catalogue, promoted: Iterable[ImportedImage] = ()) -> Versions:
    """The catalogue's versions of each image, with the digests of those that are promoted."""
    digests = {imported.image.location.short: imported.image.digest for imported in promoted}
    versions: dict[str, list[Version]] = {}
    for image in catalogue.images:
        location = image.location
        version = Version(tag=location.tag or "", digest=digests.get(location.short, ""), manifests=image.manifests)
        versions.setdefault(location.repository, []).append(version)
    return versions


def edits(
    target: Manifests,
    infrastructure: Infrastructure,
    images: ImagesEdit,
    certificate: str | None,
    stamp: StampEdit | None,
) -> list[tuple[str, Edit]]:
    """The edits that a run applies and commits.

    :param certificate: its name in the vault; without it the vault's values stay unchanged
    :param stamp: writes the next step's parameters; without it they are not committed
    """
    messages_and_edits: list[tuple[str, Edit]] = [(_IMAGES, images)]
    if certificate is not None:
        messages_and_edits.append((_VAULT, _vault_edit(target, infrastructure, certificate)))
    if stamp is not None:
        messages_and_edits.append((_STAMP, stamp))
    return messages_and_edits


def _vault_edit(target: Manifests, infrastructure: Infrastructure, certificate: str) -> Edit:
    return lambda root: point_vault(
        root,
        f"{target.folder}/{target.provider_file}",
        vault_name=infrastructure.vault.name,
        tenant_id=infrastructure.tenant_id,
        client_id=infrastructure.ingress_client_id,
        certificate_name=certificate,
    )
