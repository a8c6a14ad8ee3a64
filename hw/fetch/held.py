"""Holds the command of a walk, loaded without a signal that comes late."""

from amaranth import Cat, Signal

from cpt.hw.matrix.copies import MOST_LOADS, copies


def hold(m, commands, allowed, ended):
    """The command of the stream ``commands`` that is worked on, and one that is high when it is new.

    It is taken in as long as there is none, so what decides reaches few loads. ``allowed``: a command may
    begin; ``ended``: the held one is done.
    Returns the command, ``begin``, high in the cycle after it was accepted, and ``vacant``: there is none.
    """
    given = commands.payload.as_value()
    parts = -(-len(given) // MOST_LOADS)
    accepted, stays = Signal(), Signal()
    flags = []
    m.d.comb += [
        accepted.eq(commands.valid & commands.ready),
        commands.ready.eq(stays & allowed),
    ]
    value = Signal.like(given, name="held", reset_less=True)
    following = Signal()
    m.d.comb += following.eq(ended | (stays & ~accepted))
    vacant = Signal(init=1)
    m.d.sync += vacant.eq(following)
    m.d.comb += stays.eq(vacant)
    for n, flag in enumerate(copies(m, following, parts, "vacant", reset_less=False)):
        flag.init = 1
        flags.append(flag)
        part = slice(n * MOST_LOADS, (n + 1) * MOST_LOADS)
        with m.If(flag):
            m.d.sync += value[part].eq(given[part])
    begin = Signal()
    m.d.sync += begin.eq(accepted)
    command = type(commands.payload)(commands.payload.shape(), Cat(value))
    return command, begin, vacant
