"""Ports of scratch, and of what lanes and float engine hand each other per channel; `Out` is who asks."""

from amaranth import signed
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from cpt.hw.contract import ArrayConfig
from cpt.hw.contract.config import ACC_BITS
from cpt.hw.contract.floats import CHANNELS

NUMBER_BITS = 16
"""Bits of a number in scratch."""


def scratch_word(config: ArrayConfig) -> data.ArrayLayout:
    """A word of scratch: a number of every lane."""
    return data.ArrayLayout(signed(NUMBER_BITS), config.cols)


def scratch_read(config: ArrayConfig, words: int) -> wiring.Signature:
    """Reads word ``addr`` of ``words``; ``data`` comes `Machine.scratch_cycles` after ``valid & ready``."""
    return wiring.Signature(
        {"valid": Out(1), "ready": In(1), "addr": Out(range(words)), "data": In(scratch_word(config))}
    )


def scratch_write(config: ArrayConfig, words: int) -> wiring.Signature:
    """Writes ``data`` to word ``addr`` of ``words`` with ``valid & ready``.

    A read that is accepted in a later cycle reads it.
    """
    return wiring.Signature(
        {"valid": Out(1), "ready": In(1), "addr": Out(range(words)), "data": Out(scratch_word(config))}
    )


def channel_memory(fields: int) -> wiring.Signature:
    """The float engine's port to statistics or coefficients: number ``field * CHANNELS + channel``.

    ``read_data`` comes `Machine.channel_memory_cycles` after ``addr``; ``write`` stores ``write_data``, cut
    to the field's width.
    """
    return wiring.Signature(
        {
            "addr": Out(range(fields * CHANNELS)),
            "read_data": In(signed(ACC_BITS)),
            "write": Out(1),
            "write_data": Out(signed(ACC_BITS)),
        }
    )
