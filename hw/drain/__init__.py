"""From captured tiles to memory: collector, result buffer, DRAIN."""
