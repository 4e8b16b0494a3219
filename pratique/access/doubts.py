"""What stands on a vault, and what a record claims about it without proof: only a person can judge it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from pratique.access.standing import Standing
from pratique.azure import roles
from pratique.errors import AccessNotRevoked
from pratique.lease import Lease, UnusableRecord
from pratique.markdown import plain
from pratique.text import first_few

#: Others choose the names of tags, so not every name belongs into a command that somebody copies.
_SIMPLE = re.compile(r"[\w-]+", re.ASCII)


@dataclass(frozen=True)
class Doubt:
    """Something that stands, and that a record claims for a lease.

    :ivar commands: remove it and its record
    """

    text: str
    commands: tuple[str, ...]


def of_record(record: Lease | UnusableRecord, standing: Standing) -> Iterator[Doubt]:
    """What a record names that stands without proof: a rule without a mark, an assignment that is no lease's."""
    name = record.tag_name if isinstance(record, Lease) else record.name
    firewall, vault = standing.firewall, standing.vault_id.rpartition("/")[2]
    if firewall is not None and record.address in firewall.alone - firewall.leased:
        remove = [f"az keyvault network-rule remove -n {vault} --ip-address {record.address}"]
        if _SIMPLE.fullmatch(name):
            remove.append(f"az keyvault update -n {vault} --remove tags.{name}")
        yield Doubt(f"{plain(name)} names the rule for {record.address}, which bears no lease's mark", tuple(remove))
    if isinstance(record, UnusableRecord) and record.assignment in standing.foreign:
        yield of_role(standing.vault_id, record.assignment)


def of_role(vault_id: str, name: str) -> Doubt:
    """A role assignment or activation that a record names, and that no lease has made."""
    command = f"az role assignment delete --ids {roles.assignment_id(vault_id, name)}"
    return Doubt(f"a record names the role assignment {name}, which no lease made", (command,))


def unproven(vault_id: str, doubts: Sequence[Doubt]) -> AccessNotRevoked:
    """The error for what only a person can judge."""
    commands = dict.fromkeys(command for doubt in doubts for command in doubt.commands)
    return AccessNotRevoked(
        "revoke the temporary access",
        vault_id.rpartition("/")[2],
        f"Something stands that may be a lease's: {first_few([doubt.text for doubt in doubts])}.",
        f"Find out who wrote the record (az monitor activity-log list --resource-id {vault_id}), and remove what is "
        f"not meant to stay: {'; '.join(commands)}",
    )
