"""The sweep after a bad end, for the demo's runs: that of everybody else leaves them alone, as their Azure is another.

Runs in a container of docker-compose.yml, after ``prefect deploy`` of the demo's file.
"""

from __future__ import annotations

import asyncio
import copy

from prefect.client.orchestration import get_client

from pratique.cli.automations import Document, Ids, apply_automations, build_automation, read_files

FILE = "sweep-after-bad-end.yaml"
POOL = "sandbox"
SWEEP = "sweep_access/demo"
#: Not the tag of the other ones: those that are applied together are also removed together.
TAG = "pratique-demo"


async def main() -> None:
    """Put it on the server of PREFECT_API_URL."""
    async with get_client() as client:
        ids = Ids({SWEEP: (await client.read_deployment_by_name(SWEEP)).id})
        wanted = build_automation(for_demo(read_files()[FILE]), ids, TAG)
        for line in await apply_automations(client, [wanted], TAG):
            print(f"Automation {line}")  # noqa: T201


def for_demo(document: Document) -> Document:
    """The same for the demo's pool, with the demo's deployment."""
    changed = {**copy.deepcopy(document), "name": f"{document['name']} (local Azure)"}
    (pool,) = [
        related for related in changed["trigger"]["match_related"] if related["prefect.resource.role"] == "work-pool"
    ]
    pool["prefect.resource.name"] = POOL
    (action,) = changed["actions"]
    action["deployment"] = SWEEP
    return changed


if __name__ == "__main__":
    asyncio.run(main())
