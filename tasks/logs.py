"""Keeps secrets out of what the process of a run logs.

Facts: Prefect 3.8.8, ``Flow.validate_parameters``, which logs the parameters that it refuses with their values.
"""

from __future__ import annotations

import logging

from pratique.masking import mask_logs

_REFUSED = "Parameter validation failed for flow "


def protect_logs() -> None:
    """Mask all logs, and leave out the values of refused parameters. Safe to repeat."""
    mask_logs()
    logging.getLogger("prefect.flows").addFilter(without_parameters)


def without_parameters(record: logging.LogRecord) -> bool:
    """Remove the values from Prefect's record of refused parameters; the run's state names the fields."""
    said = record.getMessage()
    if said.startswith(_REFUSED):
        record.msg, record.args = f"{said.partition(': ')[0]}. The state of the run names the fields.", None
    return True
