"""The fault campaign: whatever happens to a run, and whenever, every invariant of the design holds.

    make faults BUDGET=20m

:mod:`.kills` kills a run at each of its requests, :mod:`.refusals` injects each kind of fault into each request,
:mod:`.obstacles` has others lock the vault, forge leases and ask for long waits, :mod:`.pairs` has two faults in a run,
and :mod:`.preparations` runs whole flows under random faults. :mod:`.schedule` orders the points, :mod:`.pool` runs
them in processes. docs/faults.md explains the output.
"""
