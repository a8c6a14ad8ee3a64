"""Ports of local memory; `Out` is who asks. A port reaches its words side by side, at least a bus beat's.

``next`` says a cycle before that ``valid`` may be high, so that others know it from registers: where it was
low, it is not. Who is served last need not say it.
"""

from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from cpt.hw.contract.floats import LOCAL_WORDS

WORD_BITS = 32
"""Bits of a word of local memory."""
PAIR = 2
"""Words that a port reaches at once: of the float engine twice as many as its lanes."""


def local_read(words: int = PAIR) -> wiring.Signature:
    """Reads the words from ``addr * words`` on.

    ``data`` comes `Machine.local_cycles` after ``valid & ready``.
    """
    return wiring.Signature(
        {
            "next": Out(1),
            "valid": Out(1),
            "ready": In(1),
            "addr": Out(range(LOCAL_WORDS // words)),
            "data": In(WORD_BITS).array(words),
        }
    )


def local_write(words: int = PAIR) -> wiring.Signature:
    """Writes the words from ``addr * words`` on whose bit of ``en`` is set, with ``valid & ready``.

    A read that is accepted in a later cycle reads them.
    """
    return wiring.Signature(
        {
            "next": Out(1),
            "valid": Out(1),
            "ready": In(1),
            "addr": Out(range(LOCAL_WORDS // words)),
            "en": Out(words),
            "data": Out(WORD_BITS).array(words),
        }
    )
