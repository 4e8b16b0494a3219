"""ARM resource ids.

>>> vault = ResourceId.parse("/subscriptions/s/resourceGroups/rg/providers/Microsoft.KeyVault/vaults/kv")
>>> vault.group, vault.type, vault.name
('rg', 'Microsoft.KeyVault/vaults', 'kv')
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from pratique.errors import ConfigurationError

_PATTERN = re.compile(
    r"/subscriptions/(?P<subscription>[^/]+)/resourceGroups/(?P<group>[^/]+)"
    r"/providers/(?P<type>[^/]+/[^/]+)/(?P<name>[^/]+)",
    re.IGNORECASE,
)


def subscriptions_of(resource_ids: Iterable[str]) -> list[str]:
    """The subscriptions' ids in ARM ids, each once and in lower case.

    >>> subscriptions_of(["/subscriptions/S/resourceGroups/a", "/subscriptions/s"])
    ['s']
    """
    return list(dict.fromkeys(resource_id.split("/")[2].lower() for resource_id in resource_ids))


@dataclass(frozen=True)
class ResourceId:
    """A top-level resource of a resource group.

    :ivar type: ``Namespace/type``
    """

    subscription: str
    group: str
    type: str
    name: str

    @property
    def group_id(self) -> str:
        """ARM id of the resource group."""
        return f"/subscriptions/{self.subscription}/resourceGroups/{self.group}"

    @classmethod
    def parse(cls, text: str) -> ResourceId:
        """Parse the id of a top-level resource.

        :raises ConfigurationError: when the text is not such an id
        """
        match = _PATTERN.fullmatch(text)
        if match is None:
            raise ConfigurationError(
                "read the resource id",
                text,
                "It is not the id of a resource in a resource group.",
                "Copy the id from: az resource show --query id",
            )
        return cls(**match.groupdict())
