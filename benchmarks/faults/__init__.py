"""A campaign of faults: whatever happens to a run, and whenever, no invariant of the design is broken.

    make faults

:mod:`.kills` kills a run at each of its requests, :mod:`.refusals` puts each kind of fault in the way of each request,
:mod:`.preparations` runs the whole preparation under random faults. docs/faults.md tells how to read what comes out.
"""
