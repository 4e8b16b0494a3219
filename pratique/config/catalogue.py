"""The images that the cluster will run."""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import replace
from typing import Self

from pydantic import Field, field_validator, model_validator

from pratique.config.base import Address, Model, SecretName
from pratique.errors import ConfigurationError
from pratique.images import HOST_PATTERN, ImageReference, official_name


class Image(Model):
    """One image of the catalogue."""

    source: Address = Field(
        description="Fully qualified reference with a tag, for example docker.io/library/busybox:1.37.0. Add a digest "
        "to pin the image: …:tag@sha256:….",
        min_length=3,
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

    @property
    def reference(self) -> ImageReference:
        return ImageReference.parse(self.source)


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
        seen: dict[str, str] = {}
        for image in self.images:
            repository = image.reference.repository
            if other := seen.get(repository):
                raise ValueError(f"{other} and {image.source} would share live/{repository}: remove one of them")
            seen[repository] = image.source
        return self

    @property
    def images(self) -> tuple[Image, ...]:
        return tuple(image for release in self.releases for image in release.images)

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
