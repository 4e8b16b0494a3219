"""The last step: the GitOps repository learns of the released images and of the vault."""

from __future__ import annotations

from pathlib import Path

from prefect import get_run_logger, task

from pratique import gitops, manifests
from pratique.config import Manifests
from pratique.gitops import Publication
from pratique.infrastructure import Infrastructure
from pratique.manifests import LiveImage
from pratique.promotion import Moved
from tasks.policies import ALWAYS
from tasks.secrets import read_secret

_IMAGES = "Update bootstrap deployments to use images from my ACR instead of public container registries."
_VAULT = "Update SecretProviderClass to reference my ingress controller certificate."


@task(name="publish manifests", task_run_name="publish manifests to {target.branch}", **ALWAYS)
async def publish_manifests(
    target: Manifests, infrastructure: Infrastructure, promoted: list[Moved], certificate_name: str
) -> Publication:
    """Commit the released digests and the vault's values, and push both commits together."""
    live = {
        moved.image.reference.repository: LiveImage(moved.reference.tag or "", moved.image.digest) for moved in promoted
    }

    def images(root: Path) -> list[manifests.Change]:
        return manifests.point_images(root, target.folder, infrastructure.registry.login_server, live)

    def vault(root: Path) -> list[manifests.Change]:
        return manifests.point_vault(
            root,
            f"{target.folder}/{target.provider_file}",
            vault_name=infrastructure.vault.name,
            tenant_id=infrastructure.tenant_id,
            client_id=infrastructure.ingress_client_id,
            certificate_name=certificate_name,
        )

    token = (await read_secret(target.token)).decode().strip() if target.token else None
    author = gitops.Author(target.author.name, target.author.email)
    published = await gitops.publish(
        target.remote, target.branch, [(_IMAGES, images), (_VAULT, vault)], author=author, token=token
    )
    for commit in published.commits:
        get_run_logger().info("Pushed %s: %s", commit.sha[:12], commit.message)
    if published.unchanged:
        get_run_logger().info("The manifests say all of this already: nothing to commit")
    return published
