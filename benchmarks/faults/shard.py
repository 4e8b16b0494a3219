"""A process of the campaign's: runs the points that it is sent, in a sandbox and a folder of its own.

:mod:`.pool` starts it as ``python -m benchmarks.faults.shard DESCRIPTOR FOLDER``, where the descriptor is a socket. It
ends when the campaign's process does, after its current point.
"""

from __future__ import annotations

import sys
import time
import traceback
from collections.abc import Sequence
from contextlib import closing
from multiprocessing.connection import Connection
from pathlib import Path

from benchmarks.faults.points import Finished, failed
from benchmarks.faults.schedule import Job
from benchmarks.faults.series import SECRETS, Selection, Series, Stage


def serve(connection: Connection, folder: Path) -> None:
    """Run points until nobody is left to send them."""
    try:
        selection: Selection = connection.recv()
        series = selection.series()
        with closing(Stage(folder)) as stage:
            while True:
                connection.send(_finish(stage, series, connection.recv()))
    except (EOFError, BrokenPipeError, ConnectionResetError):
        return


def _finish(stage: Stage, series: Sequence[Series], job: Job) -> Finished:
    try:
        _ = stage.preparations if job.part == "flows" else stage.scene
        started = time.monotonic()
        search = job.name == SECRETS
        point = stage.preparations.check_secrets() if search else series[job.series].run(stage, job.number)
    except Exception:  # any: the other points still count
        return failed(job.part, job.name, traceback.format_exc())
    return Finished(point, time.monotonic() - started)


if __name__ == "__main__":
    with Connection(int(sys.argv[1])) as campaign:
        serve(campaign, Path(sys.argv[2]))
