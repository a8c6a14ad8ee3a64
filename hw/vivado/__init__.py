"""The bitstream: Vivado scripts and what they are told about a board; `sim.vivado` runs them without it."""
