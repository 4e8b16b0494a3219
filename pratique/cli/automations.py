"""The automations of ``deployments/automations``, and how they get to a Prefect server.

A file holds one automation, as ``prefect automation create`` takes it, but for two actions that name what only a
server can give an id to:

- ``{type: run-deployment, deployment: FLOW/DEPLOYMENT, ...}``
- ``{type: notify, subject: ..., body: ...}`` tells whatever block was chosen; without one, the file is left out.

Which automations of a server are ours is said by a tag. Those alone are changed, and removed when their file is gone.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID

from prefect.client.orchestration import PrefectClient
from prefect.events.filters import AutomationFilter, AutomationFilterTags
from prefect.events.schemas.automations import Automation, AutomationCore
from prefect.exceptions import ObjectNotFound
from ruamel.yaml import YAML

from pratique.errors import ConfigurationError

FOLDER = Path(__file__).parents[2] / "deployments" / "automations"
#: Marks the automations on a server that came from these files.
TAG = "pratique-file"

Document = Mapping[str, Any]


@dataclass(frozen=True)
class Ids:
    """What a server calls the things that the files name.

    :ivar deployments: id of each deployment, by FLOW/DEPLOYMENT
    :ivar block: the notification block's, if one was chosen
    """

    deployments: Mapping[str, UUID]
    block: UUID | None = None


def read_files(folder: Path = FOLDER) -> dict[str, Document]:
    """Each file's contents, by file name."""
    return {path.name: YAML(typ="safe").load(path) for path in sorted(folder.glob("*.yaml"))}


def named_deployments(documents: Mapping[str, Document]) -> set[str]:
    """Every FLOW/DEPLOYMENT that a file wants to run."""
    return {action["deployment"] for document in documents.values() for action in _of(document, "run-deployment")}


def notifies(document: Document) -> bool:
    """Whether it is of no use without a block to notify."""
    return any(_of(document, "notify"))


def automation(document: Document, ids: Ids, tag: str = TAG) -> AutomationCore:
    """The automation as a server takes it.

    :param tag: marks whose it is
    :raises KeyError: for a deployment without an id
    :raises pydantic.ValidationError: when it is none that Prefect knows
    """
    actions = [_action(action, ids) for action in document["actions"]]
    return AutomationCore.model_validate({**document, "actions": actions, "tags": [tag]})


async def notification_block(client: PrefectClient, setting: str) -> UUID:
    """The block that a setting names.

    :param setting: TYPE/NAME, for example slack-webhook/ops
    :raises ConfigurationError: when there is no such block, or it cannot notify
    """
    kind, _, name = setting.partition("/")
    try:
        block = await client.read_block_document_by_name(name=name, block_type_slug=kind, include_secrets=False)
    except ObjectNotFound:
        raise _wrong(setting, "The server has no such block.", "Create it in Prefect's UI under Blocks.") from None
    schema = block.block_schema
    if schema is None or "notify" not in schema.capabilities:
        raise _wrong(setting, f"A block of type {kind} cannot notify.", "Use custom-webhook for an address of yours.")
    return block.id


async def apply(client: PrefectClient, wanted: Sequence[AutomationCore], tag: str = TAG) -> list[str]:
    """Make the server's automations with the tag those that are wanted; gives a line for each, of what was done.

    Somebody's decision to switch one off in the UI is kept.
    """
    ours = AutomationFilter(tags=AutomationFilterTags(all_=[tag]))
    present = {one.name: one for one in await client.read_automations(automations=ours)}
    told = [f"{one.name}: {await _put(client, one, present.get(one.name))}" for one in wanted]
    for gone in present.keys() - {one.name for one in wanted}:
        await client.delete_automation(present[gone].id)
        told.append(f"{gone}: removed")
    return told


async def _put(client: PrefectClient, wanted: AutomationCore, present: Automation | None) -> str:
    if present is None:
        await client.create_automation(wanted)
        return "created"
    wanted = wanted.model_copy(update={"enabled": present.enabled})
    # An update makes Prefect forget what it has counted so far, for instance the heartbeats that it waits for.
    if wanted.model_dump() == present.model_dump(include={*AutomationCore.model_fields}):
        return "unchanged"
    await client.update_automation(present.id, wanted)
    return "updated"


def _of(document: Document, kind: str) -> Iterator[Document]:
    return (action for action in document["actions"] if action["type"] == kind)


def _action(action: Document, ids: Ids) -> Document:
    if action["type"] == "notify":
        return {**action, "type": "send-notification", "block_document_id": ids.block}
    if "deployment" in action:
        rest = {key: value for key, value in action.items() if key != "deployment"}
        return {**rest, "source": "selected", "deployment_id": ids.deployments[action["deployment"]]}
    return action


def _wrong(setting: str, observed: str, remedy: str) -> ConfigurationError:
    return ConfigurationError("find the block for notifications", f"PRATIQUE_NOTIFY={setting}", observed, remedy)
