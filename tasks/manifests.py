"""The last step: the GitOps repository learns of the released images and of the vault."""

from __future__ import annotations

from prefect import get_run_logger, task

from pratique import gitops, manifests
from pratique.config import Manifests
from pratique.gitops import Publication
from pratique.infrastructure import Infrastructure
from pratique.manifests import LiveImage
from pratique.promotion import Moved
from pratique.secret import text_of
from tasks.events import tell
from tasks.policies import ALWAYS
from tasks.secrets import read_secret
from tasks.states import NOTHING_TO_DO, ended, opened

_IMAGES = "Update bootstrap deployments to use images from my ACR instead of public container registries."
_VAULT = "Update SecretProviderClass to reference my ingress controller certificate."


async def publish_manifests(
    target: Manifests,
    infrastructure: Infrastructure,
    promoted: list[Moved],
    *,
    certificate: str | None = None,
    partial: bool = False,
) -> Publication:
    """Commit the released digests and the vault's values, and push both commits together.

    :param certificate: its name in the vault; without it the vault's values stay as they are
    :param partial: whether the catalogue has more images than were promoted now
    """
    return await opened(_publish(target, infrastructure, promoted, certificate, partial))


@task(name="publish manifests", task_run_name="publish manifests to {target.branch}", **ALWAYS)
async def _publish(
    target: Manifests, infrastructure: Infrastructure, promoted: list[Moved], certificate: str | None, partial: bool
) -> Publication:
    """Commit the released digests and the vault's values."""
    published = _published(target, infrastructure, promoted, certificate, partial)
    return await ended(published, lambda done: NOTHING_TO_DO if done.unchanged else None)


async def _published(
    target: Manifests, infrastructure: Infrastructure, promoted: list[Moved], certificate: str | None, partial: bool
) -> Publication:
    token = text_of(await read_secret(target.token), target.token).strip() if target.token else None
    author = gitops.Author(target.author.name, target.author.email)
    edits: list[tuple[str, gitops.Edit]] = [(_IMAGES, _images(target, infrastructure, promoted, partial))]
    if certificate is not None:
        edits.append((_VAULT, _vault(target, infrastructure, certificate)))
    published = await gitops.publish(target.remote, target.branch, edits, author=author, token=token)
    for commit in published.commits:
        get_run_logger().info("Pushed %s: %s", commit.sha[:12], commit.message)
    if published.commits:
        commits = [commit.sha for commit in published.commits]
        tell("manifests.published", remote=published.remote, branch=published.branch, commits=commits)
    else:
        get_run_logger().info("The manifests say all of this already: nothing to commit")
    return published


def _images(target: Manifests, infrastructure: Infrastructure, promoted: list[Moved], partial: bool) -> gitops.Edit:
    server = infrastructure.registry.login_server
    live = {
        moved.image.reference.repository: LiveImage(moved.reference.tag or "", moved.image.digest) for moved in promoted
    }
    return lambda root: manifests.point_images(root, target.folder, server, live, partial=partial)


def _vault(target: Manifests, infrastructure: Infrastructure, certificate: str) -> gitops.Edit:
    return lambda root: manifests.point_vault(
        root,
        f"{target.folder}/{target.provider_file}",
        vault_name=infrastructure.vault.name,
        tenant_id=infrastructure.tenant_id,
        client_id=infrastructure.ingress_client_id,
        certificate_name=certificate,
    )
