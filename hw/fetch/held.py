"""Holds the command of a walk, loaded without a signal that comes late."""

from amaranth import Signal
from amaranth.lib import data

from cpt.hw.matrix.copies import MOST_LOADS, copies, counted

ROOM = 8
"""Places of a walk's queue of rows; rows on their way there take one too."""
AHEAD = 2
"""Rows that may leave before a taken place is seen."""


def count_rows(m, emit, taken, resting, go) -> None:
    """Drives ``resting``, set at first: none of a walk's rows is in their queue, or on its way there; and
    ``go``: another may leave. ``emit``: one does; ``taken``: one leaves the queue."""
    used = Signal(range(ROOM))
    m.d.sync += [
        used.eq(counted(used, emit, taken)),
        resting.eq(~emit & (resting | (taken & (used == 1)))),
        go.eq(used < ROOM - AHEAD),
    ]


def hold(m, commands, allowed, ended, begins: int):
    """The command of the stream ``commands`` that is worked on.

    It is taken in as long as there is none, so what decides reaches few loads. ``allowed``: a command may
    begin; ``ended``: the held one is done.
    Returns the command, ``begins`` copies of what is high in the cycle after it was accepted, and ``vacant``:
    there is none.
    """
    given = commands.payload.as_value()
    accepted = Signal()
    vacant = Signal(init=1)
    busy = Signal()
    m.d.comb += [
        accepted.eq(commands.valid & commands.ready),
        commands.ready.eq(vacant & allowed),
        busy.eq(~ended & (~vacant | accepted)),
    ]
    m.d.sync += vacant.eq(~busy)
    value = Signal.like(given, name="held", reset_less=True)
    for n, flag in enumerate(copies(m, busy, -(-len(given) // MOST_LOADS), "busy", reset_less=False)):
        part = slice(n * MOST_LOADS, (n + 1) * MOST_LOADS)
        with m.If(~flag):
            m.d.sync += value[part].eq(given[part])
    begun = copies(m, accepted, begins, "begin", reset_less=False)
    return data.View(commands.payload.shape(), value), begun, vacant
