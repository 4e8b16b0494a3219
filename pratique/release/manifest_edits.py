"""The edits of one run, in order, each with its commit message. The first two messages are those of the walkthrough."""

from __future__ import annotations

from collections.abc import Iterable

from pratique.cluster.infrastructure import Infrastructure
from pratique.cluster.stamp_parameters import StampEdit
from pratique.config import Manifests
from pratique.git.publish import Edit
from pratique.images import ImportedImage, LiveImage
from pratique.manifests.images import ImagesEdit
from pratique.manifests.secret_provider import point_vault

_IMAGES = "Update bootstrap deployments to use images from my ACR instead of public container registries."
_VAULT = "Update SecretProviderClass to reference my ingress controller certificate."
_STAMP = "Record the parameters for the cluster's deployment."


def images_edit(
    target: Manifests, infrastructure: Infrastructure, promoted: Iterable[ImportedImage], *, partial: bool = False
) -> ImagesEdit:
    """The edit that points the manifests at the promoted images.

    :param partial: whether the catalogue has images that are not among them
    """
    live = {
        imported.image.reference.repository: LiveImage(imported.reference.tag or "", imported.image.digest)
        for imported in promoted
    }
    return ImagesEdit(
        folder=target.folder,
        registry=infrastructure.registry.login_server,
        images=live,
        partial=partial,
        pin=target.pin,
    )


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
