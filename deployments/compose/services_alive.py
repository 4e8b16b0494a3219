"""Whether Prefect's background services work: the health check of a container that listens nowhere.

They note in Redis, every few seconds, that they are there; the name of their place is Prefect's own, not a setting.
"""

from __future__ import annotations

import asyncio
import os
import sys

from docket import Docket

#: prefect/cli/_server_utils.py; the API server's is another one.
NAME = "prefect"


async def alive() -> bool:
    """Whether one of them has said so lately."""
    async with Docket(name=NAME, url=os.environ["PREFECT_SERVER_DOCKET_URL"]) as docket:
        return bool(await docket.workers())


if __name__ == "__main__":
    sys.exit(0 if asyncio.run(alive()) else "no background service has been heard of lately")
