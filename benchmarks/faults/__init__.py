"""The fault campaign: whatever happens to a run, and whenever, every invariant of the design holds.

    make faults

:mod:`.kills` kills a run at each of its requests, :mod:`.refusals` injects each kind of fault into each request,
:mod:`.obstacles` has others lock the vault, forge leases and ask for long waits, and :mod:`.preparations` runs
prepare_cluster under random faults. docs/faults.md explains the output.
"""
