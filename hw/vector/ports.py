"""Ports of scratch, and of what lanes and float engine hand each other per channel; `Out` is who asks."""

from amaranth import signed
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from cpt.hw.contract import ArrayConfig
from cpt.hw.contract.config import ACC_BITS, MAX_BITS
from cpt.hw.contract.floats import FIELD
from cpt.hw.contract.step import SCRATCH_BANKS
from cpt.hw.layouts import BITS_WIDTH

NUMBER_BITS = 16
"""Bits of a number in scratch."""


def scratch_word(config: ArrayConfig) -> data.ArrayLayout:
    """A word of scratch: a number of every lane."""
    return data.ArrayLayout(signed(NUMBER_BITS), config.cols)


EARLY_CYCLES = 2
"""From an early port's address to its read or write."""


def early_read(config: ArrayConfig, words: int) -> wiring.Signature:
    """Reads word ``addr`` of ``words`` `EARLY_CYCLES` after ``valid``, which nothing stops; ``data`` comes
    `Machine.scratch_cycles` after that."""
    return wiring.Signature({"valid": Out(1), "addr": Out(range(words)), "data": In(scratch_word(config))})


def scratch_read(config: ArrayConfig, words: int) -> wiring.Signature:
    """Reads word ``addr`` of ``words`` with ``valid``; ``data`` comes `Machine.scratch_cycles` later.

    ``frees``: banks that may be asked for in the next cycle; ``valid``: a copy for each bank.
    """
    return wiring.Signature(
        {
            "frees": In(SCRATCH_BANKS),
            "valid": Out(SCRATCH_BANKS),
            "addr": Out(range(words)),
            "data": In(scratch_word(config)),
        }
    )


def late_read(config: ArrayConfig, words: int) -> wiring.Signature:
    """Takes ``addr`` of ``words`` with ``valid & ready`` and reads in order, each when its bank is free.

    ``data`` comes in the cycle after ``arrives``.
    """
    return wiring.Signature(
        {
            "valid": Out(1),
            "ready": In(1),
            "addr": Out(range(words)),
            "arrives": In(1),
            "data": In(scratch_word(config)),
        }
    )


def early_write(config: ArrayConfig, words: int) -> wiring.Signature:
    """Writes ``data`` `EARLY_CYCLES` after ``valid`` to the word that ``addr`` was then; nothing stops it."""
    return wiring.Signature({"valid": Out(1), "addr": Out(range(words)), "data": Out(scratch_word(config))})


def scratch_write(config: ArrayConfig, words: int) -> wiring.Signature:
    """Writes ``data`` to word ``addr`` of ``words`` with ``valid`` while its bank is ``free``.

    A read in a later cycle reads it.
    """
    return wiring.Signature(
        {
            "valid": Out(1),
            "free": In(SCRATCH_BANKS),
            "addr": Out(range(words)),
            "data": Out(scratch_word(config)),
        }
    )


def scratch_bank(addr):
    """The bank of a word, the upper bits of its address."""
    return addr[-(SCRATCH_BANKS - 1).bit_length() :]


def code_words(config: ArrayConfig) -> data.StructLayout:
    """What lanes hand to the packer, as a stream: codes of one channel of a tile, lane 0 first.

    A group is as many words as it has channels, in order, and so are the groups of a tile. ``codes``: two's
    complement if they are signed, 0 where there is no pixel; ``address``: byte of plane 0 of the tile and
    group; ``bits``: planes; both are the same for all words of a group. ``first``: its first word; ``last``:
    it is the last group of its tile, whose codes the packer then answers for with a pulse.
    """
    return data.StructLayout(
        {
            "codes": data.ArrayLayout(MAX_BITS, config.cols),
            "address": 32,
            "bits": BITS_WIDTH,
            "first": 1,
            "last": 1,
        }
    )


def channel_read(fields: int) -> wiring.Signature:
    """The float engine's port to statistics: number ``field * FIELD + channel``.

    ``read_data`` comes `Machine.channel_memory_cycles` after ``addr``.
    """
    return wiring.Signature({"addr": Out(range(fields * FIELD)), "read_data": In(signed(ACC_BITS))})


def channel_memory(fields: int) -> wiring.Signature:
    """Its port to coefficients: `channel_read`; ``write`` stores ``write_data``, cut to the field."""
    both = {"write": Out(1), "write_data": Out(signed(ACC_BITS))}
    return wiring.Signature({**channel_read(fields).members, **both})
