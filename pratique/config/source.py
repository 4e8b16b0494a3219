"""The place of a configuration in a Git repository, and the parameter of flows that is a configuration or its place."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from posixpath import normpath
from typing import Annotated, Any, TypeAlias

from pydantic import (
    Field,
    TypeAdapter,
    ValidationError,
    ValidatorFunctionWrapHandler,
    WrapValidator,
    field_validator,
)
from pydantic_core import InitErrorDetails, PydanticCustomError

from pratique.config.base import Address, Model, SecretName
from pratique.config.bootstrap import Bootstrap
from pratique.config.gate import SignerTrust
from pratique.config.manifests import SshAccess

_PEM = "-----BEGIN"


class ConfigSource(Model):
    """The place of the configuration in a Git repository. Each run reads it there at its start."""

    remote: Address = Field(description="URL or path of the repository, without credentials, query and fragment.")
    branch: str = Field(
        "main",
        pattern=r"^[^-\s~^:?*\[\\][^\s~^:?*\[\\]*$",
        description="Branch of the configuration. A run reads the branch's last commit.",
    )
    path: str = Field("bootstrap.yaml", min_length=1, description="Path of the configuration file in the repository.")
    commit: str | None = Field(
        None,
        pattern=r"^([0-9a-f]{40}|[0-9a-f]{64})$",
        description="Full SHA of a commit of that branch to use instead of its last one. Usually empty.",
    )
    token: SecretName | None = Field(
        None, description="Location of the token for an HTTPS remote: file:PATH, env:NAME or prefect-secret:BLOCK."
    )
    ssh: SshAccess | None = Field(None, title="SSH", description="Private key and host keys for an SSH remote.")

    @field_validator("remote")
    @classmethod
    def _a_name(cls, remote: str) -> str:
        if not remote.strip() or remote.startswith("-"):
            raise ValueError("name the repository by its URL or path")
        return remote

    @field_validator("path")
    @classmethod
    def _in_the_repository(cls, path: str) -> str:
        return path_in_repository(path)

    @property
    def title(self) -> str:
        """Name of the configuration in the names of runs."""
        return f"{self.path} of {self.branch}"

    @property
    def signing_key(self) -> str | None:
        """Nothing is committed there."""
        return None


def path_in_repository(path: str, folder: str = ".") -> str:
    """The path from the repository's root, without ``.`` and ``..``.

    :param folder: to which the path is relative
    :raises ValueError: when it leads out of the repository, or to git's own files
    """
    found = normpath(f"{folder}/{path}") if path and not path.startswith("/") else "/"
    parts = found.split("/")
    if found in ("/", ".") or ".." in parts or "\0" in found or "\n" in found:
        raise ValueError("it has to be the path of a file in the repository, relative and without a way out of it")
    if any(part.lower().rstrip(" .") in (".git", "git~1") for part in parts):
        raise ValueError("it names git's own files")
    return found


def named_files(config: Bootstrap) -> Iterator[tuple[str, str]]:
    """Each field that names a file by a path, for example the first of ``gate.exceptions``, and that path.

    A template that the configuration does not set is Pratique's own, and is left out. So are secrets, whose files are
    the worker's.
    """
    if "template" in config.cluster.model_fields_set:
        yield "cluster.template", str(config.cluster.template)
    for name, paths in (("exceptions", config.gate.exceptions), ("vex", config.gate.vex)):
        yield from ((f"gate.{name}.{number}", str(path)) for number, path in enumerate(paths))
    trusting: list[tuple[str, SignerTrust]] = [("gate", config.gate)]
    trusting += [(f"gate.attestations.{number}", trust) for number, trust in enumerate(config.gate.attestations)]
    for section, trust in trusting:
        for name, stores in (("trust_store", trust.trust_store), ("tsa_trust_store", trust.tsa_trust_store)):
            for number, store in enumerate(stores):
                if _PEM not in store:
                    yield f"{section}.{name}.{number}", store


def with_own_template(config: Bootstrap, checkout: Path) -> Bootstrap:
    """The configuration with the absolute path of Pratique's own template, unless it sets one."""
    if "template" in config.cluster.model_fields_set:
        return config
    cluster = config.cluster.model_copy(update={"template": checkout / config.cluster.template})
    return config.model_copy(update={"cluster": cluster})


def _one_of(value: Any, handler: ValidatorFunctionWrapHandler) -> Any:
    """Choose by the content, so that errors are about the one that was meant."""
    if not isinstance(value, Mapping):
        return handler(value)
    try:
        return (ConfigSource if "remote" in value else Bootstrap).model_validate(value)
    except ValidationError as error:
        raise _without_values(error) from None


def _without_values(error: ValidationError) -> ValidationError:
    """The same error, for logs and states of runs: whoever validates the parameter would show the refused values."""
    details = [
        InitErrorDetails(
            type=PydanticCustomError("refused", "{problem}", {"problem": problem["msg"]}),
            loc=problem["loc"],
            input=None,
        )
        for problem in error.errors(include_url=False, include_input=False)
    ]
    return ValidationError.from_exception_data(error.title, details, hide_input=True)


#: What flows take: a configuration, or its place in Git.
ConfigParameter: TypeAlias = Annotated[Bootstrap | ConfigSource, WrapValidator(_one_of)]

_parameter: TypeAdapter[Bootstrap | ConfigSource] = TypeAdapter(ConfigParameter)


def parse_parameter(value: object) -> Bootstrap | ConfigSource:
    """The value of a flow's parameter ``config``.

    :raises pydantic.ValidationError: when it is neither
    """
    return _parameter.validate_python(value)
