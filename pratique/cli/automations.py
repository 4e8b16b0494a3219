"""The automations of ``deployments/automations``, and how they get to a Prefect server.

A file holds one automation, in the format of ``prefect automation create``. Two actions are different, because the
files cannot know the ids that a server gives:

- ``{type: run-deployment, deployment: FLOW/DEPLOYMENT, ...}``
- ``{type: notify, subject: ..., body: ...}`` sends to the notification block that was chosen. Without a block, the file
  is left out.

A tag marks the automations on a server that come from these files. Only those are updated, and removed when their file
no longer exists.
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

from pratique.cli.deployment_files import AUTOMATIONS
from pratique.errors import ConfigurationError

#: Marks the automations on a server that come from these files.
TAG = "pratique-file"

Document = Mapping[str, Any]


@dataclass(frozen=True)
class Ids:
    """The server's ids of what the files name.

    :ivar deployments: id of each deployment, by FLOW/DEPLOYMENT
    :ivar block: id of the notification block, if one was chosen
    """

    deployments: Mapping[str, UUID]
    block: UUID | None = None


def read_files(folder: Path = AUTOMATIONS) -> dict[str, Document]:
    """Read all files; returns their contents by file name."""
    return {path.name: YAML(typ="safe").load(path) for path in sorted(folder.glob("*.yaml"))}


def deployments_to_run(documents: Mapping[str, Document]) -> set[str]:
    """Every deployment that a file runs, as FLOW/DEPLOYMENT."""
    return {action["deployment"] for document in documents.values() for action in _actions(document, "run-deployment")}


def notifies(document: Document) -> bool:
    """Whether the automation sends notifications, and so needs a block."""
    return any(_actions(document, "notify"))


def build_automation(document: Document, ids: Ids, tag: str = TAG) -> AutomationCore:
    """The automation in the form that a server accepts.

    :param tag: marks the automation as managed by these files
    :raises KeyError: for a deployment without an id
    :raises pydantic.ValidationError: when Prefect does not know such an automation
    """
    actions = [_resolve(action, ids) for action in document["actions"]]
    return AutomationCore.model_validate({**document, "actions": actions, "tags": [tag]})


async def notification_block(client: PrefectClient, setting: str) -> UUID:
    """Find the block for notifications; returns its id.

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
        raise _wrong(setting, f"A block of type {kind} cannot notify.", "For a web address, use custom-webhook.")
    return block.id


async def apply_automations(client: PrefectClient, wanted: Sequence[AutomationCore], tag: str = TAG) -> list[str]:
    """Create, update and remove the server's automations with this tag until they match; returns a line for each.

    An automation that was switched off in the UI stays off.
    """
    tagged = AutomationFilter(tags=AutomationFilterTags(all_=[tag]))
    present = {automation.name: automation for automation in await client.read_automations(automations=tagged)}
    lines = [
        f"{automation.name}: {await _apply(client, automation, present.get(automation.name))}" for automation in wanted
    ]
    for name in present.keys() - {automation.name for automation in wanted}:
        await client.delete_automation(present[name].id)
        lines.append(f"{name}: removed")
    return lines


async def _apply(client: PrefectClient, wanted: AutomationCore, present: Automation | None) -> str:
    if present is None:
        await client.create_automation(wanted)
        return "created"
    wanted = wanted.model_copy(update={"enabled": present.enabled})
    # An update makes Prefect forget what it has counted so far, for example the heartbeats that it waits for.
    if wanted.model_dump() == present.model_dump(include={*AutomationCore.model_fields}):
        return "unchanged"
    await client.update_automation(present.id, wanted)
    return "updated"


def _actions(document: Document, kind: str) -> Iterator[Document]:
    return (action for action in document["actions"] if action["type"] == kind)


def _resolve(action: Document, ids: Ids) -> Document:
    """The action with the server's ids in place of names."""
    if action["type"] == "notify":
        return {**action, "type": "send-notification", "block_document_id": ids.block}
    if "deployment" in action:
        rest = {key: value for key, value in action.items() if key != "deployment"}
        return {**rest, "source": "selected", "deployment_id": ids.deployments[action["deployment"]]}
    return action


def _wrong(setting: str, observed: str, remedy: str) -> ConfigurationError:
    return ConfigurationError("find the notification block", f"PRATIQUE_NOTIFY={setting}", observed, remedy)
