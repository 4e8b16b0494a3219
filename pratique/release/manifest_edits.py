"""The edits of one run, in order, each with the message of its commit. The first two messages are the walkthrough's."""

from __future__ import annotations

from collections.abc import Iterable

from pratique.cluster.infrastructure import Infrastructure
from pratique.cluster.stamp_parameters import StampEdit
from pratique.config import Manifests
from pratique.git.publish import Edit
from pratique.images import ImportedImage, LiveImage
from pratique.manifests import update as manifests
from pratique.manifests.update import ImagesEdit

_IMAGES = "Update bootstrap deployments to use images from my ACR instead of public container registries."
_VAULT = "Update SecretProviderClass to reference my ingress controller certificate."
_STAMP = "Record the parameters for the cluster's deployment."


def images_edit(
    target: Manifests, infrastructure: Infrastructure, promoted: Iterable[ImportedImage], *, partial: bool = False
) -> ImagesEdit:
    """Point the manifests at what was promoted.

    :param partial: whether the catalogue has more images than that
    """
    live = {
        moved.image.reference.repository: LiveImage(moved.reference.tag or "", moved.image.digest) for moved in promoted
    }
    return ImagesEdit(target.folder, infrastructure.registry.login_server, live, partial, target.pin)


def edits(
    target: Manifests,
    infrastructure: Infrastructure,
    images: ImagesEdit,
    certificate: str | None,
    stamp: StampEdit | None,
) -> list[tuple[str, Edit]]:
    """What a run applies and commits.

    :param certificate: its name in the vault; without it the vault's values stay as they are
    :param stamp: the next step's parameters, where they are to be committed
    """
    wanted: list[tuple[str, Edit]] = [(_IMAGES, images)]
    if certificate is not None:
        wanted.append((_VAULT, _vault(target, infrastructure, certificate)))
    if stamp is not None:
        wanted.append((_STAMP, stamp))
    return wanted


def _vault(target: Manifests, infrastructure: Infrastructure, certificate: str) -> Edit:
    return lambda root: manifests.point_vault(
        root,
        f"{target.folder}/{target.provider_file}",
        vault_name=infrastructure.vault.name,
        tenant_id=infrastructure.tenant_id,
        client_id=infrastructure.ingress_client_id,
        certificate_name=certificate,
    )
