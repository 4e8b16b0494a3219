"""Proves the seal on a drill's own image: locks it, and tries everything that a lock has to refuse.

Only the drill's repositories are touched, and the drill deletes them afterwards. What a forced import does to a locked
tag is not documented: registries have been seen to move it (:mod:`pratique.oci.locks`), so the tag is read back.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Sequence
from dataclasses import dataclass
from typing import Literal

from pratique.audit.drill.diagnosis import Defect
from pratique.audit.drill.staging import IMPORTED, TAG, StagedImage
from pratique.azure.import_pacing import paced_import
from pratique.azure.registries import Internal, Registry, import_image
from pratique.azure.session import AzureSession
from pratique.config import Seal
from pratique.errors import PratiqueError, Prohibited, TransientError, Unavailable
from pratique.images import ImageReference
from pratique.oci.client import OciClient
from pratique.oci.locks import Content, Part, lock, read_content
from pratique.oci.pushing import delete_manifest, delete_repository, delete_tag, empty_image, push

FORCED_IMPORT = "forced import onto the tag"

_TEXT = "A drill of Pratique: pushed onto a locked tag on purpose. Contains no program."
_IMPORT_STEP = (
    "Locks do not stop importImage here. Give that right to the pipeline's identity alone, deploy by digest "
    "(manifests.pin), and run seal_live often: it finds moved tags. Once you know that, set "
    "registries.seal.forced_imports to known."
)
_LOCK_STEP = "Look at the attributes of images in live/, and ask Microsoft's support: a lock has to refuse this."
_UNCLEAR_STEP = "Correct what came back, then run the drill again."


@dataclass(frozen=True)
class SealAttempt:
    """Something that a lock has to refuse, and what came of it.

    :ivar what: in words
    :ivar outcome: ``unclear`` when it failed for another reason, or could not be tried
    :ivar observed: what came back
    """

    what: str
    outcome: Literal["refused", "went through", "unclear"]
    observed: str


async def prove_seal(
    session: AzureSession, client: OciClient, registry: Registry, staged: Sequence[StagedImage]
) -> list[SealAttempt]:
    """Lock the imported image of a drill, and try to overwrite and to delete it.

    :param staged: the drill's images
    :raises PermissionDenied: when this identity may not set locks
    :raises TransientError: when the registry does not answer now, or does not show the locks yet
    """
    host = registry.login_server
    before = await read_content(client, host, IMPORTED)
    await _lock(client, host, before)
    tag = ImageReference(host, IMPORTED, TAG)
    digest = before.tags[TAG].digest
    attempts = []
    if any(image.way == "push" for image in staged):
        attempts.append(await _attempt("push onto the tag", push(client, tag, empty_image(_TEXT))))
    attempts.append(await _import(session, client, registry, before, staged))
    attempts += [
        await _attempt("deletion of the tag", delete_tag(client, tag)),
        await _attempt(
            "deletion of the manifest", delete_manifest(client, ImageReference(host, IMPORTED, None, digest))
        ),
        await _attempt("deletion of the repository", delete_repository(client, host, IMPORTED)),
    ]
    return attempts


def seal_defects(attempts: Sequence[SealAttempt], seal: Seal) -> list[Defect]:
    """What the seal does not hold, or could not be tried; empty when all is well."""
    known = (FORCED_IMPORT, "went through") if seal.forced_imports == "known" else None
    return [_defect(each) for each in attempts if each.outcome != "refused" and (each.what, each.outcome) != known]


def _defect(attempt: SealAttempt) -> Defect:
    if attempt.outcome == "unclear":
        return Defect(f"Whether a lock refuses a {attempt.what} is not known: {attempt.observed}", _UNCLEAR_STEP)
    step = _IMPORT_STEP if attempt.what == FORCED_IMPORT else _LOCK_STEP
    return Defect(f"A lock did not refuse the {attempt.what}.", step)


async def _lock(client: OciClient, host: str, content: Content) -> None:
    """Lock everything in a repository, and read that back.

    :raises Unavailable: when the registry shows something as unlocked
    """
    parts = [Part(content.repository, name) for name in (*content.tags, *content.manifests)]
    await asyncio.gather(*(lock(client, host, part) for part in parts))
    now = await read_content(client, host, content.repository)
    if unlocked := [str(part) for part in parts if not now.is_locked(part)]:
        raise Unavailable(
            "lock the drill's image",
            host,
            f"The registry shows {', '.join(unlocked)} as unlocked.",
            "Run again: replicas of a registry may undo each other's locks (Azure/acr#592).",
        )


async def _attempt(what: str, work: Awaitable[object]) -> SealAttempt:
    try:
        await work
    except Prohibited as error:
        return SealAttempt(what, "refused", error.observed)
    except TransientError:
        raise
    except PratiqueError as error:
        return SealAttempt(what, "unclear", error.observed)
    return SealAttempt(what, "went through", "")


async def _import(
    session: AzureSession, client: OciClient, registry: Registry, content: Content, staged: Sequence[StagedImage]
) -> SealAttempt:
    """Import another image of the drill's onto the tag, with force."""
    digest = content.tags[TAG].digest
    source = _another(registry, content, staged)
    if source is None:
        observed = "The drill has no other image to import. Let it push one (drill.push), or import one with an index."
        return SealAttempt(FORCED_IMPORT, "unclear", observed)

    async def work() -> None:
        await import_image(session, registry, source=source, targets=[f"{IMPORTED}:{TAG}"], force=True)

    attempt = await _attempt(FORCED_IMPORT, paced_import(session, registry, work))
    now = await client.head(ImageReference(registry.login_server, IMPORTED, TAG))
    if attempt.outcome == "went through" and now == digest:
        return SealAttempt(FORCED_IMPORT, "refused", "The import is reported as done, and the tag has not moved.")
    if attempt.outcome == "unclear" and now not in (digest, None):
        return SealAttempt(FORCED_IMPORT, "went through", attempt.observed)
    return attempt


def _another(registry: Registry, content: Content, staged: Sequence[StagedImage]) -> Internal | None:
    """An image of the drill's other than the locked one."""
    others = [(IMPORTED, digest) for digest in sorted(content.manifests) if digest != content.tags[TAG].digest]
    others += [(image.reference.repository, image.reference.digest or "") for image in staged if image.reference.digest]
    return Internal(registry.id, *others[0]) if others else None
