"""AXI at the edge of the accelerator: runs of memory to bursts, read and write masters, the arbiter."""
