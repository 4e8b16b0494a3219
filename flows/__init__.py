"""The flows: each of them, read from top to bottom, is its graph."""

import atexit
import gc

from prefect import flow as flow  # with it comes all of Prefect that a flow needs

# Python's collector looks through all objects again and again while modules are imported: a sixth of the CPU time that
# a run needs to start. What Prefect has made by now stays as long as the process does.
gc.freeze()
atexit.register(gc.unfreeze)
