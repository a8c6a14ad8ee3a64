"""The machine for whole training steps as one exact model: words in, memory out (docs/fabric.md)."""

TOLERANCE = 0.02
"""Largest allowed difference of cycles, the model's against the RTL's, relative to the RTL's."""
