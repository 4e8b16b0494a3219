"""The images that the cluster will run."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import replace
from typing import Self

from pydantic import Field, field_validator, model_validator

from pratique.config.base import Address, Model, SecretName
from pratique.errors import ConfigurationError
from pratique.images import (
    DOCKER_HUB,
    DRILL,
    HOST_PATTERN,
    LIVE,
    QUARANTINE,
    REPOSITORY_PATTERN,
    ImageReference,
    Location,
    official_name,
)

_LONGEST_TARGET = 200  # characters; with the registry's host and a prefix, a repository's name may have 255


class Image(Model):
    """One image of the catalogue."""

    source: Address = Field(
        description="Fully qualified reference with a tag, for example docker.io/library/busybox:1.37.0. Add a digest "
        "to pin the image: …:tag@sha256:….",
        min_length=3,
    )
    target: str | None = Field(
        None,
        pattern=f"^{REPOSITORY_PATTERN}$",
        max_length=_LONGEST_TARGET,
        description="Repository of the image below quarantine/ and live/, for example mirrors/kured. Leave empty for "
        "the source's own. Sources of different registries with the same repository need different targets.",
    )
    manifests: tuple[str, ...] = Field(
        (),
        description="Files or folders below manifests.folder whose entries get this version. * and ? stand for "
        "characters of one name, ** for any folders. Leave empty for all that no other version of the image names.",
    )

    @field_validator("source")
    @classmethod
    def _tagged(cls, source: str) -> str:
        try:
            reference = ImageReference.parse(source)
        except ConfigurationError as error:
            raise ValueError(f"{error.observed} {error.remedy}") from None
        if reference.tag is None:
            raise ValueError("An image of the catalogue needs a tag. A digest is optional.")
        if official := official_name(reference.registry, reference.repository):
            written = replace(reference, repository=official)
            raise ValueError(f"Official images of Docker Hub are below library/: write {written}")
        return source

    @field_validator("target")
    @classmethod
    def _below_live(cls, target: str | None) -> str | None:
        for prefix in (LIVE, QUARANTINE):
            if target is not None and target.startswith(prefix):
                raise ValueError(f"Write it without {prefix}: the target is below both {QUARANTINE} and {LIVE}.")
        if target is not None and f"{LIVE}{target}/".startswith(DRILL):
            raise ValueError(f"The drill deletes everything below {DRILL}: choose another name.")
        return target

    @field_validator("manifests")
    @classmethod
    def _relative(cls, patterns: tuple[str, ...]) -> tuple[str, ...]:
        for pattern in patterns:
            if "\\" in pattern or any(part in ("", ".", "..") for part in pattern.rstrip("/").split("/")):
                raise ValueError(
                    f"{pattern!r} is not a path relative to manifests.folder, such as apps/legacy or apps/*"
                )
        return tuple(pattern.rstrip("/") for pattern in patterns)

    @property
    def reference(self) -> ImageReference:
        return ImageReference.parse(self.source)

    @property
    def location(self) -> Location:
        """Where it lies below ``quarantine/`` and ``live/``."""
        return self.reference.location(self.target or "")


class Release(Model):
    """Images that are promoted together or not at all."""

    name: str = Field(
        pattern=r"^[a-z0-9]([a-z0-9-]{0,38}[a-z0-9])?$",
        description="Name of the release in artifacts and events: up to 40 lower-case letters, digits and -.",
    )
    images: tuple[Image, ...] = Field(
        min_length=1, description="Images of the release. None is promoted unless all of them pass the gate."
    )
    deadline: float | None = Field(
        None, gt=0, description="Minutes to wait at the gate. Leave empty to use the gate's deadline."
    )


class SourceCredential(Model):
    """An account at a source registry. Docker Hub, for example, limits anonymous pulls."""

    registry: Address = Field(description="Host of the registry as in image references, for example docker.io.")
    username: str = Field(description="User name of the account.")
    password: SecretName

    @field_validator("registry")
    @classmethod
    def _a_host(cls, registry: str) -> str:
        if not re.fullmatch(HOST_PATTERN, registry):
            raise ValueError("Write only the registry's host as image references do, for example docker.io")
        return registry


class Catalogue(Model):
    """All images that the cluster will run."""

    releases: tuple[Release, ...] = Field(min_length=1, description="Groups of images that are promoted together.")
    credentials: tuple[SourceCredential, ...] = Field((), description="Accounts for source registries that need one.")

    @model_validator(mode="after")
    def _one_place_each(self) -> Self:
        sources: dict[ImageReference, Image] = {}
        locations: dict[str, Image] = {}
        repositories: dict[str, Image] = {}
        for image in self.images:
            source, repository = _upstream(image.reference), image.location.repository
            name = f"{repository}:{source.tag}"
            if other := sources.get(source):
                raise ValueError(f"{other.source} and {image.source} are the same image: remove one of them")
            if other := locations.get(name):
                raise ValueError(
                    f"{other.source} and {image.source} would share {LIVE}{name}: remove one of them, or set its "
                    "target to a repository of its own"
                )
            other = repositories.setdefault(repository, image)
            if _repository(other) != _repository(image):
                raise ValueError(
                    f"{other.source} and {image.source} come from different repositories and would share "
                    f"{LIVE}{repository}: set the target of one of them to a repository of its own"
                )
            sources[source], locations[name] = image, image
        return self

    @model_validator(mode="after")
    def _named_once(self) -> Self:
        named: dict[tuple[str, str], Image] = {}
        for image in self.images:
            for pattern in image.manifests:
                other = named.setdefault((image.location.repository, pattern), image)
                if other is not image:
                    raise ValueError(
                        f"{other.source} and {image.source} both name the manifests {pattern}: leave it to one of them"
                    )
        return self

    @property
    def images(self) -> tuple[Image, ...]:
        return tuple(image for release in self.releases for image in release.images)

    @property
    def sources(self) -> Mapping[tuple[str, str], ImageReference]:
        """The images' upstream references, by repository below ``live/`` and tag."""
        return {(image.location.repository, image.reference.tag or ""): image.reference for image in self.images}

    @property
    def several(self) -> frozenset[str]:
        """Repositories below ``live/`` of which it has several versions."""
        counts = Counter(image.location.repository for image in self.images)
        return frozenset(repository for repository, count in counts.items() if count > 1)

    def releases_with(self, sources: Collection[str]) -> tuple[Release, ...]:
        """The releases that contain these images; all releases if ``sources`` is empty.

        :param sources: sources of images, exactly as in the catalogue
        :raises ConfigurationError: when the catalogue has no such image
        """
        known = [image.source for image in self.images]
        if unknown := sorted({*sources}.difference(known)):
            raise ConfigurationError(
                "choose what to release",
                ", ".join(unknown),
                "The catalogue has no such image.",
                f"Use a source from the catalogue: {', '.join(known)}.",
            )
        wanted = {*(sources or known)}
        return tuple(release for release in self.releases if any(image.source in wanted for image in release.images))


def _upstream(reference: ImageReference) -> ImageReference:
    """The reference with Docker Hub's usual name, which has others."""
    return replace(reference, registry="docker.io") if reference.registry in DOCKER_HUB else reference


def _repository(image: Image) -> str:
    reference = _upstream(image.reference)
    return f"{reference.registry}/{reference.repository}"
