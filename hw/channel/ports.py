"""Ports of local memory; `Out` is who asks. Its words are reached in pairs, a bus beat each."""

from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from cpt.hw.contract.floats import LOCAL_WORDS

WORD_BITS = 32
"""Bits of a word of local memory."""
PAIR = 2
"""Words that a port reaches at once."""


def local_read() -> wiring.Signature:
    """Reads pair ``addr``; ``data`` comes `Machine.local_cycles` after ``valid & ready``."""
    return wiring.Signature(
        {
            "valid": Out(1),
            "ready": In(1),
            "addr": Out(range(LOCAL_WORDS // PAIR)),
            "data": In(WORD_BITS).array(PAIR),
        }
    )


def local_write() -> wiring.Signature:
    """Writes the words of pair ``addr`` whose bit of ``en`` is set, with ``valid & ready``.

    A read that is accepted in a later cycle reads them.
    """
    return wiring.Signature(
        {
            "valid": Out(1),
            "ready": In(1),
            "addr": Out(range(LOCAL_WORDS // PAIR)),
            "en": Out(PAIR),
            "data": Out(WORD_BITS).array(PAIR),
        }
    )
