"""The bitstream: Vivado scripts and what they know of a board; `cpt.sim.vivado` runs them without it."""
