"""Accepts an image that nothing assesses, by its digest, in an exceptions file."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path

import httpx

from pratique.azure.clouds import CLOUDS
from pratique.azure.registries import oci_client
from pratique.azure.session import AzureSession
from pratique.config import Bootstrap
from pratique.errors import ConfigurationError
from pratique.gate.exceptions.exemption import read
from pratique.gate.exceptions.file import Acceptance, AcceptedKind, Entries, entries
from pratique.gate.exceptions.stanza import NewAcceptance, NewEntry, default_end, with_entry
from pratique.images import ImageReference
from pratique.oci.auth import Authenticator, Login
from pratique.oci.client import OciClient
from pratique.secret import SecretKind, SecretSource, text_of

_ATTEMPTED = "accept the image"


@dataclass(frozen=True, kw_only=True)
class Decision:
    """What a person decided about an image.

    :ivar image: with its tag; without a digest, the current one is looked up
    :ivar until: the last day (UTC); ``None`` for the default
    """

    image: ImageReference
    states: tuple[AcceptedKind, ...]
    reason: str
    owner: str
    approver: str
    until: date | None = None

    def require_complete(self) -> None:
        """:raises ConfigurationError: naming the options that are missing"""
        missing = [f"--{name}" for name in ("reason", "owner", "approver") if not getattr(self, name).strip()]
        if missing:
            raise ConfigurationError(
                _ATTEMPTED,
                str(self.image),
                f"{', '.join(missing)} is missing.",
                "Say why nothing assesses the image, who is responsible for it, and which other person approved it.",
            )


async def accept(config: Bootstrap, decision: Decision, file: Path | None = None) -> tuple[Path, NewAcceptance]:
    """Write an acceptance into an exceptions file of the configuration. Return the file and the entry.

    :param file: which file; needed when the configuration names several
    :raises ConfigurationError: when the decision is incomplete or not allowed, or the file cannot be edited
    :raises PratiqueError: when the digest cannot be looked up
    """
    decision.require_complete()
    path, now = chosen_file(config, file), datetime.now(UTC)
    reference = decision.image
    if reference.tag is None:
        raise ConfigurationError(_ATTEMPTED, str(reference), "It has no tag.", "Write it as in the catalogue.")
    if reference.digest is None:
        reference = await _with_digest(config, reference)
    new = NewAcceptance(
        image=reference,
        states=decision.states,
        reason=decision.reason,
        owner=decision.owner,
        approver=decision.approver,
        expires=decision.until or default_end(now, config.gate.policy),
    )
    if new.expires < now.date():
        raise ConfigurationError(_ATTEMPTED, str(reference), f"{new.expires} has passed.", "Choose a later --until.")

    def require_new(known: Entries) -> None:
        if names := [name for name, acceptance in known.acceptances if _same(acceptance, new)]:
            raise ConfigurationError(
                _ATTEMPTED,
                str(new.image),
                f"{names[0]} accepts it already.",
                "Change that entry, for example 'expires'.",
            )

    write_entry(config, path, new, now, require_new)
    return path, new


def source_logins(config: Bootstrap) -> dict[str, Login]:
    """The logins of source registries that can be read outside of a flow run."""
    sources = [(entry, SecretSource.parse(entry.password)) for entry in config.catalogue.credentials]
    return {
        entry.registry: Login(entry.username, text_of(source.read(), entry.password).strip())
        for entry, source in sources
        if source.kind is not SecretKind.PREFECT
    }


def chosen_file(config: Bootstrap, file: Path | None) -> Path:
    """The exceptions file to write to.

    :param file: which file; needed when the configuration names several
    :raises ConfigurationError: when the configuration does not name it, or names none or several
    """
    known = config.gate.exceptions
    if file is None and len(known) == 1:
        return known[0]
    if file is not None and file in known:
        return file
    observed = f"The configuration names {', '.join(map(str, known)) or 'no exceptions file'} in gate.exceptions."
    remedy = "Choose one of them with --file." if known else "Add a path there; the file need not exist yet."
    raise ConfigurationError("choose the exceptions file", str(file or ""), observed, remedy)


async def _with_digest(config: Bootstrap, reference: ImageReference) -> ImageReference:
    logins, platforms = source_logins(config), config.gate.platforms
    async with httpx.AsyncClient(timeout=30) as http:
        if not reference.registry.endswith(CLOUDS[config.cloud].acr_suffix):
            client = OciClient(http, Authenticator(http, logins=logins))
            return reference.at((await client.resolve(reference, platforms)).digest)
        async with AzureSession.open(
            config.subscription_id, config.cloud, identity=config.registries.identity
        ) as session:
            return reference.at((await oci_client(session, http, logins).resolve(reference, platforms)).digest)


def write_entry(
    config: Bootstrap, path: Path, new: NewEntry, now: datetime, require_new: Callable[[Entries], None]
) -> None:
    """Add an entry to an exceptions file of the configuration, if all files together are still valid with it.

    :param require_new: called with the entries that there are; raises when the new one may not be added to them
    :raises ConfigurationError: when it is not allowed, or the file cannot be edited
    """
    policy = config.gate.policy
    contents = {other: read(other) for other in config.gate.exceptions if other != path or other.exists()}
    require_new(entries([(str(other), content) for other, content in contents.items()], policy, now))
    contents[path] = with_entry(contents.get(path, b""), new, str(path))
    entries([(str(other), content) for other, content in contents.items()], policy, now)
    try:
        path.write_bytes(contents[path])
    except OSError as error:
        raise ConfigurationError(
            "write the exceptions file", str(path), f"{error.strerror}.", f"Add the entry by hand:\n{new.yaml}"
        ) from None


def _same(acceptance: Acceptance, new: NewAcceptance) -> bool:
    return acceptance.image == new.image or acceptance.digest == new.image.digest
