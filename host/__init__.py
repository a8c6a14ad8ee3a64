"""PYNQ runtime: driver, packing, programs, layers and trainer. Needs numpy and pynq only."""
