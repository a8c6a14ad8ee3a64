"""Benches of the blocks in `cpt.hw.program`."""
