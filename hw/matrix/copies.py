"""Registered copies of a signal, so that no net has too many loads.

Synthesis would merge equal registers again; the attribute on the copies says that they are meant. All that
are equal need it: Yosys merges one without it into one that has it.
"""

from amaranth import Cat, Mux, Signal

MOST_LOADS = 32
"""Loads of one copy, at most."""
KEEP = {"keep": "true"}


def copies(m, source, count: int, name: str, *, reset_less: bool = True) -> list:
    """``count`` registers that follow ``source``, in one cycle; of its shape."""
    found = []
    for number in range(count):
        copy = Signal(source.shape(), name=f"{name}_{number}", reset_less=reset_less, attrs=KEEP)
        m.d.sync += copy.eq(source)
        found.append(copy)
    return found


def spread(m, source, count: int, name: str) -> list:
    """``count`` copies in two cycles, so that ``source`` has few loads too."""
    first = copies(m, source, -(-count // MOST_LOADS), f"{name}_root")
    found = []
    for number, root in enumerate(first):
        wanted = min(MOST_LOADS, count - number * MOST_LOADS)
        found += copies(m, root, wanted, f"{name}_{number}")
    return found


def tokens(m, name: str, count: int, given, taken, *, full: bool = False):
    """Tokens as a row of ``count`` bits, those that are there from bit 0 on; ``full``: all are, at first.

    So a register says whether there is one.
    """
    held = Signal(count, name=name, init=(1 << count) - 1 if full else 0)
    m.d.sync += held.eq(Mux(given == taken, held, Mux(given, (held << 1) | 1, held >> 1)))
    return held


def one_more(value):
    """``value + 1`` as plain logic, where a carry chain is longer than the way through LUTs."""
    return Cat(bit ^ value[:place].all() for place, bit in enumerate(value))


def counted(value, up, down):
    """``value`` with 1 more where ``up``, 1 less where ``down``, as plain logic.

    Without a choice that could become an enable: what counts comes late.
    """
    more, fewer = up & ~down, down & ~up
    return Cat(
        bit ^ (more & value[:place].all()) ^ (fewer & ~value[:place].any()) for place, bit in enumerate(value)
    )


def one_less(value):
    """``value - 1`` as plain logic."""
    return Cat(bit ^ ~value[:place].any() for place, bit in enumerate(value))
