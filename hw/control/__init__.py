"""Ring, dispatch, registers, counters, and what stops and restarts the machine."""
