"""The part of a scenario that selects forms of container registries that Azure does not document."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from sandbox.subscriptions import Section


class RegistryLog(Section):
    """Forms of the registries' log that Azure does not document."""

    identity: Literal["object-id", "application-id", "name", "empty"] = Field(
        default="object-id", description="What the column Identity holds."
    )
    imports: Literal["importImage", "Push", "nothing"] = Field(
        default="importImage",
        description="How an import is logged: under its own name with the source in MediaType, as a push of the "
        "manifest, or not at all.",
    )
    source: Literal["resource-id", "lower-case-id", "login-server"] = Field(
        default="resource-id",
        description="How the log names the source of an import from a registry that the request names by resource id.",
    )


class RegistryPermissions(Section):
    """Permissions of the registries, and forms that Azure does not document."""

    mode: Literal["legacy", "abac"] = Field(
        default="legacy",
        description="Mode of registries that are created without one: permissions of the registry, or of its "
        "repositories.",
    )
    shown: bool = Field(default=True, description="Whether Resource Manager shows a registry's mode.")
    refusal: Literal["request", "token"] = Field(
        default="request",
        description="What fails with repository permissions when a right is missing: the request, whose token grants "
        "nothing, or the request for the token.",
    )
    imports: Literal["repository", "registry"] = Field(
        default="repository",
        description="What an import asks for with repository permissions: the repositories that it names, as "
        "conditions can allow, or the whole registry.",
    )


class RegistryLocks(Section):
    """Locks of tags and manifests (their changeable attributes), in forms that Azure does not document."""

    forced_imports: Literal["move", "fail", "conflict"] = Field(
        default="move",
        description="What a forced import does to a locked tag: move it and leave the lock, as was seen in 2026; fail "
        "as an operation; or be refused at once.",
    )
    right: Literal["metadata", "push"] = Field(
        default="metadata",
        description="The action that changes attributes with registry permissions: registries/metadata/write, or "
        "registries/push/write.",
    )
    undone_after: float | None = Field(
        default=None,
        description="Seconds after which the first change of each tag's and manifest's attributes is undone, as "
        "replicas of a registry have done to each other (Azure/acr#592); default: never.",
    )
