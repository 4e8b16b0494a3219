"""All vaults: their effective firewalls, their contents, and the deleted vaults.

The vaults' ARM documents are in ``azure.resources``; changes to them by ARM's own routes or a deployment arrive as
:class:`ResourceChanged`.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from datetime import datetime
from functools import partial

from sandbox.azure import Azure
from sandbox.core.rbac import contains
from sandbox.core.resources import Document, ResourceChanged
from sandbox.services.keyvault.contents import Contents
from sandbox.services.keyvault.firewall import Firewall, NetworkRules
from sandbox.services.keyvault.vaults import SUFFIX, VAULT_TYPE


@dataclass(frozen=True)
class DeletedVault:
    """A deleted vault that can be recovered.

    :ivar document: the vault before its deletion
    """

    document: Document
    deleted: datetime


class Vaults:
    """The state of Key Vault."""

    def __init__(self, azure: Azure) -> None:
        self._azure = azure
        self._firewalls: defaultdict[str, Firewall] = defaultdict(Firewall)
        self._contents: defaultdict[str, Contents] = defaultdict(
            partial(Contents, azure.clock, azure.scenario.timings.vault_object)
        )
        self.deleted: dict[str, DeletedVault] = {}
        azure.events.on(ResourceChanged, self._follow)

    def of_host(self, host: str) -> Document | None:
        """The vault with this data plane host."""
        return self._azure.resources.named(VAULT_TYPE, host.removesuffix(SUFFIX))

    def contents(self, name: str) -> Contents:
        """The contents of the vault with this name."""
        return self._contents[name.lower()]

    def network_rules(self, name: str) -> NetworkRules:
        """The vault's firewall rules in effect."""
        return self._firewalls[name.lower()].rules(self._azure.clock.elapsed())

    def purge(self, name: str) -> None:
        """Forget a deleted vault and its contents."""
        del self.deleted[name.lower()]
        self._contents.pop(name.lower(), None)

    def _follow(self, change: ResourceChanged) -> None:
        if change.type.lower() != VAULT_TYPE.lower():
            return
        name = change.id.rsplit("/", 1)[-1].lower()
        if change.after is not None:
            self.deleted.pop(name, None)
            rules = NetworkRules.of(change.after["properties"])
            clock, delay = self._azure.clock, self._azure.scenario.timings.firewall_rule
            self._firewalls[name].change(rules, clock.elapsed(), clock.after(delay))
        elif change.before is not None:
            self._firewalls.pop(name, None)
            self.deleted[name] = DeletedVault(change.before, self._azure.clock.now())
            self._drop_assignments(change.id)

    def _drop_assignments(self, vault_id: str) -> None:
        """A deleted vault loses its role assignments; recovery does not restore them."""
        for assignment in self._azure.access.assignments():
            if contains(vault_id, assignment.scope):
                self._azure.access.unassign(assignment.id)
