"""The fast model: the accelerator's results, registers and cycle counts without its gates; numpy only."""

from cpt.sim.fast.backend import FastBackend

__all__ = ["FastBackend"]
